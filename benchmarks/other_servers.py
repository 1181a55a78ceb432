"""`alpaca generate` against servers that are not ours, each with a tiny model made on the spot.

    python benchmarks/other_servers.py --server transformers|llama-cpp|mlx --python PYTHON [--only CASE]

PYTHON is the interpreter of an environment that has the server: `pip install 'transformers[serving]' torch`,
`pip install 'llama-cpp-python[server]' gguf`, or `pip install mlx-lm 'mlx[cpu]'`.  The model is that of
reciting_model.py.  Printed are a table of what the server answers to odd requests, and one of runs: the exit code, the
rows of the dataset, the answers paid for, and the last words.  docs/servers.md is made from it.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
MAKER = Path(__file__).with_name("reciting_model.py")
READY_S, RUN_S = 180, 150
QUESTION = "Write a list of 20 tasks."


@dataclass
class Place:
    """A server of one kind: its interpreter, its model, where it listens."""

    kind: str
    python: str
    model: Path
    port: int
    log: Path

    @property
    def url(self) -> str:
        """Where it listens, without a path."""
        return f"http://127.0.0.1:{self.port}"

    def command(self, context: int) -> list[str]:
        """How it is started; only llama.cpp is told a length of context."""
        if self.kind == "llama-cpp":
            return [self.python, "-m", "llama_cpp.server", "--model", str(self.model), "--n_ctx", str(context)]
        if self.kind == "mlx":
            return [self.python, "-m", "mlx_lm", "server", "--model", str(self.model)]
        return [self.python, "-c", "from transformers.cli.transformers import main; main()", "serve"]

    @contextmanager
    def running(self, *, context: int = 8192) -> Iterator[subprocess.Popen[bytes]]:
        """The server, ready; ended at the end if it still is there."""
        where = ["--host", "127.0.0.1", "--port", str(self.port)]
        with self.log.open("ab") as log:
            server = subprocess.Popen([*self.command(context), *where], stdout=log, stderr=log, env=_environment())
        try:
            end = time.monotonic() + READY_S
            while not self._is_ready():
                if server.poll() is not None or time.monotonic() > end:
                    sys.exit(f"{self.kind} does not start: {self.log.read_text(errors='replace')[-2000:]}")
                time.sleep(0.3)
            yield server
        finally:
            if server.poll() is None:
                server.send_signal(signal.SIGTERM)
                try:
                    server.wait(20)
                except subprocess.TimeoutExpired:
                    server.kill()
                    server.wait()

    def _is_ready(self) -> bool:
        with socket.socket() as probe:
            probe.settimeout(1)
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def post(self, path: str, body: dict[str, Any] | None) -> tuple[int, dict[str, str], str, float]:
        """Status, headers, body and seconds of a plain request; a GET without a body."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.url}{path}", data, {"content-type": "application/json"})
        began = time.monotonic()
        try:
            with urllib.request.urlopen(request, timeout=RUN_S) as answer:
                status, headers, raw = answer.status, dict(answer.headers), answer.read()
        except urllib.error.HTTPError as error:
            status, headers, raw = error.code, dict(error.headers), error.read()
        return status, headers, raw.decode("utf-8", "replace"), time.monotonic() - began


def _environment() -> dict[str, str]:
    # one thread, since the model is too small for more; no hub, which a server would wait for
    return {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}


# --- plain requests --------------------------------------------------------------------------------------------------


def show_answers(place: Place) -> None:
    """What the server answers to requests good and odd."""
    chat = {"model": str(place.model), "messages": [{"role": "user", "content": QUESTION}], "max_tokens": 40}
    plain = {"model": str(place.model), "prompt": f"{QUESTION}\n4. Instruction:", "max_tokens": 40}
    long = "word " * 4000
    path = "/v1/chat/completions"
    extras: dict[str, Any] = {
        "reasoning_effort": "none",
        "service_tier": "flex",
        "stop": ["\n4. Input"],
        "max_completion_tokens": 20,
        "top_k": 40,
        "logit_bias": {"5": 1},
        "temperature": 9,
        "nonsense": 1,
    }
    asked: list[tuple[str, str, dict[str, Any] | None]] = [
        ("models", "/v1/models", None),
        ("chat", path, chat),
        ("completions", "/v1/completions", plain),
        *[(f"{name}={value}", path, {**chat, name: value}) for name, value in extras.items()],
        ("100,000 new tokens", path, {**chat, "max_tokens": 100_000}),
        ("prompt of 20,000 tokens", path, {**chat, "messages": [{"role": "user", "content": long}]}),
        ("the same, completions", "/v1/completions", {**plain, "prompt": long}),
        ("another model", path, {**chat, "model": "gpt-6-luna"}),
        ("without /v1", "/chat/completions", chat),
    ]
    print(f"\n{'asked':28} {'HTTP':>4} {'s':>6}  answer")
    for name, where, body in asked:
        status, headers, text, seconds = place.post(where, body)
        print(f"{name:28} {status:>4} {seconds:6.1f}  {_brief(text)}")
        if name == "chat":
            limits = [header for header in headers if "ratelimit" in header.lower() or header.lower() == "retry-after"]
            print(f"{'':28} {'':>4} {'':>6}  limits in headers: {', '.join(limits) or 'none'}")


def _brief(text: str) -> str:
    try:
        data = json.loads(text)
        choice = data["choices"][0]
    except (ValueError, LookupError, TypeError):
        return " ".join(text.split())[:230]
    said = (choice.get("message") or {}).get("content") or choice.get("text")
    return f"{choice['finish_reason']}, {said[:30]!r}, usage {json.dumps(data.get('usage'))}"


# --- runs ------------------------------------------------------------------------------------------------------------


@dataclass
class Case:
    """A run of `alpaca generate`, told by flags."""

    name: str
    num: int
    flags: list[str]
    path: str = "/v1"
    model: str | None = None
    context: int = 8192
    kill: bool = False


SHORT = ["--set", "teacher.max_tokens=80"]  # some five tasks an answer, so that many answers are needed
CASES = [
    Case("8 at once", 100, ["--set", "teacher.concurrency=8"]),
    Case("64 at once, short", 50, ["--set", "teacher.concurrency=64", *SHORT]),
    Case("server's own sampling", 40, ["--set", "teacher.temperature=null", "--set", "patience=5"]),
    Case("completions API", 20, ["--set", "teacher.api=completions", "--set", "teacher.temperature=1.0"]),
    Case("stop, top_p", 20, ["--set", 'teacher.stop=["\\n20. Instruction"]', "--set", "teacher.top_p=1.0"]),
    Case("tier flex", 20, ["--tier", "flex"]),
    Case("extra_body top_k, min_p", 20, ["--set", "teacher.extra_body={top_k: 0, min_p: 0.0}"]),
    Case("16 at once, 4 s each", 50, ["--set", "teacher.concurrency=16", "--set", "teacher.timeout_s=4", *SHORT]),
    Case("killed, started again", 120, ["--set", "teacher.concurrency=4"], kill=True),
    Case("address without /v1", 20, [], path=""),
    Case("address with a slash", 20, [], path="/v1/"),
    Case("another model", 20, ["--set", "teacher.max_tries=3"], model="gpt-6-luna"),
    Case("context of 2,560", 20, [], context=2560),
    Case("context of 4,096", 20, [], context=4096),
]


def show_runs(place: Place, folder: Path, only: str | None) -> None:
    """How runs end."""
    print(f"\n{'run':26} {'exit':>4} {'rows':>5} {'paid':>5} {'s':>6}  last words")
    for number, case in enumerate(CASES):
        is_other = case.context != 8192
        if (only and only not in case.name) or (is_other and place.kind != "llama-cpp"):
            continue
        out = folder / f"run{number}"
        with place.running(context=case.context) as server:
            began = time.monotonic()
            code, words = _run(place, case, out, server)
        rows, paid = out / "alpaca_data.json", out / "journal.jsonl"
        num = len(json.loads(rows.read_text(encoding="utf-8"))) if rows.exists() else 0
        num_paid = len(paid.read_text(encoding="utf-8").splitlines()) if paid.exists() else 0
        print(f"{case.name:26} {code:>4} {num:>5} {num_paid:>5} {time.monotonic() - began:6.1f}  {words[0]}")
        for line in words[1:]:
            print(f"{'':50}  {line}")


def _run(place: Place, case: Case, out: Path, server: subprocess.Popen[bytes]) -> tuple[int, list[str]]:
    """The exit code and what was said, the report of a good run left out."""
    flags = ["--base-url", f"{place.url}{case.path}", "--model", case.model or str(place.model), "--out", str(out)]
    if not any("teacher.temperature" in flag for flag in case.flags):
        flags += ["--set", "teacher.temperature=1.0"]  # without it some servers always take the likeliest word
    command = [sys.executable, "-m", "alpaca_cli", "generate", "--num", str(case.num), *flags, *case.flags]
    journal = out / "journal.jsonl"
    with tempfile.TemporaryFile("w+") as said:
        run = subprocess.Popen(command, stdout=said, stderr=said, env={**_environment(), "OPENAI_API_KEY": ""})
        try:
            if not case.kill:
                code = _ended(run)
            else:
                while run.poll() is None and (not journal.exists() or journal.read_bytes().count(b"\n") < 3):
                    time.sleep(0.05)
                server.kill()
                server.wait()
                time.sleep(2)
                with place.running():
                    code = _ended(run)
        finally:
            if run.poll() is None:
                run.kill()
                run.wait()
        said.seek(0)
        lines = [line.rstrip()[:420] for line in said if line.strip()]
    spoken = [
        line
        for line in lines
        if line[:1] != " " and not line.startswith(("generate:", "kept ", "about ", "no licence", str(out)))
    ]
    return code, [line.replace(str(place.model), "MODEL").replace(place.url, "URL") for line in spoken[:12]] or [""]


def _ended(run: subprocess.Popen[bytes]) -> int:
    """The exit code; after RUN_S seconds it is asked to end, as by Ctrl-C, and the code is 130."""
    with suppress(subprocess.TimeoutExpired):
        return run.wait(RUN_S)
    run.send_signal(signal.SIGINT)
    return run.wait(RUN_S)


def main() -> None:
    """Make the model, start the server, ask, run, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--server", choices=["transformers", "llama-cpp", "mlx"], required=True)
    parser.add_argument("--python", required=True, help="interpreter of an environment that has the server")
    parser.add_argument("--only", help="only the runs whose name holds this, and no plain requests")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, socket.socket() as free:
        folder = Path(name)
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        is_gguf = chosen.server == "llama-cpp"
        model = folder / ("recites.gguf" if is_gguf else "recites")
        made = "gguf" if is_gguf else "transformers"
        subprocess.run([chosen.python, str(MAKER), made, str(model)], env=_environment(), check=True)
        place = Place(chosen.server, chosen.python, model, port, folder / "server.log")
        if not chosen.only:
            with place.running():
                show_answers(place)
        show_runs(place, folder, chosen.only)


if __name__ == "__main__":
    main()

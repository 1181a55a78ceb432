"""How fast `alpaca generate` is when the server is not what it waits for, and how its cost grows.

    python benchmarks/throughput.py [--num 13000 26000 52000] [--server quick|rehearsal|built-in] [--tasks 17]

`quick` is a server of this file in a process of its own, which answers at once (or after --seconds) with made lists of
--tasks tasks of random words, all of them new: little else than what `generate` itself does is measured.  `rehearsal`
is `alpaca rehearsal` in a process of its own, `built-in` the same teacher inside `alpaca generate --teacher rehearsal`.
Each run is a whole process; then its derived files are deleted and the same command makes them again from the journal,
which is the time of a replay.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

WORDS = [f"{stem}{ending}" for stem in ("bar", "lum", "tok", "fen", "gri", "os", "pel", "ru") for ending in range(400)]
MADE = ("alpaca_data.json", "report.json", "README.md")


def answer(rng: random.Random, num_tasks: int) -> bytes:
    """The body of a chat completion with so many tasks."""
    parts = []
    for number in range(4, 4 + num_tasks):
        instruction = " ".join(rng.choices(WORDS, k=rng.randint(6, 16)))
        output = " ".join(rng.choices(WORDS, k=60))
        given = f"{number}. Input:\n<noinput>\n{number}. Output:\n{output}.\n"
        parts.append(f"{number}. Instruction: Explain {instruction}.\n{given}")
    message = {"role": "assistant", "content": "###\n".join(parts)}
    usage = {"prompt_tokens": 700, "completion_tokens": 1700}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    return json.dumps({"id": "x", "model": "quick", "choices": [choice], "usage": usage}).encode()


async def serve(seconds: float, num_tasks: int) -> None:
    """Answer any POST on a free port of the loopback, which is printed, until killed."""
    rng = random.Random(0)

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await _head(reader):
            length = next(
                int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-l")
            )
            await reader.readexactly(length)
            await asyncio.sleep(seconds)
            body = answer(rng, num_tasks)
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body))
            writer.write(body)

    server = await asyncio.start_server(talk, "127.0.0.1", 0, backlog=1024)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1", flush=True)
    await server.serve_forever()


async def _head(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, ConnectionError):  # the client has gone
        return b""


@contextmanager
def server(kind: str, seconds: float, num_tasks: int) -> Iterator[str]:
    """The address of a server in a process of its own."""
    command = [sys.executable, __file__, "--serve", "--seconds", str(seconds), "--tasks", str(num_tasks)]
    if kind == "rehearsal":
        command = [sys.executable, "-m", "alpaca_cli", "rehearsal", "--port", "0", "--latency", str(seconds)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
        process.kill()


def run(command: list[str]) -> tuple[float, float, float]:
    """Wall seconds, CPU seconds and peak memory (MB) of a whole process."""
    began = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    _, errors = process.communicate() if process.stderr is None else (None, process.stderr.read())
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(errors.decode())
    return time.monotonic() - began, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--num", type=int, nargs="+", default=[13_000, 26_000, 52_000])
    parser.add_argument("--server", choices=["quick", "rehearsal", "built-in"], default="quick")
    parser.add_argument("--seconds", type=float, default=0.0)
    parser.add_argument("--concurrency", type=int, default=64)
    parser.add_argument("--tasks", type=int, default=17, help="tasks of each answer of the quick server")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        asyncio.run(serve(arguments.seconds, arguments.tasks))
    print("| rows | requests | wall s | requests/s | CPU ms/request | peak MB | replay s | replay CPU s |")
    print("|---|---|---|---|---|---|---|---|")
    walls = []
    for num in arguments.num:
        with (
            tempfile.TemporaryDirectory() as folder,
            server(arguments.server, arguments.seconds, arguments.tasks) as base_url,
        ):
            command = [sys.executable, "-m", "alpaca_cli", "generate", "--num", str(num), "--out", folder]
            teacher = ["--base-url", base_url, "--model", arguments.server]
            command += ["--teacher", "rehearsal"] if arguments.server == "built-in" else teacher
            command += ["--set", f"teacher.concurrency={arguments.concurrency}"]
            wall, cpu, peak = run(command)
            requests = len((Path(folder) / "journal.jsonl").read_bytes().splitlines())
            for name in MADE:
                (Path(folder) / name).unlink(missing_ok=True)
            again, cpu_again, _ = run(command)
        walls.append(wall)
        print(
            f"| {num:,} | {requests:,} | {wall:.1f} | {requests / wall:.0f} | {cpu / requests * 1000:.2f} "
            f"| {peak:.0f} | {again:.1f} | {cpu_again:.1f} |",
            flush=True,
        )
    if len(walls) > 1:
        growth = math.log(walls[-1] / walls[0]) / math.log(arguments.num[-1] / arguments.num[0])
        print(f"\nwall time grows as rows to the power of {growth:.2f}")


if __name__ == "__main__":
    main()

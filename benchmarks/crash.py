"""SIGKILL at random moments: is anything lost, asked again, submitted again, or different in the end?

    python benchmarks/crash.py [--kills 100] [--num 2000] [--mode online|batch|both] [--seed 0]

A run is killed again and again, each time at a random moment of its life, and taken up by the same command, until it is
done; then it is begun anew in another folder, until so many kills are made.  After each kill the journal's completions
are compared with those before, and in the end the server's own books with the journal, and the derived files byte for
byte with those of a run that was never killed.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from alpaca_cli.rehearsal.server import RehearsalServer
from alpaca_cli.rehearsal.storm import Storm

DERIVED = ("alpaca_data.json", "provenance.jsonl", "refused.jsonl")
FLAGS = {"online": ["--set", "teacher.concurrency=8"], "batch": ["--batch"]}


def command(out: Path, base_url: str, num: int, mode: str) -> list[str]:
    """A run of `alpaca generate` as a process of its own."""
    options = ["--num", str(num), "--base-url", base_url, "--model", "rehearsal", "--out", str(out), *FLAGS[mode]]
    return [sys.executable, "-m", "alpaca_cli", "generate", *options]


def journalled(folder: Path) -> dict[int, str]:
    """The completions that are whole in a journal: number of the request, and its prompt's SHA-256."""
    path = folder / "journal.jsonl"
    lines = path.read_bytes().split(b"\n")[:-1] if path.exists() else []
    rows = [json.loads(line) for line in lines]
    if len({row["k"] for row in rows}) != len(rows):
        sys.exit("BROKEN: a request is in the journal twice")
    return {row["k"]: row["prompt_sha256"] for row in rows}


def killed_run(out: Path, server: RehearsalServer, num: int, mode: str, rng: random.Random, most: int) -> list[int]:
    """Kill and take up until the run is done or `most` kills are made, then finish it; the journal's size at each."""
    line = command(out, server.base_url, num, mode)
    sizes: list[int] = []
    while len(sizes) < most:
        with subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
            try:
                process.wait(timeout=0.5 + rng.expovariate(1 / 1.5))
            except subprocess.TimeoutExpired:
                process.kill()
            else:
                if process.returncode:
                    assert process.stderr is not None
                    sys.exit(f"BROKEN: {process.stderr.read().decode()}")
                return sizes
        time.sleep(0.1)  # until the server has seen that its client is gone
        before = journalled(out)
        answered = {k: server.books.delivered[name] for k, name in before.items()}
        sizes.append(len(before))
        if len(sizes) > 1 and sizes[-1] < sizes[-2]:
            sys.exit("BROKEN: a completion is lost")
        checks.append((before, answered))
    subprocess.run(line, check=True, capture_output=True)
    return sizes


checks: list[tuple[dict[int, str], dict[int, int]]] = []


def main() -> None:
    """Kill, compare, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--num", type=int, default=2000)
    parser.add_argument("--mode", choices=["online", "batch", "both"], default="both")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    modes = ["online", "batch"] if arguments.mode == "both" else [arguments.mode]
    rng = random.Random(arguments.seed)
    for mode in modes:
        began, kills, runs, sizes = time.monotonic(), 0, 0, []
        wanted = arguments.kills // len(modes)
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder)
            with RehearsalServer(latency_s=0.15, storm=Storm(batch_s=1.0)) as server:
                subprocess.run(
                    command(root / "whole", server.base_url, arguments.num, mode), check=True, capture_output=True
                )
            while kills < wanted:
                with RehearsalServer(latency_s=0.15, storm=Storm(batch_s=1.0)) as server:
                    out = root / f"killed{runs}"
                    checks.clear()
                    sizes = killed_run(out, server, arguments.num, mode, rng, wanted - kills)
                    kills, runs = kills + len(sizes), runs + 1
                    after = journalled(out)
                    for before, answered in checks:
                        if not before.items() <= after.items():
                            sys.exit("BROKEN: a completion is lost")
                        if again := [k for k, name in before.items() if server.books.delivered[name] != answered[k]]:
                            sys.exit(f"BROKEN: journalled requests were asked again: {again}")
                    if mode == "batch" and max(server.books.delivered.values()) > 1:
                        sys.exit("BROKEN: a batch was submitted twice")
                for name in DERIVED:
                    if (out / name).read_bytes() != (root / "whole" / name).read_bytes():
                        sys.exit(f"BROKEN: {name} differs from that of a run that was never killed")
        seconds = time.monotonic() - began
        print(
            f"{mode}: {kills} kills in {runs} runs of {arguments.num:,} examples, {seconds:.0f} s: nothing lost, "
            f"asked again or different; completions in the journal at the kills of the last run: {sizes}",
            flush=True,
        )


if __name__ == "__main__":
    main()

"""The throttle in a real run against a real server whose limit it is not told, and which doubles and then halves.

    python benchmarks/throttle_live.py [--slots 20 | --rpm 1200] [--latency 0.5] [--seconds 40]

`alpaca generate` runs as a process of its own against `alpaca rehearsal` in this one.  The limit holds for --seconds,
doubles for as long, and comes back.  The answers hold no tasks, so that looking at them costs nothing.  Printed for
each part, after 30 s of it: what was answered and what was refused, as shares of the capacity; with --verbose for each
second too.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time

from alpaca_cli.rehearsal.server import RehearsalServer
from alpaca_cli.rehearsal.storm import Storm

PATH = "/v1/chat/completions"
SETTLED_S = 30


def main() -> None:
    """Run, and print a line a second."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--slots", type=int)
    parser.add_argument("--rpm", type=float)
    parser.add_argument("--latency", type=float, default=0.5)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--verbose", action="store_true")
    arguments = parser.parse_args()
    slots = arguments.slots or (None if arguments.rpm else 20)

    def weather(factor: int) -> Storm:
        return Storm(
            concurrency=slots and slots * factor,
            requests_per_minute=arguments.rpm and arguments.rpm * factor,
            retry_after=False,
            script=("ok",),
            rates={"refusal": 1.0},
        )

    def capacity(factor: int) -> float:
        """Answers a second."""
        return factor * (slots / arguments.latency if slots else arguments.rpm / 60)

    with tempfile.TemporaryDirectory() as folder, RehearsalServer(latency_s=arguments.latency) as server:
        server.storm = weather(1)
        command = [sys.executable, "-m", "alpaca_cli", "generate", "--num", "500000", "--out", folder]
        command += ["--base-url", server.base_url, "--model", "rehearsal", "--set", "teacher.concurrency=200"]
        command += ["--set", "patience=1000000"]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            while not server.books.requests[PATH, "200"]:
                time.sleep(0.1)
            for name, factor in (("at first", 1), ("doubled", 2), ("halved", 1)):
                server.storm = weather(factor)
                rows = [_second(server) for _ in range(arguments.seconds)]
                if arguments.verbose:
                    for second, (good, bad) in enumerate(rows):
                        print(f"  {name} {second:3} s: {good / capacity(factor):6.1%} used, {bad} refused")
                settled = rows[SETTLED_S:]
                good, bad = (sum(row[at] for row in settled) for at in (0, 1))
                used = good / len(settled) / capacity(factor)
                print(
                    f"{name}: {capacity(factor):.0f} answers/s possible; after {SETTLED_S} s {used:.1%} used, "
                    f"{bad / max(good + bad, 1):.2%} of {good + bad:,} calls refused",
                    flush=True,
                )
            process.kill()


def _second(server: RehearsalServer) -> tuple[int, int]:
    """How many requests were answered and refused within a second."""
    before = server.books.requests[PATH, "200"], server.books.requests[PATH, "429"]
    time.sleep(1)
    return server.books.requests[PATH, "200"] - before[0], server.books.requests[PATH, "429"] - before[1]


if __name__ == "__main__":
    main()

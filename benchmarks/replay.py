"""How long it takes to make a dataset again from its journal: the whole command, as after a kill.

    python benchmarks/replay.py [NUM ...]

A run of the rehearsal teacher grows to each NUM (13,000, 26,000 and 52,000) in turn.  There its derived files are
deleted and the same command makes them again, in a process of its own that asks for nothing; they must come out the
same.  Growth is the exponent of CPU seconds from the line before: 1 is linear, 2 quadratic.
"""

from __future__ import annotations

import math
import os
import platform
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

NUMS = (13_000, 26_000, 52_000)
DERIVED = ("alpaca_data.json", "provenance.jsonl", "refused.jsonl", "report.json")
MAXRSS_MB = 1e-6 if sys.platform == "darwin" else 1024e-6  # getrusage counts bytes there, KiB elsewhere


@dataclass(frozen=True)
class Cost:
    """What a process took."""

    wall_s: float
    cpu_s: float
    peak_mb: float


def generate(folder: Path, num: int) -> Cost:
    """The command itself, to its end."""
    command = [sys.executable, "-m", "alpaca_cli", "generate", "--teacher", "rehearsal", "--num", str(num)]
    began = time.perf_counter()
    process = subprocess.Popen([*command, "--out", str(folder)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"alpaca generate ended with {process.returncode}")
    wall_s = time.perf_counter() - began
    return Cost(wall_s, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * MAXRSS_MB)


def main() -> None:
    """Measure and print a table."""
    nums = sorted(int(number) for number in sys.argv[1:]) or NUMS
    print(f"Python {platform.python_version()}, {os.cpu_count()} cores")
    print(f"{'kept':>7} {'wall s':>7} {'CPU s':>7} {'growth':>6} {'peak MB':>7}")
    before: tuple[int, Cost] | None = None
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "run"
        for num in nums:
            generate(folder, num)
            files = {path: path.read_bytes() for path in (folder / derived for derived in DERIVED)}
            for path in files:
                path.unlink()
            cost = generate(folder, num)
            if changed := [path.name for path, content in files.items() if path.read_bytes() != content]:
                raise SystemExit(f"made again, these are others: {', '.join(changed)}")
            growth = f"{math.log(cost.cpu_s / before[1].cpu_s) / math.log(num / before[0]):.2f}" if before else ""
            print(f"{num:7,} {cost.wall_s:7.1f} {cost.cpu_s:7.1f} {growth:>6} {cost.peak_mb:7.0f}", flush=True)
            before = num, cost


if __name__ == "__main__":
    main()

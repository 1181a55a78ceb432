"""How long it takes to make a dataset again from its journal: the whole command, as after a kill.

    python benchmarks/replay.py [NUM ...]

A run of the rehearsal teacher grows to each NUM (13,000, 26,000 and 52,000) in turn.  There its derived files are
deleted and the same command makes them again, in a process of its own that asks for nothing; they must come out the
same.  Growth is the exponent of CPU seconds from the line before: 1 is linear, 2 quadratic.  Then the run is taken up
for a few examples more: how long it takes until its first request is in the ledger, just before it is sent.
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
MORE = 20  # examples
MAXRSS_MB = 1e-6 if sys.platform == "darwin" else 1024e-6  # getrusage counts bytes there, KiB elsewhere


@dataclass(frozen=True)
class Cost:
    """What a process took."""

    wall_s: float
    cpu_s: float
    peak_mb: float
    first_s: float
    """Until the first request; 0 if there was none."""


def generate(folder: Path, num: int) -> Cost:
    """The command itself, to its end."""
    ledger = folder / "ledger.jsonl"
    size = ledger.stat().st_size if ledger.exists() else 0
    command = [sys.executable, "-m", "alpaca_cli", "generate", "--teacher", "rehearsal", "--num", str(num)]
    began = time.perf_counter()
    process = subprocess.Popen([*command, "--out", str(folder)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    first_s, pid = 0.0, 0
    while not pid:
        time.sleep(0.01)
        pid, status, usage = os.wait4(process.pid, os.WNOHANG)
        if not first_s and ledger.exists() and ledger.stat().st_size > size:
            first_s = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"alpaca generate ended with {process.returncode}")
    wall_s = time.perf_counter() - began
    return Cost(wall_s, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * MAXRSS_MB, first_s)


def main() -> None:
    """Measure and print a table."""
    nums = sorted(int(number) for number in sys.argv[1:]) or NUMS
    print(f"Python {platform.python_version()}, {os.cpu_count()} cores")
    print(f"{'kept':>7} {'wall s':>7} {'CPU s':>7} {'growth':>6} {'peak MB':>7} {'first request s':>15}")
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
            first_s = generate(folder, num + MORE).first_s
            costs = f"{cost.wall_s:7.1f} {cost.cpu_s:7.1f} {growth:>6} {cost.peak_mb:7.0f} {first_s:15.1f}"
            print(f"{num:7,} {costs}", flush=True)
            before = num, cost


if __name__ == "__main__":
    main()

"""`alpaca dedup --spill`: killed at random moments, does it end with the same bytes?  And what does it cost?

    python benchmarks/spill.py [--kills 40] [--rows 200000] [--memory 64MB] [--data alpaca_data.json] [--seed 0]

Rows are made (`dedup_rows.py` says how).  A run is killed again and again, each time at a random moment of its life,
and taken up by the same command, until it is done or six kills are made; and so on, run after run.  Rows and
report are compared byte for byte with those of a run in memory, and no file of the run may be left.  A kill after the
outputs have their names is met by the command with --force, as it tells.

Before that, the whole command in memory and on disk, each a process of its own: wall time, CPU time, peak memory, and
the most that its folder took on disk, looked at every 10 ms.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import dedup_rows

# A new process begins with the peak memory of the one that started it: so this small one does.
LAUNCHER = """
import os, sys, time
began = time.monotonic()
_, status, usage = os.wait4(os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ), 0)
print(time.monotonic() - began, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)
sys.exit(os.waitstatus_to_exitcode(status))
"""
OUTPUTS = ("out.jsonl", "report.jsonl")
KILLS_A_RUN = 6  # then it is left to end


def command(source: Path, folder: Path, *options: str) -> list[str]:
    """A run of `alpaca dedup` as a process of its own."""
    out, report = (str(folder / name) for name in OUTPUTS)
    return [sys.executable, "-m", "alpaca_cli", "dedup", str(source), "--out", out, "--report", report, *options]


def spilling(folder: Path, memory: str) -> list[str]:
    """The options of a run that spills."""
    return ["--spill", str(folder / "spill"), "--memory", memory]


def num_bytes(folder: Path) -> int:
    """Of the files that are in a folder now."""
    size = 0
    for path in folder.glob("*"):
        try:
            size += path.stat().st_size
        except FileNotFoundError:
            continue
    return size


def cost(line: list[str], spill: Path) -> tuple[list[float], int]:
    """Seconds, CPU seconds and MB of a run, and the most bytes its folder had."""
    most = 0
    with subprocess.Popen(
        [sys.executable, "-S", "-c", LAUNCHER, *line], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        while process.poll() is None:
            most = max(most, num_bytes(spill))
            time.sleep(0.01)
        assert process.stdout is not None
        assert process.stderr is not None
        if process.returncode:
            sys.exit(f"BROKEN: {process.stderr.read()}")
        *_, measured = process.stdout.read().splitlines()
    return [float(figure) for figure in measured.split()], most


def moment_of(folder: Path) -> str:
    """How far a run was when it was killed."""
    spill = folder / "spill"
    if (folder / OUTPUTS[0]).exists():
        return "removing its folder" if spill.exists() else "done"
    if not (spill / "plan.json").exists():
        return "starting"
    if not (spill / "proved.json").exists():
        return "reading"
    return "explaining" if any(spill.glob("*.scores-*")) else "comparing"


def killed_run(line: list[str], folder: Path, moment: Callable[[], float], most: int) -> list[str]:
    """Kill and take up until the run is done or `most` kills are made, then finish it; how far it was at each."""
    moments: list[str] = []
    while len(moments) < most:
        with subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
            try:
                process.wait(timeout=moment())
            except subprocess.TimeoutExpired:
                process.kill()
            else:
                if process.returncode:
                    assert process.stderr is not None
                    sys.exit(f"BROKEN: {process.stderr.read().decode()}")
                return moments
        moments.append(moment_of(folder))
        if (folder / OUTPUTS[0]).exists():
            break
    done = subprocess.run([*line, "--force"], capture_output=True, check=False)
    if done.returncode:
        sys.exit(f"BROKEN: {done.stderr.decode()}")
    return moments


def main() -> None:
    """Measure, kill, compare, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=40)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--memory", default="64MB")
    parser.add_argument("--data", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    rng = random.Random(arguments.seed)
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        source = root / "rows.jsonl"
        dedup_rows.write_rows(source, "real-like", arguments.rows, arguments.data)
        whole = root / "memory"
        print("| | wall s | CPU s | peak MB | bytes on disk a row |\n|---|---|---|---|---|")
        for folder in (whole, root / "disk"):
            options = [] if folder is whole else spilling(folder, arguments.memory)
            (wall, cpu, peak), size = cost(command(source, folder, *options), folder / "spill")
            name = f"--spill, --memory {arguments.memory}" if options else "in memory"
            print(f"| {name} | {wall:.2f} | {cpu:.2f} | {peak:.0f} | {size / arguments.rows:.0f} |", flush=True)
        began, runs, moments = time.monotonic(), 0, Counter[str]()
        while moments.total() < arguments.kills:
            folder = root / f"killed{runs}"
            line = command(source, folder, *spilling(folder, arguments.memory))
            most = min(KILLS_A_RUN, arguments.kills - moments.total())
            moments.update(killed_run(line, folder, lambda mean=wall / 3: 0.3 + rng.expovariate(1 / mean), most))
            runs += 1
            for name in OUTPUTS:
                if (folder / name).read_bytes() != (whole / name).read_bytes():
                    sys.exit(f"BROKEN: {name} differs from that of a run in memory")
            if (folder / "spill").exists():
                sys.exit("BROKEN: files of the run are left")
    print(
        f"{moments.total()} kills in {runs} runs of {arguments.rows:,} rows, {time.monotonic() - began:.0f} s: "
        f"all ended with the same bytes; killed while {', '.join(f'{what}: {n}' for what, n in moments.most_common())}"
    )


if __name__ == "__main__":
    main()

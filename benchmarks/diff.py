"""Making and recovering weight diffs: seconds, memory, bytes, beside the original's way and plain copying, in one run.

    python benchmarks/diff.py [--sizes 0.1 0.8 3] [--repeat 3] [--c 1.0] [--folder DIR]

Pairs are generated (`diff_pairs.py` says how; 0.1, 0.8 and 3 billion weights in bf16), in DIR or where temporary files
go: 27 GB at the most, all of it deleted.  Each way is a process of its own; `diff_rivals.py` has those of others.  What
it reads was read before (the page cache is warm), and what others wrote is on disk.  Memory is the largest sum of the
resident sets of a command's processes, looked at every 50 ms, and no less than the kernel's own peak of any of them.
Every recovered model is compared with the tuned one byte for byte.
"""

from __future__ import annotations

import argparse
import datetime
import filecmp
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

HERE = Path(__file__).parent
# A new process begins with the peak memory of the one that started it: so this small one does.
LAUNCHER = """
import os, sys, time
began = time.monotonic()
_, status, usage = os.wait4(os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ), 0)
print(time.monotonic() - began, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024)
sys.exit(os.waitstatus_to_exitcode(status))
"""
# The command without the compiled coder.
PLAIN = """
import sys
from alpaca_cli.diff.coder import kernel
kernel.LIBRARY = None
from alpaca_cli.cli.app import main
sys.exit(main(sys.argv[1:]))
"""
MOVES = (0.25, 0.5, 1, 2, 4)  # in random walks of AdamW's
LARGEST_OF_THE_ORIGINAL = 0.8  # at 3 two copies in fp32 are 23 GB


@dataclass(frozen=True)
class Cost:
    """Of one command."""

    seconds: float
    cpu: float
    peak: float
    """Bytes."""


def resident(pid: int) -> int:
    """Bytes in memory of the processes under a process."""
    total, waiting = 0, [pid]
    while waiting:
        try:
            found = Path(f"/proc/{waiting.pop()}")
            below = [
                int(each) for task in (found / "task").iterdir() for each in (task / "children").read_text().split()
            ]
            if found.name != str(pid):
                total += int((found / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        except OSError:
            continue  # it has ended
        waiting += below
    return total


def cost(command: Sequence[str | Path], env: dict[str, str]) -> Cost:
    """Of a command that ends well."""
    line = [sys.executable, "-S", "-c", LAUNCHER, *map(str, command)]
    pipe = subprocess.PIPE
    with tempfile.TemporaryFile() as talk, subprocess.Popen(line, stdout=pipe, stderr=talk, env=env) as process:
        most = 0
        while process.poll() is None:
            most = max(most, resident(process.pid))
            time.sleep(0.05)
        assert process.stdout is not None
        if process.returncode:
            talk.seek(0)
            sys.exit(f"exit code {process.returncode}: {' '.join(line[4:])}\n{talk.read().decode()[-4000:]}")
        seconds, cpu, peak = map(float, process.stdout.read().split()[-3:])
    return Cost(seconds, cpu, max(most, peak))


def num_bytes(folder: Path) -> int:
    """Of all files of a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def warm(*folders: Path) -> None:
    """Bring what was written to disk, and what will be read into memory."""
    os.sync()
    for path in (path for folder in folders for path in folder.rglob("*") if path.is_file()):
        with path.open("rb", buffering=0) as stream:
            while stream.read(1 << 24):
                pass


def check(recovered: Path, tuned: Path) -> None:
    """Every file of the tuned model is there, byte for byte."""
    names = [str(path.relative_to(tuned)) for path in tuned.rglob("*") if path.is_file()]
    _, other, missing = filecmp.cmpfiles(recovered, tuned, names, shallow=False)
    if other or missing:
        sys.exit(f"BROKEN: not recovered: {', '.join([*other, *missing])}")


class Bench:
    """The ways of one pair."""

    def __init__(self, folder: Path, repeat: int) -> None:
        self._folder, self._repeat = folder, repeat
        self.base, self.tuned, self.diff, self.original = (
            folder / name for name in ("base", "tuned", "diff", "original")
        )
        path = os.pathsep.join(filter(None, (str(HERE.parent), os.environ.get("PYTHONPATH"))))
        self._env = {**os.environ, "PYTHONPATH": path, "HF_HUB_OFFLINE": "1"}

    def measure(
        self, command: Sequence[str | Path], *reads: Path, keep: Path | None = None, is_checked: bool = False
    ) -> Cost:
        """The medians of some runs of a command, to which the folder that it writes is told last.

        The last run's folder is kept as `keep`.  `is_checked`: it must be the tuned model.
        """
        found = []
        for _ in range(self._repeat):
            out = self._folder / "out"
            warm(*reads)
            found.append(cost([*command, out], self._env))
            if is_checked:
                check(out, self.tuned)
            if keep is not None:
                shutil.rmtree(keep, ignore_errors=True)
                out.rename(keep)
            else:
                shutil.rmtree(out)
        return Cost(*(statistics.median(getattr(each, name) for each in found) for name in ("seconds", "cpu", "peak")))

    def make(self, *words: str, plain: bool = False, keep: bool = False) -> Cost:
        """`alpaca diff make`."""
        line = [*alpaca(plain), "diff", "make", *words, "--base", self.base, "--tuned", self.tuned, "--out"]
        return self.measure(line, self.base, self.tuned, keep=self.diff if keep else None)

    def recover(self, *words: str, plain: bool = False) -> Cost:
        """`alpaca diff recover`, and that it was."""
        line = [*alpaca(plain), "diff", "recover", *words, "--base", self.base, "--diff", self.diff, "--out"]
        return self.measure(line, self.base, self.diff, is_checked=True)

    def rival(self, way: str, *reads: Path, keep: Path | None = None) -> Cost:
        """Another way, by its name, from the folders that it reads."""
        return self.measure([sys.executable, HERE / "diff_rivals.py", way, *reads], *reads, keep=keep)

    def sizes(self) -> str:
        """The table of what zstd makes of it."""
        line = [sys.executable, HERE / "diff_rivals.py", "sizes", self.base, self.tuned]
        return subprocess.run(line, check=True, env=self._env, stdout=subprocess.PIPE, text=True).stdout


def alpaca(plain: bool) -> list[str | Path]:
    """The command, `plain` as it is where there was no compiler."""
    return [sys.executable, "-c", PLAIN] if plain else [sys.executable, "-m", "alpaca_cli"]


def table(ways: dict[str, Cost], others: dict[str, str], num: int) -> None:
    """A row for each way; `others`: headings, and the ways to which all are compared; `num`: bytes of the tuned."""
    print(f"| | s | CPU s | MB/s | peak MB | {' | '.join(others)} |\n|---|---|---|---|---|{'---|' * len(others)}")
    for way, each in ways.items():
        ratios = (f"{each.seconds / ways[other].seconds:.2f}" if other in ways else "-" for other in others.values())
        print(
            f"| {way} | {each.seconds:.2f} | {each.cpu:.2f} | {num / each.seconds / 1e6:,.0f} | "
            f"{each.peak / 1e6:,.0f} | {' | '.join(ratios)} |",
            flush=True,
        )


def report(size: str, folder: Path, repeat: int, c: float) -> None:
    """Measure a pair in both directions, and print."""
    subprocess.run([sys.executable, HERE / "diff_pairs.py", size, folder, "--c", str(c)], check=True)
    bench = Bench(folder, repeat)
    num = num_bytes(bench.tuned)
    with_original, is_smallest = float(size) <= LARGEST_OF_THE_ORIGINAL, size == "0.1"
    one, two, plain, original = "1 worker", "2 workers", "2 workers, no compiled coder", "the original's way"
    made = {one: bench.make("--workers", "1"), two: bench.make("--workers", "2", keep=True)}
    if is_smallest:
        made[plain] = bench.make("--workers", "2", plain=True)
    if with_original:
        made[original] = bench.rival("original-make", bench.base, bench.tuned, keep=bench.original)
    print(
        f"\n## {size} billion weights: {num / 1e9:.2f} GB a model; medians of {repeat}, load {os.getloadavg()[0]:.1f}"
    )
    told = [f"diff: {num_bytes(bench.diff) / num:.1%} of the tuned"]
    if with_original:
        told.append(f"the original's: {num_bytes(bench.original) / num:.0%}")
    print(f"\n{'; '.join(told)}\n\nmake:\n")
    table(made, {"s / the original's": original, "s / 1 worker": one}, num)
    found = {one: bench.recover("--workers", "1"), two: bench.recover("--workers", "2")}
    if is_smallest:
        found[plain] = bench.recover("--workers", "2", plain=True)
    if with_original:
        found[original] = bench.rival("original-recover", bench.base, bench.original)
    synced, copied = "copying, brought to disk", "copying"
    found[synced] = bench.rival("copy-fsync", bench.tuned)
    found[copied] = bench.rival("copy", bench.tuned)
    print("\nrecover:\n")
    headings = ("s / the original's", "s / copying to disk", "s / copying", "s / 1 worker")
    table(found, dict(zip(headings, (original, synced, copied, one), strict=True)), num)
    if is_smallest:
        print(f"\n{bench.sizes()}", flush=True)


def other_moves(size: str, folder: Path) -> None:
    """How large a diff is whose weights moved less far, or farther."""
    print("| c | diff / tuned |\n|---|---|")
    for c in MOVES:
        subprocess.run([sys.executable, HERE / "diff_pairs.py", size, folder / str(c), "--c", str(c)], check=True)
        bench = Bench(folder / str(c), 1)
        bench.make(keep=True)
        print(f"| {c} | {num_bytes(bench.diff) / num_bytes(bench.tuned):.1%} |", flush=True)
        shutil.rmtree(folder / str(c))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="+", choices=["0.1", "0.8", "3"], default=["0.1", "0.8", "3"])
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--c", type=float, default=1.0, help="how far the weights moved, in random walks of AdamW's")
    parser.add_argument("--folder", type=Path, help="where the pairs are made")
    arguments = parser.parse_args()
    versions = ", ".join(f"{name} {version(name)}" for name in ("numpy", "torch", "transformers"))
    print(f"{datetime.date.today()}: {os.cpu_count()} cores, Python {platform.python_version()}, {versions}", end="")
    print(f"; c = {arguments.c}")
    for size in arguments.sizes:
        with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
            report(size, Path(name), arguments.repeat, arguments.c)
            if size == "0.1":
                other_moves(size, Path(name))


if __name__ == "__main__":
    main()

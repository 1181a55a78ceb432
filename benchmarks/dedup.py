"""What `alpaca dedup` costs on one machine, how that grows, and what its rivals cost and find, in one run.

    python benchmarks/dedup.py [--part rivals pairs minhash growth million] [--data alpaca_data.json] [-- OPTION ...]

Rows are made (`dedup_rows.py` says how), derived from the instructions of `--data` if given.  Ours is the whole
command, a process of its own: wall time, CPU time of user and system, peak memory of the largest of its processes.
OPTIONs are handed to it.  The parts:

- quick: the first three, with 5,000 rows, once.
- rivals: 52,000 rows at 0.7, beside rouge_score (`_score_lcs` of 30,000 random pairs, tokens made once, as Stanford's
  script does) and RapidFuzz (`cdist`, 2,000 random rows against all), each scaled to all pairs.  RapidFuzz gets lists
  of words, and then, several times as fast, a character for each word; it only computes, nothing is looked for in it,
  and neither it nor rouge_score reads or writes a file: so ours is timed without that, too.
- pairs: what was kept of 52,000 rows, and how many pairs are over the threshold, counted for 1,000 random rows with all
  rows.  Of those which were dropped, each must be near an earlier one that was kept; of 1,000 that were kept, none.
- minhash: which pairs datasketch's MinHash LSH (128 permutations; `pip install datasketch`) finds among the rows of
  `--data` (or 5,000 made ones) as they are, and with 1,000 lightly edited copies behind them; the truth is RapidFuzz's
  LCS of all pairs.  F 0.7 is a Jaccard similarity of 0.54 where no word repeats and the order is the same: that
  threshold gets its turn too.
- growth: both kinds of rows, 10,000 to 1,000,000 of them, thresholds 0.5, 0.7 and 0.9; the exponent is the slope of
  the least-squares line through the logarithms.  `million` is its largest size at 0.7.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from itertools import islice
from pathlib import Path

import dedup_rivals
import dedup_rows
import numpy as np

from alpaca_cli.dedup.blocks import MemoryBlocks
from alpaca_cli.dedup.join import decide
from alpaca_cli.dedup.machine import num_cores
from alpaca_cli.dedup.rouge import rouge_words
from alpaca_cli.format.container import BATCH_ROWS

PARTS = ("quick", "rivals", "pairs", "minhash", "growth", "million")
THRESHOLDS, SIZES, MILLION = (0.5, 0.7, 0.9), (10_000, 31_623, 100_000, 316_228, 1_000_000), 1_000_000
PAIR_ROWS, COPIES, JACCARDS = 1_000, 1_000, (0.7, 0.54)
# A new process begins with the peak memory of the one that started it: so this small one does.
LAUNCHER = """
import os, sys, time
began = time.monotonic()
_, status, usage = os.wait4(os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ), 0)
print(time.monotonic() - began, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)
sys.exit(os.waitstatus_to_exitcode(status))
"""


@dataclass(frozen=True)
class Cost:
    """Of a whole command."""

    wall: float
    cpu: float
    peak: float
    """MB."""
    kept: int


def dedup(source: Path, threshold: float, options: Sequence[str], runs: int = 1) -> Cost:
    """The command on a file, its output beside it; of several runs the median."""
    out = source.with_suffix(".kept.jsonl")
    command = [sys.executable, "-m", "alpaca_cli", "dedup", str(source), "--out", str(out), "--force", "--json"]
    command += ["--threshold", str(threshold), *options]
    figures = []
    for _ in range(runs):
        done = subprocess.run([sys.executable, "-S", "-c", LAUNCHER, *command], capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"exit code {done.returncode}: {' '.join(command)}\n{done.stderr}")
        *answer, measured = done.stdout.splitlines()
        figures.append([float(figure) for figure in measured.split()])
    wall, cpu, peak = (statistics.median(column) for column in zip(*figures, strict=True))
    return Cost(wall, cpu, peak, json.loads("".join(answer))["kept"])


def head(*columns: str) -> None:
    """The top of a table."""
    print(f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}", flush=True)


def line(*cells: object) -> None:
    """A row of a table; of a number three figures, or all of its whole part."""
    shown = [
        cell if isinstance(cell, str) else f"{cell:,.0f}" if isinstance(cell, int) or cell >= 100 else f"{cell:.3g}"
        for cell in cells
    ]
    print(f"| {' | '.join(shown)} |", flush=True)


def made(folder: Path, kind: str, rows: int, data: Path | None) -> Path:
    """A file of so many rows."""
    path = folder / f"{kind}.{rows}.jsonl"
    if not path.exists():
        dedup_rows.write_rows(path, kind, rows, data)
    return path


def comparing(texts: list[str]) -> tuple[float, float]:
    """Wall and CPU seconds of what the rivals do not do more of: from texts in memory to which are kept, at 0.7."""
    began, began_cpu = time.perf_counter(), time.process_time()
    blocks = MemoryBlocks("rouge")
    for begin in range(0, len(texts), BATCH_ROWS):
        blocks.append(texts[begin : begin + BATCH_ROWS])
    blocks.close()
    decide(blocks, 0.7, memory=1 << 60, workers=num_cores())
    return time.perf_counter() - began, time.process_time() - began_cpu


def rivals(folder: Path, arguments: argparse.Namespace) -> None:
    """Ours at 0.7 beside all pairs."""
    for kind in arguments.kinds:
        print(f"\n## {arguments.rows:,} rows, {kind}, threshold 0.7\n")
        texts = list(islice(dedup_rows.instructions(kind, arguments.data), arguments.rows))
        ours = dedup(made(folder, kind, arguments.rows, arguments.data), 0.7, arguments.options, arguments.runs)
        rouge = dedup_rivals.rouge_score_all_pairs(texts)
        head("", "wall s", "CPU s", "wall / ours", "CPU / ours")
        line(f"alpaca dedup: {ours.peak:.0f} MB, kept {ours.kept:,}", ours.wall, ours.cpu, 1, 1)
        alone = comparing(texts)
        line("of it, comparing: words to numbers, index, search", *alone, alone[0] / ours.wall, alone[1] / ours.cpu)
        line("rouge_score, scaled", rouge.wall, rouge.cpu, rouge.wall / ours.wall, rouge.cpu / ours.cpu)
        forms = {"lists of words": [rouge_words(text) for text in texts], "strings": dedup_rivals.as_strings(texts)}
        for form, rows in forms.items():
            for workers in (1, 2):
                fuzz = dedup_rivals.rapidfuzz_all_pairs(rows, workers)
                name = f"RapidFuzz, {form}, scaled, workers: {workers}"
                line(name, fuzz.wall, fuzz.cpu, fuzz.wall / ours.wall, fuzz.cpu / ours.cpu)


def pairs(folder: Path, arguments: argparse.Namespace) -> None:
    """What there is to find, and that it was found."""
    print(f"\n## What is kept of {arguments.rows:,} rows, and how many are near\n")
    head(
        "rows",
        "threshold",
        "kept",
        "pairs over it",
        "near any",
        "kept before and near a dropped one: mean, least",
        "near among kept",
    )
    rng = random.Random(5)
    for kind in arguments.kinds:
        source = made(folder, kind, arguments.rows, arguments.data)
        strings = dedup_rivals.as_strings([row["instruction"] for row in read(source)])
        chosen = rng.sample(range(len(strings)), min(PAIR_ROWS, len(strings)))
        for threshold in arguments.thresholds:
            dedup(source, threshold, arguments.options)
            kept = np.array([int(row["output"].split()[0]) for row in read(source.with_suffix(".kept.jsonl"))])
            near, near_dropped = [], []
            scores = dedup_rivals.scores([strings[number] for number in chosen], strings)
            for number, row in zip(chosen, scores, strict=True):
                over = row > threshold
                near.append(int(over.sum()) - 1)  # less itself
                if number not in kept:
                    near_dropped.append(int(over[kept[kept < number]].sum()))
            some_kept = [strings[number] for number in rng.sample(kept.tolist(), min(PAIR_ROWS, len(kept)))]
            among = dedup_rivals.scores(some_kept, [strings[number] for number in kept])
            line(
                *(kind, threshold, f"{len(kept) / len(strings):.1%}", round(statistics.mean(near) * len(strings) / 2)),
                f"{np.mean(np.array(near) > 0):.1%}",
                f"{statistics.mean(near_dropped):.1f}, {min(near_dropped)}" if near_dropped else "none dropped",
                sum(int((row > threshold).sum()) - 1 for row in among),
            )


def read(path: Path) -> list[dict[str, str]]:
    """The rows of a JSONL file."""
    return [json.loads(row) for row in path.read_text(encoding="utf-8").splitlines()]


def minhash(_: Path, arguments: argparse.Namespace) -> None:
    """What another similarity finds at 0.7."""
    made_texts = islice(dedup_rows.instructions("real-like"), 5_000)
    texts = dedup_rows.instructions_of(arguments.data) if arguments.data else list(made_texts)
    print(f"\n## MinHash LSH (datasketch {version('datasketch')}) against ROUGE-L F > 0.7\n")
    head("rows", "shingles", "Jaccard", "pairs", "found", "false", "to drop", "missed", "wrongly dropped", "CPU s")
    for name, rows in (("as they are", texts), ("with copies", dedup_rows.with_copies(texts, COPIES))):
        near = dedup_rivals.near_pairs(rows, 0.7)
        drop = dedup_rivals.dropped_rows(near)
        for kind in dedup_rivals.SHINGLES:
            for jaccard in JACCARDS:
                began = time.process_time()
                found = dedup_rivals.minhash_pairs(rows, kind, jaccard)
                seconds = time.process_time() - began
                dropped = dedup_rivals.dropped_rows(found)
                recall = f"{len(found & near):,}" + (f" ({len(found & near) / len(near):.1%})" if near else "")
                line(
                    *(f"{len(rows):,} {name}", kind, jaccard, len(near), recall, len(found - near)),
                    *(len(drop), len(drop - dropped), len(dropped - drop), seconds),
                )


def growth(folder: Path, arguments: argparse.Namespace, sizes: Sequence[int], thresholds: Sequence[float]) -> None:
    """Cost by the number of rows."""
    for kind in arguments.kinds:
        print(f"\n## Growth, {kind} rows\n")
        head("rows", "threshold", "wall s", "CPU s", "peak MB", "kept")
        costs: dict[float, list[Cost]] = {threshold: [] for threshold in thresholds}
        for rows in sizes:
            source = made(folder, kind, rows, arguments.data)
            for threshold in thresholds:
                cost = dedup(source, threshold, arguments.options)
                costs[threshold].append(cost)
                line(rows, threshold, cost.wall, cost.cpu, cost.peak, f"{cost.kept / rows:.1%}")
            source.unlink()
            source.with_suffix(".kept.jsonl").unlink()
        for threshold, those in costs.items() if len(sizes) > 1 else ():
            wall, cpu, peak = (
                float(np.polyfit(np.log(sizes), np.log([getattr(cost, name) for cost in those]), 1)[0])
                for name in ("wall", "cpu", "peak")
            )
            print(
                f"\nat {threshold}: wall time grows as rows to the power of {wall:.2f}, CPU {cpu:.2f}, peak {peak:.2f}"
            )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", nargs="+", choices=PARTS, default=["rivals", "pairs", "minhash"])
    parser.add_argument("--data", type=Path, help="a dataset like Stanford's alpaca_data.json")
    parser.add_argument("--kinds", nargs="+", choices=dedup_rows.KINDS, default=dedup_rows.KINDS)
    parser.add_argument("--rows", type=int, default=52_000, help="of rivals and pairs")
    parser.add_argument("--runs", type=int, default=3, help="of ours beside the rivals: the median counts")
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="of growth")
    parser.add_argument("--thresholds", type=float, nargs="+", default=THRESHOLDS, help="of growth and pairs")
    parser.add_argument("--folder", type=Path, help="where rows are written for the time; by default a temporary one")
    parser.add_argument("options", nargs="*", help="handed to alpaca dedup, behind --")
    arguments = parser.parse_args()
    parts = list(arguments.part)
    if "quick" in parts:
        arguments.rows, arguments.runs, parts = 5_000, 1, ["rivals", "pairs", "minhash"]
    versions = ", ".join(f"{name} {version(name)}" for name in ("numpy", "rapidfuzz", "rouge-score"))
    print(f"{datetime.date.today()}: {os.cpu_count()} cores, Python {platform.python_version()}, {versions}")
    with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
        folder = Path(name)
        if "rivals" in parts:
            rivals(folder, arguments)
        if "pairs" in parts:
            pairs(folder, arguments)
        if "minhash" in parts:
            minhash(folder, arguments)
        if "growth" in parts:
            growth(folder, arguments, arguments.sizes, arguments.thresholds)
        if "million" in parts:
            growth(folder, arguments, [MILLION], [0.7])


if __name__ == "__main__":
    main()

"""How long one candidate takes against a pool of 52,000: ours beside rouge_score, in one run.

    python benchmarks/novelty.py [DATASET.json]

The pool is filled from a dataset's instructions, or from made ones of 6 to 16 words out of 3,000.  rouge_score is timed
on a sample of pairs, tokens made once as Stanford's script does (`_score_lcs`), and scaled to the pool.
"""

from __future__ import annotations

import json
import os
import platform
import random
import statistics
import sys
import time
from pathlib import Path

from rouge_score.rouge_scorer import _score_lcs

from alpaca_cli.dedup import kernel
from alpaca_cli.dedup.pool import Pool
from alpaca_cli.dedup.rouge import rouge_words

POOL, SAMPLE, MANY = 52_000, 4_000, 128


def texts() -> list[str]:
    """52,000 instructions."""
    if len(sys.argv) > 1:
        found = [row["instruction"] for row in json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))]
        return (found * (POOL // len(found) + 1))[:POOL]
    rng = random.Random(0)
    words = [f"w{number}" for number in range(3000)]
    return [" ".join(words[int(rng.random() ** 2 * 3000)] for _ in range(rng.randint(6, 16))) for _ in range(POOL)]


def main() -> None:
    """Measure and print."""
    pool_texts = texts()
    pool = Pool()
    began = time.perf_counter()
    pool.extend(pool_texts[:-MANY])
    pool.admit(pool_texts[0], 0.7)  # which files all before it in the index
    filling = time.perf_counter() - began
    judging = []
    for text in pool_texts[-MANY:]:
        began = time.perf_counter()
        if pool.admit(text, 0.7) is not None:
            pool.extend([text])
        judging.append(time.perf_counter() - began)
    began, began_cpu = time.perf_counter(), time.process_time()
    for _ in pool.neighbours(0, POOL, 10):
        pass
    comparing, comparing_cpu = time.perf_counter() - began, time.process_time() - began_cpu
    pairs = POOL * (POOL - 1) / 2
    ours = statistics.mean(judging) + comparing_cpu / pairs * POOL
    tokens = [rouge_words(text) for text in pool_texts[:SAMPLE]]
    candidate = rouge_words(random.Random(1).choice(pool_texts))
    began = time.process_time()
    for other in tokens:
        _score_lcs(candidate, other)
    theirs = (time.process_time() - began) / SAMPLE * POOL
    print(f"Python {platform.python_version()}, {os.cpu_count()} cores")
    print(f"a pool of {POOL:,} filled        {filling * 1e3:8.0f} ms")
    print(f"whether one repeats another      {statistics.mean(judging) * 1e3:8.2f} ms")
    print(f"mean and nearest of all, compiled: {'yes' if kernel.LIBRARY is not None else 'no'}")
    print(f"  together                       {comparing:8.2f} s, {comparing_cpu:.2f} s of one core")
    print(f"  the last one of them           {comparing_cpu / pairs * POOL * 1e3:8.2f} ms of one core")
    print(f"rouge_score, one core, scaled    {theirs * 1e3:8.0f} ms")
    print(f"ratio to judging and comparing   {theirs / ours:8.0f}")


if __name__ == "__main__":
    main()

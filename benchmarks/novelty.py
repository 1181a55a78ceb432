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

from alpaca_cli.dedup.pool import Pool
from alpaca_cli.dedup.rouge import rouge_words

POOL, SAMPLE, ROUNDS = 52_000, 4_000, 20


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
    pool.extend(pool_texts)
    filling = time.perf_counter() - began
    rng = random.Random(1)
    single, batch = [], []
    for _ in range(ROUNDS):
        chosen = rng.sample(pool_texts, 17)
        began = time.perf_counter()
        pool.block(chosen[:1]).scores(0)
        single.append(time.perf_counter() - began)
        began = time.perf_counter()
        block = pool.block(chosen)
        for index in range(17):
            block.scores(index)
        batch.append((time.perf_counter() - began) / 17)
    tokens = [rouge_words(text) for text in pool_texts[:SAMPLE]]
    candidate = rouge_words(rng.choice(pool_texts))
    began = time.process_time()
    for other in tokens:
        _score_lcs(candidate, other)
    theirs = (time.process_time() - began) / SAMPLE * POOL
    print(f"Python {platform.python_version()}, {os.cpu_count()} cores")
    print(f"a pool of {POOL:,} filled        {filling * 1e3:8.0f} ms")
    print(f"one candidate alone              {statistics.median(single) * 1e3:8.1f} ms")
    print(f"one of a completion's 17         {statistics.median(batch) * 1e3:8.1f} ms")
    print(f"rouge_score, one core, scaled    {theirs * 1e3:8.0f} ms")
    print(f"ratio                            {theirs / statistics.median(batch):8.0f}")


if __name__ == "__main__":
    main()

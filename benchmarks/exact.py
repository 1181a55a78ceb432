"""Whether `alpaca dedup` decides as rouge_score does, on all pairs of a dataset's instructions, at many thresholds.

    python benchmarks/exact.py DATASET.json [--rows 4000]

The score of every pair is computed by rouge_score (`_score_lcs`, tokens made once: some 20 microseconds a pair).  For
thresholds from 0.1 to 1, and for the scores that occur most often, exactly and a hair below, the rows that a loop over
these scores keeps are held beside those that are kept by the index, compiled and plain, in memory and spilled.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import numpy.typing as npt
from rouge_score import tokenizers
from rouge_score.rouge_scorer import _score_lcs

from alpaca_cli.dedup import kernel
from alpaca_cli.dedup.blocks import MemoryBlocks
from alpaca_cli.dedup.join import decide, explain
from alpaca_cli.dedup.spill import DiskBlocks

BATCH = 500
COMMON = 6  # scores of which each is a threshold: ties


def all_scores(texts: list[str]) -> npt.NDArray[np.float64]:
    """F of each row with each before it."""
    tokenizer = tokenizers.DefaultTokenizer(use_stemmer=False)
    words = [tokenizer.tokenize(text) for text in texts]
    table = np.zeros((len(texts), len(texts)))
    for i, row in enumerate(words):
        if row:
            table[i, :i] = [_score_lcs(row, other).fmeasure if other else 0.0 for other in words[:i]]
    return table


def greedy(table: npt.NDArray[np.float64], threshold: float) -> list[tuple[int, float] | None]:
    """What becomes of each row: the kept row it repeats and F, or None."""
    kept, fates = np.zeros(len(table), dtype=bool), list[tuple[int, float] | None]()
    for i, scores in enumerate(table):
        among = np.where(kept, scores, 0.0)
        best = int(among.argmax())
        kept[i] = not among[best] > threshold
        fates.append(None if kept[i] else (best, float(among[best])))
    return fates


def ours(texts: list[str], threshold: float, folder: Path | None) -> list[tuple[int, float] | None]:
    """The same, by the index."""
    blocks = MemoryBlocks("rouge") if folder is None else DiskBlocks(folder, "rouge", memory=1 << 20)
    for begin in range(0, len(texts), BATCH):
        blocks.append(texts[begin : begin + BATCH])
    blocks.close()
    memory = 1 << 18 if folder else 1 << 60
    decide(blocks, threshold, memory=memory, workers=2)
    fates: list[tuple[int, float] | None] = [None] * len(texts)
    for block, places, numbers, scores in explain(blocks, threshold, memory=memory, workers=2):
        for place, number, score in zip(places.tolist(), numbers.tolist(), scores.tolist(), strict=True):
            fates[int(blocks.begins[block]) + place] = (number, score)
    return fates


def main() -> int:
    """Compare and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--rows", type=int, default=4000)
    given = parser.parse_args()
    texts = [row["instruction"] for row in json.loads(given.dataset.read_text(encoding="utf-8"))][: given.rows]
    began = time.process_time()
    table = all_scores(texts)
    num_pairs = len(texts) * (len(texts) - 1) // 2
    print(f"{num_pairs:,} pairs by rouge_score: {time.process_time() - began:.0f} s of CPU")
    values, counts = np.unique(table[table > 0.2], return_counts=True)
    common = values[np.argsort(-counts)[:COMMON]]
    thresholds = [*np.arange(0.1, 1.01, 0.1), 0.7, *common, *np.nextafter(common, 0)]
    compiled, differing = kernel.LIBRARY, 0
    for threshold in sorted({float(threshold) for threshold in thresholds}):
        expected = greedy(table, threshold)
        with tempfile.TemporaryDirectory() as folder:
            found = {"compiled": ours(texts, threshold, None), "spilled": ours(texts, threshold, Path(folder))}
        kernel.LIBRARY = None
        found["plain"] = ours(texts, threshold, None)
        kernel.LIBRARY = compiled
        wrong = [name for name, fates in found.items() if fates != expected]
        differing += len(wrong)
        print(
            f"{threshold!r:20} kept {expected.count(None):5,} of {len(texts):,}: {', '.join(wrong) or 'all the same'}"
        )
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main())

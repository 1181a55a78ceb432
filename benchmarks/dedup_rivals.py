"""What else finds near-duplicates, measured for `benchmarks/dedup.py`: rouge_score, RapidFuzz and MinHash."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from rapidfuzz.distance import LCSseq
from rapidfuzz.process import cdist
from rouge_score.rouge_scorer import _score_lcs

from alpaca_cli.dedup.rouge import f_measure, rouge_words

BLOCK = 250  # rows that RapidFuzz compares with all others at a time: its matrix stays small
PAIRS, QUERIES, PERMUTATIONS = 30_000, 2_000, 128


@dataclass(frozen=True)
class Seconds:
    """What comparing all pairs of some rows takes, scaled from a sample."""

    wall: float
    cpu: float


def as_strings(texts: Sequence[str]) -> list[str]:
    """Texts with a character for each word, the most frequent words the lowest: RapidFuzz's fastest form."""
    rows = [rouge_words(text) for text in texts]
    ranked = Counter(word for row in rows for word in row).most_common()
    surrogates = range(0xD800, 0xE000)
    character = {word: chr(code + len(surrogates) * (code >= surrogates[0])) for code, (word, _) in enumerate(ranked)}
    return ["".join(map(character.__getitem__, row)) for row in rows]


def rouge_score_all_pairs(texts: Sequence[str]) -> Seconds:
    """Scores as Stanford's script makes them, `_score_lcs` on tokens that are made once, on one core."""
    rng = random.Random(3)
    rows = [rouge_words(text) for text in texts]
    pairs = [(rng.choice(rows), rng.choice(rows)) for _ in range(PAIRS)]
    scale = len(rows) * (len(rows) - 1) / 2 / PAIRS
    wall, cpu = time.perf_counter(), time.process_time()
    for one, other in pairs:
        _score_lcs(one, other)
    return Seconds((time.perf_counter() - wall) * scale, (time.process_time() - cpu) * scale)


def rapidfuzz_all_pairs(rows: Sequence[str] | Sequence[list[str]], workers: int) -> Seconds:
    """`cdist` of the LCS of all pairs, and no look at what it found; measured on some rows against all."""
    queries = random.Random(4).sample(rows, min(QUERIES, len(rows)))
    scale = (len(rows) - 1) / 2 / len(queries)
    wall, cpu = time.perf_counter(), time.process_time()
    for begin in range(0, len(queries), BLOCK):
        cdist(queries[begin : begin + BLOCK], rows, scorer=LCSseq.similarity, dtype=np.uint16, workers=workers)
    return Seconds((time.perf_counter() - wall) * scale, (time.process_time() - cpu) * scale)


def scores(queries: Sequence[str], others: Sequence[str]) -> Iterator[npt.NDArray[np.float64]]:
    """F of a query with each of the others, query by query; both as strings of one `as_strings`."""
    lengths = np.array([len(other) for other in others])
    for begin in range(0, len(queries), BLOCK):
        block = queries[begin : begin + BLOCK]
        lcs = cdist(block, others, scorer=LCSseq.similarity, dtype=np.uint16, workers=-1)
        for query, row in zip(block, lcs, strict=True):
            yield f_measure(row, len(query), lengths)


def near_pairs(texts: Sequence[str], threshold: float) -> set[tuple[int, int]]:
    """All pairs (earlier, later) whose F is over the threshold, by brute force."""
    strings = as_strings(texts)
    return {
        (earlier, later)
        for later, row in enumerate(scores(strings, strings))
        for earlier in np.flatnonzero(row[:later] > threshold).tolist()
    }


def dropped_rows(pairs: set[tuple[int, int]]) -> set[int]:
    """The rows that are near an earlier one which is not dropped itself."""
    dropped: set[int] = set()
    for earlier, later in sorted(pairs, key=lambda pair: (pair[1], pair[0])):
        if earlier not in dropped:
            dropped.add(later)
    return dropped


SHINGLES = {"words": 1, "3 words": 3, "5 characters": 5}


def shingles(text: str, kind: str) -> set[bytes]:
    """Of a kind named in `SHINGLES`; a text too short for one is its own."""
    words, size = rouge_words(text), SHINGLES[kind]
    parts = list(" ".join(words)) if kind.endswith("characters") else [word + " " for word in words]
    return {"".join(parts[begin : begin + size]).encode() for begin in range(max(1, len(parts) - size + 1))}


def minhash_pairs(texts: Sequence[str], kind: str, jaccard: float) -> set[tuple[int, int]]:
    """All pairs (earlier, later) that datasketch's MinHash LSH takes for near: its candidates, as it gives them."""
    from datasketch import MinHash, MinHashLSH  # of this part only, and no dependency of ours

    lsh = MinHashLSH(threshold=jaccard, num_perm=PERMUTATIONS)
    found = set()
    for later, text in enumerate(texts):
        signature = MinHash(num_perm=PERMUTATIONS)
        signature.update_batch(shingles(text, kind))
        found.update((earlier, later) for earlier in lsh.query(signature))
        lsh.insert(later, signature)
    return found

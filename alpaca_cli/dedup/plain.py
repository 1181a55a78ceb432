"""What `search.c` and `vocabulary.c` do, without a compiler: the same answers from numpy and RapidFuzz, slower.

Only the prefix is used to pass over pairs; what is left is counted by RapidFuzz.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from rapidfuzz.distance import LCSseq
from rapidfuzz.process import cdist

from alpaca_cli.dedup.rouge import f_measure, rouge_words
from alpaca_cli.dedup.rows import Rows, Words

_CODE_POINTS = 0x110000  # strings hold no larger ones; a row with a later word becomes a tuple of numbers
_MASK = (1 << 64) - 1

Near = tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]


class Vocabulary:
    """See `kernel.Vocabulary`."""

    def __init__(self) -> None:
        self._number_of: dict[str, int] = {}
        self._counts = array("Q")

    def __len__(self) -> int:
        return len(self._counts)

    def number(
        self, text: bytes, num_lines: int, *, spaced: bool
    ) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.int64]]:
        """See `kernel.Vocabulary.number`."""
        numbers, starts = array("I"), array("q", [0])
        for line in text.decode("utf-8", "surrogatepass").split("\n"):
            for word in line.split(" ") if spaced else rouge_words(line):
                if word:
                    number = self._number_of.setdefault(word, len(self._counts))
                    if number == len(self._counts):
                        self._counts.append(0)
                    self._counts[number] += 1
                    numbers.append(number)
            starts.append(len(numbers))
        assert len(starts) == num_lines + 1
        return np.array(numbers, dtype=np.uint32), np.array(starts, dtype=np.int64)

    def counts(self) -> npt.NDArray[np.uint64]:
        """See `kernel.Vocabulary.counts`."""
        return np.array(self._counts, dtype=np.uint64)

    def words(self) -> Words:
        """See `kernel.Vocabulary.words`."""
        words = [word.encode("utf-8", "surrogatepass") for word in self._number_of]
        starts = np.concatenate([[0], np.cumsum([len(word) for word in words], dtype=np.int64)])
        return Words(np.frombuffer(b"".join(words), dtype=np.uint8), starts.astype(np.int64))


def hash_words(words: Words, salt: int) -> npt.NDArray[np.uint64]:
    """See `encode.hash_words`."""
    return np.fromiter((_hash(word, salt) for word in words), dtype=np.uint64, count=len(words))


def agree(words: Words, hashes: npt.NDArray[np.uint64]) -> bool:
    """See `encode.agree`."""
    word_of: dict[int, bytes] = {}
    return all(word_of.setdefault(hashed, word) == word for hashed, word in zip(hashes.tolist(), words, strict=True))


@dataclass
class Scratch:
    """See `kernel.Scratch`."""

    num_counted: int = 0


class Searcher:
    """See `kernel.Searcher`."""

    def __init__(self, threshold: float, part: int, parts: int) -> None:
        self._threshold, self._part, self._parts = threshold, part, parts
        self.own = Scratch()
        self._number_of: dict[int, int] = {}  # from 1; what asks may also hold words that no row has, all 0
        self._holders: dict[int, array[int]] = {}  # of each word the rows that have it in their prefix
        self._lengths = array("q")
        self._texts: list[str | tuple[int, ...]] = []

    def __len__(self) -> int:
        return len(self._texts)

    @property
    def num_bytes(self) -> int:
        """See `Index.num_bytes`; a guess."""
        return 100 * len(self._holders) + 24 * sum(self._lengths)

    def scratch(self) -> Scratch:
        """What a thread needs to search."""
        return Scratch()

    def add(self, rows: Rows) -> None:
        """See `Index.add`."""
        for i in range(len(rows)):
            self._add(_row(rows, i))

    def admit(self, rows: Rows, start: int, is_near: npt.NDArray[np.uint8]) -> None:
        """See `kernel.Searcher.admit`."""
        for i in range(len(rows)):
            if is_near[i]:
                continue
            row = _row(rows, i)
            is_near[i] = len(self._near(self.own, row, start, len(self))[0]) > 0
            if not is_near[i]:
                self._add(row)

    def admit_one(self, codes: array[int]) -> tuple[int, float] | None:
        """See `Index.admit_one`."""
        row = np.array(codes, dtype=np.uint64)
        found, scores = self._near(self.own, row, 0, len(self))
        if not len(found):
            self._add(row)
            return None
        best = int(np.argmax(scores))
        return int(found[best]), float(scores[best])

    def has_near(
        self, scratch: Scratch, rows: Rows, begin: int, end: int,
        before: npt.NDArray[np.int64] | None, is_near: npt.NDArray[np.uint8],
    ) -> None:  # fmt: skip
        """See `kernel.Searcher.has_near`."""
        for i in range(begin, end):
            if not is_near[i]:
                is_near[i] = len(self._near(scratch, _row(rows, i), 0, self._bound(before, i))[0]) > 0

    def nearest(
        self, scratch: Scratch, rows: Rows, begin: int, end: int, before: npt.NDArray[np.int64] | None,
        numbers: npt.NDArray[np.int64], scores: npt.NDArray[np.float64],
    ) -> None:  # fmt: skip
        """See `Index.nearest`."""
        for i in range(begin, end):
            found, found_scores = self._near(scratch, _row(rows, i), 0, self._bound(before, i))
            best = int(np.argmax(found_scores)) if len(found) else None
            numbers[i], scores[i] = (-1, 0.0) if best is None else (found[best], found_scores[best])

    def near(
        self, scratch: Scratch, rows: Rows, begin: int, end: int, before: npt.NDArray[np.int64] | None, limit: int,
        numbers: npt.NDArray[np.int64], counts: npt.NDArray[np.int64],
    ) -> None:  # fmt: skip
        """See `kernel.Searcher.near`."""
        for i in range(begin, end):
            found = self._near(scratch, _row(rows, i), 0, self._bound(before, i))[0][:limit]
            numbers[i, : len(found)] = found
            counts[i] = len(found)

    def _bound(self, before: npt.NDArray[np.int64] | None, i: int) -> int:
        return len(self) if before is None else int(before[i])

    def _add(self, codes: npt.NDArray[np.uint64]) -> None:
        for code in self._leading(codes):
            self._holders.setdefault(code, array("q")).append(len(self))
        self._lengths.append(len(codes))
        for code in codes.tolist():
            self._number_of.setdefault(code, len(self._number_of) + 1)
        self._texts.append(self._text(codes))

    def _leading(self, codes: npt.NDArray[np.uint64]) -> list[int]:
        """The words of the row's prefix that belong to this part."""
        words = np.unique(_prefix(codes, self._threshold))
        if self._parts > 1:
            words = words[_mixed(words) % np.uint64(self._parts) == self._part]
        leading: list[int] = words.tolist()
        return leading

    def _near(self, scratch: Scratch, codes: npt.NDArray[np.uint64], start: int, before: int) -> Near:
        """The near rows from `start` to below `before`, ascending, with F."""
        holders = [self._holders[code] for code in self._leading(codes) if code in self._holders]
        held = np.unique(np.concatenate([np.zeros(0, dtype=np.int64), *(np.array(rows) for rows in holders)]))
        held = held[(held >= start) & (held < before)].astype(np.int64)
        lengths = np.frombuffer(self._lengths, dtype=np.int64)[held] if len(held) else held
        may_be = f_measure(np.minimum(lengths, len(codes)), len(codes), lengths) > self._threshold
        held, lengths = held[may_be], lengths[may_be]
        if not len(held):
            return held, np.zeros(0)
        scratch.num_counted += len(held)
        others = [self._texts[number] for number in held.tolist()]
        lcs = cdist([self._text(codes)], others, scorer=LCSseq.similarity, dtype=np.int32)[0]
        scores = f_measure(lcs, len(codes), lengths)
        return held[scores > self._threshold], scores[scores > self._threshold]

    def _text(self, codes: npt.NDArray[np.uint64]) -> str | tuple[int, ...]:
        """What RapidFuzz compares: a character for each word.  It takes other things by their hash, which for a small
        number is the number.
        """
        numbers = [self._number_of.get(code, 0) for code in codes.tolist()]
        return tuple(numbers) if max(numbers, default=0) >= _CODE_POINTS else "".join(map(chr, numbers))


def parts_of(rows: Rows, threshold: float, parts: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.uint64]]:
    """See `kernel.parts_of`."""
    found = [np.unique(_mixed(_prefix(_row(rows, i), threshold)) % np.uint64(parts)) for i in range(len(rows))]
    counts = np.fromiter((len(each) for each in found), dtype=np.int64, count=len(rows))
    return counts, np.concatenate([np.zeros(0, dtype=np.uint64), *found])


def _row(rows: Rows, i: int) -> npt.NDArray[np.uint64]:
    return rows.codes[rows.starts[i] : rows.starts[i + 1]]


def _prefix(codes: npt.NDArray[np.uint64], threshold: float) -> npt.NDArray[np.uint64]:
    """The rarest words: where L words are common, the rarest of them is among the first m - L + 1."""
    return np.sort(codes)[: len(codes) - _least_of_any(threshold, len(codes)) + 1]


@lru_cache(maxsize=1 << 12)
def _least_of_any(threshold: float, length: int) -> int:
    """The smallest L with which so many words may be over it, whatever the other's: those L and nothing else."""
    common = np.arange(1, length + 1)
    return 1 + int(np.count_nonzero(f_measure(common, length, common) <= threshold))


def _mixed(codes: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    codes = codes ^ (codes >> np.uint64(30))
    codes = codes * np.uint64(0xBF58476D1CE4E5B9)
    codes = codes ^ (codes >> np.uint64(27))
    codes = codes * np.uint64(0x94D049BB133111EB)
    return codes ^ (codes >> np.uint64(31))


def _mix(x: int) -> int:
    x ^= x >> 30
    x = x * 0xBF58476D1CE4E5B9 & _MASK
    x ^= x >> 27
    x = x * 0x94D049BB133111EB & _MASK
    return x ^ (x >> 31)


def _hash(word: bytes, salt: int) -> int:
    """As `hash_word` in vocabulary.c: machines with and without it may share a run."""
    hashed = _mix((salt + 0x9E3779B97F4A7C15) & _MASK) ^ (len(word) * 0xD6E8FEB86659FD93 & _MASK)
    for at in range(0, len(word), 8):
        hashed = _mix(hashed ^ int.from_bytes(word[at : at + 8], "little"))
    return hashed

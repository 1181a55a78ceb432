"""How near texts are to all before them: ROUGE-L F of every pair, from which the mean and the nearest.

Where it was compiled, `scores.c` counts many texts at a time; it knows only texts of up to 64 words.  The others are
counted by RapidFuzz, which is three times as fast on bytes as on larger numbers: the words of a few texts are
renumbered to fit one.
"""

from __future__ import annotations

import os
from array import array
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cached_property
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from rapidfuzz.distance import LCSseq
from rapidfuzz.process import cdist

from alpaca_cli.dedup import kernel
from alpaca_cli.dedup.rouge import f_measure

LANES, MOST_WORDS = 32, 64  # of `scores.c`: texts at a time, and words of each
MOST_THREADS = 16  # each holds LANES bytes for every text
TEXTS_AT_ONCE = 1024  # consecutive texts, of which those of like length are counted together
_END, _OTHER_WORD, _FIRST_WORD = 0, 1, 2  # bytes
_WORDS_OF_A_GROUP = 256 - _FIRST_WORD
_COLUMN = 64  # texts of which only the most similar is looked at for how similar the tenth must be

Numbers = npt.NDArray[np.int64]
Lcs = npt.NDArray[np.integer]


class Nearest(NamedTuple):
    """The texts nearest to a text, of those before it."""

    numbers: list[int]
    """Most similar first, the earlier of equals first."""
    scores: list[float]
    """F of each of these."""
    mean: float
    """F over all texts before, added up in numpy's order; 0.0 for the first text."""


class _Found(NamedTuple):
    """The same of many texts: a row for each, of which the first may have fewer nearest than there is room for."""

    texts: Numbers
    numbers: Numbers
    scores: npt.NDArray[np.float64]
    means: npt.NDArray[np.float64]


class _Group(NamedTuple):
    """Texts that are counted together."""

    texts: Numbers
    is_short: bool
    """Whether `scores.c` can do it; else their words fit bytes, or it is one text."""


class Scores:
    """The scores of texts, numbered from 0, with those before them.

    `codes`: of the words of all texts, in order, the same small number from 0 for the same word; `starts`: where each
    text begins there, and the end.  All cores are used.  Cost: 3 ns a pair of texts of 22 words on one core;
    20 ns where nothing was compiled.
    """

    def __init__(self, codes: npt.NDArray[np.uint32], starts: npt.NDArray[np.int64]) -> None:
        self._codes = np.ascontiguousarray(codes, dtype=np.uint32)
        self._starts = np.ascontiguousarray(starts, dtype=np.int64)
        self._lengths = np.diff(self._starts)
        self._num_words = int(codes.max(initial=0)) + 1
        kinds, kind_of = np.unique(self._lengths, return_inverse=True)
        self._kinds, self._kind_of = kinds, kind_of.astype(np.uint32)  # the different lengths

    def each(self, begin: int, end: int) -> Iterator[npt.NDArray[np.float64]]:
        """For each text from number `begin` to before `end`: F with every text before it."""
        for first in range(begin, end, LANES):
            rows = dict[int, Lcs]()
            for group in self._groups(first, min(first + LANES, end)):
                rows.update(zip(group.texts.tolist(), self._lcs(group), strict=False))
            for number in sorted(rows):
                yield self._scores(number, rows[number][:number])

    def nearest(self, begin: int, end: int, count: int) -> Iterator[Nearest]:
        """For each text from number `begin` to before `end`: the `count` nearest before it, or all if they are less."""
        with ThreadPoolExecutor(min(os.cpu_count() or 1, MOST_THREADS)) as threads:
            ahead = deque[list[Future[_Found]]]()
            for first in range(begin, end, TEXTS_AT_ONCE):
                groups = self._groups(first, min(first + TEXTS_AT_ONCE, end))
                ahead.append([threads.submit(self._nearest, group, count) for group in groups])
                if len(ahead) > 1:  # the threads go on while the caller makes something of what it gets
                    yield from _in_order(ahead.popleft())
            for futures in ahead:
                yield from _in_order(futures)

    def _groups(self, begin: int, end: int) -> Iterator[_Group]:
        """Which texts to count together; each text once."""
        lengths = self._lengths[begin:end]
        order = begin + np.argsort(lengths, kind="stable").astype(np.int64)
        num_short = int(np.count_nonzero(lengths <= MOST_WORDS)) if kernel.LIBRARY is not None else 0
        for first in range(0, num_short, LANES):
            yield _Group(order[first : min(first + LANES, num_short)], is_short=True)
        group, words = list[int](), set[int]()
        for number in np.sort(order[num_short:]).tolist():
            own = set(self._codes[self._starts[number] : self._starts[number + 1]].tolist())
            if group and (len(group) == LANES or len(words | own) > _WORDS_OF_A_GROUP):
                yield _Group(np.array(group), is_short=False)
                group, words = [], set()
            group.append(number)
            words |= own
        if group:
            yield _Group(np.array(group), is_short=False)

    def _lcs(self, group: _Group) -> Lcs:
        """L of each text of a group, in a row of its own, with all texts before the last of them; perhaps more rows."""
        if kernel.LIBRARY is None or not group.is_short:
            return self._plain_lcs(group.texts)
        stop = int(group.texts.max())
        lcs = np.empty((LANES, stop), dtype=np.uint8)
        if kernel.LIBRARY.scores_lcs(
            self._codes.ctypes.data, self._starts.ctypes.data, self._num_words,
            group.texts.ctypes.data, len(group.texts), stop, lcs.ctypes.data,
        ):  # fmt: skip
            raise MemoryError
        return lcs

    def _plain_lcs(self, group: Numbers) -> Lcs:
        """The same by RapidFuzz."""
        stop = int(group.max()) + 1
        codes = self._codes[: self._starts[stop]]
        words = np.unique(np.concatenate([codes[self._starts[each] : self._starts[each + 1]] for each in group]))
        texts: Sequence[bytes | array[int]]
        if len(words) <= _WORDS_OF_A_GROUP:
            byte_of = np.full(self._num_words, _OTHER_WORD, dtype=np.uint8)
            byte_of[words] = np.arange(_FIRST_WORD, _FIRST_WORD + len(words))
            texts = np.insert(byte_of.take(codes), self._starts[1 : stop + 1], _END).tobytes().split(b"\0")[:-1]
        else:
            every = array("I", codes.tobytes())
            texts = [every[first:last] for first, last in zip(self._starts[:stop], self._starts[1:], strict=False)]
        dtype = np.uint8 if self._lengths[group].max() < 256 else np.int32
        lcs: Lcs = cdist([texts[each] for each in group], texts[:-1], scorer=LCSseq.similarity, dtype=dtype, workers=-1)
        return lcs

    def _scores(self, number: int, lcs: Lcs) -> npt.NDArray[np.float64]:
        length = int(self._lengths[number])
        if length > MOST_WORDS:
            return f_measure(lcs, length, self._lengths[:number])
        begin = length * (length + 1) // 2
        scores: npt.NDArray[np.float64] = self._table[begin : begin + length + 1][lcs, self._kind_of[:number]]
        return scores

    def _nearest(self, group: _Group, count: int) -> _Found:
        texts, lcs = group.texts, self._lcs(group)
        shape = (len(texts), count)
        found = _Found(texts, np.empty(shape, dtype=np.int64), np.empty(shape), np.empty(len(texts)))
        if kernel.LIBRARY is not None and group.is_short:
            kernel.LIBRARY.scores_nearest(
                lcs.ctypes.data, lcs.shape[1], self._starts.ctypes.data, texts.ctypes.data, len(texts),
                self._kind_of.ctypes.data, self._table.ctypes.data, len(self._kinds), count,
                found.numbers.ctypes.data, found.scores.ctypes.data, found.means.ctypes.data,
            )  # fmt: skip
            return found
        for row, number in enumerate(texts.tolist()):
            scores = self._scores(number, lcs[row, :number])
            places = _largest(scores, min(count, number))
            found.numbers[row, : len(places)], found.scores[row, : len(places)] = places, scores[places]
            found.means[row] = scores.mean() if number else 0.0
        return found

    @cached_property
    def _table(self) -> npt.NDArray[np.float64]:
        """F of texts of 0 words, of 1 and so on up to MOST_WORDS: (m, L up to m) * kind of the other's length."""
        m = np.repeat(np.arange(MOST_WORDS + 1), np.arange(1, MOST_WORDS + 2))[:, None]
        lcs = np.concatenate([np.arange(length + 1) for length in range(MOST_WORDS + 1)])[:, None]
        return f_measure(lcs, m, self._kinds)


def _in_order(futures: Sequence[Future[_Found]]) -> Iterator[Nearest]:
    texts, numbers, scores, means = map(np.concatenate, zip(*(future.result() for future in futures), strict=True))
    order = np.argsort(texts)
    rows = zip(texts[order], numbers[order].tolist(), scores[order].tolist(), means[order].tolist(), strict=True)
    for text, its_numbers, its_scores, mean in rows:
        yield Nearest(its_numbers[:text], its_scores[:text], mean)


def _largest(scores: npt.NDArray[np.float64], count: int) -> npt.NDArray[np.int64]:
    """The places of the `count` largest scores, largest first, the earlier of equals first.

    The largest of `count` columns or more are as many scores: what is less than the last of them cannot be wanted.
    """
    columns = len(scores) // _COLUMN
    some = scores[: _COLUMN * columns].reshape(_COLUMN, columns).max(axis=0) if columns >= count else scores
    least = np.partition(some, len(some) - count)[len(some) - count] if count else 0.0
    (places,) = np.nonzero(scores >= least)
    return places[np.argsort(-scores[places], kind="stable")[:count]]

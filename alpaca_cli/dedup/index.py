"""Which rows are near to which, exactly, without looking at every pair.

Two rows are near when their ROUGE-L F is strictly over the threshold.  `search.c` tells how pairs are passed over that
cannot be; where it was not compiled, `plain` does the same.
"""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt

from alpaca_cli.dedup import kernel, plain
from alpaca_cli.dedup.rows import Rows

CHUNK = 256  # rows that a thread takes at once


class Index:
    """Rows numbered from 0 in order of adding; it only grows.

    `threshold` is an F over 0, up to 1.  With `parts`, only words that fall in `part` lead from a row to another: each
    near pair is found in at least one part, provided that both rows stand there (see `parts_of`).
    Memory: 8 bytes a word and 24 for each in a row's prefix; about 500 bytes for a row of 22 words.
    """

    def __init__(self, threshold: float, *, part: int = 0, parts: int = 1) -> None:
        self._searcher: Any = (
            plain.Searcher(threshold, part, parts)
            if kernel.LIBRARY is None
            else kernel.Searcher(kernel.LIBRARY, threshold, part, parts)
        )
        self._scratches: list[Any] = []

    def __len__(self) -> int:
        return len(self._searcher)

    @property
    def num_bytes(self) -> int:
        """What it takes of memory, about."""
        return int(self._searcher.num_bytes)

    @property
    def num_counted(self) -> int:
        """Pairs of rows whose longest common subsequence was counted so far: how many depends on the workers."""
        return sum(scratch.num_counted for scratch in (self._searcher.own, *self._scratches))

    def add(self, rows: Rows) -> None:
        """Add rows, whatever they are near to."""
        self._searcher.add(rows)

    def admit(self, rows: Rows, *, workers: int = 1) -> npt.NDArray[np.bool_]:
        """In order, add each row that is near none of the index; whether each was added.

        The rows are first held against the index as it stands, by all workers, then one by one against those added
        since: so do not give so many at once that most repeat each other.  Any number of workers gives the same.
        """
        start = len(self)
        is_near = np.zeros(len(rows), dtype=np.uint8)
        if start:
            self._share(len(rows), workers, lambda scratch, begin, end: self._searcher.has_near(
                scratch, rows, begin, end, None, is_near))  # fmt: skip
        self._searcher.admit(rows, start, is_near)
        return ~is_near.view(np.bool_)

    def admit_one(self, codes: array[int]) -> tuple[int, float] | None:
        """Add a row, of type code "Q", unless it is near one of the index: then the most similar of these, and F.

        Of equals the first.
        """
        found: tuple[int, float] | None = self._searcher.admit_one(codes)
        return found

    def has_near(
        self, rows: Rows, *, before: npt.NDArray[np.int64] | None = None, workers: int = 1
    ) -> npt.NDArray[np.bool_]:
        """Whether each row is near one of the index; of those numbered below `before`, if it is given, for each row."""
        is_near = np.zeros(len(rows), dtype=np.uint8)
        self._share(len(rows), workers, lambda scratch, begin, end: self._searcher.has_near(
            scratch, rows, begin, end, before, is_near))  # fmt: skip
        return is_near.view(np.bool_)

    def nearest(
        self, rows: Rows, *, before: npt.NDArray[np.int64] | None = None, workers: int = 1
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
        """The most similar of the near rows of the index, the first of equals, and F; -1 and 0.0 where none is near."""
        numbers, scores = np.empty(len(rows), dtype=np.int64), np.empty(len(rows), dtype=np.float64)
        self._share(len(rows), workers, lambda scratch, begin, end: self._searcher.nearest(
            scratch, rows, begin, end, before, numbers, scores))  # fmt: skip
        return numbers, scores

    def near(
        self, rows: Rows, *, limit: int, before: npt.NDArray[np.int64] | None = None, workers: int = 1
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Up to `limit` near rows of the index, those of the lowest numbers, ascending.

        Of row i they are numbers[starts[i]] to before numbers[starts[i + 1]]; returns (starts, numbers).
        """
        numbers = np.empty((len(rows), limit), dtype=np.int64)
        counts = np.empty(len(rows), dtype=np.int64)
        self._share(len(rows), workers, lambda scratch, begin, end: self._searcher.near(
            scratch, rows, begin, end, before, limit, numbers, counts))  # fmt: skip
        return np.concatenate([[0], np.cumsum(counts)]), numbers[np.arange(limit) < counts[:, None]]

    def _share(self, count: int, workers: int, work: Callable[[Any, int, int], None]) -> None:
        """Call `work` for all of `count` rows, from as many threads as there are workers."""
        chunks = [(begin, min(begin + CHUNK, count)) for begin in range(0, count, CHUNK)]
        workers = max(1, min(workers, len(chunks)))
        while len(self._scratches) < workers:
            self._scratches.append(self._searcher.scratch())
        if workers == 1:
            for begin, end in chunks:
                work(self._scratches[0], begin, end)
            return
        waiting = deque(chunks)

        def run(scratch: Any) -> None:
            while True:
                try:
                    chunk = waiting.popleft()
                except IndexError:  # none is left
                    return
                work(scratch, *chunk)

        with ThreadPoolExecutor(workers) as threads:
            try:
                list(threads.map(run, self._scratches[:workers]))
            finally:  # after Ctrl-C no other chunk is begun
                waiting.clear()


def parts_of(rows: Rows, threshold: float, parts: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """In which of `parts` parts each row must stand: (row, part) pairs in two arrays, sorted, each pair once.

    A row that can be near no other, such as one without words, stands in none.
    """
    if kernel.LIBRARY is None:
        counts, found = plain.parts_of(rows, threshold, parts)
    else:
        counts, found = kernel.parts_of(kernel.LIBRARY, rows, threshold, parts)
    return np.repeat(np.arange(len(rows)), counts), found.astype(np.int64)

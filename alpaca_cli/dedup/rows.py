"""Many short things in two arrays: the words of many texts as numbers, and the words themselves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeVar

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Rows:
    """The words of `len(rows)` texts, a code each, in the order of the text.

    Equal words have equal codes and different words different ones.  A smaller code is looked for first: the rarer the
    word, the less there is to look at.  Which order it is changes no answer, but all rows of a search must share it.
    """

    codes: npt.NDArray[np.uint64]
    starts: npt.NDArray[np.int64]
    """Where each text begins in `codes`, and the end: one more than texts."""

    @staticmethod
    def of(texts: Sequence[Sequence[int]]) -> Rows:
        """Rows from the codes of each text."""
        lengths = np.fromiter((len(text) for text in texts), dtype=np.int64, count=len(texts))
        codes = np.fromiter((code for text in texts for code in text), dtype=np.uint64, count=int(lengths.sum()))
        return Rows(codes, np.concatenate([[0], np.cumsum(lengths)]))

    @staticmethod
    def join(parts: Sequence[Rows]) -> Rows:
        """All rows of some, in order."""
        lengths = [np.zeros(1, dtype=np.int64), *(part.lengths for part in parts)]
        codes = [np.zeros(0, dtype=np.uint64), *(part.codes[part.starts[0] : part.starts[-1]] for part in parts)]
        return Rows(np.concatenate(codes), np.cumsum(np.concatenate(lengths)))

    def __len__(self) -> int:
        return len(self.starts) - 1

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """Words of each text."""
        return np.diff(self.starts)

    def slice(self, begin: int, end: int) -> Rows:
        """The rows from `begin` to before `end`, which share the memory of these."""
        return Rows(self.codes, self.starts[begin : end + 1])

    def take(self, numbers: npt.NDArray[np.integer]) -> Rows:
        """These rows, in this order."""
        return Rows(*_take(self.codes, self.starts, numbers))


@dataclass(frozen=True)
class Words:
    """The UTF-8 of words, one behind the other, and where each begins, with the end."""

    raw: npt.NDArray[np.uint8]
    starts: npt.NDArray[np.int64]

    @staticmethod
    def join(parts: Sequence[Words]) -> Words:
        """All words of some, in order."""
        lengths = [np.zeros(1, dtype=np.int64), *(np.diff(part.starts) for part in parts)]
        raw = [np.zeros(0, dtype=np.uint8), *(part.raw[part.starts[0] : part.starts[-1]] for part in parts)]
        return Words(np.concatenate(raw), np.cumsum(np.concatenate(lengths)))

    def __len__(self) -> int:
        return len(self.starts) - 1

    def __iter__(self) -> Iterator[bytes]:
        raw, starts = self.raw.tobytes(), self.starts.tolist()
        return (raw[begin:end] for begin, end in pairwise(starts))

    def take(self, numbers: npt.NDArray[np.integer]) -> Words:
        """These words, in this order."""
        return Words(*_take(self.raw, self.starts, numbers))


Item = TypeVar("Item", bound=np.generic)


def _take(
    items: npt.NDArray[Item], starts: npt.NDArray[np.int64], numbers: npt.NDArray[np.integer]
) -> tuple[npt.NDArray[Item], npt.NDArray[np.int64]]:
    lengths = np.diff(starts)[numbers]
    taken = np.concatenate([[0], np.cumsum(lengths)])
    return items[np.arange(taken[-1]) + np.repeat(starts[numbers] - taken[:-1], lengths)], taken

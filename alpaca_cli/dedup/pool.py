"""The pool of accepted texts: whether a new text repeats one of them, and how near each is to those before it.

Exact ROUGE-L both times, and no pair more than the answer needs.  Whether a text repeats another is asked of an
`Index`, as in `alpaca dedup`; here a word counts as the rarer the later it first came.  The mean over the pool takes
every pair (`scores`); no text is compared with a later one, so that can wait until many texts, or all, are in.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from alpaca_cli.dedup.index import Index
from alpaca_cli.dedup.rouge import TOKENIZERS, TokenizerName
from alpaca_cli.dedup.rows import Rows
from alpaca_cli.dedup.scores import Scores

_LATEST = 2**32 - 1
"""The code in the index of the first word: what came later is looked for first."""


@dataclass(frozen=True)
class Match:
    """A text of the pool, by its number in order of admission, and its F."""

    number: int
    score: float


@dataclass(frozen=True)
class Neighbours:
    """How near a text is to those before it in the pool; (), 0.0 for the first."""

    nearest: tuple[Match, ...]
    """Most similar first, the earlier of equals first."""
    mean: float
    """F, over all of them."""


class Pool:
    """Texts in order of admission, numbered from 0; the pool only grows.

    A text is compared word by word (see `TOKENIZERS`).  Cost against 52,000 texts of 22 words: about 0.04 ms for
    `admit`, 0.16 ms for `neighbours` of many; 1,000 bytes a text.
    """

    def __init__(self, tokenizer: TokenizerName = "rouge") -> None:
        self._words_of = TOKENIZERS[tokenizer]
        self._code_of: dict[str, int] = {}
        self._lengths = array("q")
        self._codes = array("I")  # of all texts
        self._index = Index(1.0)  # of the first texts, for the threshold last asked for
        self._threshold = 1.0
        self._num_indexed_words = 0

    def __len__(self) -> int:
        return len(self._lengths)

    def extend(self, texts: Sequence[str]) -> None:
        """Admit texts whatever they repeat: seeds, or rows that are kept already."""
        for text in texts:
            self._add(self._encode(text))

    def admit(self, text: str, threshold: float) -> Match | None:
        """Admit a text unless its F with one of the pool is strictly over `threshold`, from 0 (exclusive) to 1.

        If one is, the most similar is returned, the first of equals.
        """
        codes = self._encode(text)
        found = self._indexed(threshold).admit_one(array("Q", [_LATEST - code for code in codes]))
        if found is not None:
            return Match(*found)
        self._add(codes)
        self._num_indexed_words = len(self._codes)
        return None

    def scores(self, begin: int, end: int) -> Iterator[npt.NDArray[np.float64]]:
        """For each text from number `begin` to before `end`: F against every text before it, in order of admission.

        Whatever comes into the pool meanwhile.
        """
        return self._all_scores().each(begin, end)

    def neighbours(self, begin: int, end: int, count: int) -> Iterator[Neighbours]:
        """For each text from number `begin` to before `end`: the `count` nearest texts before it, and the mean.

        Quick where many texts are asked for at once: see `Scores`.
        """
        for found in self._all_scores().nearest(begin, end, count):
            yield Neighbours(tuple(map(Match, found.numbers, found.scores)), found.mean)

    def _all_scores(self) -> Scores:
        return Scores(np.array(self._codes, dtype=np.uint32), np.cumsum([0, *self._lengths]))

    def _encode(self, text: str) -> list[int]:
        return [self._code_of.setdefault(word, len(self._code_of)) for word in self._words_of(text)]

    def _add(self, codes: list[int]) -> None:
        self._lengths.append(len(codes))
        self._codes.extend(codes)

    def _indexed(self, threshold: float) -> Index:
        """An index of all texts for this threshold."""
        if threshold != self._threshold:
            self._index, self._threshold, self._num_indexed_words = Index(threshold), threshold, 0
        if len(self._index) < len(self):
            lengths = np.array(self._lengths[len(self._index) :], dtype=np.int64)
            codes = np.array(self._codes[self._num_indexed_words :], dtype=np.uint64)
            self._index.add(Rows(np.uint64(_LATEST) - codes, np.concatenate([[0], np.cumsum(lengths)])))
            self._num_indexed_words = len(self._codes)
        return self._index

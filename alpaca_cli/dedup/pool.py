"""The pool of accepted texts, and how similar a new text is to each of them: exact ROUGE-L, milliseconds for 52,000.

Each distinct word becomes one code point, each text a string of them, so that RapidFuzz's bit-parallel LCS scores a
batch of texts against the whole pool in one call (about 20 ns a pair), with the same integers as a table of words.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from rapidfuzz.distance import LCSseq
from rapidfuzz.process import cdist

from alpaca_cli.dedup.rouge import TOKENIZERS, TokenizerName, f_measure

_CODE_POINTS = 0x110000  # strings hold no larger ones; a text with a later word becomes a tuple of numbers

Encoded = str | tuple[int, ...]


class Pool:
    """Texts in order of admission; `block` scores new ones against them.

    A text is compared word by word (see `TOKENIZERS`).  The pool only grows; admitting is the caller's decision.
    Cost: about 100 bytes and the words of a text; a query of one text against 52,000 takes about 2 ms.
    """

    def __init__(self, tokenizer: TokenizerName = "rouge") -> None:
        self._words_of = TOKENIZERS[tokenizer]
        self._code_of: dict[str, int] = {}
        self._texts: list[Encoded] = []
        self._lengths = np.zeros(1024, dtype=np.int32)

    def __len__(self) -> int:
        return len(self._texts)

    @property
    def lengths(self) -> npt.NDArray[np.int32]:
        """Number of words of each text, in order of admission."""
        return self._lengths[: len(self._texts)]

    def block(self, texts: Sequence[str]) -> Block:
        """New texts, scored against the pool at once, to be looked at and admitted one by one."""
        return Block(self, [self._encode(text) for text in texts])

    def extend(self, texts: Sequence[str]) -> None:
        """Admit texts without scoring them: seeds, or rows that are kept already."""
        for text in texts:
            self._admit(self._encode(text))

    def _admit(self, encoded: Encoded) -> None:
        count = len(self._texts)
        if count == len(self._lengths):
            self._lengths = np.concatenate([self._lengths, np.zeros_like(self._lengths)])
        self._lengths[count] = len(encoded)
        self._texts.append(encoded)

    def _encode(self, text: str) -> Encoded:
        codes = [self._code_of.setdefault(word, len(self._code_of)) for word in self._words_of(text)]
        if len(self._code_of) > _CODE_POINTS and any(code >= _CODE_POINTS for code in codes):
            return tuple(codes)
        return "".join(map(chr, codes))


class Block:
    """A batch of texts on their way into a pool: no other text may enter the pool until the batch is done."""

    def __init__(self, pool: Pool, texts: list[Encoded]) -> None:
        self._pool = pool
        self._texts = texts
        self._lcs_pool = _lcs(texts, pool._texts)
        self._lcs_block = _lcs(texts, texts)
        self._admitted: list[int] = []

    def admit(self, index: int) -> None:
        """Put text `index` into the pool; later texts of the block are compared with it too."""
        self._pool._admit(self._texts[index])
        self._admitted.append(index)

    def scores(self, index: int) -> npt.NDArray[np.float64]:
        """F of text `index` against every text in the pool, in order of admission; shape (len(pool),)."""
        return f_measure(self._row(index), len(self._texts[index]), self._pool.lengths)

    def repeats(self, index: int, threshold: float) -> Match | None:
        """The most similar text in the pool (the first of equals) if its F is strictly over `threshold`, else None.

        Cheaper than `scores`: the float64 formula is computed only where L comes near what `threshold` demands.
        """
        lcs, length, lengths = self._row(index), len(self._texts[index]), self._pool.lengths
        (near,) = np.nonzero(2 * lcs >= (threshold - 1e-9) * (length + lengths))
        if not len(near):
            return None
        scores = f_measure(lcs[near], length, lengths[near])
        best = int(np.argmax(scores))
        return Match(int(near[best]), float(scores[best])) if scores[best] > threshold else None

    def _row(self, index: int) -> npt.NDArray[np.int32]:
        return np.concatenate([self._lcs_pool[index], self._lcs_block[index, self._admitted]])


@dataclass(frozen=True)
class Match:
    """A text of the pool, by its number in order of admission, and its F."""

    number: int
    score: float


def _lcs(texts: Sequence[Encoded], others: Sequence[Encoded]) -> npt.NDArray[np.int32]:
    """L of each pair, shape (len(texts), len(others))."""
    if not texts or not others:
        return np.zeros((len(texts), len(others)), dtype=np.int32)
    table: npt.NDArray[np.int32] = cdist(texts, others, scorer=LCSseq.similarity, dtype=np.int32)
    return table

"""The pool of accepted texts: whether a new text repeats one of them, and how near each is to those before it.

Exact ROUGE-L both times, and no pair more than the answer needs.  Whether a text repeats another takes the few that
share enough of its rare words.  The mean over the pool takes every pair (`scores`); no text is compared with a later
one, so that can wait until many texts, or all, are in.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from rapidfuzz.distance import LCSseq
from rapidfuzz.process import cdist

from alpaca_cli.dedup.rouge import TOKENIZERS, TokenizerName, f_measure
from alpaca_cli.dedup.scores import Scores

_CODE_POINTS = 0x110000  # strings hold no larger ones; a text with a later word becomes a tuple of numbers
_SHARED_WORDS = 3  # of 1 to 6 the fastest: fewer let more texts through to be compared, more meet more frequent words

Encoded = str | tuple[int, ...]


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

    A text is compared word by word (see `TOKENIZERS`).  Cost against 52,000 texts of 22 words: about 0.1 ms for
    `admit`, 0.16 ms for `neighbours` of many; 500 bytes a text.
    """

    def __init__(self, tokenizer: TokenizerName = "rouge") -> None:
        self._words_of = TOKENIZERS[tokenizer]
        self._code_of: dict[str, int] = {}
        self._holders: list[array[int]] = []  # of each code the numbers of the texts with that word
        self._texts: list[Encoded] = []
        self._lengths = array("i")
        self._codes = array("I")  # of all texts

    def __len__(self) -> int:
        return len(self._texts)

    def extend(self, texts: Sequence[str]) -> None:
        """Admit texts whatever they repeat: seeds, or rows that are kept already."""
        for text in texts:
            self._add(self._encode(text))

    def admit(self, text: str, threshold: float) -> Match | None:
        """Admit a text unless its F with one of the pool is strictly over `threshold`, from 0 (exclusive) to 1.

        If one is, the most similar is returned, the first of equals.
        """
        codes = self._encode(text)
        match = self._repeated(codes, threshold)
        if match is None:
            self._add(codes)
        return match

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
        codes = []
        for word in self._words_of(text):
            code = self._code_of.setdefault(word, len(self._holders))
            if code == len(self._holders):
                self._holders.append(array("i"))
            codes.append(code)
        return codes

    def _add(self, codes: list[int]) -> None:
        for code in set(codes):
            self._holders[code].append(len(self._texts))
        self._texts.append(_as_text(codes))
        self._lengths.append(len(codes))
        self._codes.extend(codes)

    def _repeated(self, codes: list[int], threshold: float) -> Match | None:
        """The most similar text over `threshold`.

        F = 2L / (m + n) over the threshold t demands L >= t (m + n) / 2, and since L <= n, L >= t m / (2 - t) =: least.
        So whatever words are left out, if they are no more than least - s, a repeat holds s of the others; and its L is
        no more than those that it holds and those left out.
        """
        if not codes:
            return None
        threshold_or_less = threshold - 1e-9  # the rounding of F may put a tie over the threshold
        least = max(1, math.ceil(threshold_or_less * len(codes) / (2 - threshold)))
        shared = min(least, _SHARED_WORDS)
        left_out = least - shared
        rarest = sorted((self._holders[code] for code in codes), key=len)[: len(codes) - left_out]
        held = [np.frombuffer(holders, dtype=np.intc) for holders in rarest if holders]
        if not held:
            return None
        counts = np.bincount(np.concatenate(held))
        (near,) = np.nonzero(counts >= shared)
        lengths = np.frombuffer(self._lengths, dtype=np.intc)[near]
        is_near = 2 * (counts[near] + left_out) >= threshold_or_less * (len(codes) + lengths)
        near, lengths = near[is_near], lengths[is_near]
        if not len(near):
            return None
        others = [self._texts[number] for number in near.tolist()]
        lcs = cdist([_as_text(codes)], others, scorer=LCSseq.similarity, dtype=np.int32)[0]
        scores = f_measure(lcs, len(codes), lengths)
        best = int(np.argmax(scores))
        return Match(int(near[best]), float(scores[best])) if scores[best] > threshold else None


def _as_text(codes: list[int]) -> Encoded:
    """What RapidFuzz compares: a character for each word."""
    if any(code >= _CODE_POINTS for code in codes):
        return tuple(codes)
    return "".join(map(chr, codes))

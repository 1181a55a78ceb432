"""ROUGE-L between short texts, the decision of `rouge_score` bit for bit.

A text is a sequence of words; m and n are the lengths of two of them, L that of their longest common subsequence.
F = 2PR / (P + R) with P = L/m and R = L/n, in float64 and in that order: at a tie the rounding decides (of the 86 ways
to score exactly 0.7 with up to 120 words, some come out a hair above), so no shorter formula will do.

Source: Lin 2004, section 3.1; rouge_score 0.1.2 `_score_lcs`; stanford_alpaca generate_instruction.py L184-197.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt
from rapidfuzz.distance import LCSseq

TokenizerName = Literal["rouge", "unicode"]

_ROUGE_WORD = re.compile(r"[a-z0-9]+")
# Scripts that are written without spaces between words: each character counts as a word.
_UNICODE_WORD = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]"
    r"|(?:(?![\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
    "\U00020000-\U0003ffff])[^\\W_])+"
)


def rouge_words(text: str) -> list[str]:
    """Runs of a-z and 0-9 of the lower-cased text: `rouge_score`'s tokenizer without stemming.

    >>> rouge_words("Don't stop: 3.5 km!")
    ['don', 't', 'stop', '3', '5', 'km']
    >>> rouge_words("写一首诗")
    []
    """
    return _ROUGE_WORD.findall(text.lower())


def unicode_words(text: str) -> list[str]:
    """Runs of letters and digits of any script, case-folded; scripts written without spaces give a word a character.

    >>> unicode_words("Größe, 3 km")
    ['grösse', '3', 'km']
    >>> unicode_words("写一首诗")
    ['写', '一', '首', '诗']
    """
    return _UNICODE_WORD.findall(text.casefold())


TOKENIZERS: dict[TokenizerName, Callable[[str], list[str]]] = {"rouge": rouge_words, "unicode": unicode_words}


def f_measure(
    lcs: npt.NDArray[np.integer], m: npt.NDArray[np.integer] | int, n: npt.NDArray[np.integer] | int
) -> npt.NDArray[np.float64]:
    """F of each pair, from 0.0 to 1.0, given integer L, m and n of any shapes that broadcast; 0.0 where L is 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        precision = lcs / np.asarray(m, dtype=np.float64)
        recall = lcs / np.asarray(n, dtype=np.float64)
        score = 2 * precision * recall / (precision + recall)
    return np.where(lcs > 0, score, 0.0)


def rouge_l(a: Sequence[Hashable], b: Sequence[Hashable]) -> float:
    """ROUGE-L F of two word sequences, from 0.0 to 1.0; 0.0 if either is empty.  Symmetric.

    >>> rouge_l("the quick fox".split(), "the fox".split())
    0.8
    """
    return float(f_measure(np.asarray(LCSseq.similarity(a, b)), len(a), len(b)))

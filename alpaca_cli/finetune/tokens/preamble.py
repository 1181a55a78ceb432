"""The words with which every prompt of a template begins, as tokens that can be computed once for many examples."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from alpaca_cli.data.example import Example
from alpaca_cli.finetune.tokens.tokenizer import Tokenizer
from alpaca_cli.format.template import Template

_ROWS = 8_192  # that are compared at once
_FIELD = "\0"  # stands for a field of a template


def find_preambles(
    ids: npt.NDArray[np.int32],
    starts: npt.NDArray[np.int64],
    prompt_lengths: npt.NDArray[np.int32],
    has_input: npt.NDArray[np.bool_],
    template: Template,
    tokenizer: Tokenizer,
) -> tuple[list[list[int]], npt.NDArray[np.int8]]:
    """The preambles of a TokenSet's examples, and which of them each begins with, -1 for none.

    For examples with an input and for those without one each: the most tokens that the template's text before its first
    field has in common with all of them, at least one token of every prompt left over.
    """
    preambles: list[list[int]] = []
    preamble_of = np.full(len(prompt_lengths), -1, np.int8)
    for kind in (False, True):
        rows = np.flatnonzero(has_input == kind)
        if not len(rows):
            continue
        words = template.render(Example(_FIELD, _FIELD if kind else "", "")).partition(_FIELD)[0]
        begin = np.array(tokenizer.encode([words])[0][: prompt_lengths[rows].min() - 1], np.int32)
        for some in np.split(rows, range(_ROWS, len(rows), _ROWS)):
            differs = (ids[starts[some, None] + np.arange(len(begin))] != begin).any(axis=0)
            begin = begin[: differs.argmax()] if differs.any() else begin
        if found := begin.tolist():
            if found not in preambles:
                preambles.append(found)
            preamble_of[rows] = preambles.index(found)
    return preambles, preamble_of

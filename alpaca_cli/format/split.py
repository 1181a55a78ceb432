"""Set a validation part aside, the same one every time."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from decimal import ROUND_HALF_UP, Decimal

from alpaca_cli.data.example import Example
from alpaca_cli.errors import DataError, UsageError


def check_fraction(fraction: float) -> None:
    """Raises UsageError unless 0 < `fraction` < 1."""
    if not 0 < fraction < 1:
        raise UsageError(f"validation fraction: expected more than 0 and less than 1, found {fraction:g}")


def split(examples: Sequence[Example], fraction: float, seed: int) -> tuple[list[Example], list[Example]]:
    """The training and the validation part, each in the order of `examples`.

    The validation part has `fraction` of the rows, a half rounded up, at least 1 and at most all but 1.  Chance is a
    hash of the seed and the text of a row: the choice does not depend on format, order or machine, a row keeps its
    side when others are removed (but for a few at the edge), and equal rows stay together (but for one group there).
    Cost: about 4 us a row.  Raises UsageError for a fraction out of range, DataError for fewer than 2 rows.
    """
    check_fraction(fraction)
    if len(examples) < 2:
        raise DataError(f"expected at least 2 rows to split, found {len(examples)}")
    exact = (Decimal(repr(fraction)) * len(examples)).quantize(Decimal(1), ROUND_HALF_UP)
    size = min(max(int(exact), 1), len(examples) - 1)
    ranks = [_rank(example, seed) for example in examples]
    chosen = set(sorted(range(len(examples)), key=ranks.__getitem__)[:size])
    training = [example for index, example in enumerate(examples) if index not in chosen]
    return training, [example for index, example in enumerate(examples) if index in chosen]


def _rank(example: Example, seed: int) -> bytes:
    text = json.dumps([seed, example.instruction, example.input, example.output])  # ASCII, so that surrogates pass
    return hashlib.sha256(text.encode("ascii")).digest()

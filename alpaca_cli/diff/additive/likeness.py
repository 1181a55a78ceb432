"""Whether what is taken for an additive diff is a whole model, which would be added to the base without a word."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from alpaca_cli.diff.additive.terms import Term
from alpaca_cli.diff.floats import FLOATS, to_float32
from alpaca_cli.diff.tensorstream import TensorStream
from alpaca_cli.errors import UsageError
from alpaca_cli.weights.tensor import Tensor

_MOST_VALUES = 1 << 20
_SHARE = 0.5  # of the base's size: fine-tuning moves a norm's scale by hundredths


def refuse_model(terms: Sequence[Term], where: str) -> None:
    """Raises UsageError if the scales of the norms are nearly as large as the base's: a diff's are near 0.

    Only these are looked at, since the other weights of base, model and diff are all spread about 0.
    """
    norms = [
        term
        for term in terms
        if "norm" in term.tensor.name and len(term.tensor.shape) == 1 and len(term.base) == 1 and _is_small(term)
    ]
    large = [term for term in norms if _size(term.tensor) > _SHARE * _size(term.base[0])]
    if len(large) * 2 > len(norms):
        message = f"this is a model, and no diff: its {large[0].tensor.name} is as large as the base's"
        raise UsageError(message, where=where, hint="name the folder of a diff")


def _is_small(term: Term) -> bool:
    return all(each.dtype in FLOATS and 0 < each.num_values <= _MOST_VALUES for each in (term.tensor, *term.base))


def _size(tensor: Tensor) -> float:
    """The mean of the absolute values."""
    with TensorStream(tensor) as stream:
        values: NDArray[np.float32] = to_float32(stream.read(tensor.num_values, tensor.dtype), tensor.dtype)
    return float(np.abs(values.astype(np.float64)).mean())

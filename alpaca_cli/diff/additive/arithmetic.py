"""One tensor of an additive diff: made, or recovered, block by block in fp32, with the digests of all that goes by.

The sums are the original's: one base tensor after the other, each sum rounded to fp32.  A NaN comes out as the one that
`floats` writes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from alpaca_cli.diff.additive.modelfiles import ModelFiles
from alpaca_cli.diff.additive.terms import Term
from alpaca_cli.diff.additive.values import BLOCK, Values, mean_row
from alpaca_cli.diff.crew import Progress
from alpaca_cli.diff.floats import FLOATS, convert, from_float32, to_float32
from alpaca_cli.diff.manifest import BaseTensor, Difference, TunedTensor
from alpaca_cli.weights.tensor import ITEM_BYTES, Tensor

NewRows = Literal["mean", "zero"]
"""What the base is taken to hold for tokens that it lacks: the mean of its rows, or nothing."""


class Subtracted(NamedTuple):
    """What the manifest says of a tensor, and the sum of its values as they are recovered, in fp32."""

    tuned: TunedTensor
    difference: Difference
    total: float


class Added(NamedTuple):
    """SHA-256 of what a tensor was recovered from (of the base by name) and to, and the sum of its values in fp32."""

    base: Mapping[str, str]
    diff: str
    recovered: str
    total: float


def subtract(term: Term, dtype: str, files: ModelFiles, progress: Progress) -> Subtracted:
    """Write tuned - base, or the tensor itself if the base lacks it.

    Raises DataError if a file is shorter than it said, OSError if the difference cannot be written.
    """
    name, own = term.tensor.name, term.tensor.dtype
    diff, tuned, recovered = hashlib.sha256(), hashlib.sha256(), None
    num_changed, num_unequal, total, at = 0, 0, 0.0, 0
    with _open(term, "mean", progress) as (source, base):
        while (raw := source.take_raw(BLOCK)).size:
            block: NDArray[Any] = raw
            again: NDArray[Any] = raw
            if base:
                parts = _take(base, raw.size // ITEM_BYTES[own])
                values = to_float32(raw, own)
                patterns = raw.view(f"<u{FLOATS[own]}")
                in_base = max(0, min(patterns.size, term.base[0].num_values - at // FLOATS[dtype]))
                is_other = from_float32(parts[term.base[0].name][:in_base], own) != patterns[:in_base]
                num_changed += int(np.count_nonzero(is_other)) + patterns.size - in_base
                for each in term.base:
                    values = values - parts[each.name]
                block = from_float32(values, dtype)
                values = _add(to_float32(block, dtype), term, parts)
                total += float(values.sum(dtype=np.float64))
                again = from_float32(values, own)
                differing = int(np.count_nonzero(again != patterns))
                if differing and recovered is None:
                    recovered = tuned.copy()
                num_unequal += differing
            else:
                total += _total(raw, own)
                num_changed += raw.size // ITEM_BYTES[own]
            diff.update(block.data)
            tuned.update(raw.data)
            if recovered is not None:
                recovered.update(again.data)
            files.write(name, at, block)
            at += block.nbytes
    first, second, *_ = *_told_from(base), None, None
    found = TunedTensor(
        name=name, dtype=own, shape=term.tensor.shape, sha256=tuned.hexdigest(), base=first, diff=None,
        num_changed=num_changed,
    )  # fmt: skip
    again_digest = (recovered or tuned).hexdigest()
    difference = Difference(
        name=name, dtype=dtype if base else own, sha256=diff.hexdigest(), second_base=second,
        recovered_sha256=again_digest, num_unequal=num_unequal,
    )  # fmt: skip
    return Subtracted(found, difference, total)


def add(term: Term, dtype: str, new_rows: NewRows, files: ModelFiles, progress: Progress, *, is_hashed: bool) -> Added:
    """Write base + diff, rounded to `dtype`.  Without `is_hashed` the digests are empty.  Raises as `subtract`."""
    name, own = term.tensor.name, term.tensor.dtype
    recovered, total, at = hashlib.sha256(), 0.0, 0
    with _open(term, new_rows, progress, is_hashed=is_hashed) as (source, base):
        while (raw := source.take_raw(BLOCK)).size:
            if base:
                values = _add(to_float32(raw, own), term, _take(base, raw.size // ITEM_BYTES[own]))
                total += float(values.sum(dtype=np.float64))
                block = from_float32(values, dtype)
            else:
                total += _total(raw, own)
                block = convert(raw, own, dtype) if own in FLOATS else raw
            if is_hashed:
                recovered.update(block.data)
            files.write(name, at, block)
            at += block.nbytes
        if not is_hashed:
            return Added({}, "", "", total)
        return Added(
            {each: values.digest for each, values in base.items()}, source.digest, recovered.hexdigest(), total
        )


def num_read(term: Term, new_rows: NewRows) -> int:
    """Bytes that are read of a tensor and of its part of the base, which is read twice for the mean of its rows."""
    times = 2 if term.num_new_rows and new_rows == "mean" else 1
    return term.tensor.num_bytes + times * sum({each.name: each.num_bytes for each in term.base}.values())


@contextmanager
def _open(
    term: Term, new_rows: NewRows, progress: Progress, *, is_hashed: bool = True
) -> Iterator[tuple[Values, Mapping[str, Values]]]:
    """The tensor's values, and by name those of its part of the base."""
    with ExitStack() as stack, np.errstate(all="ignore"):
        base = {}
        for each in {tensor.name: tensor for tensor in term.base}.values():
            row = _new_row(each, new_rows, progress) if term.num_new_rows else None
            base[each.name] = stack.enter_context(Values(each, progress.add, row, is_hashed=is_hashed))
        yield stack.enter_context(Values(term.tensor, progress.add, is_hashed=is_hashed)), base


def _new_row(tensor: Tensor, new_rows: NewRows, progress: Progress) -> NDArray[np.float32]:
    if new_rows == "mean":
        return mean_row(tensor, progress.add)
    return np.zeros(max(1, tensor.num_values // tensor.shape[0]), np.float32)


def _take(base: Mapping[str, Values], count: int) -> Mapping[str, NDArray[np.float32]]:
    return {name: values.take(count) for name, values in base.items()}


def _add(values: NDArray[np.float32], term: Term, parts: Mapping[str, NDArray[np.float32]]) -> NDArray[np.float32]:
    """A new array: what was given may be a view of bytes that are still needed."""
    for each in term.base:
        values = values + parts[each.name]
    return values


def _total(raw: NDArray[np.uint8], dtype: str) -> float:
    return float(to_float32(raw, dtype).sum(dtype=np.float64)) if dtype in FLOATS else 0.0


def _told_from(base: Mapping[str, Values]) -> list[BaseTensor]:
    return [
        BaseTensor(name=name, dtype=values.tensor.dtype, shape=values.tensor.shape, sha256=values.digest)
        for name, values in base.items()
    ]

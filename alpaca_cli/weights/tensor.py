"""A tensor on disk: what it is and where its bytes lie; and its bytes in row order, a block at a time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from alpaca_cli.weights.rawfile import RawFile

ITEM_BYTES: Mapping[str, int] = {
    "F64": 8, "F32": 4, "BF16": 2, "F16": 2,
    "F8_E4M3": 1, "F8_E5M2": 1, "F8_E8M0": 1, "F8_E4M3FNUZ": 1, "F8_E5M2FNUZ": 1,
    "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U64": 8, "U32": 4, "U16": 2, "U8": 1,
    "BOOL": 1, "C64": 8,
}  # fmt: skip
"""Bytes of one value, by dtype as safetensors names it; types that share a byte between values are not read."""
LARGEST = 2**62  # bytes of a tensor: what goes beyond cannot be counted in 64 bits, and lies on no disk
MOST_AXES = 64  # as PyTorch
_WIDE = 131_072  # bytes that are read at once, also if few of them are wanted: about what a round in Python costs


@dataclass(frozen=True)
class Tensor:
    """Where a tensor lies; nothing of it is in memory."""

    name: str
    dtype: str
    """A key of ITEM_BYTES."""
    shape: tuple[int, ...]
    path: Path
    offset: int
    """Of its first value, in bytes from the beginning of the file."""
    steps: tuple[int, ...] | None = None
    """For each axis the distance from one value to the next, in values; None: they lie in row order."""

    @property
    def num_values(self) -> int:
        """1 for a tensor without axes."""
        return prod(self.shape)

    @property
    def num_bytes(self) -> int:
        """Of its values, however they lie."""
        return self.num_values * ITEM_BYTES[self.dtype]


def row_steps(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The steps of a tensor in row order."""
    return tuple(prod(shape[axis + 1 :]) for axis in range(len(shape)))


def is_row_order(shape: tuple[int, ...], steps: tuple[int, ...]) -> bool:
    """Whether these steps are those of row order; the step of an axis that has one value is never taken."""
    return 0 in shape or all(
        length == 1 or step == expected for length, step, expected in zip(shape, steps, row_steps(shape), strict=True)
    )


class TensorReader:
    """The bytes of one tensor in row order; a context manager that keeps its file open, for one thread."""

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor
        self._item = ITEM_BYTES[tensor.dtype]
        self._file = RawFile(tensor.path)

    def read_into(self, buffer: memoryview | NDArray[np.uint8], start: int) -> None:
        """Fill `buffer` (contiguous) with the bytes from `start` on, both whole values if the tensor has steps.

        Raises DataError if the file is shorter than it was said to be.
        """
        target = np.asarray(buffer, dtype=np.uint8).reshape(-1)
        if not 0 <= start <= start + target.size <= self.tensor.num_bytes:
            raise ValueError(f"bytes {start} to {start + target.size} of {self.tensor}")
        if self.tensor.steps is None:
            self._file.read_into(target, self.tensor.offset + start)
            return
        values = target.reshape(-1, self._item)
        begin, done = start // self._item, 0
        for corner, lengths in _boxes(self.tensor.shape, begin, begin + len(values)):
            count = prod(lengths)
            box = values[done : done + count].reshape(*lengths, self._item)
            place = sum(at * step for at, step in zip(corner, self.tensor.steps, strict=True))
            self._fill(box, lengths, self.tensor.steps, place)
            done += count

    def _fill(self, box: NDArray[np.uint8], lengths: tuple[int, ...], steps: tuple[int, ...], place: int) -> None:
        """Fill `box`, whose first value is the one at `place` in the file, by reads that cover little else."""
        span = 1 + sum((length - 1) * step for length, step in zip(lengths, steps, strict=True))
        if span <= max(2 * prod(lengths), _WIDE // self._item):
            raw = np.empty((span, self._item), dtype=np.uint8)
            self._file.read_into(raw, self.tensor.offset + place * self._item)
            box[...] = as_strided(raw, box.shape, (*(step * self._item for step in steps), 1))
            return
        axis = max(range(len(lengths)), key=lambda axis: (lengths[axis] > 1, steps[axis]))
        layer = span - (lengths[axis] - 1) * steps[axis]
        width = 1 + max(0, _WIDE // self._item - layer) // steps[axis]  # so many layers at once
        for at in range(0, lengths[axis], width):
            part = min(width, lengths[axis] - at)
            inner = box[(slice(None),) * axis + (slice(at, at + part),)]
            self._fill(inner, (*lengths[:axis], part, *lengths[axis + 1 :]), steps, place + at * steps[axis])

    def __enter__(self) -> TensorReader:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._file.close()


def _boxes(shape: tuple[int, ...], begin: int, end: int) -> Iterable[tuple[tuple[int, ...], tuple[int, ...]]]:
    """The values [begin, end) in row order as boxes, each its first corner and its lengths."""
    while begin < end:
        axis, size = len(shape), 1  # the largest whole part that begins here and does not go too far
        while axis and begin % (size * shape[axis - 1]) == 0 and begin + size * shape[axis - 1] <= end:
            axis, size = axis - 1, size * shape[axis - 1]
        corner = tuple(begin // step % length for step, length in zip(row_steps(shape), shape, strict=True))
        if axis == 0:
            yield corner, shape
            return
        layers = min(shape[axis - 1] - corner[axis - 1], (end - begin) // size)
        yield corner, (*(1 for _ in shape[: axis - 1]), layers, *shape[axis:])
        begin += layers * size

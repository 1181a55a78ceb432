"""The values of a tensor on disk as fp32, a block at a time, and what they hash to."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from alpaca_cli.diff.floats import to_float32
from alpaca_cli.weights.tensor import ITEM_BYTES, Tensor, TensorReader

BLOCK = 1 << 19  # values: 2 MiB in fp32, of which a thread holds about eight at once


class Values:
    """A tensor read from its first value to its last; a context manager, for one thread.

    `on_read` is told the bytes of each block, and may raise.  Of a tensor that is to have more rows than it has,
    `new_row` is what the others hold.
    """

    def __init__(
        self,
        tensor: Tensor,
        on_read: Callable[[int], None],
        new_row: NDArray[np.float32] | None = None,
        *,
        is_hashed: bool = True,
    ) -> None:
        self._reader = TensorReader(tensor)
        self.tensor, self._on_read, self._new_row = tensor, on_read, new_row
        self._at = 0
        self._digest = hashlib.sha256() if is_hashed else None

    def take_raw(self, count: int) -> NDArray[np.uint8]:
        """The bytes of the next `count` values, or of those that are left."""
        item = ITEM_BYTES[self.tensor.dtype]
        raw = np.empty(max(0, min(count, self.tensor.num_values - self._at)) * item, np.uint8)
        self._reader.read_into(raw, self._at * item)
        if self._digest is not None:
            self._digest.update(raw.data)
        self._at += raw.size // item
        self._on_read(raw.size)
        return raw

    def take(self, count: int) -> NDArray[np.float32]:
        """The next `count` values, new rows included."""
        raw = self.take_raw(count)
        values = to_float32(raw, self.tensor.dtype)
        if values.size == count:
            return values
        assert self._new_row is not None
        columns = np.arange(self._at, self._at + count - values.size) % self._new_row.size
        self._at += columns.size
        return np.concatenate([values, self._new_row[columns]])

    @property
    def digest(self) -> str:
        """SHA-256 of the bytes that were read, as 64 hexadecimal digits."""
        assert self._digest is not None
        return self._digest.hexdigest()

    def __enter__(self) -> Values:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._reader.__exit__(kind, error, at)


def mean_row(tensor: Tensor, on_read: Callable[[int], None]) -> NDArray[np.float32]:
    """The mean of the rows of a matrix, added in fp64 from the first to the last, then rounded.

    It is that of every machine, which one added in fp32 by a library is not.
    """
    num_rows, width = tensor.shape[0], max(1, tensor.num_values // tensor.shape[0])
    total: NDArray[Any] = np.zeros(width, np.float64)
    rows = max(1, BLOCK // width)
    with Values(tensor, on_read, is_hashed=False) as values, np.errstate(all="ignore"):
        for start in range(0, num_rows, rows):
            count = min(rows, num_rows - start)
            block = values.take(count * width).reshape(count, width)
            for row in block:
                total += row
        return (total / num_rows).astype(np.float32)

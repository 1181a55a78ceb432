"""The bytes of a tensor on disk, read once from the first to the last, and their SHA-256."""

from __future__ import annotations

import hashlib
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from alpaca_cli.diff.floats import convert
from alpaca_cli.weights.tensor import ITEM_BYTES, Tensor, TensorReader

_REST = 1 << 21  # bytes that are read at once where their values are not wanted


def digest_of(tensor: Tensor) -> str:
    """The SHA-256 of a tensor's bytes in row order."""
    with TensorStream(tensor) as stream:
        return stream.finish()


def is_same(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors of one type and shape are bit for bit the same."""
    with TensorReader(one) as left, TensorReader(other) as right:
        for start in range(0, one.num_bytes, _REST):
            parts = np.empty((2, min(_REST, one.num_bytes - start)), np.uint8)
            left.read_into(parts[0], start)
            right.read_into(parts[1], start)
            if not np.array_equal(parts[0], parts[1]):
                return False
    return True


class TensorStream:
    """A context manager, for one thread."""

    def __init__(self, tensor: Tensor, *, is_hashed: bool = True) -> None:
        """Without `is_hashed` there is no digest, which takes as long as to decode the values."""
        self.tensor = tensor
        self._reader = TensorReader(tensor)
        self._item = ITEM_BYTES[tensor.dtype]
        self._buffer = np.empty(0, np.uint8)
        self._at = 0
        self._hash = hashlib.sha256() if is_hashed else None

    def read(self, num_values: int, dtype: str) -> NDArray[Any]:
        """The bits of the next values, as they are in `dtype`, as unsigned numbers; good until the next call."""
        raw = self._next(num_values * self._item)
        if dtype != self.tensor.dtype:
            return convert(raw, self.tensor.dtype, dtype)
        return raw.view(f"<u{self._item}")

    def finish(self) -> str:
        """Reads what is left, and returns the digest of all, which must be wanted."""
        assert self._hash is not None
        while left := self.tensor.num_bytes - self._at:
            self._next(min(_REST, left))
        return self._hash.hexdigest()

    def _next(self, length: int) -> NDArray[np.uint8]:
        if length > len(self._buffer):
            self._buffer = np.empty(length, np.uint8)
        part = self._buffer[:length]
        self._reader.read_into(part, self._at)
        self._at += length
        if self._hash is not None:
            self._hash.update(part.data)
        return part

    def __enter__(self) -> TensorStream:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._reader.__exit__(kind, error, at)

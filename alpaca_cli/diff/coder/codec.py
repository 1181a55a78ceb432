"""One block of a tensor to bytes and back, bit for bit.

A block is one byte that says its kind, then
    same      nothing: its values are the base's
    coded     what the entropy coder made of it
    rows      which rows changed, a bit each (the first is the highest of the first byte), then those, coded
    stored    its values as they are, where coding would not make them fewer bytes
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from alpaca_cli.diff.coder.blocks import Block
from alpaca_cli.diff.coder.exponent import EXPONENTS, NO_EXPONENT
from alpaca_cli.diff.coder.kernel import LIBRARY, CompiledCoder
from alpaca_cli.diff.coder.plain import PlainCoder
from alpaca_cli.weights.tensor import ITEM_BYTES

SAME, CODED, ROWS, STORED = range(4)
MIN_ROW = 16
"""Values of a row from which on it pays to say which rows changed."""


class Malformed(Exception):
    """The bytes are those of no block, or not of one that was made from this base."""


class Codec:
    """Codes the blocks of tensors of one dtype, in the memory that one thread needs for that."""

    def __init__(self, dtype: str, num_values: int) -> None:
        """`num_values` is that of the largest block."""
        self._exponent = EXPONENTS.get(dtype, NO_EXPONENT)
        width = ITEM_BYTES[dtype]
        self.patterns = np.dtype(f"<u{width}")
        """What a value is here: its bits as an unsigned number."""
        self._coder = CompiledCoder(LIBRARY, num_values, width) if LIBRARY else PlainCoder(num_values, width)

    def encode(
        self, tuned: NDArray[Any], base: NDArray[Any] | None, block: Block
    ) -> tuple[list[bytes | memoryview], int]:
        """The bytes of a block, in parts that are good until the next call, and how many values are not the base's.

        `base` is None where the base has none.
        """
        head, num_changed, part, part_base = bytes([CODED]), tuned.size, tuned, base
        if base is not None:
            is_other = tuned != base
            num_changed = int(np.count_nonzero(is_other))
            if not num_changed:
                return [bytes([SAME])], 0
            if block.width >= MIN_ROW:
                rows = is_other.reshape(-1, block.width).any(axis=1)
                if not rows.all():
                    head = bytes([ROWS]) + np.packbits(rows).tobytes()
                    part, part_base = (each.reshape(-1, block.width)[rows].reshape(-1) for each in (tuned, base))
        coded = self._coder.encode(part, part_base, self._exponent)
        if len(head) + len(coded) <= tuned.nbytes:
            return [head, coded], num_changed
        return [bytes([STORED]), tuned.tobytes()], num_changed

    def decode(self, coded: NDArray[np.uint8], base: NDArray[Any] | None, block: Block, tuned: NDArray[Any]) -> bool:
        """Fill `tuned` with the values of a block; whether they depend on each value of `base`.  Raises Malformed."""
        kind, rest = (int(coded[0]), coded[1:]) if len(coded) else (-1, coded)
        if kind == SAME and base is not None and not len(rest):
            tuned[:] = base
        elif kind == CODED:
            self._decode(rest, base, tuned)
        elif kind == STORED and len(rest) == tuned.nbytes:
            tuned.view(np.uint8)[:] = rest
        elif kind == ROWS and base is not None and block.width:
            num_rows = block.num_values // block.width
            bits = np.unpackbits(rest[: -(-num_rows // 8)])
            if len(bits) < num_rows or bits[num_rows:].any():
                raise Malformed
            is_changed = bits[:num_rows].astype(np.bool_)
            tuned[:] = base
            rows = tuned.reshape(-1, block.width)
            part = np.empty(int(is_changed.sum()) * block.width, self.patterns)
            self._decode(rest[len(bits) // 8 :], base.reshape(-1, block.width)[is_changed].reshape(-1), part)
            rows[is_changed] = part.reshape(-1, block.width)
        else:
            raise Malformed
        return kind != STORED

    def _decode(self, coded: NDArray[np.uint8], base: NDArray[Any] | None, tuned: NDArray[Any]) -> None:
        if not len(tuned) or not self._coder.decode(coded, base, self._exponent, tuned):
            raise Malformed

    def bound(self, block: Block) -> int:
        """The most bytes that a block may take."""
        return 1 + block.num_values * self.patterns.itemsize

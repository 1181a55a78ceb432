"""A tensor as blocks of values, each coded by itself, so that both directions stream and a block is small."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from typing import NamedTuple

MAX_VALUES = 1 << 20
"""Of a block."""


class Block(NamedTuple):
    """The values [start, stop) of a tensor in row order."""

    start: int
    stop: int
    width: int
    """Values of a row, of which the block has some whole; 0: rows are longer than a block."""
    has_base: bool

    @property
    def num_values(self) -> int:
        """At least 1."""
        return self.stop - self.start


def blocks(shape: tuple[int, ...], base_shape: tuple[int, ...] | None) -> Iterator[Block]:
    """The blocks of a tensor: whole rows as long as they fit, first those that the base has too.

    >>> [tuple(block) for block in blocks((3, 700_000), (2, 700_000))]
    [(0, 700000, 700000, True), (700000, 1400000, 700000, True), (1400000, 2100000, 700000, False)]
    """
    for begin, end, step, width, has_base in _parts(shape, base_shape):
        for start in range(begin, end, step):
            yield Block(start, min(start + step, end), width if width <= MAX_VALUES else 0, has_base)


def num_blocks(shape: tuple[int, ...], base_shape: tuple[int, ...] | None) -> int:
    """How many blocks a tensor has.

    >>> num_blocks((3, 700_000), (2, 700_000))
    3
    """
    return sum(len(range(begin, end, step)) for begin, end, step, _, _ in _parts(shape, base_shape))


def _parts(
    shape: tuple[int, ...], base_shape: tuple[int, ...] | None
) -> tuple[tuple[int, int, int, int, bool], tuple[int, int, int, int, bool]]:
    """What the base has too and what it lacks: begin, end, and values of a block and of a row."""
    width = prod(shape[1:])
    num_rows = shape[0] if shape else 1
    num_base = 0 if base_shape is None else num_rows if not shape else min(num_rows, base_shape[0])
    step = MAX_VALUES // width * width if 0 < width <= MAX_VALUES else MAX_VALUES
    middle, end = num_base * width, num_rows * width
    return (0, middle, step, width, True), (middle, end, step, width, False)

"""Chances derived from `rng.random()` alone, the one method whose results no Python version may change."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


def integer(rng: random.Random, low: int, high: int) -> int:
    """A whole number from `low` to `high`, both included."""
    return low + int(rng.random() * (high - low + 1))


def choice(rng: random.Random, items: Sequence[T]) -> T:
    """One of the items, of which there is at least one."""
    return items[int(rng.random() * len(items))]


def sample(rng: random.Random, items: Sequence[T], count: int) -> list[T]:
    """`count` items at different positions, in random order; `count` is at most their number."""
    rest = list(items)
    for at in range(count):
        other = at + int(rng.random() * (len(rest) - at))
        rest[at], rest[other] = rest[other], rest[at]
    return rest[:count]


def shuffled(rng: random.Random, items: Sequence[T]) -> list[T]:
    """All the items in random order; the argument keeps its own."""
    return sample(rng, items, len(items))


def happens(rng: random.Random, probability: float) -> bool:
    """True in that share of the calls."""
    return rng.random() < probability

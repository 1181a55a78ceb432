"""A practice set: many tasks of few families, so simple that a model which knows nothing learns them in a minute."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from alpaca_cli.data.example import Example
from alpaca_cli.rehearsal.chance import shuffled
from alpaca_cli.rehearsal.families.registry import FAMILIES


@dataclass(frozen=True)
class Practice:
    """What to learn from, and what to be asked afterwards."""

    train: tuple[Example, ...]
    asked: dict[str, tuple[Example, ...]]
    """By family; no instruction and input of one is in `train`."""


def practice(families: Sequence[str], num: int, num_asked: int, *, seed: int = 0) -> Practice:
    """`num` different tasks of these families in equal parts, and `num_asked` more of each that are not among them."""
    rng = random.Random(seed)
    makers = {family.name: family.make for family in FAMILIES}
    asked: dict[str, tuple[Example, ...]] = {}
    train: list[Example] = []
    for number, family in enumerate(families):
        share = num // len(families) + (number < num % len(families))
        different: dict[tuple[str, str], Example] = {}
        while len(different) < share + num_asked:
            task = makers[family](rng)
            different.setdefault((task.instruction, task.input), Example(task.instruction, task.input, task.output))
        drawn = list(different.values())
        train += drawn[:share]
        asked[family] = tuple(drawn[share:])
    return Practice(tuple(shuffled(rng, train)), asked)

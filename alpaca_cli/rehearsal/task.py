"""What the rehearsal teacher hands out: a task, and the family that can compose more like it."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Task:
    """One instruction with its true answer; `input` is empty when the instruction says everything."""

    instruction: str
    input: str
    output: str


@dataclass(frozen=True)
class Family:
    """A named kind of task; `make` uses nothing but `rng.random()`, so a seed means the same in every Python."""

    name: str
    make: Callable[[random.Random], Task]

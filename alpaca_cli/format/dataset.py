"""A dataset as it was read: its examples, where each one stood, and what was found on the way."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from alpaca_cli.data.example import Example
from alpaca_cli.errors import Problem


@dataclass(frozen=True)
class Dataset:
    """At least one example, in the order of the file."""

    path: Path
    examples: list[Example]
    places: list[str]
    """Where each example stood, for messages about it: `path:line`, or `path[index]` counted from 0."""
    numbers: list[int]
    """Which row of the file each example is, counted from 0 over all rows, bad ones included."""
    format: str
    """One of FORMAT_NAMES: writing in it gives a file of the same form."""
    skipped: int
    """Rows that were left out; each has one problem or more."""
    problems: tuple[Problem, ...]
    """What was wrong with the rows that were left out, in the order of the file."""
    whole: int
    """How many prompts this template had not made, so that each was taken whole as the instruction."""
    notes: tuple[str, ...]
    """What the user should know of the rows that were read, a sentence each."""

"""A row that is no example: why, in words that fit on a line."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from alpaca_cli.errors import Problem

# Keys that other tools give a meaning which an example cannot carry: to drop one would change what the row says.
_OF_A_CHAT = frozenset({"system", "history", "tools", "functions", "tool_calls", "function_call", "refusal"})
_NOT_TEXT = frozenset({"images", "videos", "audios", "audio"})
MEANINGFUL = _OF_A_CHAT | _NOT_TEXT
_LONGEST_NAME = 40


class BadRow(Exception):
    """A row that no example can be made of, with one problem for each thing wrong, not yet placed."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(problem.message for problem in self.problems))


def refused_keys(row: Mapping[str, Any], names: Iterable[str], within: str = "") -> list[Problem]:
    """One problem for each of `names` that says something in `row` which an example cannot carry."""
    return [
        Problem(
            f"{within}{name}: an example has no place for it",
            hint=f"remove {name} from the rows to read them without it",
        )
        for name in sorted(names)
        if name in MEANINGFUL and row[name]
    ]


def shown(name: str) -> str:
    """A key or value of the user's file, fit for a one-line message: short, and escaped if it cannot be printed."""
    short = name if len(name) <= _LONGEST_NAME else f"{name[:_LONGEST_NAME]}..."
    return short if short.isprintable() and short.strip() else json.dumps(short)


def count_of(number: int, noun: str) -> str:
    """A number with its noun: `1 row`, `5,000 rows`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"

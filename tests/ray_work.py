"""What workers of Ray do in tests; they import this module by name."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from alpaca_cli.dedup.cluster import stages
from alpaca_cli.errors import DataError


def read(name: str) -> Iterator[list[str]]:
    """The lines of a file, a hundred at a time."""
    lines = Path(name).read_text().splitlines()
    yield from (lines[begin : begin + 100] for begin in range(0, len(lines), 100))


def killed_once(name: str, marks: Path) -> Iterator[list[str]]:
    """The same, but the process that is the first to have read half of one dies of it."""
    for number, lines in enumerate(read(name)):
        if number == 2 and _first(marks / "died"):
            os.kill(os.getpid(), signal.SIGKILL)
        yield lines


def malformed(name: str) -> Iterator[list[str]]:
    yield ["fine"]
    raise DataError("not a row", where=f"{name}:2", hint="mend it")


def dying_near(table: pa.Table, *, marks: Path, **given: Any) -> pa.Table:
    """`stages.find_near`, but the process that is the first to have found something dies before it can say so."""
    found = stages.find_near(table, **given)
    if _first(marks / "died"):
        os.kill(os.getpid(), signal.SIGKILL)
    return found


def _first(mark: Path) -> bool:
    try:
        mark.touch(exist_ok=False)
    except FileExistsError:
        return False
    return True

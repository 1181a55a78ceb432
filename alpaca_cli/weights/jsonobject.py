"""A JSON object that a stranger wrote: no name twice, no more memory than a few times its text."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from alpaca_cli.errors import DataError
from alpaca_cli.weights.rawfile import DOWNLOAD

LONGEST = 32 * 2**20  # bytes
PART = 32  # bytes: as short may the parts of the longest text be on average; each may cost a hundred in memory


class _Twice(ValueError):
    """A name that an object has twice."""


def read_object(text: bytes, path: Path, what: str, *, longest: int = LONGEST, part: int = PART) -> dict[str, Any]:
    """The object that `text` (of at most `longest` bytes, a part for every `part` of these) of the file `path` says.

    Raises DataError that names it as `what`.
    """
    if len(text) > longest:
        message = f"{what} of {len(text):,} bytes or more: no model needs more than {longest:,}"
        raise DataError(message, where=str(path), hint=DOWNLOAD)
    parts = sum(map(text.count, (b",", b":", b"[", b"{")))
    if parts > longest // part:  # of a header: 75,000 tensors
        message = f"{what} of {parts:,} parts: no model needs more than {longest // part:,}"
        raise DataError(message, where=str(path), hint=DOWNLOAD)
    try:
        found = json.loads(text.decode("utf-8"), object_pairs_hook=_once)
    except _Twice as error:
        raise DataError(f"{what}: {shown(str(error))} is in it twice", where=str(path), hint=DOWNLOAD) from None
    except (ValueError, RecursionError):
        raise DataError(f"expected the {what}, found no JSON", where=str(path), hint=DOWNLOAD) from None
    if not isinstance(found, dict):
        raise DataError(f"expected the {what}, found no JSON object", where=str(path), hint=DOWNLOAD)
    return found


def is_text(value: object) -> bool:
    """Whether a value that JSON gave is a string that UTF-8 can write: half a surrogate pair is none."""
    if not isinstance(value, str):
        return False
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def shown(value: object) -> str:
    """A value that a file gave, for a message: no longer than a line, whatever it is."""
    return repr(value[:150])[:200] if isinstance(value, str) else f"a {type(value).__name__}"


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names: set[str] = set()
        raise _Twice(next(name for name, _ in pairs if name in names or names.add(name)))  # type: ignore[func-returns-value]
    return found

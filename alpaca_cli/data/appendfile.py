"""A file of JSON objects, one a line, that only grows, and that survives a crash at any byte.

Each `append` is one write of one whole line, so a killed process loses nothing; a power failure loses at most what was
appended in the last seconds (SYNC_EVERY_S while lines come, and until `sync_if_due` is called after the last).
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from alpaca_cli.data.files import decode, reason
from alpaca_cli.data.jsonl import dumps, kind_of, parse_json
from alpaca_cli.errors import DataError, IntegrityError, UsageError

SYNC_EVERY_S = 0.5

_Self = TypeVar("_Self", bound="AppendFile")


class AppendFile:
    """Reads what is there, then is open for appending.  The caller holds the lock.

    Opening repairs: a last line that a crash tore is cut off; any other line that is not a JSON object raises
    IntegrityError with its line number, in the words of `what` ("a completion") and `hint`.  With `read_only` no lock
    is needed, nothing is changed, and a torn last line is passed over.
    """

    what = "a record"
    hint = "the file was damaged; put a good copy back"

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        self.path = path
        self.torn_bytes = 0
        self._read_only = read_only
        self._synced = 0.0
        self._is_synced = True
        try:
            self._file = os.open(path, os.O_RDONLY if read_only else os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
        except OSError as error:
            verb = "read" if read_only else "write"
            raise UsageError(f"cannot {verb}: {reason(error)}", where=str(path)) from error
        try:
            self._read()
        except BaseException:
            os.close(self._file)
            raise

    def take(self, row: dict[str, Any]) -> str | None:
        """Take in one object that was read or appended; what is wrong with it, if anything is."""
        raise NotImplementedError

    def write(self, row: Mapping[str, Any], *, doing: str) -> None:
        """Append one object.  Raises UsageError (disk full, ...) that says `doing`; nothing torn stays."""
        line = (dumps(row) + "\n").encode("utf-8")
        size = os.fstat(self._file).st_size
        self._is_synced = False
        try:
            if os.write(self._file, line) != len(line):
                raise OSError(28, "no space left on device")
            if time.monotonic() - self._synced > SYNC_EVERY_S:
                self.sync()
        except OSError as error:
            os.ftruncate(self._file, size)  # also when only the sync failed: what is not told as kept is not there
            hint = "make room, then run the same command again"
            raise UsageError(f"cannot {doing}: {reason(error)}", where=str(self.path), hint=hint) from error

    def sync(self) -> None:
        """Make everything appended so far survive a power failure."""
        os.fsync(self._file)
        self._synced = time.monotonic()
        self._is_synced = True

    def sync_if_due(self) -> None:
        """Sync what was appended some time ago, if nothing was appended after it."""
        if not self._is_synced and time.monotonic() - self._synced > SYNC_EVERY_S:
            with suppress(OSError):  # the next `write` tells it
                self.sync()

    def close(self) -> None:
        """Sync and close.  Raises UsageError if the disk fails."""
        try:
            os.fsync(self._file)
        except OSError as error:
            raise UsageError(f"cannot write: {reason(error)}", where=str(self.path)) from error
        finally:
            os.close(self._file)

    def __enter__(self: _Self) -> _Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _read(self) -> None:
        raw = self.path.read_bytes()
        complete, newline, tail = raw.rpartition(b"\n")
        lines = complete.split(b"\n") if newline else []
        for number, line in enumerate(lines, 1):
            self._take_line(line, number)
        if not tail:
            return
        try:
            parse_json(decode(tail, self.path), self.path)
        except DataError:  # a proper part of a JSON object is never JSON: this was torn, anything else was not by us
            self.torn_bytes = len(tail)
            if not self._read_only:
                os.ftruncate(self._file, len(raw) - len(tail))
        else:
            self._take_line(tail, len(lines) + 1)  # whole, only its newline is missing
            if not self._read_only:
                os.write(self._file, b"\n")

    def _take_line(self, line: bytes, number: int) -> None:
        try:
            row = parse_json(decode(line, self.path), self.path, first_line=number)
            is_object = isinstance(row, dict)
            problem = self.take(row) if is_object else f"expected an object, found {kind_of(row)}"
        except DataError as error:
            problem = error.problems[0].message
        if problem:
            message = f"not {self.what}: {problem}"
            raise IntegrityError(message, where=f"{self.path}:{number}", hint=self.hint)


def problem_of(
    row: Mapping[str, Any], wanted: Mapping[str, tuple[tuple[type, ...], str]], may_miss: frozenset[str]
) -> str | None:
    """The first key that is missing or holds a value of another JSON type than `wanted` says, in words."""
    for name, (types, expected) in wanted.items():
        if name not in row and name not in may_miss:
            return f"{name}: missing"
        if name in row and type(row[name]) not in types:
            return f"{name}: expected {expected}, found {kind_of(row[name])}"
    return None

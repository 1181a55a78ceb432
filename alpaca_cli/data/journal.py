"""The journal: every paid completion, appended whole before anything looks at it; the truth of a run.

One JSON object a line, in order of arrival.  A dataset is replayed from it in order of request number, so neither
concurrency nor crashes can change the result.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from types import TracebackType
from typing import Any

from alpaca_cli.data.files import decode, reason
from alpaca_cli.data.jsonl import dumps, kind_of, parse_json
from alpaca_cli.errors import DataError, IntegrityError, UsageError

RESERVE, RESERVE_BYTES = ".reserve", 1 << 20  # about 200 answers of 17 tasks
SYNC_EVERY_S = 0.5  # a killed process loses nothing; a power failure at most this much


@dataclass(frozen=True)
class Completion:
    """One answer of a teacher, as it came, and what it answers."""

    k: int
    """Number of the request, from 0."""
    seed_ids: tuple[str, ...]
    """The seed tasks that the prompt showed."""
    prompt_sha256: str
    text: str
    finish_reason: str | None
    """As the server said: stop, length, content_filter, ... or null."""
    usage: Mapping[str, int] | None
    """prompt_tokens and completion_tokens as the server counted them; null if it did not."""
    model: str | None
    """As the server named itself in the answer."""
    request_id: str | None
    started: str
    """UTC, ISO 8601."""
    seconds: float
    """From sending the last try to the whole answer."""
    tries: int = 1
    left_out: tuple[str, ...] = ()
    """Parameters that were not sent because the server had refused them."""


class Journal:
    """Append-only file of completions that survives a crash at any byte.

    Opening repairs: a last line that a crash tore is cut off; any other line that is not a completion raises
    IntegrityError with its line number.  Each `append` is one write of one whole line.  The caller holds the lock.
    While it is open, a neighbour keeps some room on the disk for answers that are paid and under way.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.completions: dict[int, Completion] = {}
        self.torn_bytes = 0
        self._synced = 0.0
        try:
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
        except OSError as error:
            raise UsageError(f"cannot write: {reason(error)}", where=str(path)) from error
        try:
            self._read()
        except BaseException:
            os.close(self._file)
            raise
        self._reserve = path.with_name(RESERVE)
        self._keep_reserve()

    def append(self, completion: Completion) -> None:
        """Record a completion.  Raises UsageError (disk full, ...) with the answer's number; nothing torn stays."""
        line = (dumps(asdict(completion)) + "\n").encode("utf-8")
        size = os.fstat(self._file).st_size
        try:
            if os.write(self._file, line) != len(line):
                raise OSError(28, "no space left on device")
            if time.monotonic() - self._synced > SYNC_EVERY_S:
                self.sync()
        except OSError as error:
            os.ftruncate(self._file, size)  # also when only the sync failed: what is not told as kept is not there
            message = f"cannot record the answer to request {completion.k}: {reason(error)}"
            raise UsageError(
                message, where=str(self.path), hint="make room, then run the same command again"
            ) from error
        self.completions.setdefault(completion.k, completion)  # the first counts, here as when it is read again

    def free_reserve(self) -> None:
        """Give back the room that was kept: when the disk is full, for the answers that are paid and under way."""
        self._reserve.unlink(missing_ok=True)

    def _keep_reserve(self) -> None:
        with suppress(OSError, AttributeError):  # no room for it, or not on this platform: then without
            with self._reserve.open("wb") as stream:
                os.posix_fallocate(stream.fileno(), 0, RESERVE_BYTES)
            return
        self.free_reserve()

    def sync(self) -> None:
        """Make everything appended so far survive a power failure."""
        os.fsync(self._file)
        self._synced = time.monotonic()

    def close(self) -> None:
        """Sync and close.  Raises UsageError if the disk fails."""
        self.free_reserve()
        try:
            os.fsync(self._file)
        except OSError as error:
            raise UsageError(f"cannot write: {reason(error)}", where=str(self.path)) from error
        finally:
            os.close(self._file)

    def __enter__(self) -> Journal:
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
            completion = self._completion(line, number)
            self.completions.setdefault(completion.k, completion)
        if not tail:
            return
        try:
            parse_json(decode(tail, self.path), self.path)
        except DataError:  # a proper part of a JSON object is never JSON: this was torn, anything else was not by us
            self.torn_bytes = len(tail)
            os.ftruncate(self._file, len(raw) - len(tail))
        else:
            last = self._completion(tail, len(lines) + 1)  # whole, only its newline is missing
            self.completions.setdefault(last.k, last)
            os.write(self._file, b"\n")

    def _completion(self, line: bytes, number: int) -> Completion:
        try:
            row = parse_json(decode(line, self.path), self.path, first_line=number)
            problem = _problem(row)
        except DataError as error:
            problem = error.problems[0].message
        if problem:
            raise IntegrityError(
                f"not a completion: {problem}",
                where=f"{self.path}:{number}",
                hint="the file was damaged; take that line and report.json away, and the run asks that request again",
            )
        known = {field.name for field in fields(Completion)}
        row = {key: value for key, value in row.items() if key in known}
        row["seed_ids"] = tuple(row["seed_ids"])
        row["left_out"] = tuple(row.get("left_out", ()))
        return Completion(**row)


# What a line must hold: the JSON types of each value, and their name.
_WANTED: dict[str, tuple[tuple[type, ...], str]] = {
    "k": ((int,), "a whole number"),
    "seed_ids": ((list,), "a list"),
    "prompt_sha256": ((str,), "a string"),
    "text": ((str,), "a string"),
    "finish_reason": ((str, type(None)), "a string or null"),
    "usage": ((dict, type(None)), "an object or null"),
    "model": ((str, type(None)), "a string or null"),
    "request_id": ((str, type(None)), "a string or null"),
    "started": ((str,), "a string"),
    "seconds": ((int, float), "a number"),
    "tries": ((int,), "a whole number"),
    "left_out": ((list,), "a list"),
}
_MAY_MISS = frozenset(["tries", "left_out"])


def _problem(row: Any) -> str | None:
    if not isinstance(row, dict):
        return f"expected an object, found {kind_of(row)}"
    for name, (types, expected) in _WANTED.items():
        if name not in row and name not in _MAY_MISS:
            return f"{name}: missing"
        if name in row and type(row[name]) not in types:
            return f"{name}: expected {expected}, found {kind_of(row[name])}"
    for name, count in (row["usage"] or {}).items():
        if type(count) is not int:
            return f"usage.{name}: expected a whole number, found {kind_of(count)}"
    return None

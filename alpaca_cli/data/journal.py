"""The journal: every paid completion, appended whole before anything looks at it; the truth of a run.

One JSON object a line, in order of arrival.  A dataset is replayed from it in order of request number, so neither
concurrency nor crashes can change the result.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from alpaca_cli.data.appendfile import AppendFile, problem_of
from alpaca_cli.data.jsonl import kind_of

RESERVE, RESERVE_BYTES = ".reserve", 1 << 20  # about 200 answers of 17 tasks
GIVEN_UP = "given_up"
"""Finish reason of a request that was asked as often as allowed without an answer, while others were answered."""


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
    """As the server said: stop, length, content_filter, ... or null; GIVEN_UP if no try gave an answer."""
    usage: Mapping[str, int] | None
    """prompt_tokens and completion_tokens as the server counted them, and of these cached_tokens and reasoning_tokens
    where it says so; null if it did not count."""
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
    max_tokens: int | None = None
    """Most new tokens asked for, where that was less than the recipe says because the context was too short."""
    tier: str | None = None
    """The service tier that the server says it answered in."""
    base_url: str | None = None
    """The server that was asked."""


class Journal(AppendFile):
    """Append-only file of completions; see `AppendFile` for what it survives.

    While it is open, a neighbour keeps some room on the disk for answers that are paid and under way.
    """

    what = "a completion"
    hint = "the file was damaged; take that line and report.json away, and the run asks that request again"

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        self.completions: dict[int, Completion] = {}
        self.has_room = True
        """Whether the disk had room for what would be under way: without it, paid answers could be lost."""
        self._reserve = path.with_name(RESERVE)
        super().__init__(path, read_only=read_only)
        if not read_only:
            self._keep_reserve()

    def append(self, completion: Completion) -> None:
        """Record a completion.  Raises UsageError (disk full, ...) with the answer's number; nothing torn stays."""
        row = asdict(completion)
        for name in _MAY_MISS:
            if row[name] is None or row[name] == ():
                del row[name]
        self.write(row, doing=f"record the answer to request {completion.k}")
        self.completions.setdefault(completion.k, completion)  # the first counts, here as when it is read again

    def take(self, row: dict[str, Any]) -> str | None:
        problem = problem_of(row, _WANTED, _MAY_MISS)
        if problem:
            return problem
        for name, count in (row["usage"] or {}).items():
            if type(count) is not int:
                return f"usage.{name}: expected a whole number, found {kind_of(count)}"
        known = {key: value for key, value in row.items() if key in _FIELDS}
        known["seed_ids"] = tuple(known["seed_ids"])
        known["left_out"] = tuple(known.get("left_out", ()))
        completion = Completion(**known)
        self.completions.setdefault(completion.k, completion)
        return None

    def free_reserve(self) -> None:
        """Give back the room that was kept: when the disk is full, for the answers that are paid and under way."""
        self._reserve.unlink(missing_ok=True)

    def close(self) -> None:
        if not self._read_only:  # else it is another process that keeps it
            self.free_reserve()
        super().close()

    def _keep_reserve(self) -> None:
        try:
            with self._reserve.open("wb") as stream:
                os.posix_fallocate(stream.fileno(), 0, RESERVE_BYTES)
        except AttributeError:  # not on this platform: then without
            self.free_reserve()
        except OSError as error:
            self.has_room = error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
            self.free_reserve()


_FIELDS = frozenset(field.name for field in fields(Completion))
_TEXT, _TEXT_OR_NULL = ((str,), "a string"), ((str, type(None)), "a string or null")
_NUMBER = ((int,), "a whole number")
# What a line must hold: the JSON types of each value, and their name.
_WANTED: dict[str, tuple[tuple[type, ...], str]] = {
    "k": _NUMBER,
    "seed_ids": ((list,), "a list"),
    "prompt_sha256": _TEXT,
    "text": _TEXT,
    "finish_reason": _TEXT_OR_NULL,
    "usage": ((dict, type(None)), "an object or null"),
    "model": _TEXT_OR_NULL,
    "request_id": _TEXT_OR_NULL,
    "started": _TEXT,
    "seconds": ((int, float), "a number"),
    "tries": _NUMBER,
    "left_out": ((list,), "a list"),
    "max_tokens": ((int, type(None)), "a whole number or null"),
    "tier": _TEXT_OR_NULL,
    "base_url": _TEXT_OR_NULL,
}
_MAY_MISS = frozenset(["tries", "left_out", "max_tokens", "tier", "base_url"])

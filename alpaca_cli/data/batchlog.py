"""The record of a run's batches: each step of each, appended before or after it is taken, so that none is taken twice.

planned      its input file is written
uploaded     the server has that file
submitting   the batch is about to be created: from here on, the server may have it
submitted    the server has it, under `batch_id`
ended        the server is done with it, one way or another
downloaded   its results are here, or there are none
imported     in place of all these: results that were made elsewhere are here
taken        the results are in the journal
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, fields
from datetime import datetime, timezone
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from alpaca_cli.data.appendfile import AppendFile, problem_of

STEPS = ("planned", "uploaded", "submitting", "submitted", "ended", "downloaded", "imported", "taken")


@dataclass
class Wave:
    """One batch of a run, as far as it has come."""

    wave: int
    """Its number, from 1."""
    step: str
    """The last that was recorded."""
    at: str
    """When that was: UTC, ISO 8601."""
    num_requests: int
    sha256: str
    """Of its input file, or of the file that was imported."""
    most: str = "0"
    """USD that it costs at most."""
    file_id: str | None = None
    base_url: str | None = None
    """Of the server that it was submitted to."""
    batch_id: str | None = None
    status: str | None = None
    """With which it ended, in the server's words."""
    output_file_id: str | None = None
    error_file_id: str | None = None
    num_completed: int = 0
    """Requests that the server says it answered, and below, that failed; 0 where it does not say."""
    num_failed: int = 0
    code: str | None = None
    message: str | None = None
    """Why the server would not begin with it."""
    submitted_at: str | None = None

    @property
    def is_out(self) -> bool:
        """Whether the server has it, or may have it, or its results wait to be taken."""
        return self.step not in ("planned", "uploaded", "taken")

    @property
    def age_s(self) -> float:
        """Seconds since its last step, by this machine's clock."""
        return (datetime.now(timezone.utc) - datetime.fromisoformat(self.at)).total_seconds()


class BatchLog(AppendFile):
    """Append-only file of the steps of batches; see `AppendFile` for what it survives."""

    what = "a step of a batch"
    hint = "the file was damaged; without it a batch might be paid twice: put a good copy back"

    def __init__(self, path: Path) -> None:
        self.waves: list[Wave] = []
        self.run = secrets.token_hex(8)
        """Tells this run's batches from others' at a server."""
        super().__init__(path)

    @property
    def next_number(self) -> int:
        """Of the batch to begin next: that of one which was planned and never submitted, or a new one."""
        return len(self.waves) + (not self.waves or self.waves[-1].step not in ("planned", "uploaded"))

    def begin(self, step: str, *, num_requests: int, sha256: str, most: Decimal = Decimal(0)) -> Wave:
        """Record a new batch, planned or imported; in the place of one that was planned and never submitted.

        Raises UsageError (disk full).
        """
        self._append(self.next_number, step, run=self.run, num_requests=num_requests, sha256=sha256, most=str(most))
        return self.waves[-1]

    def record(self, wave: Wave, step: str, **details: str | int | None) -> None:
        """Record the next step of a batch.  Raises UsageError (disk full)."""
        self._append(wave.wave, step, **{key: value for key, value in details.items() if value is not None})

    def _append(self, number: int, step: str, **details: str | int) -> None:
        row = {"wave": number, "step": step, "at": datetime.now(timezone.utc).isoformat(timespec="milliseconds")}
        row |= details
        self.write(row, doing="record a step of a batch")
        self.sync()  # these are few, and each of them keeps something from being paid twice
        self.take(row)

    def take(self, row: dict[str, Any]) -> str | None:
        if problem := problem_of(row, _WANTED, _MAY_MISS):
            return problem
        number, step = row["wave"], row["step"]
        if step not in STEPS:
            return f"step: expected one of {', '.join(STEPS)}, found {step}"
        try:
            datetime.fromisoformat(row["at"])
            Decimal(row.get("most", "0"))
        except (ValueError, InvalidOperation):
            return "expected a time in at, and an amount in USD in most"
        known = {key: value for key, value in row.items() if key in _FIELDS}
        if step in ("planned", "imported"):
            return self._begin(known, row)
        if not 1 <= number <= len(self.waves):
            return f"wave: {number} was not planned"
        wave = self.waves[number - 1]
        if STEPS.index(step) < STEPS.index(wave.step):
            return f"step: {step} after {wave.step}"
        for key, value in known.items():
            setattr(wave, key, value)
        if step == "submitted":
            wave.submitted_at = wave.at
        return None

    def _begin(self, known: dict[str, Any], row: dict[str, Any]) -> str | None:
        if missing := [key for key in ("run", "num_requests", "sha256") if key not in row]:
            return f"{missing[0]}: missing"
        if known["wave"] != self.next_number:
            return f"wave: expected {self.next_number}, found {known['wave']}"
        del self.waves[self.next_number - 1 :]
        self.run = row["run"]
        self.waves.append(Wave(**known))
        return None


_FIELDS = frozenset(field.name for field in fields(Wave))
_TEXT, _NUMBER = ((str,), "a string"), ((int,), "a whole number")
_WANTED: dict[str, tuple[tuple[type, ...], str]] = {
    "wave": _NUMBER,
    "step": _TEXT,
    "at": _TEXT,
    "run": _TEXT,
    **dict.fromkeys(("num_requests", "num_completed", "num_failed"), _NUMBER),
    **dict.fromkeys(("sha256", "most", "file_id", "base_url", "batch_id", "status", "submitted_at"), _TEXT),
    **dict.fromkeys(("output_file_id", "error_file_id", "code", "message"), _TEXT),
}
_MAY_MISS = frozenset(_WANTED) - {"wave", "step", "at"}

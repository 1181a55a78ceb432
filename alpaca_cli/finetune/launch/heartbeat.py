"""The sign of life of each process: a file in the run folder, touched while it lives, that says how far it is."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from alpaca_cli.errors import UsageError

FOLDER = "heartbeats"
LEFT = ("done", "stopped")
"""Phases after which a process may be gone."""


@dataclass(frozen=True)
class Heartbeat:
    """What a process last said of itself."""

    rank: int
    pid: int
    host: str
    started: float
    """When the process began, as the system says (unix time): tells it from a later one with the same number."""
    step: int | None
    phase: str
    seen: float
    """When it was last known to live, in unix time."""

    @property
    def process(self) -> psutil.Process | None:
        """The process, if it is of this machine and lives."""
        if self.host != socket.gethostname():
            return None
        return living(self.pid, self.started)

    @property
    def is_at_work(self) -> bool:
        """Whether it is known to live, and not to have come to its end."""
        return self.phase not in LEFT and self.process is not None

    @property
    def has_died(self) -> bool:
        """Whether it is known to be gone without having come to its end."""
        return self.phase not in LEFT and self.host == socket.gethostname() and self.process is None


def living(pid: int, started: float) -> psutil.Process | None:
    """The process of that number which began then, if it lives still."""
    with suppress(psutil.Error):
        process = psutil.Process(pid)
        if abs(process.create_time() - started) < 1 and process.status() != psutil.STATUS_ZOMBIE:
            return process
    return None


def heartbeat_of(run: Path, rank: int) -> Path:
    """The file of a rank."""
    return run / FOLDER / f"rank-{rank:05d}"


def write_heartbeat(run: Path, rank: int, *, step: int | None, phase: str) -> None:
    """Leave this process's sign.  Whole or not at all, but not synced: it is written often, and of use only at once."""
    process = psutil.Process()
    told = {
        "pid": process.pid, "host": socket.gethostname(), "started": process.create_time(), "step": step,
        "phase": phase,
    }  # fmt: skip
    path = heartbeat_of(run, rank)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text(json.dumps(told), encoding="utf-8")
    temporary.replace(path)


def touch_heartbeat(run: Path, rank: int) -> None:
    """Say that this process lives, though it has not moved."""
    os.utime(heartbeat_of(run, rank))


def read_heartbeats(run: Path) -> list[Heartbeat]:
    """What every rank last said, in the order of ranks; unreadable files are left out."""
    found = []
    for path in sorted((run / FOLDER).glob("rank-*")):
        with suppress(OSError, ValueError, KeyError, TypeError):
            told = json.loads(path.read_text(encoding="utf-8"))
            found.append(Heartbeat(rank=int(path.name[5:]), seen=path.stat().st_mtime, **told))
    return found


def refuse_company(run: Path, ranks: Collection[int]) -> None:
    """Raises UsageError if a process of this machine is at work as one of these ranks of the run.

    It may be one whose parent was killed, and which makes its last checkpoint.
    """
    if any(beat.rank in ranks and beat.is_at_work for beat in read_heartbeats(run)):
        raise at_work(run)


def at_work(run: Path) -> UsageError:
    """The error of who comes second."""
    hint = "wait for it, or name another folder with --out"
    return UsageError("another command is at work in this run folder", where=str(run), hint=hint)

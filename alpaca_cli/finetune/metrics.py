"""`metrics.jsonl`: what a run tells while it goes on, one JSON object a line, written by its first process.

Each has a `kind`: phase, step, eval, checkpoint or resume.  A run that is taken up again forgets what came after its
checkpoint.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from alpaca_cli.data.files import write_atomically
from alpaca_cli.data.jsonl import dumps

NAME = "metrics.jsonl"
Record = dict[str, Any]


class Metrics:
    """Appends records; `is_writing` is false in all processes but the first, and nothing happens there."""

    def __init__(self, run: Path, *, is_writing: bool, listener: Callable[[Record], None] | None = None) -> None:
        self._path = run / NAME
        self._is_writing = is_writing
        self._listeners = [listener] if listener is not None else []

    def tell(self, listener: Callable[[Record], None]) -> None:
        """Hand each record to one more listener."""
        self._listeners.append(listener)

    def write(self, kind: str, **values: Any) -> None:
        """One record more, on disk when this returns (but not synced: it is no truth, only a view)."""
        if not self._is_writing:
            return
        record: Record = {"kind": kind, **values}
        with self._path.open("ab") as stream:
            stream.write(dumps(record).encode() + b"\n")
        for listener in self._listeners:
            listener(record)

    def phase(self, phase: str) -> None:
        """What the run does now."""
        self.write("phase", phase=phase, time=time.time())

    def cut(self, step: int) -> int:
        """Forget what was written of steps after `step`, and a line that a kill tore; returns how many steps."""
        if not self._is_writing or not self._path.exists():
            return 0
        records = read_metrics(self._path)
        with write_atomically(self._path) as stream:
            for record in records:
                if record.get("step", 0) <= step:
                    stream.write(dumps(record).encode() + b"\n")
        return sum(record["kind"] == "step" and record["step"] > step for record in records)


def read_metrics(path: Path) -> list[Record]:
    """The records of a file; a torn last line is left out, a missing file has none."""
    if not path.exists():
        return []
    lines = path.read_bytes().split(b"\n")[:-1]
    found = []
    for line in lines:
        try:
            found.append(json.loads(line))
        except ValueError:
            continue
    return found

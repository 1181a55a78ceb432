"""A run's `metrics.jsonl`, read while another process writes it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

Record = dict[str, Any]


class Follower:
    """Reads what is appended to a file of JSON lines; `from_end`: only what comes from now on."""

    def __init__(self, path: Path, *, from_end: bool = False) -> None:
        self._path = path
        self._offset = self._size() if from_end else 0

    def new(self) -> Iterator[Record]:
        """The records since the last call.  A line that is still being written waits; one that is none is left out."""
        if self._size() < self._offset:  # cut by a run that goes on from a checkpoint
            self._offset = self._size()
        try:
            with self._path.open("rb") as stream:
                stream.seek(self._offset)
                lines = stream.read().splitlines(keepends=True)
        except OSError:
            return
        for line in lines:
            if not line.endswith(b"\n"):
                return
            self._offset += len(line)
            with suppress(ValueError):
                record = json.loads(line)
                if isinstance(record, dict):
                    yield record

    def _size(self) -> int:
        try:
            return self._path.stat().st_size
        except OSError:
            return 0

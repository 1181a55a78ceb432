"""A run's `metrics.jsonl`, read while another process writes it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from alpaca_cli.finetune.metrics import Record


class Follower:
    """Reads what is appended to a file of JSON lines, from now on.

    The file may be replaced by a part of itself: a run that is taken up again forgets what came after its checkpoint.
    Nothing is told twice then.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = self._offset = 0
        self._told: set[int] = set()  # hashes of lines
        for _ in self._lines():
            pass

    def new(self) -> Iterator[Record]:
        """The records since the last call.  A line that is still being written waits; one that is none is left out."""
        for line in self._lines():
            with suppress(ValueError):
                record = json.loads(line)
                if isinstance(record, dict):
                    yield record

    def _lines(self) -> Iterator[bytes]:
        try:
            with self._path.open("rb") as stream:
                status = os.fstat(stream.fileno())
                if status.st_ino != self._file or status.st_size < self._offset:
                    self._file, self._offset = status.st_ino, 0
                stream.seek(self._offset)
                lines = stream.read().split(b"\n")[:-1]
        except OSError:
            return
        for line in lines:
            self._offset += len(line) + 1
            if hash(line) not in self._told:
                self._told.add(hash(line))
                yield line

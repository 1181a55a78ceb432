"""The batches of a run in its folder: their record, and what was sent and came back, as it was."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from itertools import chain
from pathlib import Path
from typing import Any, Literal

from alpaca_cli.data.batchlog import BatchLog, Wave
from alpaca_cli.data.files import reason
from alpaca_cli.errors import DataError, IntegrityError
from alpaca_cli.generate.batch.file import Row, asked, results
from alpaca_cli.generate.batch.harvest import Cost, Gathered, Harvest
from alpaca_cli.generate.runfolder import BATCHES

FOLDER = "batches"

Part = Literal["input", "output", "errors"]


class BatchFolder:
    """The batches of the run in the folder `path`; use it inside `with`.  The caller holds the run's lock."""

    def __init__(self, path: Path) -> None:
        self._files = path / FOLDER
        for leftover in self._files.glob(".*.tmp"):  # of a killed process
            leftover.unlink(missing_ok=True)
        self.log = BatchLog(path / BATCHES)

    def __enter__(self) -> BatchFolder:
        return self

    def __exit__(self, *details: object) -> None:
        self.log.close()

    @property
    def out(self) -> Wave | None:
        """The batch that is at a server, or may be, or whose results wait to be taken."""
        last = self.log.waves[-1] if self.log.waves else None
        return last if last is not None and last.is_out else None

    def path(self, number: int, part: Part) -> Path:
        """Where a part of batch `number` is."""
        return self._files / f"{number:03}.{part}.jsonl"

    def fold(self, harvest: Harvest) -> None:
        """Let a harvest learn from every batch that was taken before."""
        for wave in self.log.waves:
            if wave.step == "taken":
                self.take(wave, harvest)

    def take(self, wave: Wave, harvest: Harvest, cost: Cost = lambda *_: Decimal(0)) -> Gathered:
        """Take the results of a batch, a second time without any effect.  Raises IntegrityError if they are gone."""
        parts: list[Part] = ["output"] if wave.output_file_id or wave.status is None else []
        parts += ["errors"] if wave.error_file_id else []
        paths = [self.path(wave.wave, part) for part in parts]
        rows: Iterator[Row | DataError] = chain.from_iterable(results(_lines(path), path) for path in paths)
        started = wave.submitted_at or wave.at
        if wave.status is None:
            return harvest.take(rows, started=started, cost=cost)
        is_whole = wave.status == "completed"
        return harvest.take(rows, started=started, sent=self._sent(wave), is_whole=is_whole, cost=cost)

    def _sent(self, wave: Wave) -> dict[str, dict[str, Any]]:
        path = self.path(wave.wave, "input")
        return asked(_lines(path), path)


def _lines(path: Path) -> Iterator[bytes]:
    try:
        with path.open("rb") as stream:
            yield from stream
    except OSError as error:
        message = f"cannot read what a batch sent or got: {reason(error)}"
        raise IntegrityError(message, where=str(path), hint="put the file back") from error

"""A dataset of any number of files and rows, read a batch of rows at a time, and as often as wanted."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO, TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from alpaca_cli.data.example import Example
from alpaca_cli.data.files import open_bytes, reason
from alpaca_cli.errors import DataError, IntegrityError, UsageError
from alpaca_cli.format.container import BATCH_ROWS, container_of
from alpaca_cli.format.read import MOST_PROBLEMS, Tally, find_form, format_name, notes, nothing_left, with_way_out
from alpaca_cli.format.shards import find_shards

if TYPE_CHECKING:
    from alpaca_cli.format.template import Template


class Shard:
    """One file of a dataset.  It must not change as long as it is read: each pass makes sure of it.

    What can be read only once, such as a pipe, is copied to a temporary file, which goes when the shard does.
    Raises UsageError if the file cannot be read, DataError if it is no dataset.
    """

    def __init__(self, path: Path, *, template: Template | None = None) -> None:
        self.path = path
        self._file = path
        with open_bytes(path, what="dataset") as stream:
            if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
                self._file = _copied(stream, path)
                weakref.finalize(self, self._file.unlink, missing_ok=True)
        self._stamp = _stamp(self._file)
        self.container = container_of(self.open, path)
        self.form = find_form(self.container, template)
        """None if there is no row."""
        self.rows = 0
        """Bad ones included; known after a pass over the dataset."""

    @property
    def num_bytes(self) -> int:
        """Of the file, or of what came through the pipe."""
        return self._file.stat().st_size

    def open(self) -> IO[bytes]:
        """The file from its beginning.  Raises IntegrityError if it has changed since it was first opened."""
        self.check()
        return open_bytes(self._file, what="dataset")

    def check(self) -> None:
        """Raises IntegrityError if the file has changed since it was first opened."""
        if _stamp(self._file) != self._stamp:
            hint = "run the same command again when nothing writes to it"
            raise IntegrityError("this file changed while it was read", where=str(self.path), hint=hint)


@dataclass(frozen=True)
class Batch:
    """Some rows of a shard, one after the other but for bad ones."""

    shard: int
    """The number of the shard, from 0."""
    examples: list[Example]
    numbers: npt.NDArray[np.int64]
    """Which row of the shard each is, counted from 0 over all rows, bad ones included."""
    spots: npt.NDArray[np.int64]
    """Where each stands, as `ShardedDataset.place` takes it."""


class ShardedDataset:
    """The rows of a file, of the shards in a folder, or of those that a glob matches, one shard after the other.

    The shards may be of different formats; each is known as `read_dataset` would know it when the dataset is made,
    before any work.  What is found in the rows is known when `batches` has ended.
    Raises UsageError if there is no such file; DataError if one of the files is no dataset, or none has a row.
    """

    def __init__(self, source: str | Path, *, template: Template | None = None, skip_bad: bool = False) -> None:
        self.source = Path(source)
        self.skip_bad = skip_bad
        self.shards = [Shard(path, template=template) for path in find_shards(source)]
        if not any(shard.form for shard in self.shards):
            what = "this file" if len(self.shards) == 1 else f"these {len(self.shards):,} files"
            where, hint = str(self.source), "a dataset holds at least one example"
            raise DataError(f"no rows in {what}", where=where, hint=hint)
        self.tally = Tally(MOST_PROBLEMS)
        """What the last pass has found, as far as it came."""

    def batches(self) -> Iterator[Batch]:
        """The examples in order, at most BATCH_ROWS at a time.  Cost: about 6 us a row, and one batch in memory.

        After a bad row, unless they are skipped, nothing more is given: the others are looked through, and all that is
        bad is told at once.  Raises DataError for that, or if nothing is left; IntegrityError if a shard changes.
        """
        tally = self.tally = Tally(MOST_PROBLEMS)
        for number, shard in enumerate(self.shards):
            before = tally.rows
            examples = tally.examples(shard.container, shard.form) if shard.form else iter(())
            while rows := list(islice(examples, BATCH_ROWS)):
                if self.skip_bad or not tally.skipped:
                    numbers, spots, found = zip(*rows, strict=True)
                    yield Batch(number, list(found), np.array(numbers, np.int64), np.array(spots, np.int64))
            shard.rows = tally.rows - before
        if tally.skipped and not self.skip_bad:
            raise DataError.of(with_way_out(tally.told()))
        if tally.skipped == tally.rows:
            raise nothing_left(tally, self.source)

    @property
    def is_one_file(self) -> bool:
        """Whether the source is a file, not a folder or glob that may be of one."""
        return [shard.path for shard in self.shards] == [self.source]

    def place(self, shard: int, spot: int) -> str:
        """Where a row stands, for messages: `path:line`, or `path[index]` counted from 0."""
        return self.shards[shard].container.place(spot)

    @property
    def format(self) -> str:
        """The format of all shards, or the names of several."""
        names = {format_name(shard.container, shard.form) for shard in self.shards if shard.form}
        return ", ".join(sorted(names))

    @property
    def notes(self) -> tuple[str, ...]:
        """What the user should know of the rows that were read, a sentence each."""
        return notes([(shard.container, shard.form) for shard in self.shards if shard.form], self.tally)


def _stamp(path: Path) -> tuple[int, int] | None:
    """What changes when a file does; None if it is gone."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns


def _copied(stream: IO[bytes], path: Path) -> Path:
    descriptor, name = tempfile.mkstemp(prefix="alpaca-")
    copy = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            shutil.copyfileobj(stream, file)
    except BaseException as error:
        copy.unlink()
        if not isinstance(error, OSError):
            raise
        message = f"cannot copy it to read it twice: {reason(error)}"
        raise UsageError(message, where=str(path), hint="make it a file on a disk with room, and name that") from error
    return copy

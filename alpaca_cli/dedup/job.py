"""What an engine is given, and what it finds: the rows to compare, and which of them are kept."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from alpaca_cli.dedup.rouge import TokenizerName
from alpaca_cli.format.field import field_text
from alpaca_cli.format.sharded import ShardedDataset

Mask = npt.NDArray[np.bool_]
OnProgress = Callable[[str, int, int], None]
"""Hears what is being done, of how many rows it is done, and of how many it will be; 0 if that is not known."""
Repeats = Iterable[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.float64]]]
"""Dropped rows, what each repeats, and F, some at a time, in order.  Rows are numbered through all sources."""


@dataclass
class Source:
    """A dataset, and what is seen of its rows when they are read."""

    dataset: ShardedDataset
    field: str
    rows: list[int] = dataclasses.field(default_factory=list)
    """Good ones of each shard."""
    bad: list[list[int]] = dataclasses.field(default_factory=list)
    """Of each shard the numbers of its bad rows, those behind the last good one left out."""

    def texts(self) -> Iterator[list[str]]:
        """The texts that are compared, a batch at a time."""
        self.rows, self.bad = [0] * len(self.dataset.shards), [[] for _ in self.dataset.shards]
        for batch in self.dataset.batches():
            expected = self.rows[batch.shard] + len(self.bad[batch.shard])
            if int(batch.numbers[-1]) >= expected + len(batch.numbers):
                good = set(batch.numbers.tolist())
                self.bad[batch.shard] += [number for number in range(expected, max(good)) if number not in good]
            self.rows[batch.shard] += len(batch.numbers)
            yield [field_text(example, self.field) for example in batch.examples]

    def masks(self, kept: Mask) -> list[Mask]:
        """For each shard whether each of its rows is kept, bad ones included, given which of the good ones are."""
        masks, begin = [], 0
        for shard, rows, bad in zip(self.dataset.shards, self.rows, self.bad, strict=True):
            is_good = np.ones(shard.rows, dtype=np.bool_)
            is_good[bad], is_good[rows + len(bad) :] = False, False
            mask = np.zeros(shard.rows, dtype=np.bool_)
            mask[is_good] = kept[begin : begin + rows]
            masks.append(mask)
            begin += rows
        return masks

    @property
    def paths(self) -> list[Path]:
        """Of its shards."""
        return [shard.path for shard in self.dataset.shards]


@dataclass(frozen=True)
class Job:
    """Which rows of `data` repeat no row kept before them; all rows of `against` are kept already."""

    data: Source
    against: Sequence[Source]
    threshold: float
    tokenizer: TokenizerName
    skip_bad: bool
    report: bool
    """Whether it is wanted which rows the dropped ones repeat."""
    workers: int
    on_progress: OnProgress

    @property
    def sources(self) -> list[Source]:
        """In order of their rows."""
        return [*self.against, self.data]


@dataclass(frozen=True)
class Found:
    """What became of the rows."""

    kept: Mask
    """Of each row of the data."""
    dropped_for_against: int
    """Of the dropped, how many repeat a row of `against`."""
    wordless: int
    """Rows of the data without a word."""
    num_counted: int | None
    """Pairs whose longest common subsequence was counted; None if unknown, as of a run that goes on after a stop."""
    repeats: Repeats
    """Empty if the job wants no report."""


Engine = Callable[[Job], AbstractContextManager[Found]]
"""Finds; what it needed on the way may go when the result is written."""

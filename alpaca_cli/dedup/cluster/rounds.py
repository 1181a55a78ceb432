"""The greedy choice in file order, by stages that many machines share: what is done in which order.

First every row becomes codes of its words.  Then, in rounds, each undecided row asks for the earliest rows that are
near to it, and `settle` decides as far as the answers go.  A row is told at most LIMIT of its near rows a cell: so
memory stays in proportion to the rows, whatever they are.  Only a row whose LIMIT earliest were all dropped has to ask
again, and dropped rows answer no more.  The earliest row still open can be near none but kept ones: every round
decides at least that one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from alpaca_cli.dedup.cluster import stages
from alpaca_cli.dedup.cluster.grid import Grid
from alpaca_cli.dedup.cluster.records import flat
from alpaca_cli.dedup.cluster.settle import DROPPED, KEPT, OPEN, Numbers, Status, settle
from alpaca_cli.dedup.encode import RANK_BITS, bucket_ranks
from alpaca_cli.dedup.rouge import TokenizerName

LIMIT = 4  # near rows that one is told in a cell: twice as many save few rounds, and take twice the memory to settle
CELL_ROWS = 1 << 19  # that a task holds at once: about 1 KB each
_CELLS_A_CORE = 4  # so that no core waits long for the last
_PARTS_A_ROW = 8  # at the least as many parts as rows x this / CELL_ROWS; of 11 words, 6 are in the prefix at 0.7

Read = Callable[[str], Iterator[list[str]]]
"""The texts of a shard, some at a time; it goes to other machines, so it must pickle."""

Data = TypeVar("Data")


class Flow(Protocol[Data]):
    """What moves tables: a loop in one process, or a cluster.  Records of a `Data` are in any order."""

    cores: int

    def read(self, shards: Sequence[str], stage: Callable[[int, str], Iterator[pa.Table]]) -> Data:
        """The tables of all shards, given number and name of each, kept for as long as the result is."""

    def map(self, data: Data, columns: Sequence[str], stage: Callable[[pa.Table], pa.Table]) -> Data:
        """Each table, of these columns only, through a stage; lazily."""

    def group(self, data: Data, key: str, count: int, stage: Callable[[pa.Table], pa.Table]) -> Data:
        """Through a stage, tables that each hold all records of some values of `key`, which are 0 to before `count`."""

    def tables(self, data: Data, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
        """All tables, here."""

    def lend(self, array: npt.NDArray[Any]) -> stages.Shared:
        """An array that stages can get."""


@dataclass(frozen=True)
class Outcome:
    """Which rows are kept, and what the others repeat.  Rows are numbered over all shards, those of `against` first."""

    starts: Numbers
    """The number of the first row of each shard, and of all rows."""
    status: Status
    nearest: Numbers | None
    """Of each dropped row the most similar kept earlier one, the first of equals; -1 else.  None if not asked for."""
    scores: npt.NDArray[np.float64] | None
    """F with it; 0.0 else."""
    dropped_for_against: int
    """Of the dropped rows, how many are near one of `against`."""
    wordless: int
    """Rows without a word, those of `against` left out."""
    rounds: int
    """How often rows had to ask."""


@dataclass
class Rounds(Generic[Data]):
    """A run over shards.  `threshold` is an F over 0, up to 1; `on_stage` hears what begins."""

    flow: Flow[Data]
    threshold: float
    tokenizer: TokenizerName = "rouge"
    limit: int = LIMIT
    cell_rows: int = CELL_ROWS
    on_stage: Callable[[str], None] = lambda _: None

    def run(self, against: Sequence[str], shards: Sequence[str], read: Read, *, report: bool) -> Outcome:
        """Decide every row of `shards`; the rows of `against` are kept already."""
        data, ranks = self._encoded([*against, *shards], read)
        starts, wordless = self._counts(data, len(against) + len(shards))
        status = np.full(starts[-1], OPEN, dtype=np.uint8)
        status[: starts[len(against)]] = KEPT
        search = _Search(self, data, starts, self.flow.lend(ranks))
        rounds = num_for_against = 0
        while (status == OPEN).any():
            rounds += 1
            self.on_stage(f"round {rounds}: {int((status == OPEN).sum()):,} rows undecided")
            rows, others, unsure = search.near(status)
            if rounds == 1:  # the near rows of the lowest numbers are told, and those of `against` are lowest
                num_for_against = len(np.unique(rows[others < starts[len(against)]]))
            status = settle(status, rows, others, unsure)
        nearest, scores = search.nearest(status) if report else (None, None)
        return Outcome(starts, status, nearest, scores, num_for_against, int(wordless[len(against) :].sum()), rounds)

    def _encoded(self, shards: Sequence[str], read: Read) -> tuple[Data, npt.NDArray[np.uint64]]:
        """The rows as hashes, and by them the order in which words are looked for.

        Begins again with another salt if two of the words have the same hash: among 10 million different ones, with a
        chance of 1 in 400,000.
        """
        parts = 1 << min(RANK_BITS, (_CELLS_A_CORE * self.flow.cores - 1).bit_length())
        salt = 0
        while True:
            self.on_stage("reading")
            data = self.flow.read(shards, partial(_tokenise, read=read, tokenizer=self.tokenizer, salt=salt))
            self.on_stage("counting words")
            words = self.flow.map(data, ["hashes", "counts", "spellings"], partial(stages.spread_words, parts=parts))
            merged = self.flow.group(words, "part", parts, partial(stages.merge_words, parts=parts))
            counts = np.zeros((parts, (1 << RANK_BITS) // parts), dtype=np.int64)
            clashes = 0
            for table in self.flow.tables(merged):
                if table.num_rows:
                    counts[flat(table, "part")] = flat(table, "counts").reshape(table.num_rows, -1)
                    clashes += int(flat(table, "clashes").sum())
            if not clashes:
                return data, bucket_ranks(counts.ravel())
            salt += 1

    def _counts(self, data: Data, num_shards: int) -> tuple[Numbers, Numbers]:
        """The number of the first row of each shard, with the end, and how many rows of each have no word."""
        rows, wordless = np.zeros(num_shards, dtype=np.int64), np.zeros(num_shards, dtype=np.int64)
        for table in self.flow.tables(data, ["shard", "rows", "wordless"]):
            if table.num_rows:
                np.add.at(rows, flat(table, "shard"), flat(table, "rows"))
                np.add.at(wordless, flat(table, "shard"), flat(table, "wordless"))
        return np.concatenate([[0], np.cumsum(rows)]), wordless


@dataclass
class _Search(Generic[Data]):
    """Searches among the rows of a run."""

    run: Rounds[Data]
    data: Data
    starts: Numbers
    ranks: stages.Shared

    def near(self, status: Status) -> tuple[Numbers, Numbers, Numbers]:
        """For `settle`: rows, for each an earlier one near to it, and the rows that may have more such."""
        run = self.run
        found: dict[str, list[Numbers]] = {"rows": [], "others": [], "unsure": []}
        stage = partial(stages.find_near, threshold=run.threshold, limit=run.limit)
        for table in self._found(status, stages.undecided, stage):
            for name, values in found.items():
                values.append(flat(table, name).copy())  # or it would hold on to the whole table
        empty = np.zeros(0, dtype=np.int64)
        rows, others, unsure = (np.concatenate([empty, *found.pop(name)]) for name in list(found))
        return rows, others, unsure

    def nearest(self, status: Status) -> tuple[Numbers, npt.NDArray[np.float64]]:
        """Of each dropped row the most similar kept earlier one, and F."""
        self.run.on_stage(f"report: {int((status == DROPPED).sum()):,} rows dropped")
        nearest, best = np.full(len(status), -1, dtype=np.int64), np.zeros(len(status))
        for table in self._found(status, stages.repeats, partial(stages.find_nearest, threshold=self.run.threshold)):
            rows, others, scores = (flat(table, name) for name in ("rows", "others", "scores"))
            for begin, end in _distinct_runs(table):  # a row may stand in several cells, but once in each
                own = slice(begin, end)
                row, other, score = rows[own], others[own], scores[own]
                better = (score > best[row]) | ((score == best[row]) & (other < nearest[row]))
                nearest[row[better]], best[row[better]] = other[better], score[better]
        return nearest, best

    def _found(self, status: Status, roles: stages.Roles, stage: Callable[..., pa.Table]) -> Iterator[pa.Table]:
        """The answers of all cells, where rows have these roles."""
        run, flow = self.run, self.run.flow
        parts = max(_CELLS_A_CORE * flow.cores, -(-len(status) * _PARTS_A_ROW // run.cell_rows))
        known: dict[str, Any] = {
            "starts": self.starts,
            "ranks": self.ranks,
            "status": flow.lend(status),
            "roles": roles,
            "threshold": run.threshold,
        }
        columns = ["shard", "first", "rows", "lengths", "words"]
        standing, asking = np.zeros(parts, dtype=np.int64), np.zeros(parts, dtype=np.int64)
        for table in flow.tables(flow.map(self.data, columns, partial(stages.tally, **known, parts=parts))):
            standing += flat(table, "standing").reshape(-1, parts).sum(axis=0)
            asking += flat(table, "asking").reshape(-1, parts).sum(axis=0)
        grid = Grid.over(standing, asking, len(status), run.cell_rows)
        if grid.cells:
            spread = flow.map(self.data, columns, partial(stages.spread_rows, **known, grid=grid))
            yield from filter(len, flow.tables(flow.group(spread, "cell", grid.cells, partial(stage, grid=grid))))


def _tokenise(shard: int, name: str, *, read: Read, tokenizer: TokenizerName, salt: int) -> Iterator[pa.Table]:
    return stages.tokenise(shard, read(name), tokenizer, salt)


def _distinct_runs(table: pa.Table) -> Iterator[tuple[int, int]]:
    """Where the list of each record begins and ends among those of all."""
    ends = np.cumsum([0, *table["rows"].combine_chunks().value_lengths().to_pylist()]).tolist()
    yield from pairwise(ends)

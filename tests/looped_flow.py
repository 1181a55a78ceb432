"""A `rounds.Flow` of one process: tables in a list, stages in a loop, and nothing kept in order that need not be."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from alpaca_cli.dedup.cluster.stages import Shared

Tables = list[pa.Table]


class LoopedFlow:
    """Tables come back from each step shuffled, cut and joined as `seed` says."""

    def __init__(self, seed: int = 0, cores: int = 1) -> None:
        self.cores = cores
        self._random = random.Random(seed)

    def read(self, shards: Sequence[str], stage: Callable[[int, str], Iterator[pa.Table]]) -> Tables:
        return self._strewn([table for number, name in enumerate(shards) for table in stage(number, name)])

    def map(self, data: Tables, columns: Sequence[str], stage: Callable[[pa.Table], pa.Table]) -> Tables:
        return self._strewn([stage(table.select(columns)) for table in data])

    def group(self, data: Tables, key: str, count: int, stage: Callable[[pa.Table], pa.Table]) -> Tables:
        whole = pa.concat_tables(data)
        assert whole.num_rows == 0 or 0 <= pc.min(whole[key]).as_py() <= pc.max(whole[key]).as_py() < count
        holder = pa.array([self._random.randrange(3) for _ in range(count)], pa.int64())
        at = holder.take(whole[key].combine_chunks())
        return self._strewn([stage(whole.filter(pc.equal(at, number))) for number in range(3)])

    def tables(self, data: Tables, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
        return iter([table if columns is None else table.select(columns) for table in data])

    def lend(self, array: npt.NDArray[Any]) -> Shared:
        array.flags.writeable = False
        return lambda: array

    def _strewn(self, tables: Tables) -> Tables:
        records = [table.slice(row, 1) for table in tables for row in range(table.num_rows)] or tables[:1]
        self._random.shuffle(records)
        cut = self._random.randrange(len(records) + 1)
        return [pa.concat_tables(some) for some in (records[:cut], records[cut:]) if some]

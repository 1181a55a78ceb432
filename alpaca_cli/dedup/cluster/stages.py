"""The steps of a search for near rows that many machines share: tables in, tables out, nothing else.

A table's record is no single row but many: the rows of a batch of texts, or those of a batch that stand in one cell.
So an engine that moves, sorts and groups records has a thousand times fewer of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from alpaca_cli.dedup.cluster.grid import ASKS, FOUND, Grid
from alpaca_cli.dedup.cluster.records import by, flat, flat_arrow, lists, runs, stacked
from alpaca_cli.dedup.cluster.settle import DROPPED, KEPT, OPEN, Numbers, Status
from alpaca_cli.dedup.encode import RANK_BITS, Encoder, bucket_counts, hash_words, hashed
from alpaca_cli.dedup.index import Index, parts_of
from alpaca_cli.dedup.rouge import TokenizerName
from alpaca_cli.dedup.rows import Rows

BATCH_ROWS = 1 << 16  # texts of a record: more share more words, and one word of a record is told only once

Shared = Callable[[], npt.NDArray[Any]]
"""An array that all workers are lent, by the call that gets it."""

Roles = Callable[[Status], npt.NDArray[np.uint8]]
"""What rows do in a search (see `grid`), by how they stand."""


def undecided(status: Status) -> npt.NDArray[np.uint8]:
    """Open rows ask for earlier ones that are not dropped."""
    return np.where(status == OPEN, FOUND | ASKS, np.where(status == KEPT, FOUND, 0)).astype(np.uint8)


def repeats(status: Status) -> npt.NDArray[np.uint8]:
    """Dropped rows ask for earlier ones that are kept."""
    return np.where(status == KEPT, FOUND, np.where(status == DROPPED, ASKS, 0)).astype(np.uint8)


def tokenise(shard: int, texts: Iterable[list[str]], tokenizer: TokenizerName, salt: int) -> Iterator[pa.Table]:
    """The texts of a shard, as records of rows of salted hashes of words, and of how often which words came.

    `lengths` are the words of each row, `words` their hashes; `hashes`, `counts`, `spellings` are of distinct words.
    """
    first = 0
    for batch in _regrouped(texts):
        encoder = Encoder(tokenizer)
        numbered = encoder.number(batch)
        distinct = encoder.vocabulary.words()
        hashes = hash_words(distinct, salt)
        rows = numbered.coded(hashes)
        spellings = pa.LargeBinaryArray.from_buffers(
            pa.large_binary(), len(hashes), [None, pa.py_buffer(distinct.starts), pa.py_buffer(distinct.raw)]
        )
        yield pa.table(
            {
                "shard": pa.array([shard], pa.int64()),
                "first": pa.array([first], pa.int64()),
                "rows": pa.array([len(batch)], pa.int64()),
                "wordless": pa.array([int((rows.lengths == 0).sum())], pa.int64()),
                "lengths": lists(rows.lengths),
                "words": lists(rows.codes),
                "hashes": lists(hashes),
                "counts": lists(encoder.vocabulary.counts()),
                "spellings": lists(spellings),
            }
        )
        first += len(batch)


def spread_words(table: pa.Table, *, parts: int) -> pa.Table:
    """The distinct words of each record by part of the range of hashes; `parts` is a power of 2 up to 2^RANK_BITS."""
    hashes = flat(table, "hashes")
    part = (
        (hashes >> np.uint64(64 - parts.bit_length() + 1)).astype(np.int64)
        if parts > 1
        else np.zeros(len(hashes), dtype=np.int64)
    )
    order = np.argsort(part, kind="stable")
    ends, keys = runs(part[order])
    return pa.table(
        {
            "part": pa.array(keys, pa.int64()),
            "hashes": lists(hashes[order], ends),
            "counts": lists(flat(table, "counts")[order], ends),
            "spellings": lists(flat_arrow(table, "spellings").take(pa.array(order)), ends),
        }
    )


def merge_words(table: pa.Table, *, parts: int) -> pa.Table:
    """Of each part how often the words of each of its buckets came, and how many words have another's hash."""
    parts_found, clashes, counts = list[int](), list[int](), list[Numbers]()
    for part, own in by(table, "part"):
        hashes, spellings = flat(own, "hashes"), flat_arrow(own, "spellings")
        order = np.argsort(hashes, kind="stable")
        in_order = spellings.take(pa.array(order))
        same = hashes[order[1:]] == hashes[order[:-1]]
        differ = pc.not_equal(in_order[1:], in_order[:-1]).to_numpy(zero_copy_only=False)
        parts_found.append(part)
        clashes.append(int((same & differ).sum()))
        width = (1 << RANK_BITS) // parts
        counts.append(bucket_counts(hashes, flat(own, "counts"))[part * width : (part + 1) * width])
    return pa.table(
        {
            "part": pa.array(parts_found, pa.int64()),
            "clashes": pa.array(clashes, pa.int64()),
            "counts": stacked(counts, np.int64),
        }
    )


def tally(
    table: pa.Table, *, starts: Numbers, ranks: Shared, status: Shared, roles: Roles, threshold: float, parts: int
) -> pa.Table:
    """How many rows stand, and how many ask, in each part: one record."""
    numbers, rows = _coded(table, starts, ranks)
    does = roles(status()[numbers])
    places, part = parts_of(rows, threshold, parts)
    standing = np.bincount(part[does[places] > 0], minlength=parts)
    asking = np.bincount(part[does[places] & ASKS > 0], minlength=parts)
    return pa.table({"standing": lists(standing), "asking": lists(asking)})


def spread_rows(
    table: pa.Table, *, starts: Numbers, ranks: Shared, status: Shared, roles: Roles, threshold: float, grid: Grid
) -> pa.Table:
    """The rows that stand in each cell."""
    numbers, rows = _coded(table, starts, ranks)
    does = roles(status()[numbers])
    places, part = parts_of(rows, threshold, len(grid.slices))
    pairs, cells, does = grid.places(numbers[places], part, does[places])
    order = np.argsort(cells, kind="stable")
    chosen = places[pairs[order]]
    taken = rows.take(chosen)
    ends, keys = runs(cells[order])
    return pa.table(
        {
            "cell": pa.array(keys, pa.int64()),
            "numbers": lists(numbers[chosen], ends),
            "does": lists(does[order], ends),
            "lengths": lists(taken.lengths, ends),
            "words": lists(taken.codes, taken.starts[ends]),
        }
    )


def find_near(table: pa.Table, *, threshold: float, grid: Grid, limit: int) -> pa.Table:
    """Of each row that asks in a cell up to `limit` near earlier ones, the earliest: a record for each cell.

    `unsure` are the rows of which `limit` were found: they may have more.
    """
    rows, others, unsure = list[Numbers](), list[Numbers](), list[Numbers]()
    for cell in _cells(table, threshold, grid):
        begins, places = cell.index.near(cell.asking, limit=limit, before=cell.before)
        counts = np.diff(begins)
        rows.append(np.repeat(cell.asking_numbers, counts))
        others.append(cell.numbers[places])
        unsure.append(cell.asking_numbers[counts == limit])
    found = {"rows": rows, "others": others, "unsure": unsure}
    return pa.table({name: stacked(values, np.int64) for name, values in found.items()})


def find_nearest(table: pa.Table, *, threshold: float, grid: Grid) -> pa.Table:
    """Of each row that asks in a cell the most similar earlier one, the first of equals, if any is near."""
    rows, others, similar = list[Numbers](), list[Numbers](), list[npt.NDArray[np.float64]]()
    for cell in _cells(table, threshold, grid):
        places, scores = cell.index.nearest(cell.asking, before=cell.before)
        (hits,) = np.nonzero(places >= 0)
        rows.append(cell.asking_numbers[hits])
        others.append(cell.numbers[places[hits]])
        similar.append(scores[hits])
    return pa.table(
        {
            "rows": stacked(rows, np.int64),
            "others": stacked(others, np.int64),
            "scores": stacked(similar, np.float64),
        }
    )


@dataclass(frozen=True)
class _Cell:
    """The rows of a cell that may be found, in order of number, and those that ask."""

    index: Index
    numbers: Numbers
    asking: Rows
    asking_numbers: Numbers
    before: Numbers
    """Of each row that asks, how many of the index are earlier."""


def _cells(table: pa.Table, threshold: float, grid: Grid) -> Iterator[_Cell]:
    for number, own in by(table, "cell"):
        numbers, does = flat(own, "numbers"), flat(own, "does")
        rows = _rows(own)
        order = np.argsort(numbers, kind="stable")
        finds, asks = order[does[order] & FOUND > 0], order[does[order] & ASKS > 0]
        index = Index(threshold, part=grid.part_of(number), parts=len(grid.slices))
        index.add(rows.take(finds))
        before = np.searchsorted(numbers[finds], numbers[asks])
        yield _Cell(index, numbers[finds], rows.take(asks), numbers[asks], before)


def _coded(table: pa.Table, starts: Numbers, ranks: Shared) -> tuple[Numbers, Rows]:
    """The numbers of all rows in records of `tokenise`, and the rows as codes."""
    counts = flat(table, "rows")
    firsts = starts[flat(table, "shard")] + flat(table, "first")
    numbers = np.arange(counts.sum()) + np.repeat(firsts - (np.cumsum(counts) - counts), counts)
    rows = _rows(table)
    return numbers, Rows(hashed(rows.codes, ranks()), rows.starts)


def _rows(table: pa.Table) -> Rows:
    return Rows(flat(table, "words"), np.concatenate([[0], np.cumsum(flat(table, "lengths"))]))


def _regrouped(texts: Iterable[list[str]]) -> Iterator[list[str]]:
    """The same in batches of BATCH_ROWS or a little more; at the least one, so that no shard is without a record."""
    batch, num_batches = list[str](), 0
    for some in texts:
        batch += some
        if len(batch) >= BATCH_ROWS:
            yield batch
            batch, num_batches = [], num_batches + 1
    if batch or not num_batches:
        yield batch

"""Tables whose records hold lists: many numbers or words a record, in and out of numpy without a Python object each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Array = npt.NDArray[Any]


def lists(values: Array | pa.Array, begins: npt.NDArray[np.int64] | None = None) -> pa.Array:
    """A column of lists of `values`: `begins` says where each begins, and the end of the last; without it, one list."""
    if begins is None:
        begins = np.array([0, len(values)], dtype=np.int64)
    return pa.LargeListArray.from_arrays(pa.array(begins, pa.int64()), pa.array(values))


def stacked(values: Sequence[Array], dtype: npt.DTypeLike) -> pa.Array:
    """A column of these lists."""
    ends = np.cumsum([0, *(len(each) for each in values)], dtype=np.int64)
    return lists(np.concatenate([np.zeros(0, dtype), *values]), ends)


def flat(table: pa.Table, name: str) -> Array:
    """What all lists of a column hold, one after the other; or the column itself, if it holds none."""
    values: Array = flat_arrow(table, name).to_numpy(zero_copy_only=False)
    return values


def flat_arrow(table: pa.Table, name: str) -> pa.Array:
    """The same as an Arrow array."""
    column = table[name].combine_chunks()
    return column.flatten() if pa.types.is_large_list(column.type) else column


def runs(keys: Array) -> tuple[npt.NDArray[np.int64], Array]:
    """Where each run of equal keys begins, with the end, and the key of each."""
    begins = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]])[: len(keys)])
    return np.append(begins, len(keys)), keys[begins]


def by(table: pa.Table, name: str) -> Iterator[tuple[int, pa.Table]]:
    """The records of each value of an integer column."""
    if not table.num_rows:  # may have no columns either
        return
    in_order = table.take(pa.array(np.argsort(flat(table, name), kind="stable")))
    begins, keys = runs(flat(in_order, name))
    for number, key in enumerate(keys.tolist()):
        yield key, in_order.slice(begins[number], begins[number + 1] - begins[number])

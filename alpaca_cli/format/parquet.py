"""Parquet: the columns instruction, input and output, as `datasets.load_dataset("parquet", ...)` opens them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from alpaca_cli.data.example import Example
from alpaca_cli.errors import DataError
from alpaca_cli.format.row import shown

MAGIC = b"PAR1"
COLUMNS = ("instruction", "input", "output")
UNREAD = object()
"""Stands in a row for a value that nobody asked for."""

_SCHEMA = pa.schema([(name, pa.string()) for name in COLUMNS])
_ROW_GROUP = 100_000  # rows: a reader that streams holds one group at a time


def table_rows(raw: bytes, path: Path, *, wanted: Collection[str]) -> list[dict[str, Any]]:
    """A row for each line of the table; columns that are not `wanted` are not read, and `UNREAD` stands for them.

    Raises DataError if `raw` is not a whole parquet file.
    """
    try:
        file = pq.ParquetFile(pa.BufferReader(raw), page_checksum_verification=True)
        names: list[str] = file.schema_arrow.names
        if twice := [name for name in names if names.count(name) > 1]:
            raise DataError(f"expected each column once, found {shown(twice[0])} twice", where=str(path))
        read = [name for name in names if name in wanted]
        table = file.read(columns=read)
        columns = [table.column(name).to_pylist() for name in read]
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        words = next(iter(str(error).splitlines()), type(error).__name__)
        if not words.isprintable():  # it may quote the broken bytes
            words = ascii(words)
        hint = "copy or download it again: it may be cut short"
        raise DataError(f"cannot read this parquet file: {words}", where=str(path), hint=hint) from None
    unread = dict.fromkeys((name for name in names if name not in wanted), UNREAD)
    if not read:
        return [unread] * file.metadata.num_rows
    return [{**dict(zip(read, values, strict=True)), **unread} for values in zip(*columns, strict=True)]


def selected_bytes(raw: bytes, numbers: Sequence[int]) -> bytes:
    """A file of the same schema with these rows, counted from 0, of the file `raw`, which `table_rows` could read."""
    table = pq.ParquetFile(pa.BufferReader(raw), page_checksum_verification=True).read()
    return _bytes_of(table.take(pa.array(numbers, type=pa.int64())))


def table_bytes(examples: Sequence[Example]) -> bytes:
    """The file, the same bytes for the same examples and pyarrow.  No text may hold a lone surrogate."""
    table = pa.table([[getattr(example, name) for example in examples] for name in COLUMNS], schema=_SCHEMA)
    return _bytes_of(table)


def _bytes_of(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd", row_group_size=_ROW_GROUP, write_page_checksum=True)
    raw: bytes = sink.getvalue().to_pybytes()
    return raw

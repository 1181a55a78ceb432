"""Parquet: the columns instruction, input and output, as `datasets.load_dataset("parquet", ...)` opens them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import repeat
from pathlib import Path
from typing import IO, Any

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
# At a time.  Without it all pages of a column in a row group would be held; with `pre_buffer`, the whole file.
_READ_BYTES = 1 << 20


@contextmanager
def opened_table(open_: Callable[[], IO[bytes]], path: Path) -> Iterator[pq.ParquetFile]:
    """A parquet file whose column names are unlike.  Raises DataError if it cannot be opened, or read in the block."""
    try:
        with (
            open_() as stream,
            pq.ParquetFile(stream, page_checksum_verification=True, buffer_size=_READ_BYTES, pre_buffer=False) as file,
        ):
            names: list[str] = file.schema_arrow.names
            if twice := [name for name in names if names.count(name) > 1]:
                raise DataError(f"expected each column once, found {shown(twice[0])} twice", where=str(path))
            yield file
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        words = next(iter(str(error).splitlines()), type(error).__name__)
        if not words.isprintable():  # it may quote the broken bytes
            words = ascii(words)
        hint = "copy or download it again: it may be cut short"
        raise DataError(f"cannot read this parquet file: {words}", where=str(path), hint=hint) from None


def table_rows(
    open_: Callable[[], IO[bytes]], path: Path, *, wanted: Collection[str], batch_rows: int
) -> Iterator[dict[str, Any]]:
    """A row for each line of the table; columns that are not `wanted` are not read, and `UNREAD` stands for them.

    Raises DataError if it is not a whole parquet file.
    """
    with opened_table(open_, path) as file:
        names: list[str] = file.schema_arrow.names
        read = [name for name in names if name in wanted]
        unread = dict.fromkeys((name for name in names if name not in wanted), UNREAD)
        if not read:
            yield from repeat(unread, file.metadata.num_rows)
            return
        for batch in file.iter_batches(batch_rows, columns=read):
            columns = [batch.column(name).to_pylist() for name in read]
            for values in zip(*columns, strict=True):
                yield {**dict(zip(read, values, strict=True)), **unread}


def write_table(batches: Iterable[pa.RecordBatch], schema: pa.Schema, stream: IO[bytes]) -> None:
    """A parquet file of these rows: the same bytes however they are cut into batches, by the same pyarrow."""
    held: list[pa.RecordBatch] = []
    rows = 0
    with pq.ParquetWriter(stream, schema, compression="zstd", write_page_checksum=True) as writer:
        for batch in batches:
            missing = _ROW_GROUP - rows
            held.append(batch.slice(0, missing))
            rows += len(batch)
            if rows >= _ROW_GROUP:
                _write_group(writer, held, schema)
                held, rows = [batch.slice(missing)], rows - _ROW_GROUP
        if rows:
            _write_group(writer, held, schema)


def _write_group(writer: pq.ParquetWriter, batches: list[pa.RecordBatch], schema: pa.Schema) -> None:
    batches = [batch.replace_schema_metadata(schema.metadata) for batch in batches]
    writer.write_table(pa.Table.from_batches(batches, schema).combine_chunks(), _ROW_GROUP)


def table_bytes(examples: Sequence[Example]) -> bytes:
    """The file, the same bytes for the same examples and pyarrow.  No text may hold a lone surrogate."""
    table = pa.table([[getattr(example, name) for example in examples] for name in COLUMNS], schema=_SCHEMA)
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd", row_group_size=_ROW_GROUP, write_page_checksum=True)
    raw: bytes = sink.getvalue().to_pybytes()
    return raw

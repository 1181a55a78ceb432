"""The containers in which the rows of a dataset stand: JSON Lines, a JSON list, a parquet table.

A container reads its file anew at each pass and holds little of it: of lines one, of a table a batch of rows, but of a
JSON list, which is one value, the whole text.
"""

from __future__ import annotations

import json
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, compress, islice
from json.encoder import encode_basestring
from pathlib import Path
from typing import IO, Any, ClassVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from alpaca_cli.data.files import decode
from alpaca_cli.data.jsonl import DECODER, dumps, iter_lines, parse_json
from alpaca_cli.errors import DataError
from alpaca_cli.format.form import FIELDS, KEYS_OF
from alpaca_cli.format.parquet import MAGIC, opened_table, table_rows, write_table
from alpaca_cli.format.row import MEANINGFUL, shown

BATCH_ROWS = 8_192
"""Rows that are held at a time where a file is read in pieces."""

Opener = Callable[[], IO[bytes]]
"""Opens the file at its beginning; each call a stream of its own."""
Mask = npt.NDArray[np.bool_]
"""For each row of a file, bad ones included, whether it is wanted."""

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_PACKED = ((b"\x1f\x8b", "gzip", "gunzip"), (b"PK\x03\x04", "zip", "unzip"), (b"\x28\xb5\x2f\xfd", "zstd", "zstd -d"))
_BLOCK = 1 << 16
_MOST_OF_A_TEXT = 1 << 24  # bytes that are looked at to tell what a text is that is no dataset
_LIST_BEGIN = re.compile(r"[ \t\r\n]*\[[ \t\r\n]*")
_LIST_JOINT = re.compile(r"[ \t\r\n]*,[ \t\r\n]*")
_LIST_END = re.compile(r"[ \t\r\n]*\][ \t\r\n]*")


class Container(ABC):
    """The rows of one file."""

    name: ClassVar[str]
    kind: ClassVar[str]
    """Its name in messages."""
    suffixes: ClassVar[tuple[str, ...]]
    """With which a file of this kind may end."""

    def __init__(self, open_: Opener, path: Path) -> None:
        self._open = open_
        self.path = path

    @abstractmethod
    def rows(self) -> Iterator[tuple[int, Any]]:
        """Of each row where it stands (see `place`), and its value: a Problem if it is not JSON.

        Raises DataError at what keeps all rows from being read.
        """

    def place(self, spot: int) -> str:
        """A row's place in words: `path:line`, or `path[index]` counted from 0."""
        return f"{self.path}[{spot}]"

    def joins(self, other: Container) -> bool:
        """Whether the rows of both can stand in one file."""
        return self.name == other.name

    @abstractmethod
    def pieces(self, kept: Mask) -> Iterator[Any]:
        """The rows that are kept, as they stand, some at a time: what `join` of a container of this kind takes."""

    @abstractmethod
    def join(self, pieces: Iterable[Any], stream: IO[bytes]) -> None:
        """Write pieces of containers of this kind as one file; of no piece, a file without rows."""


class Lines(Container):
    """JSON Lines: one value a line; blank lines count for nothing."""

    name = "lines"
    kind = "JSON Lines"
    suffixes = (".jsonl", ".json")

    def rows(self) -> Iterator[tuple[int, Any]]:
        is_first = True
        for number, line in self._lines():
            try:
                yield number, parse_json(line, self.path, first_line=number)
            except DataError as error:
                if is_first:
                    _refuse_spread_object(_head(self._open, self.path), self.path, number)
                yield number, error.problems[0]
            is_first = False

    def place(self, spot: int) -> str:
        return f"{self.path}:{spot}"

    def pieces(self, kept: Mask) -> Iterator[bytes]:
        chosen = (f"{line}\n" for line in compress((line for _, line in self._lines()), kept.data))
        while batch := "".join(islice(chosen, BATCH_ROWS)):
            yield batch.encode()

    def join(self, pieces: Iterable[bytes], stream: IO[bytes]) -> None:
        stream.writelines(pieces)

    def _lines(self) -> Iterator[tuple[int, str]]:
        with self._open() as stream:
            yield from iter_lines(stream, self.path)


class JsonList(Container):
    """One JSON list.  It is written with indent 4, as Stanford's file."""

    name = "list"
    kind = "a JSON list"
    suffixes = (".json",)

    def rows(self) -> Iterator[tuple[int, Any]]:
        return enumerate(self._values())

    def pieces(self, kept: Mask) -> Iterator[list[Any]]:
        chosen = compress(self._values(), kept.data)
        while batch := list(islice(chosen, BATCH_ROWS)):
            yield batch

    def join(self, pieces: Iterable[list[Any]], stream: IO[bytes]) -> None:
        begin = "["
        for piece in pieces:
            text = ",\n".join(map(_indented, piece))
            # As `dumps` has it: in UTF-8 nothing but half a character has no bytes.
            stream.write(f"{begin}\n{text}".encode("utf-8", "backslashreplace"))
            begin = ","
        stream.write(b"[]" if begin == "[" else b"\n]")

    def _values(self) -> Iterator[Any]:
        """Each value, read when its turn comes, so that never all of them are held."""
        with self._open() as stream:
            text = decode(stream.read(), self.path)
        count, is_whole = 0, False
        joint = _LIST_BEGIN.match(text)
        try:
            while joint:
                value, end = DECODER.raw_decode(text, joint.end())
                joint = _LIST_JOINT.match(text, end)
                yield value
                count += 1
            is_whole = count > 0 and _LIST_END.fullmatch(text, end) is not None
        except (ValueError, RecursionError):
            pass
        if not is_whole:  # the list is empty, or no JSON: one reading of the whole says what and where
            yield from parse_json(text, self.path)[count:]


class Table(Container):
    """A parquet file.  What is written keeps the schema of the first table."""

    name = "parquet"
    kind = "parquet"
    suffixes = (".parquet",)

    def rows(self) -> Iterator[tuple[int, Any]]:
        wanted = {*MEANINGFUL, *FIELDS.optional, *chain(*KEYS_OF.values())}
        return enumerate(table_rows(self._open, self.path, wanted=wanted, batch_rows=BATCH_ROWS))

    def joins(self, other: Container) -> bool:
        return isinstance(other, Table) and self._schema().equals(other._schema())

    def pieces(self, kept: Mask) -> Iterator[pa.RecordBatch]:
        begin = 0
        with opened_table(self._open, self.path) as file:
            for batch in file.iter_batches(BATCH_ROWS):
                yield batch.filter(pa.array(kept[begin : begin + len(batch)]))
                begin += len(batch)

    def join(self, pieces: Iterable[pa.RecordBatch], stream: IO[bytes]) -> None:
        write_table(pieces, self._schema(), stream)

    def _schema(self) -> pa.Schema:
        with opened_table(self._open, self.path) as file:
            return file.schema_arrow


def container_of(open_: Opener, path: Path) -> Container:
    """The container that the first bytes of a file show; `path` is for messages.  Raises DataError if it is none."""
    with open_() as stream:
        head = stream.read(_BLOCK)
        if head.startswith(MAGIC):
            return Table(open_, path)
        for magic, name, command in _PACKED:
            if head.startswith(magic):
                hint = f"unpack it: {command}"
                raise DataError(f"expected a dataset, found a {name} file", where=str(path), hint=hint)
        head = head.removeprefix(_BYTE_ORDER_MARK).lstrip()
        while not head and (block := stream.read(_BLOCK)):
            head = block.lstrip()
    if head.startswith(b"["):
        return JsonList(open_, path)
    if not head or head.startswith(b"{"):
        return Lines(open_, path)
    text = _head(open_, path)
    begin = text.lstrip()
    line = text.count("\n", 0, len(text) - len(begin)) + 1
    found = shown(begin.split("\n", 1)[0].strip())
    raise DataError(
        f"expected a JSON list, JSON Lines or parquet, found a text that begins: {found}", where=f"{path}:{line}"
    )


def hint_to_unwrap(row: dict[str, Any]) -> str | None:
    """What to do about one object that holds all rows under some key."""
    for key, value in row.items():
        if isinstance(value, list) and value and isinstance(value[0], dict) and key.isidentifier():
            return f"take the rows out of it, for example: jq .{key} OLD > NEW"
    return None


def _indented(value: Any) -> str:
    """A value of a list as `dumps` writes it with indent 4, but for halves of characters; one of texts alone faster."""
    if isinstance(value, dict) and value and all(isinstance(text, str) for text in value.values()):
        texts = ",\n".join([f"        {encode_basestring(key)}: {encode_basestring(value[key])}" for key in value])
        return f"    {{\n{texts}\n    }}"
    return dumps([value], indent=4)[2:-2]


def _head(open_: Opener, path: Path) -> str:
    """The text of a file, or the beginning of a very long one.  Raises DataError if it is not UTF-8."""
    with open_() as stream:
        raw = stream.read(_MOST_OF_A_TEXT)
        return raw.decode("utf-8-sig", "replace") if stream.read(1) else decode(raw, path)


def _refuse_spread_object(text: str, path: Path, line: int) -> None:
    """Raises DataError if the text begins with a JSON object that goes over several lines, as pretty printers write."""
    start = len(text) - len(text.lstrip())
    try:
        value, end = json.JSONDecoder().raw_decode(text, start)
    except (ValueError, RecursionError):
        return
    last = line + text.count("\n", start, end)
    hint = hint_to_unwrap(value) or "put each row on a line of its own, for example: jq -c . OLD > NEW"
    raise DataError(
        f"expected one JSON object a line, found one over lines {line} to {last}", where=f"{path}:{line}", hint=hint
    )

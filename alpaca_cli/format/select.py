"""Rows of a file copied to another as they stand, with every key and column that they have, known to us or not."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from alpaca_cli.data.files import decode, write_atomically
from alpaca_cli.data.jsonl import dumps, iter_lines, parse_json
from alpaca_cli.format.dataset import Dataset
from alpaca_cli.format.parquet import MAGIC, selected_bytes


def copy_rows(dataset: Dataset, indexes: Sequence[int], out: Path) -> int:
    """Write the rows behind these examples of a dataset to `out`, as they stand; return the bytes.

    JSON Lines are copied byte for byte; a JSON list is written with indent 4, as Stanford's file; a parquet table keeps
    its schema.  `out` may be the file that was read.
    """
    numbers = [dataset.numbers[index] for index in indexes]
    raw, path = dataset.raw, dataset.path
    if raw.startswith(MAGIC):
        copied = selected_bytes(raw, numbers)
    elif raw.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] == b"[":
        rows = parse_json(decode(raw, path), path)
        copied = dumps([rows[number] for number in numbers], indent=4).encode("utf-8")
    else:
        lines = [line for _, line in iter_lines(raw, path)]
        copied = "".join(f"{lines[number]}\n" for number in numbers).encode("utf-8")
    with write_atomically(out) as stream:
        return stream.write(copied)

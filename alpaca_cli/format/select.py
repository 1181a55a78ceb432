"""Rows of a file copied to another as they stand, with every key and column that they have, known to us or not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from fnmatch import fnmatch
from itertools import chain
from pathlib import Path
from typing import IO

from alpaca_cli.data.files import refuse_existing, refuse_existing_folder, write_atomically, write_folder_atomically
from alpaca_cli.errors import UsageError
from alpaca_cli.format.container import Mask
from alpaca_cli.format.sharded import Shard, ShardedDataset
from alpaca_cli.format.shards import SUFFIXES


def check_out(dataset: ShardedDataset, out: Path, *, force: bool) -> list[Path]:
    """The files that `write_kept` makes of `out`, if it may.

    Raises UsageError if something would be overwritten without `force`, or joined that is unlike.
    """
    if _is_folder(dataset, out):
        counts = Counter(shard.path.name for shard in dataset.shards)
        if twice := [name for name, count in counts.items() if count > 1]:
            hint = "name a file, into which all are joined, or take the folders one by one"
            raise UsageError(f"expected shards of different names, found {twice[0]} twice", where=str(out), hint=hint)
        refuse_existing_folder(out, counts, force=force)
        return [out / name for name in counts]
    refuse_existing(out, force=force)
    if dataset.is_one_file:
        container = dataset.shards[0].container
        is_table, is_list = container.name == "parquet", container.name == "list"
        if (out.suffix in SUFFIXES and is_table != (out.suffix == ".parquet")) or (is_list and out.suffix == ".jsonl"):
            suffixes = " or ".join(container.suffixes)
            hint = "convert it first: alpaca format DATA --to FORMAT"
            raise UsageError(f"rows are written as they were read, in a file *{suffixes}", where=str(out), hint=hint)
        return [out]
    first, *others = (shard for shard in dataset.shards if shard.form)
    for other in others:
        if not first.container.joins(other.container):
            kinds = f"{first.path} ({first.container.kind}) and {other.path} ({other.container.kind})"
            columns = ", whose columns differ" if first.container.kind == other.container.kind else ""
            hint = "name a folder, which gets a file for each"
            raise UsageError(f"cannot join {kinds}{columns}", where=str(out), hint=hint)
    if out.suffix not in first.container.suffixes:
        suffixes = " or ".join(first.container.suffixes)
        raise UsageError(f"expected a file for {first.container.kind}: *{suffixes}", where=str(out), hint="rename it")
    return [out]


def refuse_among(dataset: ShardedDataset, path: Path) -> None:
    """Raises UsageError if `path` is a new file that the next reading of the folder or glob would take for a shard."""
    if dataset.is_one_file or path.resolve() in {shard.path.resolve() for shard in dataset.shards}:
        return
    is_in_folder = dataset.source.is_dir() and path.resolve().parent == dataset.source.resolve()
    if (is_in_folder and path.suffix in SUFFIXES) or fnmatch(str(path), str(dataset.source)):
        hint = "when it is read again: choose a place outside of it"
        raise UsageError("this would be taken for a part of the data", where=str(path), hint=hint)


def _is_folder(dataset: ShardedDataset, out: Path) -> bool:
    """Whether `out` gets a file for each shard: not if one file was named, nor if `out` is named as a file would be."""
    return not dataset.is_one_file and (out.is_dir() or out.suffix not in SUFFIXES)


def write_kept(dataset: ShardedDataset, kept: Sequence[Mask], out: Path) -> int:
    """Write the rows that are kept of each shard, as they stand, whole or not at all; return the bytes.

    To a folder, a file of the same name for each shard, be it without rows; or to one file, all shards joined.  `out`
    may be what was read, and is replaced.  `check_out` must have found nothing.
    Raises UsageError if it cannot be written (full disk), IntegrityError if a shard has changed since it was read.
    """
    if not _is_folder(dataset, out):
        with write_atomically(out) as stream:
            copy_kept(dataset.shards, kept, stream)
            return stream.tell()
    size = 0
    with write_folder_atomically(out) as folder:
        for shard, mask in zip(dataset.shards, kept, strict=True):
            with (folder / shard.path.name).open("wb") as stream:
                copy_kept([shard], [mask], stream)
                size += stream.tell()
    return size


def copy_kept(shards: Sequence[Shard], kept: Sequence[Mask], stream: IO[bytes]) -> None:
    """Write the rows of shards of one kind that are kept, as one file, in the order of the shards.

    JSON Lines are copied byte for byte; a JSON list is written with indent 4, as Stanford's file; a parquet table keeps
    its schema.  Each mask is as long as its shard has rows, bad ones included.
    Raises IntegrityError if a shard has changed.
    """
    if [len(mask) for mask in kept] != [shard.rows for shard in shards]:
        raise ValueError("expected a mask over the rows of each shard")
    pieces = (shard.container.pieces(mask) for shard, mask in zip(shards, kept, strict=True))
    first = next((shard for shard in shards if shard.form), shards[0])  # a file without rows may be of any kind
    try:
        first.container.join(chain.from_iterable(pieces), stream)
    finally:
        for shard in shards:
            shard.check()

"""The files that a dataset is made of: one, those of a folder, or those that a glob matches."""

from __future__ import annotations

import glob
import os
from pathlib import Path

from alpaca_cli.data.files import nearest_name, reason
from alpaca_cli.errors import UsageError

SUFFIXES = (".jsonl", ".json", ".parquet")
"""With which a file ends that is a shard of the folder that it stands in."""


def find_shards(data: str | Path) -> list[Path]:
    """At least one file: `data` itself, its shards if it is a folder, or what it matches as a glob (`**`: any folders).

    In the order of their names, by code points.  What exists under this very name is no glob.  Of a folder only files
    count that end in one of SUFFIXES, are not hidden and stand in it directly.
    Raises UsageError if there is none.
    """
    if not str(data):
        raise UsageError("expected a dataset, found an empty name", hint="name a file, a folder or a quoted glob")
    path = Path(data)
    try:
        if path.is_dir():
            return _of_folder(path)
        if os.path.lexists(path):
            return [path]
    except OSError as error:
        raise UsageError(f"cannot read this: {reason(error)}", where=str(path)) from error
    if not glob.has_magic(str(data)):
        raise UsageError("no such dataset", where=str(path), hint=nearest_name(path))
    matches = sorted(glob.glob(str(data), recursive=True))  # noqa: PTH207  (it takes absolute ones, and any strings)
    if not matches:
        hint = "see the names there; ** stands for folders within folders"
        raise UsageError("no file matches this glob", where=str(data), hint=hint)
    return [Path(match) for match in matches]


def _of_folder(folder: Path) -> list[Path]:
    try:
        found = [entry for entry in folder.iterdir() if entry.suffix in SUFFIXES and entry.name[0] != "."]
        shards = sorted((entry for entry in found if entry.is_file()), key=lambda entry: entry.name)
    except OSError as error:
        raise UsageError(f"cannot read this folder: {reason(error)}", where=str(folder)) from error
    if not shards:
        looked_for = ", ".join(f"*{suffix}" for suffix in SUFFIXES)
        hint = f"name the files by a glob, such as '{folder / '*'}'"
        raise UsageError(f"no dataset in this folder: looked for {looked_for}", where=str(folder), hint=hint)
    return shards

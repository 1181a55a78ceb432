"""Which kind of diff is in a folder, as far as its names and its manifest tell."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from alpaca_cli.data.files import reason
from alpaca_cli.diff.manifest import MANIFEST, SHARD
from alpaca_cli.diff.readmanifest import read_manifest
from alpaca_cli.errors import UsageError
from alpaca_cli.weights.folder import list_files
from alpaca_cli.weights.rawfile import DOWNLOAD

Kind = Literal["exact", "additive"]


def find_kind(diff: Path) -> Kind:
    """The kind of a diff; a model folder without a manifest is taken for an additive one that others made.

    Raises UsageError if it is none, and whatever `read_manifest` raises.
    """
    try:
        if (diff / MANIFEST).exists():
            return read_manifest(diff)[0].kind
        if diff.is_dir() and next(diff.glob(f"*{SHARD}"), None):
            raise UsageError(f"the manifest of this diff, {MANIFEST}, is missing", where=str(diff), hint=DOWNLOAD)
        if diff.is_file():
            hint = f"name the folder that it is in: {diff.parent}"
            raise UsageError("expected the folder of a diff, found a file", where=str(diff), hint=hint)
        list_files(diff, "diff")
    except OSError as error:
        raise UsageError(f"cannot read the folder of the diff: {reason(error)}", where=str(diff)) from error
    return "additive"

"""Folders that hold what can be made again: opened only as they were written, and made by one process at a time."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from filelock import FileLock

from alpaca_cli.data.files import open_bytes, reason, sha256, write_folder_atomically
from alpaca_cli.errors import IntegrityError, UsageError

MANIFEST = "manifest.json"

Facts = dict[str, Any]
"""What is known of a kept folder besides its files; JSON."""


def cache_dir() -> Path:
    """$ALPACA_CACHE, else `alpaca` in $XDG_CACHE_HOME, else ~/.cache/alpaca."""
    if own := os.environ.get("ALPACA_CACHE"):
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "alpaca"


def keep(folder: Path, make: Callable[[Path], Facts]) -> Facts:
    """The facts of `folder`; where it is not there, or not as it was written, `make` fills an empty one first.

    Of several processes one works and the others wait.  Raises UsageError if the place cannot be written.
    """
    try:
        return read_kept(folder)
    except IntegrityError:
        pass
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.with_name(f"{folder.name}.lock")):
            try:
                return read_kept(folder)
            except IntegrityError:
                _remove_leftovers(folder)
            with write_folder_atomically(folder) as new:
                facts = make(new)
                _seal(new, facts)
    except OSError as error:
        hint = "name a folder that can be written in the environment variable ALPACA_CACHE"
        raise UsageError(f"cannot write: {reason(error)}", where=str(folder), hint=hint) from error
    return facts


def read_kept(folder: Path) -> Facts:
    """The facts of a folder that `keep` has made.  Cost: a reading of all its files.

    Raises IntegrityError if it is not there or not as it was written.
    """
    try:
        manifest = json.loads((folder / MANIFEST).read_bytes())
        facts: Facts = manifest["facts"]
        is_whole = manifest["sha256"] == _digest(facts, manifest["files"]) and all(
            (folder / name).stat().st_size == size for name, (size, _) in manifest["files"].items()
        )
        if is_whole and all(_sha256_of(folder / name) == found for name, (_, found) in manifest["files"].items()):
            return facts
    except (OSError, ValueError, KeyError, TypeError, AttributeError, UsageError):
        pass
    hint = "run the same command again: it makes what is missing"
    raise IntegrityError("expected this folder as it was written, found it changed", where=str(folder), hint=hint)


def sha256_of(stream: IO[bytes]) -> str:
    """SHA-256 of what is left of a stream, as 64 hexadecimal digits."""
    digest = hashlib.sha256()
    while block := stream.read(1 << 20):
        digest.update(block)
    return digest.hexdigest()


def _seal(folder: Path, facts: Facts) -> None:
    files = {path.name: [path.stat().st_size, _sha256_of(path)] for path in sorted(folder.iterdir())}
    manifest = {"facts": facts, "files": files, "sha256": _digest(facts, files)}
    (folder / MANIFEST).write_text(f"{json.dumps(manifest, indent=2)}\n", encoding="utf-8")


def _digest(facts: Facts, files: dict[str, Any]) -> str:
    return sha256(json.dumps([facts, files], sort_keys=True).encode())


def _sha256_of(path: Path) -> str:
    with open_bytes(path) as stream:
        return sha256_of(stream)


def _remove_leftovers(folder: Path) -> None:
    """What killed processes have left beside `folder`; only for whoever holds its lock."""
    for path in folder.parent.glob(f".{folder.name}.*"):
        shutil.rmtree(path, ignore_errors=True)

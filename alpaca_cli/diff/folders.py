"""The folders of a diff: which may be named together, and how a new one comes to be whole or not at all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from alpaca_cli.data.files import reason, refuse_existing
from alpaca_cli.errors import UsageError

MARK = ".alpaca-writing"
"""A file in a folder that is not finished: it is ours, and locked while somebody works at it."""


def refuse_entangled(folders: Mapping[str, Path]) -> None:
    """Raises UsageError if two of the folders (by what they are: base, tuned, diff, output) are one, or nested."""
    resolved = {what: path.resolve() for what, path in folders.items()}
    names = list(resolved)
    for i, one in enumerate(names):
        for other in names[i + 1 :]:
            if resolved[one] == resolved[other]:
                message = f"{one} and {other} are the same folder"
            elif resolved[one] in resolved[other].parents:
                message = f"the {other} lies in the folder of the {one}"
            elif resolved[other] in resolved[one].parents:
                message = f"the {one} lies in the folder of the {other}"
            else:
                continue
            raise UsageError(message, where=str(folders[other]), hint="give each a folder of its own")


def refuse_full(path: Path) -> None:
    """Raises UsageError unless `path` is free, or an empty folder, where something can be written."""
    is_folder = path.is_dir() and not path.is_symlink()
    if path.exists() and not (is_folder and not any(path.iterdir())):
        message = "the output folder is not empty" if is_folder else "output exists"
        hint = "nothing is ever overwritten or deleted: name a new folder"
        raise UsageError(message, where=str(path), hint=hint)
    refuse_existing(path / "new" if is_folder else path, force=False)


@contextmanager
def new_folder(path: Path, purpose: str, *, is_resumed: bool) -> Iterator[Path]:
    """A hidden folder beside `path` that gets its name when the block ends well, all of it on disk.

    With `is_resumed` what an earlier block of the same `purpose` left is in it, and stays if this one fails (but for
    files whose names begin with a dot); without, it is empty, and gone if the block fails.
    Raises UsageError if another process is at it, `path` was taken meanwhile, or the place cannot be written.
    """
    path = path.resolve()
    folder = path.with_name(f".{path.name}.{purpose}")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / MARK).exists() and any(folder.iterdir()):
            hint = "move it away: it has the name of what would be written here meanwhile"
            raise UsageError("a folder that alpaca did not make", where=str(folder), hint=hint)
        with _locked(folder):
            if not is_resumed:
                _empty(folder)
            try:
                yield folder
                _publish(folder, path)
            except BaseException:
                if not is_resumed or not _drop_unfinished(folder):
                    shutil.rmtree(folder, ignore_errors=True)
                raise
    except OSError as error:
        raise unwritten(error, path) from error


def unwritten(error: OSError, path: Path) -> UsageError:
    """What is told of a write that failed."""
    return UsageError(f"cannot write: {reason(error)}", where=str(path), hint="nothing was left under this name")


def refuse_too_large(path: Path, num_bytes: int) -> None:
    """Raises UsageError if the disk has no room for so much more beside `path`."""
    parent = next(each for each in path.resolve().parents if each.is_dir())
    free = shutil.disk_usage(parent).free
    if num_bytes > free:
        message = f"the disk is too small: {num_bytes / 1e9:,.1f} GB are needed, {free / 1e9:,.1f} GB are free"
        raise UsageError(message, where=str(path), hint="make room, or write to another disk")


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    try:
        with FileLock(folder / MARK, timeout=0):
            yield
    except Timeout:
        hint = "wait for it, or name another output"
        raise UsageError("another alpaca is writing this", where=str(folder), hint=hint) from None


def _empty(folder: Path) -> None:
    for entry in folder.iterdir():
        if entry.name != MARK:
            shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()


def _drop_unfinished(folder: Path) -> bool:
    """Delete what is half written; whether anything is left."""
    for entry in folder.glob(".*"):
        if entry.name != MARK:
            entry.unlink(missing_ok=True)
    return any(entry.name != MARK for entry in folder.iterdir())


def _publish(folder: Path, path: Path) -> None:
    for entry in [*folder.rglob("*"), folder]:
        _sync(entry)
    (folder / MARK).unlink()
    try:
        folder.rename(path)  # also onto an empty folder
    except OSError:
        (folder / MARK).touch()
        raise
    _sync(path.parent)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

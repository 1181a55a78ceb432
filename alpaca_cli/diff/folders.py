"""The folders of a diff: which may be named together, and how a new one comes to be whole or not at all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from alpaca_cli.data.files import reason, refuse_existing
from alpaca_cli.errors import UsageError

FOLDER, LOCK = "folder", "lock"
"""What is in the hidden folder beside a new one: the new one while it is written, and what the writer holds."""


def refuse_entangled(folders: Mapping[str, Path]) -> None:
    """Raises UsageError if two of the folders (by what they are: base, tuned, diff, output) are one, or nested."""
    resolved = {what: _resolved(path) for what, path in folders.items()}
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
    """Raises UsageError unless `path` is free, or an empty folder, and can be given another folder in its place."""
    hint = "nothing is ever overwritten or deleted: name a new folder"
    try:
        is_folder = path.is_dir()
        if is_folder and any(path.iterdir()):
            raise UsageError("the output folder is not empty", where=str(path), hint=hint)
        is_mount = is_folder and path.resolve().is_mount()
        if is_mount or (is_folder and path.samefile(Path())):
            what = "where a disk is mounted" if is_mount else "the working folder"
            message = f"the output is {what}, which cannot be replaced"
            raise UsageError(message, where=str(path), hint="name a new folder in it")
        if path.exists() and not is_folder:
            raise UsageError("the output exists, and is no folder", where=str(path), hint=hint)
        parent = path.resolve().parent
        if is_folder and not os.access(parent, os.W_OK | os.X_OK):
            message = f"cannot write: no permission in {parent}, where the folder would be replaced"
            raise UsageError(message, where=str(path), hint="name a new folder in it")
    except OSError as error:
        raise UsageError(f"cannot write: {reason(error)}", where=str(path), hint="choose another name") from error
    if not is_folder:
        refuse_existing(path, force=False)


@contextmanager
def new_folder(path: Path, purpose: str, *, is_resumed: bool) -> Iterator[Path]:
    """A hidden folder beside `path` that gets its name when the block ends well, all of it on disk.

    With `is_resumed` what an earlier block of the same `purpose` left is in it, and stays if this one fails (but for
    files whose names begin with a dot); without, it is empty, and gone if the block fails.
    Raises UsageError if another process is at it, `path` was taken meanwhile, or the place cannot be written.
    """
    path = _resolved(path)
    place = path.with_name(f".{path.name}.{purpose}")
    try:
        if place.is_symlink() or not _is_ours(place):
            hint = "move it away: it has the name of what would be written here meanwhile"
            raise UsageError("a folder that alpaca did not make", where=str(place), hint=hint)
        place.mkdir(parents=True, exist_ok=True)
        with _locked(place, path):
            try:
                refuse_full(path)  # another process may have been here since it was looked at
                _begin(place / FOLDER, is_resumed)
                yield place / FOLDER
                _publish(place / FOLDER, path)
            except BaseException:
                if not is_resumed or not _drop_unfinished(place / FOLDER):
                    shutil.rmtree(place / FOLDER, ignore_errors=True)
                raise
            finally:
                if not (place / FOLDER).exists():
                    with suppress(OSError):
                        (place / LOCK).unlink(missing_ok=True)
                        place.rmdir()
    except OSError as error:
        raise unwritten(error, path) from error


def unwritten(error: OSError, path: Path) -> UsageError:
    """What is told of a write that failed."""
    hint = "nothing is under this name; the same command goes on, or begins again"
    return UsageError(f"cannot write: {reason(error)}", where=str(path), hint=hint)


def refuse_too_large(path: Path, num_bytes: int) -> None:
    """Raises UsageError if the disk has no room for so much more beside `path`."""
    parent = next(each for each in path.resolve().parents if each.is_dir())
    free = shutil.disk_usage(parent).free
    if num_bytes > free:
        message = f"the disk is too small: {num_bytes:,} bytes are needed, {free:,} are free"
        raise UsageError(message, where=str(path), hint="make room, or write to another disk")


def model_name(path: Path) -> str:
    """What the model in a folder is called: as the folder, or what that lies in where its own name says nothing.

    A fine-tuning run exports to RUN/model; a cache of Hugging Face's has models--OWNER--NAME/snapshots/VERSION.
    """
    path = _resolved(path)
    name = (path.parent.name or path.name) if path.name == "model" else path.name
    if path.parent.name == "snapshots":
        name = path.parent.parent.name.removeprefix("models--").replace("--", "/")
    return name.encode("utf-8", "replace").decode("utf-8")  # a folder may have a name that is no text


def _resolved(path: Path) -> Path:
    try:
        return path.resolve()
    except (OSError, RuntimeError) as error:  # a circle of links is RuntimeError before Python 3.13
        fault = reason(error) if isinstance(error, OSError) else "a circle of links"
        raise UsageError(f"no folder can be here: {fault}", where=str(path), hint="name another folder") from None


def _is_ours(place: Path) -> bool:
    """Whether a hidden folder is one of ours, or there is none."""
    if not place.is_dir():
        return not place.exists()
    return {entry.name for entry in place.iterdir()} <= {FOLDER, LOCK}


@contextmanager
def _locked(place: Path, path: Path) -> Iterator[None]:
    try:
        with FileLock(place / LOCK, timeout=0):
            yield
    except Timeout:
        hint = "wait for it, or name another output"
        raise UsageError("another alpaca is writing this", where=str(path), hint=hint) from None


def _begin(folder: Path, is_resumed: bool) -> None:
    """Make the folder that is written; what is in it already is kept only if it is finished, and wanted."""
    if folder.is_symlink():
        folder.unlink()
    elif folder.exists() and not is_resumed:
        shutil.rmtree(folder)
    folder.mkdir(exist_ok=True)
    _drop_unfinished(folder)


def _drop_unfinished(folder: Path) -> bool:
    """Delete what is half written; whether anything is left."""
    for entry in folder.glob(".*"):
        entry.unlink(missing_ok=True)
    return folder.exists() and any(folder.iterdir())


def _publish(folder: Path, path: Path) -> None:
    for entry in [*folder.rglob("*"), folder]:
        _sync(entry)
    folder.rename(path)  # also onto an empty folder
    with suppress(OSError):  # it is there and whole: that a crash of the machine might undo its name is no failure
        _sync(path.parent)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

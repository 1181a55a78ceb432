"""A checkpoint's folder as anyone sees it, without torch: which there are, which are whole, what is in them.

    step-000200/    .metadata  __0_0.distcp ...  manifest.json

A folder has this name only once all of it is on disk; it is made, and removed, under a name that begins with a point.
The manifest is written last.  It says the step, what the run notes beside its tensors (`facts`), and size and SHA-256
of every other file.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from alpaca_cli.data.files import sha256
from alpaca_cli.errors import IntegrityError, Problem

MANIFEST = "manifest.json"
_FORMAT = 1
_NAME = re.compile(r"step-(\d{6,})")


@dataclass(frozen=True)
class File:
    """A file as it was written."""

    num_bytes: int
    sha256: str


@dataclass(frozen=True)
class Checkpoint:
    """A complete checkpoint."""

    path: Path
    step: int
    """Optimizer steps that were done when it was made."""
    facts: Mapping[str, Any]
    """What the run noted: JSON."""
    files: Mapping[str, File]
    passed_over: tuple[str, ...] = ()
    """What is wrong with newer ones, a sentence each."""


def folder_name(step: int) -> str:
    """The name of the folder of a checkpoint.

    >>> folder_name(200)
    'step-000200'
    """
    return f"step-{step:06d}"


def newest(folder: Path) -> Checkpoint | None:
    """The checkpoint of the highest step in `folder` of which all files are there in their size; None: there is none.

    Contents are not read.  Raises IntegrityError if there are checkpoints, and each is damaged: work would be lost by
    starting again without a word.
    """
    damaged: list[Problem] = []
    for path in reversed(complete(folder)):
        try:
            found = read(path)
        except IntegrityError as error:
            damaged.extend(error.problems)
        else:
            return replace(found, passed_over=tuple(map(str, damaged)))
    if damaged:
        hint = f"put it back from a copy, or remove {folder} to begin at the first step"
        raise IntegrityError(damaged[0].message, where=damaged[0].where, hint=hint)
    return None


def complete(folder: Path) -> list[Path]:
    """The folders that have the name of a checkpoint, the lowest step first."""
    if not folder.is_dir():
        return []
    found = [(int(match[1]), path) for path in folder.iterdir() if (match := _NAME.fullmatch(path.name))]
    return [path for _, path in sorted(found)]


def read(path: Path) -> Checkpoint:
    """The checkpoint in the folder `path`.  Raises IntegrityError if it is damaged, as far as sizes tell."""
    try:
        text = (path / MANIFEST).read_bytes()
        content = json.loads(text)
        told = content.pop("sha256")
        if told != _digest(content):
            raise ValueError("its checksum differs")
        if content["format"] != _FORMAT:
            raise IntegrityError(f"a checkpoint of an unknown format: {content['format']}", where=str(path))
        files = {name: File(size, digest) for name, (size, digest) in content["files"].items()}
        step, facts = int(content["step"]), dict(content["facts"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise IntegrityError(f"a damaged checkpoint: {MANIFEST} cannot be read ({error})", where=str(path)) from error
    for name, file in files.items():
        try:
            size = (path / name).stat().st_size
        except OSError:
            raise IntegrityError(f"a damaged checkpoint: {name} is missing", where=str(path)) from None
        if size != file.num_bytes:
            message = f"a damaged checkpoint: expected {file.num_bytes:,} bytes in {name}, found {size:,}"
            raise IntegrityError(message, where=str(path))
    return Checkpoint(path, step, facts, files)


def seal(temporary: Path, step: int, facts: Mapping[str, Any], files: Mapping[str, File]) -> None:
    """Write the manifest of a folder that is otherwise on disk, and give it its name.  May raise OSError.

    A damaged checkpoint of that name is replaced.
    """
    listed = {name: [file.num_bytes, file.sha256] for name, file in sorted(files.items())}
    content = json.loads(json.dumps({"format": _FORMAT, "step": step, "facts": dict(facts), "files": listed}))
    text = json.dumps({**content, "sha256": _digest(content)}, indent=2) + "\n"
    with (temporary / MANIFEST).open("w", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    sync_folder(temporary)
    path = temporary.parent / folder_name(step)
    remove(path)
    temporary.rename(path)
    sync_folder(path.parent)


def remove(path: Path) -> None:
    """Remove a folder, if it is there; killed on the way, it leaves nothing that could be taken for a checkpoint."""
    hidden = path.with_name(f".{path.name}.old")
    shutil.rmtree(hidden, ignore_errors=True)
    if path.exists():
        path.rename(hidden)
        shutil.rmtree(hidden, ignore_errors=True)


def sweep(folder: Path) -> None:
    """Remove what a killed process left: folders half written or half removed."""
    for path in folder.glob(".step-*"):
        shutil.rmtree(path, ignore_errors=True)


def sync_folder(path: Path) -> None:
    """Bring the names in a folder to disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _digest(content: Mapping[str, Any]) -> str:
    return sha256(json.dumps(content, sort_keys=True).encode())

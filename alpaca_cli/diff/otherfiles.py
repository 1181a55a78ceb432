"""The files of a model that hold no weights, kept as they are: configs, tokenizer, chat template, card."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO

from alpaca_cli.data.files import reason
from alpaca_cli.diff.filenames import folded, is_safe, is_weights
from alpaca_cli.diff.manifest import MANIFEST, Manifest, OtherFile
from alpaca_cli.errors import DataError, IntegrityError, UsageError
from alpaca_cli.weights.folder import SINGLE, WeightFolder, read_index, refuse_leading_out
from alpaca_cli.weights.jsonobject import shown
from alpaca_cli.weights.rawfile import DOWNLOAD

ENDINGS = {".json", ".txt", ".model", ".jinja", ".md", ".png", ".py", ".tiktoken", ".spm", ".vocab"}
NAMES = {"LICENSE", "NOTICE"}
TEMPLATES = "additional_chat_templates"
"""The one folder of a model folder that belongs to the model."""
MAX_BYTES = 1 << 28
INDEX = f"{SINGLE['safetensors']}.index.json"
_INDEX = (".safetensors.index.json", ".bin.index.json")
_BLOCK = 1 << 20


def find_others(model: WeightFolder) -> tuple[list[str], list[str]]:
    """The names of a model folder's files that belong to the model and hold no weights, and of all else that it holds.

    Its weights, indexes and hidden files are in neither.
    """
    kept: list[str] = []
    left_out: list[str] = []
    for entry in sorted(model.path.iterdir()):
        name = entry.name
        if name.startswith(".") or name.endswith(_INDEX) or entry in model.files:
            continue
        if entry.is_dir():
            names = [f"{name}/{each.name}" for each in sorted(entry.glob("*.jinja"))] if name == TEMPLATES else []
            left_out += [] if names else [f"{name}/"]
        else:
            names = [name]
        for each in names:
            file = Path(each)
            is_known = each != MANIFEST and (file.suffix in ENDINGS or (file.stem in NAMES and not is_weights(each)))
            is_kept = is_safe(each) and is_known and folded(each) not in map(folded, kept)
            (kept if is_kept else left_out).append(each)
    return kept, left_out


def copy_others(source: Path, names: Sequence[str], target: Path, what: str) -> list[OtherFile]:
    """Copy files of `source` (the folder of the `what`) to `target`.  Raises UsageError if one cannot be kept."""
    return [_copy(source, name, target, what, within=source) for name in names]


def check_others(folder: Path, files: Sequence[OtherFile]) -> None:
    """Raises UsageError, DataError or IntegrityError unless these files are in `folder`, as the manifest has them.

    `folder` lies in that of the diff, which no link may lead out of.
    """
    for file in files:
        _checked(file, _copy(folder, file.name, None, "diff", within=folder.parent), folder)


def check_index(folder: Path, manifest: Manifest) -> None:
    """Raises DataError if the index among a diff's files leads a loader elsewhere than to the files of weights."""
    if all(file.name != INDEX for file in manifest.files):
        return
    files = {tensor.name: file.name for file, header in manifest.headers(folder) for tensor in header.tensors}
    wrong = [
        name for name, file in read_index(folder / INDEX, "diff", folder.parent).items() if files.get(name) != file
    ]
    if wrong:
        message = f"{len(wrong)} tensors are not where this index of the diff says: {shown(wrong[0])}"
        raise DataError(message, where=str(folder / INDEX), hint="ask whoever made the diff to make it again")


def recover_others(folder: Path, files: Sequence[OtherFile], target: Path) -> None:
    """Copy the files of a diff to `target`.  Raises as `check_others`."""
    for file in files:
        _checked(file, _copy(folder, file.name, target, "diff", within=folder.parent), folder)


def _checked(expected: OtherFile, found: OtherFile, folder: Path) -> None:
    if expected != found:
        message, sizes = "this file of the diff is not as it was made", (expected.num_bytes, found.num_bytes)
        if sizes[0] != sizes[1]:
            message += f": expected {sizes[0]:,} bytes, found {sizes[1]:,}"
        raise IntegrityError(message, where=str(folder / expected.name), hint=DOWNLOAD)


def _copy(source: Path, name: str, target: Path | None, what: str, *, within: Path) -> OtherFile:
    """Copy a file, or only read it; returns what it is."""
    path = source / name
    refuse_leading_out(path, what, within)
    digest, size = hashlib.sha256(), 0
    with _open(path, what) as stream, ExitStack() as stack:
        copy = None
        if target is not None:
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            copy = stack.enter_context((target / name).open("wb"))
        while block := _read(stream, path, what):
            if not size and block.startswith(b"version https://git-lfs"):
                hint = "run `git lfs pull` in its folder"
                raise DataError("a Git LFS pointer, not the file itself", where=str(path), hint=hint)
            digest.update(block)
            size += len(block)
            if size > MAX_BYTES:
                message = f"expected at most {MAX_BYTES:,} bytes in a file that holds no weights"
                raise UsageError(message, where=str(path), hint="move it out of the folder")
            if copy is not None:
                copy.write(block)
    return OtherFile(name=name, num_bytes=size, sha256=digest.hexdigest())


def _open(path: Path, what: str) -> BinaryIO:
    try:
        # not to wait for the writer of a pipe
        stream = os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb", buffering=0)
    except OSError as error:
        raise UsageError(f"cannot read this file of the {what}: {reason(error)}", where=str(path)) from error
    if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
        stream.close()
        raise UsageError("expected a file, found a device or pipe", where=str(path))
    return stream


def _read(stream: BinaryIO, path: Path, what: str) -> bytes:
    try:
        return stream.read(_BLOCK)
    except OSError as error:
        raise UsageError(f"cannot read this file of the {what}: {reason(error)}", where=str(path)) from error

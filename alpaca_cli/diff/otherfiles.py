"""The files of a model that hold no weights, kept as they are: configs, tokenizer, chat template, card."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

from alpaca_cli.data.files import reason
from alpaca_cli.diff.manifest import MANIFEST, OtherFile, is_safe
from alpaca_cli.errors import IntegrityError, UsageError
from alpaca_cli.weights.folder import WeightFolder, refuse_leading_out
from alpaca_cli.weights.rawfile import DOWNLOAD

ENDINGS = {".json", ".txt", ".model", ".jinja", ".md", ".py", ".tiktoken", ".spm", ".vocab"}
NAMES = {"LICENSE", "NOTICE"}
TEMPLATES = "additional_chat_templates"
"""The one folder of a model folder that belongs to the model."""
MAX_BYTES = 1 << 28
_INDEX = (".safetensors.index.json", ".bin.index.json")
_BLOCK = 1 << 20


def find_others(model: WeightFolder) -> tuple[list[str], list[str]]:
    """The names of a model folder's files that belong to the model and hold no weights, and of all else that it holds.

    Its weights, indexes and hidden files are in neither.
    """
    kept, left_out = [], []
    for entry in sorted(model.path.iterdir()):
        name = entry.name
        if name.startswith(".") or name.endswith(_INDEX) or entry in model.files:
            continue
        if entry.is_dir():
            templates = sorted(entry.glob("*.jinja")) if name == TEMPLATES else []
            kept += [f"{name}/{each.name}" for each in templates]
            left_out += [] if templates else [f"{name}/"]
        elif name != MANIFEST and is_safe(name) and (entry.suffix in ENDINGS or entry.stem in NAMES):
            kept.append(name)
        else:
            left_out.append(name)
    return kept, left_out


def copy_others(source: Path, names: Sequence[str], target: Path, what: str) -> list[OtherFile]:
    """Copy files of `source` (the folder of the `what`) to `target`.  Raises UsageError if one cannot be kept."""
    return [_copy(source, name, target, what) for name in names]


def check_others(folder: Path, files: Sequence[OtherFile]) -> None:
    """Raises UsageError or IntegrityError unless these files are in `folder`, as the manifest has them."""
    for file in files:
        _checked(file, _copy(folder, file.name, None, "diff"), folder)


def recover_others(folder: Path, files: Sequence[OtherFile], target: Path) -> None:
    """Copy the files of a diff to `target`.  Raises as `check_others`."""
    for file in files:
        _checked(file, _copy(folder, file.name, target, "diff"), folder)


def _checked(expected: OtherFile, found: OtherFile, folder: Path) -> None:
    if expected != found:
        where = str(folder / expected.name)
        raise IntegrityError("this file of the diff is not as it was made", where=where, hint=DOWNLOAD)


def _copy(source: Path, name: str, target: Path | None, what: str) -> OtherFile:
    """Copy a file, or only read it; returns what it is."""
    path = source / name
    refuse_leading_out(path, what)
    digest, size = hashlib.sha256(), 0
    try:
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb", buffering=0) as stream:
            if not path.is_file():
                raise UsageError("expected a file", where=str(path))
            blocks = []
            while block := stream.read(_BLOCK):
                digest.update(block)
                size += len(block)
                blocks.append(block)
                if size > MAX_BYTES:
                    message = f"expected at most {MAX_BYTES:,} bytes in a file that holds no weights"
                    raise UsageError(message, where=str(path), hint="move it out of the folder")
    except OSError as error:
        raise UsageError(f"cannot read this file of the {what}: {reason(error)}", where=str(path)) from error
    if target is not None:
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        (target / name).write_bytes(b"".join(blocks))
    return OtherFile(name=name, num_bytes=size, sha256=digest.hexdigest())

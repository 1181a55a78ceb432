"""Files of a run that a later try of it reads: as they were written, or not at all.

What takes hours to find out is trusted only with its checksum.
"""

from __future__ import annotations

import io
import json
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from alpaca_cli.data.files import sha256, write_atomically
from alpaca_cli.errors import IntegrityError, UsageError


def write_arrays(path: Path, **arrays: npt.NDArray[Any]) -> None:
    """Arrays by name, in an .npz file, whole or not at all.  Raises UsageError if it cannot be written."""
    with _written(path) as stream:
        np.savez(stream, **arrays)  # type: ignore[arg-type]


def read_array(path: Path, name: str) -> npt.NDArray[Any]:
    """One of the arrays of a file.  Raises IntegrityError if it is not as it was written."""
    try:
        with zipfile.ZipFile(path) as file:
            raw = file.read(f"{name}.npy")  # to its end, where the checksum is compared: `np.load` may stop before
        found: npt.NDArray[Any] = np.load(io.BytesIO(raw))
        return found
    except (OSError, EOFError, ValueError, KeyError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        raise _changed(path) from error


def write_json(path: Path, value: dict[str, Any]) -> None:
    """A JSON value beside its SHA-256, whole or not at all.  Raises UsageError if it cannot be written."""
    text = json.dumps({"value": value, "sha256": _digest(value)}, indent=2) + "\n"
    with _written(path) as stream:
        stream.write(text.encode())


def read_json(path: Path) -> dict[str, Any]:
    """Raises IntegrityError if it is not as it was written."""
    try:
        found = json.loads(path.read_bytes())
        value: dict[str, Any] = found["value"]
        if found["sha256"] == _digest(value):
            return value
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _changed(path) from error
    raise _changed(path)


@contextmanager
def _written(path: Path) -> Iterator[IO[bytes]]:
    try:
        with write_atomically(path) as stream:
            yield stream
    except UsageError as error:
        (problem,) = error.problems
        hint = "make room, then run the same command again"
        raise UsageError(problem.message, where=problem.where, hint=hint) from error


def _digest(value: dict[str, Any]) -> str:
    return sha256(json.dumps(value).encode())


def _changed(path: Path) -> IntegrityError:
    hint = f"if {path.parent} holds nothing else than such a run, remove it and start again"
    return IntegrityError("expected this file as it was written, found it changed", where=str(path), hint=hint)

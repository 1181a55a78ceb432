"""config.json of a model: read, and written again with another type of its weights."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from alpaca_cli.errors import DataError
from alpaca_cli.weights.folder import refuse_leading_out
from alpaca_cli.weights.jsonobject import LONGEST, read_object
from alpaca_cli.weights.rawfile import RawFile

CONFIG = "config.json"
_NAMES = {"F32": "float32", "BF16": "bfloat16", "F16": "float16"}


def read_config(folder: Path, what: str) -> Mapping[str, Any]:
    """That of the model (`what` it is) in a folder.  Raises UsageError if it is missing, DataError if malformed."""
    path = folder / CONFIG
    if path.exists():
        refuse_leading_out(path, what)
    with RawFile(path, what=f"config of the {what}") as file:
        if file.size > LONGEST:
            raise DataError(f"expected at most {LONGEST:,} bytes, found {file.size:,}", where=str(path))
        return read_object(file.read(0, file.size), path, "config of a model")


def write_config(config: Mapping[str, Any], folder: Path, dtype: str) -> None:
    """Write it as transformers does, which calls the type `torch_dtype` up to its version 4, and `dtype` since."""
    keys = [key for key in ("dtype", "torch_dtype") if key in config] or ["torch_dtype"]
    settled = {**config, **dict.fromkeys(keys, _NAMES[dtype])}
    (folder / CONFIG).write_text(json.dumps(settled, indent=2) + "\n", encoding="utf-8")

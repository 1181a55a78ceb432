"""The files of a model's weights, known by their headers and sizes; no weight is read.

A safetensors file begins with the length of its header (8 bytes, little-endian), then the header in JSON: for each
tensor its dtype, its shape and its place among the bytes that follow.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import Any

from alpaca_cli.data.files import decode, open_bytes, read_bytes
from alpaca_cli.errors import DataError, UsageError

LONGEST_HEADER = 100_000_000  # bytes; the safetensors library allows no more
SINGLE = ("model.safetensors", "pytorch_model.bin")
DOWNLOAD = "download it again"
_BUFFER = re.compile(r"(rotary_emb\.inv_freq|\.attn\.bias|\.attention\.bias|\.masked_bias)$")  # saved by old versions
_HEAD = re.compile(r"(^|\.)(lm_head|embed_out)\.weight$")
_LAYER = re.compile(r"(^|\.)(layers|h|blocks)\.\d+\.")


@dataclass
class Tensors:
    """What a model's files of weights hold, buffers left out."""

    num_bytes: int = 0
    """Of the files."""
    num_parameters: int | None = None
    """None: not known without reading the weights (.bin files)."""
    head_parameters: int = 0
    """Of the output's matrix alone, which a tied model may hold a second time."""
    layer_parameters: int = 0
    """Of all layers together."""
    dtypes: set[str] = field(default_factory=set)
    """As safetensors names them: F32, BF16, F16, ..."""


def read_tensors(model: Path) -> Tensors:
    """What the weights in a model folder hold; safetensors go before .bin files.

    Raises UsageError if there are none, or not all that the index names; DataError for a file that is none of weights.
    """
    found = Tensors()
    for path in _files(model):
        found.num_bytes += path.stat().st_size
        if path.suffix == ".safetensors":
            _add(found, read_header(path))
        else:
            _refuse_strange(path, _first_bytes(path, 512))
    return found


def read_header(path: Path) -> dict[str, Any]:
    """The tensors of a safetensors file: name to dtype, shape and place.  Raises DataError if malformed or cut."""
    size = path.stat().st_size
    start = _first_bytes(path, 512)
    _refuse_strange(path, start)
    length = int.from_bytes(start[:8], "little")
    if size < 8 or length > min(LONGEST_HEADER, size - 8):
        raise DataError("no safetensors file, or cut in its header", where=str(path), hint=DOWNLOAD)
    try:
        header = json.loads(_first_bytes(path, 8 + length)[8:])
        header.pop("__metadata__", None)
        end = max((_end(each) for each in header.values()), default=0)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise DataError("malformed safetensors header", where=str(path), hint=DOWNLOAD) from None
    if end != size - 8 - length:
        message = f"the header speaks of {end:,} bytes of weights, the file holds {size - 8 - length:,}"
        raise DataError(message, where=str(path), hint=DOWNLOAD)
    return dict(header)


def _end(tensor: Mapping[str, Any]) -> int:
    """Where a tensor ends.  Raises ValueError, KeyError or TypeError if it is not described as one."""
    begin, end = tensor["data_offsets"]
    numbers = [begin, end, *tensor["shape"]]
    if not isinstance(tensor["dtype"], str) or not all(type(each) is int and each >= 0 for each in numbers):
        raise ValueError
    bits = re.search(r"\d+", tensor["dtype"])
    if bits is not None and (end - begin) * 8 != prod(tensor["shape"]) * int(bits[0]):
        raise ValueError
    return int(end)


def _add(found: Tensors, header: Mapping[str, Any]) -> None:
    found.num_parameters = found.num_parameters or 0
    for name, tensor in header.items():
        if _BUFFER.search(name):
            continue
        count = prod(tensor["shape"])
        found.num_parameters += count
        found.head_parameters += count if _HEAD.search(name) else 0
        found.layer_parameters += count if _LAYER.search(name) else 0
        found.dtypes.add(tensor["dtype"])


def _files(model: Path) -> list[Path]:
    for name in SINGLE:
        index = model / f"{name}.index.json"
        if (model / name).exists():
            return [model / name]
        if index.exists():
            return _indexed(index)
    hint = "name a folder with model.safetensors or its shards; config.json alone is not enough"
    raise UsageError("no weights in this model folder", where=str(model), hint=hint)


def _indexed(index: Path) -> list[Path]:
    """The shards that an index names, all of them there."""
    try:
        names = sorted(set(json.loads(decode(read_bytes(index), index))["weight_map"].values()))
        strange = next((name for name in names if Path(name).name != name), None)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise DataError("expected the index of a model's shards", where=str(index), hint=DOWNLOAD) from None
    if strange is not None or not names:
        raise DataError(f"expected the names of shards beside it, found {strange!r}", where=str(index), hint=DOWNLOAD)
    if missing := [name for name in names if not (index.parent / name).is_file()]:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        message = f"{len(missing)} of {len(names)} shards are missing: {missing[0]}{more}"
        raise UsageError(message, where=str(index.parent), hint="download them beside the index")
    return [index.parent / name for name in names]


def _refuse_strange(path: Path, start: bytes) -> None:
    """Raises DataError for what is downloaded in the place of weights."""
    if start.startswith(b"version https://git-lfs"):
        hint = "run `git lfs pull` in its folder"
        raise DataError("a Git LFS pointer, not the weights themselves", where=str(path), hint=hint)
    if start.lstrip()[:9].lower().startswith((b"<!doctype", b"<html", b"<?xml")):
        raise DataError("a web page, not weights", where=str(path), hint=DOWNLOAD)


def _first_bytes(path: Path, number: int) -> bytes:
    with open_bytes(path, what="file of weights") as stream:
        return stream.read(number)

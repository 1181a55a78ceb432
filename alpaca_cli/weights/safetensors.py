"""The header of a safetensors file: read with every promise of the format checked, or written.

A file begins with the length of its header (8 bytes, little-endian), then the header in JSON: for each tensor its
dtype, its shape and its place among the bytes that follow, which the tensors fill without gap or overlap.
Source: the format's description in the safetensors library.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeGuard

from alpaca_cli.errors import DataError
from alpaca_cli.weights.jsonobject import LONGEST, is_text, read_object, shown
from alpaca_cli.weights.rawfile import DOWNLOAD, RawFile
from alpaca_cli.weights.tensor import ITEM_BYTES, LARGEST, MOST_AXES, Tensor

METADATA = "__metadata__"  # of the file, where a tensor's name would be
PYTORCH: Mapping[str, str] = MappingProxyType({"format": "pt"})
_PREFIX = 8  # bytes of the header's length
_WHAT = "header of a safetensors file"


@dataclass(frozen=True)
class Header:
    """What a file of weights holds."""

    text: bytes
    """The JSON as it stands, padding included, its length before it not."""
    tensors: tuple[Tensor, ...]
    """In the order in which they lie."""
    metadata: Mapping[str, str]


def read_header(path: Path) -> Header:
    """The header of a file.  Raises DataError if it is malformed, or the file is cut; UsageError if unreadable."""
    with RawFile(path) as file:
        if file.size < _PREFIX:
            raise DataError(f"no safetensors file: {file.size} bytes", where=str(path), hint=DOWNLOAD)
        length = int.from_bytes(file.read(0, _PREFIX), "little")
        if length > LONGEST:  # also what every other kind of file seems to say
            message = f"no safetensors file: it would have a header of {length:,} bytes"
            raise DataError(message, where=str(path), hint=DOWNLOAD)
        if length > file.size - _PREFIX:
            message = f"cut in its header: expected {_PREFIX + length:,} bytes or more, found {file.size:,}"
            raise DataError(message, where=str(path), hint=DOWNLOAD)
        return parse_header(file.read(_PREFIX, length), path, file.size)


def parse_header(text: bytes, path: Path, size: int | None = None) -> Header:
    """The header that is, or was, at the beginning of the file `path`, which has `size` bytes; None: unknown.

    Raises DataError if it breaks a promise of the format, or speaks of another size.
    """
    found = read_object(text, path, _WHAT)
    metadata = found.pop(METADATA, {})
    if not isinstance(metadata, dict) or not all(is_text(each) for pair in metadata.items() for each in pair):
        raise DataError(f"{_WHAT}: expected texts in {METADATA}", where=str(path), hint=DOWNLOAD)
    begin = _PREFIX + len(text)
    tensors = sorted((_tensor(name, each, path, begin) for name, each in found.items()), key=_place)
    end = begin
    for tensor in tensors:
        if tensor.offset != end:
            fault = "overlaps the one before it" if tensor.offset < end else "lies behind a gap"
            raise _malformed(tensor.name, fault, path)
        end += tensor.num_bytes
    if size is not None and size != end:
        what = "cut short" if size < end else "longer than its header says"
        raise DataError(f"{what}: expected {end:,} bytes, found {size:,}", where=str(path), hint=DOWNLOAD)
    return Header(text, tuple(tensors), metadata)


def header_text(tensors: Sequence[tuple[str, str, Sequence[int]]], metadata: Mapping[str, str] = PYTORCH) -> bytes:
    """The header of a file in which these tensors (name, dtype, shape) follow one another, padded to 8 bytes.

    To be written after its length.
    """
    header: dict[str, Any] = {METADATA: dict(metadata)} if metadata else {}
    end = 0
    for name, dtype, shape in tensors:
        begin, end = end, end + prod(shape) * ITEM_BYTES[dtype]
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [begin, end]}
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode("utf-8")
    return text + b" " * (-len(text) % 8)


def _tensor(name: str, said: Any, path: Path, begin: int) -> Tensor:
    """One entry of a header whose tensors begin at `begin`."""
    if not is_text(name) or not isinstance(said, dict):
        raise _malformed(name, "expected dtype, shape and data_offsets", path)
    dtype, shape, place = said.get("dtype"), said.get("shape"), said.get("data_offsets")
    if not isinstance(dtype, str) or dtype not in ITEM_BYTES:
        raise _malformed(name, f"unknown dtype {shown(dtype)}", path)
    if not _are_sizes(shape) or len(shape) > MOST_AXES:
        raise _malformed(name, "expected a shape of whole numbers", path)
    if not _are_sizes(place) or len(place) != 2 or place[0] > place[1]:
        raise _malformed(name, "expected two data_offsets in order", path)
    tensor = Tensor(name, dtype, tuple(shape), path, begin + place[0])
    if tensor.num_bytes > LARGEST:
        raise _malformed(name, "a shape that fits no disk", path)
    if tensor.num_bytes != place[1] - place[0]:
        message = f"expected {tensor.num_bytes:,} bytes for its shape, found {place[1] - place[0]:,}"
        raise _malformed(name, message, path)
    return tensor


def _are_sizes(value: Any) -> TypeGuard[list[int]]:
    """Whether JSON gave a list of numbers that count something; `true` is none."""
    return isinstance(value, list) and all(type(each) is int and 0 <= each <= LARGEST for each in value)


def _place(tensor: Tensor) -> tuple[int, int]:
    """Tensors without values lie before the one that begins where they do."""
    return tensor.offset, tensor.num_bytes


def _malformed(name: str, fault: str, path: Path) -> DataError:
    return DataError(f"{_WHAT}: {shown(name)}: {fault}", where=str(path), hint=DOWNLOAD)

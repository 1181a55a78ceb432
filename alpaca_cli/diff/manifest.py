"""What an exact or additive diff says of itself: `alpaca_diff.json`, format version 1.

    {"digest": "<SHA-256 of every byte after this line>",
     "format": "alpaca-diff", "version": 1, "kind": "exact", ...}

docs/diff_format.md describes every field.  Nothing that a manifest says is believed before `read_manifest` has checked
it: names cannot lead out of a folder, and what it says twice agrees.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from alpaca_cli.data.files import sha256
from alpaca_cli.errors import DataError, IntegrityError, UsageError
from alpaca_cli.weights.jsonobject import read_object
from alpaca_cli.weights.rawfile import DOWNLOAD, RawFile
from alpaca_cli.weights.safetensors import Header, parse_header
from alpaca_cli.weights.tensor import ITEM_BYTES

MANIFEST = "alpaca_diff.json"
MODEL_FILES = "model"
"""The folder, in that of an exact diff, of the tuned model's files that are no weights."""
FORMAT = "alpaca-diff"
VERSION = 1
LONGEST = 1 << 27  # bytes of a manifest: that of a model of 100,000 tensors has some 60 million
_FIRST_LINE = re.compile(rb'\{"digest": "([0-9a-f]{64})",\n')

Digest = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
Size = Annotated[int, Field(ge=0, le=2**62)]
Shape = Annotated[tuple[Size, ...], Field(max_length=64)]
Name = Annotated[str, Field(min_length=1, max_length=1000)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class BaseTensor(_Part):
    """The tensor of the base that a tensor is told from."""

    name: Name
    dtype: Name
    shape: Shape
    sha256: Digest


class Stored(_Part):
    """Where the bytes of a tensor's diff lie."""

    shard: Size
    """A place in the manifest's list of shards."""
    offset: Size
    num_bytes: Size
    sha256: Digest


class TunedTensor(_Part):
    """A tensor of the tuned model."""

    name: Name
    dtype: Name
    shape: Shape
    sha256: Digest
    """Of its bytes in row order."""
    base: BaseTensor | None
    """None: it is stored whole."""
    diff: Stored | None
    """None in an additive diff, whose tensors lie where a model's do."""
    num_changed: Size
    """Values whose bits are not those of the base (in the tuned dtype); all, of values that the base lacks."""


class Difference(_Part):
    """A tensor of an additive diff, and what it is recovered to."""

    name: Name
    dtype: Name
    """Of the tensor in the diff."""
    sha256: Digest
    """Of its bytes in the diff."""
    second_base: BaseTensor | None
    """What else was subtracted: where the tuned model has one matrix for input and output, and the base has two."""
    recovered_sha256: Digest
    """Of the bytes that base and diff add up to, in the tuned dtype."""
    num_unequal: Size
    """Values whose bits then are not those of the tuned model, but near; 0: all are."""


class WeightFile(_Part):
    """A file of weights as it is recovered."""

    name: Name
    header: str
    """The JSON at the beginning of a safetensors file, padding included."""


class OtherFile(_Part):
    """A file of the tuned model that holds no weights: kept as it is."""

    name: Name
    num_bytes: Size
    sha256: Digest


class Shard(_Part):
    """A file of the diff."""

    name: Name
    num_bytes: Size


class Model(_Part):
    """What a model was called, and how large its weights are."""

    name: str
    num_bytes: Size
    num_values: Size


class Manifest(_Part):
    """All that is known of a diff."""

    format: Literal["alpaca-diff"]
    version: Literal[1]
    kind: Literal["exact", "additive"]
    made_by: str
    base: Model
    tuned: Model
    weights: tuple[WeightFile, ...]
    files: tuple[OtherFile, ...]
    shards: tuple[Shard, ...]
    tensors: tuple[TunedTensor, ...]
    differences: tuple[Difference, ...] = ()
    """Of an additive diff, for each of `tensors`, in their order."""

    def headers(self, folder: Path) -> Iterator[tuple[WeightFile, Header]]:
        """Each file of weights with its header, as if it lay in `folder`."""
        for file in self.weights:
            yield file, parse_header(file.header.encode("utf-8"), folder / file.name)


def written(manifest: Manifest) -> bytes:
    """The manifest as it is on disk."""
    fields = [f"{json.dumps(key)}: {_lines(value)}" for key, value in manifest.model_dump(mode="json").items()]
    rest = (",\n".join(fields) + "}\n").encode("ascii")
    return b'{"digest": "' + sha256(rest).encode("ascii") + b'",\n' + rest


def _lines(value: object) -> str:
    """JSON, of a list an entry a line."""
    if isinstance(value, list) and value:
        return "[\n" + ",\n".join(f"  {json.dumps(each)}" for each in value) + "\n]"
    return json.dumps(value)


def digest_of(raw: bytes) -> str:
    """The digest in the first line of a manifest's bytes."""
    found = _FIRST_LINE.match(raw)
    return found[1].decode("ascii") if found else ""


def read_manifest(folder: Path) -> tuple[Manifest, str]:
    """The manifest of the diff in `folder`, and its digest.

    Raises UsageError if there is none, IntegrityError if it was changed since it was written, DataError if it could
    never have been written.
    """
    path = folder / MANIFEST
    if not folder.is_dir():
        raise UsageError("expected the folder of a diff", where=str(folder), hint="name the folder that was downloaded")
    with RawFile(path, what="manifest of a diff") as file:
        if file.size > LONGEST:
            message = f"expected a manifest of at most {LONGEST:,} bytes, found {file.size:,}"
            raise DataError(message, where=str(path), hint=DOWNLOAD)
        raw = file.read(0, file.size)
    found = _FIRST_LINE.match(raw)
    if found is None or sha256(raw[found.end() :]) != found[1].decode("ascii"):
        raise IntegrityError("this manifest is not as it was written", where=str(path), hint=DOWNLOAD)
    return _checked(raw, path), found[1].decode("ascii")


def _checked(raw: bytes, path: Path) -> Manifest:
    content = read_object(raw, path, "manifest of a diff", longest=LONGEST)
    content.pop("digest", None)
    said = content.get("format"), content.get("version")
    if said[0] == FORMAT and type(said[1]) is int and said[1] > VERSION:
        message = f"a diff of format version {said[1]}; this alpaca reads version {VERSION}"
        raise UsageError(message, where=str(path), hint="install a newer alpaca")
    try:
        manifest = Manifest.model_validate_json(json.dumps(content))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(each) for each in first["loc"])
        raise DataError(f"malformed manifest: {place}: {first['msg'].lower()}", where=str(path)) from None
    _check_names(manifest, path)
    _check_tensors(manifest, path)
    return manifest


def _check_names(manifest: Manifest, path: Path) -> None:
    weights = [file.name for file in manifest.weights]
    shards = [shard.name for shard in manifest.shards]
    others = [file.name for file in manifest.files]
    if any("/" in name for name in weights + shards) or not all(map(is_safe, weights + shards + others)):
        raise DataError("malformed manifest: a file name that leads elsewhere", where=str(path))
    recovered = weights + others
    if len({name.casefold() for name in recovered}) != len(recovered) or len(set(shards)) != len(shards):
        raise DataError("malformed manifest: two files of one name", where=str(path))


def is_safe(name: str) -> bool:
    """Whether a relative name with / stays in its folder, on every system."""
    parts = name.split("/")
    return (
        name.isprintable()
        and not set(name) & set('\\:*?"<>|')
        and all(part not in ("", ".", "..") for part in parts)
        and len(PurePosixPath(name).parts) <= 4
    )


def _check_tensors(manifest: Manifest, path: Path) -> None:
    """Raises DataError if the tensors are not those of the headers, or lie outside their shards."""
    declared = {each.name: each for _, header in manifest.headers(path.parent) for each in header.tensors}
    count = sum(len(header.tensors) for _, header in manifest.headers(path.parent))
    if len(declared) != count or [tensor.name for tensor in manifest.tensors] != list(declared):
        raise DataError("malformed manifest: its tensors are not those of its files of weights", where=str(path))
    names = [tensor.name for tensor in manifest.tensors] if manifest.kind == "additive" else []
    if [difference.name for difference in manifest.differences] != names:
        raise DataError("malformed manifest: its differences are not those of its tensors", where=str(path))
    for tensor in manifest.tensors:
        here, stored, base = declared[tensor.name], tensor.diff, tensor.base
        is_right = (here.dtype, here.shape) == (tensor.dtype, tensor.shape)
        if (manifest.kind == "exact") != (stored is not None):
            is_right = False
        if stored is not None:
            is_right &= stored.shard < len(manifest.shards)
            is_right = is_right and stored.offset + stored.num_bytes <= manifest.shards[stored.shard].num_bytes
        if base is not None:
            is_right &= base.dtype in ITEM_BYTES and is_told_from(tensor.dtype, tensor.shape, base.dtype, base.shape)
        if not is_right:
            raise DataError(f"malformed manifest: tensor {tensor.name[:200]!r} cannot be so", where=str(path))


def is_told_from(dtype: str, shape: tuple[int, ...], base_dtype: str, base_shape: tuple[int, ...]) -> bool:
    """Whether a tensor can be told from one of the base: the same but for rows, and for the type of a float."""
    floats = {"F32", "BF16", "F16"}
    same_type = dtype == base_dtype or {dtype, base_dtype} <= floats
    return same_type and len(shape) == len(base_shape) and shape[1:] == base_shape[1:]

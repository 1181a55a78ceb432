"""What an exact or additive diff says of itself: `alpaca_diff.json`, format version 1.

    {"digest": "<SHA-256 of every byte after this line>",
     "format": "alpaca-diff", "version": 1, "kind": "exact", ...}

docs/diff_format.md describes every field.  `readmanifest` reads one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from alpaca_cli.data.files import sha256
from alpaca_cli.weights.safetensors import Header, parse_header

MANIFEST = "alpaca_diff.json"
SHARD = ".alpacadiff"
"""How the names of a diff's own files end."""
SHARD_HEAD = 16  # bytes before what is stored in one
MODEL_FILES = "model"
"""The folder, in that of an exact diff, of the tuned model's files that are no weights."""
FORMAT = "alpaca-diff"
VERSION = 1
MOST_TENSORS = 100_000
"""That surely fit into a manifest which `read_manifest` takes, if their names have 100 bytes."""
LONGEST_NAME = 1_000
MOST_FILES = 10_000  # of each kind
FIRST_LINE = re.compile(rb'\{"digest": "([0-9a-f]{64})",\n')

Digest = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
Size = Annotated[int, Field(ge=0, le=2**62)]
Shape = Annotated[tuple[Size, ...], Field(max_length=64, strict=False)]
Text = Annotated[str, Field(max_length=1000)]
Name = Annotated[str, Field(min_length=1, max_length=LONGEST_NAME)]


class Part(BaseModel):
    """An object in a manifest: nothing more in it than is named, and of the very types."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class BaseTensor(Part):
    """The tensor of the base that a tensor is told from."""

    name: Name
    dtype: Name
    shape: Shape
    sha256: Digest


class Stored(Part):
    """Where the bytes of a tensor's diff lie."""

    shard: Size
    """A place in the manifest's list of shards."""
    offset: Size
    num_bytes: Size
    sha256: Digest


class TunedTensor(Part):
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


class Difference(Part):
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


class WeightFile(Part):
    """A file of weights as it is recovered."""

    name: Name
    header: str
    """The JSON at the beginning of a safetensors file, padding included."""


class OtherFile(Part):
    """A file of the tuned model that holds no weights: kept as it is."""

    name: Name
    num_bytes: Size
    sha256: Digest


class Shard(Part):
    """A file of the diff."""

    name: Name
    num_bytes: Size


class Model(Part):
    """What a model was called, and how large its weights are."""

    name: Text
    num_bytes: Size
    num_values: Size


class Manifest(Part):
    """All that is known of a diff."""

    format: Literal["alpaca-diff"]
    version: Annotated[int, Field(ge=VERSION, le=VERSION)]
    kind: Literal["exact", "additive"]
    made_by: Text
    base: Model
    tuned: Model
    weights: Annotated[tuple[WeightFile, ...], Field(max_length=MOST_FILES)]
    files: Annotated[tuple[OtherFile, ...], Field(max_length=MOST_FILES)]
    shards: Annotated[tuple[Shard, ...], Field(max_length=MOST_FILES)]
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
    found = FIRST_LINE.match(raw)
    return found[1].decode("ascii") if found else ""


def is_told_from(dtype: str, shape: tuple[int, ...], base_dtype: str, base_shape: tuple[int, ...]) -> bool:
    """Whether a tensor can be told from one of the base: the same but for rows, and for the type of a float."""
    floats = {"F32", "BF16", "F16"}
    same_type = dtype == base_dtype or {dtype, base_dtype} <= floats
    return same_type and len(shape) == len(base_shape) and shape[1:] == base_shape[1:]

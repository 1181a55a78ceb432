"""The manifest of a diff, read: nothing that it says is believed before it was checked.

Names cannot lead out of a folder, sizes cannot be what no diff has, and what is said twice agrees.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import TypeVar

from pydantic import ValidationError

from alpaca_cli.data.files import sha256
from alpaca_cli.diff.coder.blocks import num_blocks
from alpaca_cli.diff.filenames import folded, is_safe, is_weights
from alpaca_cli.diff.manifest import (
    FIRST_LINE,
    FORMAT,
    MANIFEST,
    SHARD,
    SHARD_HEAD,
    VERSION,
    BaseTensor,
    Difference,
    Manifest,
    OtherFile,
    Part,
    Shard,
    Stored,
    TunedTensor,
    WeightFile,
    is_told_from,
)  # fmt: skip
from alpaca_cli.errors import DataError, IntegrityError, UsageError
from alpaca_cli.weights.folder import refuse_leading_out
from alpaca_cli.weights.jsonobject import read_object
from alpaca_cli.weights.rawfile import DOWNLOAD, RawFile
from alpaca_cli.weights.tensor import ITEM_BYTES

LONGEST = 1 << 27  # bytes of a manifest: that of a model of 100,000 tensors has some 70 million
PART = 16  # bytes that a part of the longest may have on average: 170,000 tensors, of 47 parts
MOST_TEXT = 1 << 24  # bytes
LEAST_BLOCK = 5  # bytes
_START = 4096  # bytes in which a manifest, however damaged, says what it is
_QUOTE = re.compile(rb'(?<!\\)"')  # that no backslash precedes
_Kind = TypeVar("_Kind", bound=Part)
_LISTS: Mapping[str, type[Part]] = {
    "weights": WeightFile, "files": OtherFile, "shards": Shard, "tensors": TunedTensor, "differences": Difference,
}  # fmt: skip


def read_manifest(folder: Path) -> tuple[Manifest, str]:
    """The manifest of the diff in `folder`, and its digest.

    Raises UsageError if there is none, IntegrityError if it was changed since it was written, DataError if it could
    never have been written.
    """
    path = folder / MANIFEST
    if not folder.is_dir():
        raise UsageError("expected the folder of a diff", where=str(folder), hint="name the folder that was downloaded")
    if path.is_symlink():
        refuse_leading_out(path, "diff")
    with RawFile(path, what="manifest of a diff") as file:
        if file.size > LONGEST:
            message = f"expected a manifest of at most {LONGEST:,} bytes, found {file.size:,}"
            raise DataError(message, where=str(path), hint=DOWNLOAD)
        raw = file.read(0, file.size)
    found = FIRST_LINE.match(raw)
    if found is None or sha256(raw[found.end() :]) != found[1].decode("ascii"):
        raise _changed(raw, path)
    return _checked(raw, path), found[1].decode("ascii")


def read_exact(folder: Path) -> tuple[Manifest, str]:
    """As `read_manifest`, of an exact diff.  Raises UsageError too if it is additive."""
    manifest, digest = read_manifest(folder)
    if manifest.kind != "exact":
        message = f"expected an exact diff, found one of kind {manifest.kind}"
        raise UsageError(message, where=str(folder), hint="see `alpaca diff show` for what it is")
    return manifest, digest


def _changed(raw: bytes, path: Path) -> IntegrityError:
    """What is told of a manifest whose digest is wrong."""
    if b"\r\n" in raw:
        hint = "download it as it is; where git did this: git config core.autocrlf false, and clone again"
        return IntegrityError("the line ends of this manifest were changed", where=str(path), hint=hint)
    if not FIRST_LINE.match(raw) and FORMAT.encode("ascii") not in raw[:_START]:
        hint = "name the folder of a diff that `alpaca diff make` wrote"
        return IntegrityError("this is not the manifest of a diff", where=str(path), hint=hint)
    if not raw.endswith(b"]}\n"):
        message = f"this manifest is not as it was written, but seems cut short, after {len(raw):,} bytes"
        return IntegrityError(message, where=str(path), hint=DOWNLOAD)
    return IntegrityError("this manifest is not as it was written", where=str(path), hint=DOWNLOAD)


def _checked(raw: bytes, path: Path) -> Manifest:
    for at in range(0, len(raw), MOST_TEXT):  # a letter of a text may take four times its byte
        if not _QUOTE.search(raw, at, at + MOST_TEXT):
            raise _malformed(f"more than {MOST_TEXT:,} bytes in which no text ends", path)
    content = read_object(raw, path, "manifest of a diff", longest=LONGEST, part=PART)
    content.pop("digest")
    said = content.get("format"), content.get("version")
    if said[0] == FORMAT and type(said[1]) is int and said[1] > VERSION:
        message = f"a diff of format version {said[1]}; this alpaca reads version {VERSION}"
        raise UsageError(message, where=str(path), hint="install a newer alpaca")
    for name, kind in _LISTS.items():
        if isinstance(content.get(name), list):
            content[name] = tuple(_valid(kind, each, (name, at), path) for at, each in enumerate(content[name]))
    manifest = _valid(Manifest, content, (), path)
    _check_names(manifest, path)
    _check_tensors(manifest, path)
    _check_places(manifest, path)
    return manifest


def _valid(kind: type[_Kind], said: object, place: tuple[str | int, ...], path: Path) -> _Kind:
    """What was said as what it should be.  One entry at a time: of a million wrong ones the first is enough."""
    try:
        return kind.model_validate(said)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, (*place, *first["loc"])))[:200]
        raise _malformed(f"{where}: {first['msg'][:200].lower()}", path) from None


def _malformed(fault: str, path: Path) -> DataError:
    return DataError(f"malformed manifest: {fault}", where=str(path), hint="ask whoever made the diff to make it again")


def _check_names(manifest: Manifest, path: Path) -> None:
    """Raises DataError unless every file has a name of its own that stays in the folder and says what it is."""
    weights = [file.name for file in manifest.weights]
    shards = [shard.name for shard in manifest.shards]
    others = [file.name for file in manifest.files]
    for name in weights + shards + others:
        if not is_safe(name):
            raise _malformed(f"a file name that leads elsewhere: {name[:200]!r}", path)
    for names, ending in ((weights, ".safetensors"), (shards, SHARD)):
        if strange := [name for name in names if "/" in name or not name.endswith(ending)]:
            raise _malformed(f"expected the name of a file in {ending}, found {strange[0][:200]!r}", path)
    for name in others:
        if is_weights(name):
            raise _malformed(f"a file of weights that is not proved: {name[:200]!r}", path)
    for names in (weights + others, shards):
        taken = {folded(name) for name in names}
        folders = {folded(parent.as_posix()) for name in names for parent in PurePosixPath(name).parents}
        if len(taken) < len(names) or taken & folders:
            raise _malformed("two files of one name", path)


def _check_tensors(manifest: Manifest, path: Path) -> None:
    """Raises DataError if the tensors are not those of the headers, or are told from what they cannot be."""
    headers = [each for _, header in manifest.headers(path.parent) for each in header.tensors]
    declared = {each.name: each for each in headers}
    if len(declared) != len(headers) or [tensor.name for tensor in manifest.tensors] != list(declared):
        raise _malformed("its tensors are not those of its files of weights", path)
    names = [tensor.name for tensor in manifest.tensors] if manifest.kind == "additive" else []
    if [difference.name for difference in manifest.differences] != names:
        raise _malformed("its differences are not those of its tensors", path)
    for tensor in manifest.tensors:
        here, base = declared[tensor.name], tensor.base
        is_right = (here.dtype, here.shape) == (tensor.dtype, tensor.shape)
        is_right &= (manifest.kind == "exact") == (tensor.diff is not None)
        is_right &= tensor.num_changed <= here.num_values
        if base is not None:
            is_right &= base.dtype in ITEM_BYTES and is_told_from(tensor.dtype, tensor.shape, base.dtype, base.shape)
        if is_right and tensor.diff is not None:  # each block has a length, a kind, and at most its values
            least = LEAST_BLOCK * num_blocks(tensor.shape, None if base is None else base.shape)
            is_right = least <= tensor.diff.num_bytes <= least + here.num_bytes
        if not is_right:
            raise _malformed(f"tensor {tensor.name[:200]!r} cannot be so", path)
    told_from: dict[str, BaseTensor] = {}
    for tensor in manifest.tensors:
        if tensor.base is not None and told_from.setdefault(tensor.base.name, tensor.base) != tensor.base:
            raise _malformed(f"tensor {tensor.base.name[:200]!r} of the base is two things at once", path)


def _check_places(manifest: Manifest, path: Path) -> None:
    """Raises DataError unless what is stored fills the shards without gap or overlap, but for tensors stored once."""
    users: dict[Stored, TunedTensor] = {}
    for tensor in manifest.tensors:
        if tensor.diff is None or not tensor.diff.num_bytes:
            continue
        first = users.setdefault(tensor.diff, tensor)
        if first is not tensor and first.model_copy(update={"name": tensor.name}) != tensor:
            raise _malformed(f"tensor {tensor.name[:200]!r} is stored where another one is", path)
    ends = [SHARD_HEAD] * len(manifest.shards)
    for stored in sorted(users, key=lambda each: (each.shard, each.offset)):
        if stored.shard >= len(ends) or stored.offset != ends[stored.shard]:
            raise _malformed(f"tensor {users[stored].name[:200]!r} is stored over another one, or behind a gap", path)
        ends[stored.shard] += stored.num_bytes
    for shard, end in zip(manifest.shards, ends, strict=True):
        if shard.num_bytes != end:
            raise _malformed(f"shard {shard.name[:200]!r} holds more or less than its tensors", path)

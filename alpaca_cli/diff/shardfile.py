"""The diff's own files: sixteen bytes that say which one it is, then the blocks, each after its length."""

from __future__ import annotations

import hashlib
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from alpaca_cli.diff.coder.codec import Malformed
from alpaca_cli.diff.manifest import SHARD, SHARD_HEAD, Manifest, Stored
from alpaca_cli.errors import AlpacaError, DataError, IntegrityError, UsageError
from alpaca_cli.weights.folder import refuse_leading_out
from alpaca_cli.weights.rawfile import DOWNLOAD, RawFile

MAGIC = b"ALPACADF"
LENGTH_BYTES = 4


def shard_name(number: int, count: int) -> str:
    """The name of a shard, counted from 0; no loader takes it for a model's.

    >>> shard_name(0, 3)
    'tensors-00001-of-00003.alpacadiff'
    """
    return f"tensors-{number + 1:05}-of-{count:05}{SHARD}"


def shard_head(number: int, count: int) -> bytes:
    """The beginning of a shard: what it is, which one, of how many."""
    return MAGIC + number.to_bytes(4, "little") + count.to_bytes(4, "little")


def check_shards(folder: Path, manifest: Manifest) -> None:
    """Raises UsageError, DataError or IntegrityError unless every shard is there, whole, and in its place."""
    shards = manifest.shards
    missing = [shard.name for shard in shards if not (folder / shard.name).exists()]
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        message = f"{len(missing)} of {len(shards)} shards of the diff are missing: {missing[0]}{more}"
        raise UsageError(message, where=str(folder), hint="download them beside the manifest")
    for number, shard in enumerate(shards):
        path = folder / shard.name
        refuse_leading_out(path, "diff")
        with RawFile(path, what="shard of a diff") as file:
            head = file.read(0, min(SHARD_HEAD, file.size))
            if head[:8] == MAGIC and len(head) == SHARD_HEAD and head != shard_head(number, len(shards)):
                found, of = (int.from_bytes(head[at : at + 4], "little") for at in (8, 12))
                message = f"expected shard {number + 1} of {len(shards)} of the diff, found shard {found + 1} of {of}"
                raise IntegrityError(message, where=str(path), hint="its files were renamed or swapped: download again")
            if file.size != shard.num_bytes:
                raise _wrong_size(file, number, manifest)
            if head != shard_head(number, len(shards)):
                raise IntegrityError("this shard of the diff is not as it was made", where=str(path), hint=DOWNLOAD)


def _wrong_size(file: RawFile, number: int, manifest: Manifest) -> AlpacaError:
    """What is told of a shard of another size; its first tensor tells whether it is the right one, cut."""
    expected = manifest.shards[number].num_bytes
    stored = [each.diff for each in manifest.tensors if each.diff and each.diff.shard == number and each.diff.num_bytes]
    for first in stored[:1]:
        if first.offset + first.num_bytes <= file.size:
            with BlockReader(file.path, first) as reader:
                if reader.finish() != first.sha256:
                    message = f"a shard of another diff: expected {expected:,} bytes, found {file.size:,}"
                    hint = "take manifest and shards from one download"
                    return IntegrityError(message, where=str(file.path), hint=hint)
    what = "cut short" if file.size < expected else "longer than it was made"
    message = f"{what}: expected {expected:,} bytes, found {file.size:,}"
    return DataError(message, where=str(file.path), hint=DOWNLOAD)


class BlockReader:
    """The coded blocks of one tensor, in order, and the SHA-256 of them all; a context manager, for one thread."""

    def __init__(self, path: Path, stored: Stored) -> None:
        self._file = RawFile(path, what="shard of a diff")
        self._at, self._end = stored.offset, stored.offset + stored.num_bytes
        self._buffer = np.empty(0, np.uint8)
        self._hash = hashlib.sha256()

    def read(self, bound: int) -> NDArray[np.uint8]:
        """The next block, good until the next call.  Raises Malformed if it is longer than `bound` bytes."""
        length = int.from_bytes(self._next(LENGTH_BYTES).tobytes(), "little")
        if length > bound:
            raise Malformed
        return self._next(length)

    def finish(self) -> str:
        """Reads what is left, and returns the digest of all."""
        while self._at < self._end:
            self._next(min(1 << 20, self._end - self._at))
        return self._hash.hexdigest()

    @property
    def is_at_end(self) -> bool:
        """Whether no byte is left."""
        return self._at == self._end

    def _next(self, length: int) -> NDArray[np.uint8]:
        if length > self._end - self._at:
            raise Malformed
        if length > len(self._buffer):
            self._buffer = np.empty(length + length // 4, np.uint8)
        part = self._buffer[:length]
        self._file.read_into(part, self._at)
        self._at += length
        self._hash.update(part.data)
        return part

    def __enter__(self) -> BlockReader:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._file.close()

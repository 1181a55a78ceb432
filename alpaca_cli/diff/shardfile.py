"""The diff's own files: sixteen bytes that say which one it is, then the blocks, each after its length."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from alpaca_cli.diff.codec import Malformed
from alpaca_cli.diff.manifest import Shard, Stored
from alpaca_cli.errors import DataError, IntegrityError, UsageError
from alpaca_cli.weights.folder import refuse_leading_out
from alpaca_cli.weights.rawfile import DOWNLOAD, RawFile

MAGIC = b"ALPACADF"
HEAD_BYTES = 16
LENGTH_BYTES = 4
SHARD_ENDING = ".alpacadiff"


def shard_name(number: int, count: int) -> str:
    """The name of a shard, counted from 0; no loader takes it for a model's.

    >>> shard_name(0, 3)
    'tensors-00001-of-00003.alpacadiff'
    """
    return f"tensors-{number + 1:05}-of-{count:05}{SHARD_ENDING}"


def shard_head(number: int, count: int) -> bytes:
    """The beginning of a shard: what it is, which one, of how many."""
    return MAGIC + number.to_bytes(4, "little") + count.to_bytes(4, "little")


def check_shards(folder: Path, shards: Sequence[Shard]) -> None:
    """Raises UsageError, DataError or IntegrityError unless every shard is there, whole, and in its place."""
    missing = [shard.name for shard in shards if not (folder / shard.name).exists()]
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        message = f"{len(missing)} of {len(shards)} shards of the diff are missing: {missing[0]}{more}"
        raise UsageError(message, where=str(folder), hint="download them beside the manifest")
    for number, shard in enumerate(shards):
        path = folder / shard.name
        refuse_leading_out(path, "diff")
        with RawFile(path, what="shard of a diff") as file:
            head = file.read(0, min(HEAD_BYTES, file.size))
            if head[:8] == MAGIC and len(head) == HEAD_BYTES and head != shard_head(number, len(shards)):
                found, of = (int.from_bytes(head[at : at + 4], "little") for at in (8, 12))
                message = f"expected shard {number + 1} of {len(shards)} of the diff, found shard {found + 1} of {of}"
                raise IntegrityError(message, where=str(path), hint="its files were renamed or swapped: download again")
            if file.size != shard.num_bytes:
                what = "cut short" if file.size < shard.num_bytes else "too long"
                message = f"{what}: expected {shard.num_bytes:,} bytes, found {file.size:,}"
                raise DataError(message, where=str(path), hint=DOWNLOAD)
            if head != shard_head(number, len(shards)):
                raise IntegrityError("this shard of the diff is not as it was made", where=str(path), hint=DOWNLOAD)


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

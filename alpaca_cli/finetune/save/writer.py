"""What torch's distributed checkpoint writes, in several threads a process, with the checksum of each file.

torch's own writer is one thread (of several, it does not tell the failure of any but the first), and where the disk is
full it says `unexpected pos`.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import torch
from torch.distributed.checkpoint.filesystem import DEFAULT_SUFFIX, FileSystemWriter, _StorageInfo
from torch.distributed.checkpoint.planner import SavePlan, SavePlanner, WriteItem
from torch.distributed.checkpoint.storage import WriteResult
from torch.futures import Future

from alpaca_cli.finetune.save.manifest import File

_NUM_THREADS = 4  # one saves about half a gigabyte in a second, which no disk of today is content with


class Writer(FileSystemWriter):
    """Writes the shards of this process to files in `folder` that torch's `FileSystemReader` reads."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.files: dict[str, File] = {}
        """What has been written here, by name in the folder."""

    def write_data(self, plan: SavePlan, planner: SavePlanner) -> Future[list[WriteResult]]:
        """Write all tensors of `plan`.  Raises OSError as the system gave it."""
        shares = [share for share in _shares(plan.items) if share]
        names = [f"{plan.storage_data.prefix}{i}{DEFAULT_SUFFIX}" for i in range(len(shares))]
        results: list[WriteResult] = []
        failures: list[Exception] = []

        def work(name: str, share: Sequence[WriteItem]) -> None:
            try:
                results.extend(self._write_file(name, share, planner))
            except Exception as error:
                failures.append(error)

        # No pool of threads: it takes no work once the main thread has ended.
        threads = [threading.Thread(target=work, args=job) for job in zip(names, shares, strict=True)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if failures:
            raise failures[0]
        written: Future[list[WriteResult]] = Future()
        written.set_result(results)
        return written

    def _write_file(self, name: str, items: Sequence[WriteItem], planner: SavePlanner) -> list[WriteResult]:
        results = []
        with (Path(self.path) / name).open("wb") as file:
            stream = _HashedStream(file)
            for item in items:
                start = stream.num_bytes
                _save(planner.resolve_data(item), stream)
                length = stream.num_bytes - start
                place = _StorageInfo(name, start, length)
                results.append(WriteResult(index=item.index, size_in_bytes=length, storage_data=place))
            file.flush()
            os.fsync(file.fileno())
        self.files[name] = File(stream.num_bytes, stream.digest.hexdigest())
        return results


class _HashedStream:
    """A file that is only appended to, with the SHA-256 of what it holds and what went wrong with it."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.num_bytes = 0
        self.digest = hashlib.sha256()
        self.failure: OSError | None = None

    def write(self, data: bytes | memoryview) -> int:
        try:
            self._file.write(data)
        except OSError as error:
            self.failure = error
            raise
        self.digest.update(data)
        num_bytes = len(data)
        self.num_bytes += num_bytes
        return num_bytes

    def flush(self) -> None:
        self._file.flush()


def _save(tensor: object, stream: _HashedStream) -> None:
    try:
        torch.save(tensor, stream)  # type: ignore[arg-type]
    except RuntimeError:
        if stream.failure is not None:  # of which torch does not tell
            raise stream.failure from None
        raise


def _shares(items: Sequence[WriteItem]) -> list[list[WriteItem]]:
    """The tensors for each thread, of about as many bytes."""
    shares: list[list[WriteItem]] = [[] for _ in range(_NUM_THREADS)]
    num_bytes = [0] * _NUM_THREADS
    for item in sorted(items, key=_num_bytes, reverse=True):
        smallest = num_bytes.index(min(num_bytes))
        shares[smallest].append(item)
        num_bytes[smallest] += _num_bytes(item)
    return shares


def _num_bytes(item: WriteItem) -> int:
    assert item.tensor_data is not None
    return item.tensor_data.chunk.sizes.numel() * item.tensor_data.properties.dtype.itemsize

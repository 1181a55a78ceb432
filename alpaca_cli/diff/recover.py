"""`diff recover`, the exact kind: the tuned model from the base and the diff, proved bit for bit."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from alpaca_cli.data.files import write_at
from alpaca_cli.diff.crew import Progress, each_of, num_workers
from alpaca_cli.diff.decode import BaseDiffers, decode
from alpaca_cli.diff.flusher import Flusher
from alpaca_cli.diff.folders import new_folder, refuse_entangled, refuse_full, refuse_too_large
from alpaca_cli.diff.manifest import MODEL_FILES, Manifest, TunedTensor, WeightFile
from alpaca_cli.diff.otherfiles import check_index, check_others, recover_others
from alpaca_cli.diff.readmanifest import read_exact
from alpaca_cli.diff.rightbase import find_base, refuse_base
from alpaca_cli.diff.shardfile import check_shards
from alpaca_cli.diff.tensorstream import digest_of
from alpaca_cli.errors import AlpacaError
from alpaca_cli.weights.folder import read_folder
from alpaca_cli.weights.safetensors import Header, read_header
from alpaca_cli.weights.tensor import Tensor

_PREFIX = 8  # bytes of the length of a header


@dataclass(frozen=True)
class Recovered:
    """A model that was recovered, every bit of it."""

    path: Path
    manifest: Manifest
    digest: str
    num_kept: int
    """Files that an interrupted recovery had finished."""


def recover_exact(
    base: Path,
    diff: Path,
    out: Path,
    *,
    workers: int | None = None,
    on_progress: Callable[[str, int, int], None] = lambda *_: None,
    on_note: Callable[[str], None] = lambda _: None,
) -> Recovered:
    """Write the tuned model to the new folder `out`: the files of weights byte for byte, of .bin as safetensors.

    An interrupted recovery is taken up at the file it was at.  Memory: some 20 MB a worker.
    Raises UsageError or DataError if a folder is not what it should be, IntegrityError if base or diff are not those
    that the manifest names; then, or when killed, nothing is under the name of `out`.
    """
    refuse_entangled({"base": base, "diff": diff, "output": out})
    refuse_full(out)
    manifest, digest = read_exact(diff)
    check_shards(diff, manifest)
    check_others(diff / MODEL_FILES, manifest.files)
    check_index(diff / MODEL_FILES, manifest)
    weights = read_folder(base, "base")
    found = find_base(manifest, weights)
    with new_folder(out, f"recovering-{digest[:12]}", is_resumed=True) as folder, Flusher() as flusher:
        files = [_File(folder, file, header, flusher) for file, header in manifest.headers(folder)]
        kept = {file.path for file in files if file.is_there(manifest, workers, on_progress)}
        left = [file for file in files if file.path not in kept]
        if kept:
            on_note(f"{len(kept)} of {len(files)} files are there from before, and whole")
        refuse_too_large(out, sum(file.num_bytes for file in left) + sum(file.num_bytes for file in manifest.files))
        try:
            _write(manifest, left, found, diff, Progress("recover", _size(left), on_progress), num_workers(workers))
        except BaseDiffers:
            on_note("the base differs: reading it to the end, to say where")
            raise refuse_base(manifest, weights, found, num_workers(workers)) from None
        finally:
            whole = sum(file.path.exists() for file in files)
            if 0 < whole < len(files):
                on_note(f"{whole} of {len(files)} files are finished, and kept: the same command goes on from there")
        recover_others(diff / MODEL_FILES, manifest.files, folder)
    return Recovered(out, manifest, digest, len(kept))


class _File:
    """A file of weights that is being recovered: hidden under another name until all its tensors are proved."""

    def __init__(self, folder: Path, file: WeightFile, header: Header, flusher: Flusher) -> None:
        self.path = folder / file.name
        self.header = header
        self.num_bytes = _PREFIX + len(header.text) + sum(tensor.num_bytes for tensor in header.tensors)
        self._hidden = folder / f".{file.name}"
        self._descriptor = -1
        self._lock = threading.Lock()
        self._left = len(header.tensors)
        self._flusher = flusher

    def is_there(self, manifest: Manifest, workers: int | None, on_progress: Callable[[str, int, int], None]) -> bool:
        """Whether an earlier recovery finished it: it is read to know."""
        if not self.path.is_file() or self.path.stat().st_size != self.num_bytes:
            return False
        digests = {tensor.name: tensor.sha256 for tensor in manifest.tensors}
        progress = Progress(f"check {self.path.name}", self.num_bytes, on_progress)

        def is_right(tensor: Tensor) -> bool:
            digest = digest_of(tensor)
            progress.add(tensor.num_bytes)
            return digest == digests[tensor.name]

        try:
            header = read_header(self.path)
            if header.text != self.header.text:
                return False
            return all(each_of(header.tensors, is_right, num_workers(workers), progress.stop))
        except AlpacaError:
            return False

    def open(self) -> None:
        """Begin to write it, if that is not done: its header, and room for the rest.  For any thread."""
        with self._lock:
            if self._descriptor >= 0:
                return
            self._descriptor = os.open(self._hidden, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o666)
            head = len(self.header.text).to_bytes(_PREFIX, "little") + self.header.text
            write_at(self._descriptor, memoryview(head), 0)
            os.ftruncate(self._descriptor, self.num_bytes)
            self._flusher.add(self._hidden)

    def put(self, offset: int, values: NDArray[Any]) -> None:
        """Write what begins at `offset` of the file."""
        write_at(self._descriptor, values.data.cast("B"), offset)

    def done(self) -> None:
        """One more tensor is proved; after the last the file gets its name.  For any thread."""
        with self._lock:
            self._left -= 1
            if self._left:
                return
        self.finish()

    def close(self) -> None:
        """Let go of it, finished or not."""
        if self._descriptor >= 0:
            self._flusher.remove(self._hidden)
            os.close(self._descriptor)
            self._descriptor = -1

    def finish(self) -> None:
        """All its tensors are proved: it gets its name."""
        os.fsync(self._descriptor)
        self.close()
        self._hidden.rename(self.path)


def _write(
    manifest: Manifest,
    files: Sequence[_File],
    found: Mapping[str, Tensor],
    diff: Path,
    progress: Progress,
    workers: int,
) -> None:
    """Recover the tensors of `files`.  Raises BaseDiffers, IntegrityError, OSError."""
    by_name = {tensor.name: tensor for tensor in manifest.tensors}
    tasks = [(file, tensor) for file in files for tensor in file.header.tensors]

    def recover(task: tuple[_File, Tensor]) -> None:
        file, place = task
        file.open()  # only now: a process may not have very many files open
        tensor = by_name[place.name]

        def put(at: int, values: NDArray[Any]) -> None:
            file.put(place.offset + at, values)
            progress.add(values.nbytes)

        decode(manifest, tensor, _base_of(tensor, found), diff, put)
        file.done()

    try:
        for file in files:
            if not file.header.tensors:
                file.open()
                file.finish()
        for _ in each_of(tasks, recover, workers, progress.stop):
            pass
    finally:
        for file in files:
            file.close()


def _base_of(tensor: TunedTensor, found: Mapping[str, Tensor]) -> Tensor | None:
    return None if tensor.base is None else found[tensor.base.name]


def _size(files: Sequence[_File]) -> int:
    return sum(tensor.num_bytes for file in files for tensor in file.header.tensors)

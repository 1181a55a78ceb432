"""Checkpoints of a run: sharded, written while training goes on, whole or not there, read by any number of processes.

    save    every process copies its shards to host memory, then goes on training; a thread of each writes its own files
            (torch's distributed checkpoint), synced and with their SHA-256; the first process then writes the manifest,
            gives the folder its name, and removes the oldest
    load    every process checks its share of the files against the manifest, then reads what it needs of them

The folder lies on a file system that all processes see, on several nodes a shared one.  The threads speak to each other
through a process group of their own: their messages never mix with those of training.
"""

from __future__ import annotations

import errno
import hashlib
import shutil
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.filesystem import FileSystemReader
from torch.distributed.checkpoint.metadata import TensorStorageMetadata
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.checkpoint.state_dict_saver import save

from alpaca_cli.data.files import reason
from alpaca_cli.errors import AlpacaError, IntegrityError
from alpaca_cli.finetune.save import manifest
from alpaca_cli.finetune.save.agree import agree
from alpaca_cli.finetune.save.manifest import Checkpoint, File
from alpaca_cli.finetune.save.staging import Staging
from alpaca_cli.finetune.save.unwritten import refuse_unseen, unwritten
from alpaca_cli.finetune.save.writer import Writer

_METADATA = ".metadata"  # torch's name of the file that says which tensor lies where
_NUM_THREADS = 4  # that read at once, to compare checksums
_PATIENCE = timedelta(minutes=30)  # of a process that is done writing with one that is not


class Checkpoints:
    """The checkpoints in one folder.  Every method is collective; `torch.distributed` is initialised before.

    After a failure the newest complete checkpoint is as it was, and what was half written is gone.
    """

    def __init__(self, folder: Path, *, keep: int) -> None:
        """Keep the newest `keep` of them; while one is written there must be room for one more."""
        self._folder, self._keep = folder, keep
        self._group = dist.new_group(backend="gloo", timeout=_PATIENCE)
        self._is_first = dist.get_rank() == 0
        self._staging = Staging()
        self._thread: threading.Thread | None = None
        self._failure: AlpacaError | None = None
        agree(self._prepare, self._group)

    def latest(self) -> Checkpoint | None:
        """The newest complete one, as the first process sees it.  Raises IntegrityError as `manifest.newest`."""
        found = [agree(lambda: manifest.newest(self._folder) if self._is_first else None, self._group)]
        dist.broadcast_object_list(found, src=0, group=self._group)
        return found[0]

    def save(self, step: int, tensors: Mapping[str, torch.Tensor], facts: Mapping[str, Any]) -> None:
        """Begin to write `tensors` as they are now, with `facts` (JSON; the first process's count).

        On return they may be changed.  Waits first for what is still being written, and raises as `wait`.
        """
        self.wait()
        staged = self._staging.copy(tensors)
        # Not a daemon: a process that ends for another reason while it writes lets it finish.
        self._thread = threading.Thread(target=self._write, args=(step, staged, dict(facts)), name="checkpoint")
        self._thread.start()

    @property
    def is_written(self) -> bool:
        """Whether what was saved last is on disk under its name, as far as this process knows."""
        return self._thread is not None and not self._thread.is_alive() and self._failure is None

    def wait(self) -> None:
        """Until what was saved last is on disk under its name, and the oldest are removed.

        Raises TrainingError, in every process, if it cannot be written.
        """
        if self._thread is None:
            return
        self._thread.join()
        self._thread, failure, self._failure = None, self._failure, None
        if failure is not None:
            raise failure

    def load(self, checkpoint: Checkpoint, tensors: Mapping[str, torch.Tensor]) -> None:
        """Give `tensors`, in place, the values they had: the same bits, however many processes wrote them.

        Raises IntegrityError if a file is not as it was written, or if names, shapes or types differ.
        """
        agree(lambda: self._check_files(checkpoint), self._group)
        reader = FileSystemReader(checkpoint.path)
        agree(lambda: _check_fit(checkpoint, tensors, reader), self._group)
        try:
            load(dict(tensors), storage_reader=reader, process_group=self._group)
        except CheckpointException as error:
            raise IntegrityError(f"cannot read the checkpoint: {_cause(error)}", where=str(checkpoint.path)) from error

    def _prepare(self) -> None:
        if self._is_first:
            try:
                self._folder.mkdir(parents=True, exist_ok=True)
                manifest.sweep(self._folder)
            except OSError as error:
                raise unwritten("checkpoint", error, self._folder) from error

    def _write(self, step: int, tensors: dict[str, torch.Tensor], facts: dict[str, Any]) -> None:
        """In a thread of its own."""
        path = self._folder / manifest.folder_name(step)
        temporary = self._folder / f".{path.name}.tmp"
        try:
            writer = Writer(temporary)
            save(tensors, storage_writer=writer, process_group=self._group)
            written: list[dict[str, File]] = [{}] * dist.get_world_size()
            dist.all_gather_object(written, writer.files, group=self._group)
            agree(lambda: self._finish(temporary, step, facts, written), self._group)
        except CheckpointException as error:
            self._failure = unwritten("checkpoint", _cause(error), path)
        except AlpacaError as error:
            self._failure = error
        except RuntimeError as error:  # torch.distributed's
            gone = ProcessLookupError(errno.ESRCH, "another process ended or does not answer")
            gone.__cause__ = error
            self._failure = unwritten("checkpoint", gone, path)
        except Exception as error:
            self._failure = unwritten("checkpoint", error, path)
        if self._failure is not None:
            self._discard(temporary)

    def _finish(self, temporary: Path, step: int, facts: Mapping[str, Any], written: list[dict[str, File]]) -> None:
        if not self._is_first:
            return
        try:
            files = {name: file for some in written for name, file in some.items()}
            raw = (temporary / _METADATA).read_bytes()
            files[_METADATA] = File(len(raw), hashlib.sha256(raw).hexdigest())
            refuse_unseen({temporary / name: file.num_bytes for name, file in files.items()})
            manifest.seal(temporary, step, facts, files)
        except OSError as error:
            raise unwritten("checkpoint", error, self._folder / manifest.folder_name(step)) from error
        found = manifest.complete(self._folder)
        until = found.index(self._folder / manifest.folder_name(step)) + 1
        for path in found[: max(0, until - self._keep)]:
            manifest.remove(path)

    def _discard(self, temporary: Path) -> None:
        if self._is_first:
            shutil.rmtree(temporary, ignore_errors=True)
        with suppress(RuntimeError):  # nobody to wait for where a process is gone
            dist.barrier(self._group)

    def _check_files(self, checkpoint: Checkpoint) -> None:
        """Compare this process's share of the files with the manifest."""
        mine = sorted(checkpoint.files)[dist.get_rank() :: dist.get_world_size()]
        paths = [checkpoint.path / name for name in mine]
        with ThreadPoolExecutor(_NUM_THREADS) as pool:
            for path, found in zip(paths, pool.map(_sha256, paths), strict=True):
                if found != checkpoint.files[path.name].sha256:
                    earlier = [each.name for each in self._folder.glob("step-*") if each.name < path.parent.name]
                    then = f"goes on from {max(earlier)}" if earlier else "begins anew, for there is no earlier one"
                    hint = f"put it back from a copy; without {path.parent} the run {then}"
                    raise IntegrityError("not as it was written: its SHA-256 differs", where=str(path), hint=hint)


def _check_fit(checkpoint: Checkpoint, tensors: Mapping[str, torch.Tensor], reader: FileSystemReader) -> None:
    """Raises IntegrityError if the checkpoint is not of tensors of these names, shapes and types."""
    found = {
        name: f"{_dtype(entry.properties.dtype)} {list(entry.size)}"
        for name, entry in reader.read_metadata().state_dict_metadata.items()
        if isinstance(entry, TensorStorageMetadata)
    }
    expected = {name: f"{_dtype(tensor.dtype)} {list(tensor.shape)}" for name, tensor in tensors.items()}
    differences = [
        f"{name}: expected {expected.get(name, 'nothing')}, found {found.get(name, 'nothing')}"
        for name in sorted(expected.keys() | found.keys())
        if expected.get(name) != found.get(name)
    ]
    if differences:
        more = f" (and {len(differences) - 1:,} more)" if len(differences) > 1 else ""
        message = f"the checkpoint is of another model: {differences[0]}{more}"
        hint = "go on with the recipe and model that it was made with, or choose another --out"
        raise IntegrityError(message, where=str(checkpoint.path), hint=hint)


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    try:
        with path.open("rb") as stream:
            while block := stream.read(1 << 22):
                digest.update(block)
    except OSError as error:
        raise IntegrityError(f"cannot read the checkpoint: {reason(error)}", where=str(path)) from error
    return digest.hexdigest()


def _cause(error: CheckpointException) -> BaseException:
    """What went wrong in the first process in which something did."""
    return error.failures[min(error.failures)][0]


def _dtype(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")

"""`diff verify`: whether a diff is whole, and whether a base and a tuned model are those that it names."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from alpaca_cli.diff.crew import Progress, each_of, num_workers
from alpaca_cli.diff.decode import BaseDiffers, decode
from alpaca_cli.diff.folders import refuse_entangled
from alpaca_cli.diff.manifest import MODEL_FILES, Manifest, TunedTensor, read_exact
from alpaca_cli.diff.otherfiles import check_others
from alpaca_cli.diff.rightbase import find_base, refuse_base
from alpaca_cli.diff.shardfile import BlockReader, check_shards
from alpaca_cli.diff.tensorstream import TensorStream
from alpaca_cli.errors import IntegrityError
from alpaca_cli.weights.folder import read_folder
from alpaca_cli.weights.rawfile import DOWNLOAD


@dataclass(frozen=True)
class Verified:
    """A diff whose every byte is as it was made."""

    path: Path
    manifest: Manifest
    digest: str
    base: Path | None
    """If given, it is the right one, and the tuned model was recovered from it (and not kept)."""
    tuned: Path | None
    """If given, it is the tuned model, bit for bit."""


def verify_exact(
    diff: Path,
    *,
    base: Path | None = None,
    tuned: Path | None = None,
    workers: int | None = None,
    on_progress: Callable[[str, int, int], None] = lambda *_: None,
) -> Verified:
    """Prove a diff by its manifest; with `base`, also that it recovers the tuned model; with `tuned`, that this is it.

    Raises UsageError, DataError or IntegrityError about the first thing that is wrong.
    """
    named = {"base": base, "tuned model": tuned, "diff": diff}
    refuse_entangled({what: path for what, path in named.items() if path is not None})
    manifest, digest = read_exact(diff)
    check_shards(diff, manifest)
    check_others(diff / MODEL_FILES, manifest.files)
    if base is None:
        _check_bytes(manifest, diff, num_workers(workers), on_progress)
    else:
        _check_recovery(manifest, diff, base, num_workers(workers), on_progress)
    if tuned is not None:
        _check_tuned(manifest, tuned, num_workers(workers), on_progress)
    return Verified(diff, manifest, digest, base, tuned)


def _check_bytes(manifest: Manifest, diff: Path, workers: int, on_progress: Callable[[str, int, int], None]) -> None:
    progress = Progress("verify the diff", sum(t.diff.num_bytes for t in manifest.tensors if t.diff), on_progress)

    def check(tensor: TunedTensor) -> None:
        assert tensor.diff is not None
        path = diff / manifest.shards[tensor.diff.shard].name
        with BlockReader(path, tensor.diff) as reader:
            if reader.finish() != tensor.diff.sha256:
                message = f"the diff of {tensor.name} is not as it was made"
                raise IntegrityError(message, where=str(path), hint=DOWNLOAD)
        progress.add(tensor.diff.num_bytes)

    for _ in each_of(manifest.tensors, check, workers, progress.stop):
        pass


def _check_recovery(
    manifest: Manifest, diff: Path, base: Path, workers: int, on_progress: Callable[[str, int, int], None]
) -> None:
    weights = read_folder(base, "base")
    found = find_base(manifest, weights)
    progress = Progress("verify base and diff", manifest.tuned.num_bytes, on_progress)

    def check(tensor: TunedTensor) -> None:
        here = None if tensor.base is None else found[tensor.base.name]
        decode(manifest, tensor, here, diff, lambda _, values: progress.add(values.nbytes))

    try:
        for _ in each_of(manifest.tensors, check, workers, progress.stop):
            pass
    except BaseDiffers:
        raise refuse_base(manifest, weights, found, workers) from None


def _check_tuned(manifest: Manifest, tuned: Path, workers: int, on_progress: Callable[[str, int, int], None]) -> None:
    weights = read_folder(tuned, "tuned model")
    progress = Progress("verify the tuned model", manifest.tuned.num_bytes, on_progress)

    def is_right(tensor: TunedTensor) -> bool:
        here = weights.tensors.get(tensor.name)
        if here is None or (here.dtype, here.shape) != (tensor.dtype, tensor.shape):
            return False
        with TensorStream(here) as stream:
            digest = stream.finish()
        progress.add(here.num_bytes)
        return digest == tensor.sha256

    rights = list(each_of(manifest.tensors, is_right, workers, progress.stop))
    wrong = [tensor.name for tensor, right in zip(manifest.tensors, rights, strict=True) if not right]
    wrong += sorted(set(weights.tensors) - {tensor.name for tensor in manifest.tensors})
    if wrong:
        more = f" and {len(wrong) - 1} more" if len(wrong) > 1 else ""
        message = f"{len(wrong)} of {len(manifest.tensors)} tensors differ ({wrong[0]}{more})"
        raise IntegrityError(f"{message}: this is not the model that the diff gives", where=str(tuned))

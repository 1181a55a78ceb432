"""`diff verify`: whether a diff is whole, and whether a base and a tuned model are those that it names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import compress
from pathlib import Path

from alpaca_cli.diff.crew import Progress, each_of, num_workers
from alpaca_cli.diff.decode import BaseDiffers, decode
from alpaca_cli.diff.folders import refuse_entangled
from alpaca_cli.diff.manifest import MANIFEST, MODEL_FILES, Manifest, TunedTensor
from alpaca_cli.diff.otherfiles import check_index, check_others
from alpaca_cli.diff.readmanifest import read_exact, read_manifest
from alpaca_cli.diff.rightbase import find_base, refuse_base, told_from
from alpaca_cli.diff.shardfile import BlockReader, check_shards
from alpaca_cli.diff.tensorstream import digest_of
from alpaca_cli.errors import IntegrityError, UsageError
from alpaca_cli.weights.folder import WeightFolder, read_folder
from alpaca_cli.weights.rawfile import DOWNLOAD


@dataclass(frozen=True)
class Verified:
    """A diff whose every byte is as it was made."""

    path: Path
    manifest: Manifest
    digest: str
    base: Path | None
    """If given, it is the right one; of an exact diff the tuned model was recovered from it, and not kept."""
    tuned: Path | None
    """If given, it is the tuned model, bit for bit, or (of an additive diff that rounds) what that is recovered to."""
    is_rounded: bool = False
    """Whether `tuned` is the latter."""


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
    check_index(diff / MODEL_FILES, manifest)
    if base is None:
        _check_bytes(manifest, diff, num_workers(workers), on_progress)
    else:
        _check_recovery(manifest, diff, base, num_workers(workers), on_progress)
    if tuned is not None:
        _check_tuned(manifest, tuned, num_workers(workers), on_progress)
    return Verified(diff, manifest, digest, base, tuned)


def verify_additive(
    diff: Path,
    *,
    base: Path | None = None,
    tuned: Path | None = None,
    workers: int | None = None,
    on_progress: Callable[[str, int, int], None] = lambda *_: None,
) -> Verified:
    """Prove an additive diff by its manifest; with `base`, also that it was made from it; with `tuned`, as above.

    Raises as `verify_exact`; UsageError if there is no manifest.
    """
    named = {"base": base, "tuned model": tuned, "diff": diff}
    refuse_entangled({what: path for what, path in named.items() if path is not None})
    if not (diff / MANIFEST).exists():
        hint = "recover the model; if the sum of its parameters was published, with --expect-sum"
        raise UsageError(f"this diff has no {MANIFEST}, so that nothing proves it", where=str(diff), hint=hint)
    manifest, digest = read_manifest(diff)
    check_others(diff / MODEL_FILES, manifest.files)
    shapes = {tensor.name: tensor.shape for tensor in manifest.tensors}
    expected = {each.name: (each.dtype, shapes[each.name], each.sha256) for each in manifest.differences}
    wrong = _differing(expected, read_folder(diff, "diff"), "verify the diff", num_workers(workers), on_progress)
    if wrong:
        message = f"{_counted(wrong, len(expected))}: this is not the diff as it was made"
        raise IntegrityError(message, where=str(diff), hint=DOWNLOAD)
    if base is not None:
        weights = read_folder(base, "base")
        found = find_base(manifest, weights)
        origin = {found[each.name].name: (each.dtype, each.shape, each.sha256) for each in told_from(manifest)}
        if _differing(origin, weights, "verify the base", num_workers(workers), on_progress, may_have_more=True):
            raise refuse_base(manifest, weights, found, num_workers(workers))
    is_rounded = tuned is not None and _check_tuned(manifest, tuned, num_workers(workers), on_progress)
    return Verified(diff, manifest, digest, base, tuned, is_rounded)


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


def _check_tuned(manifest: Manifest, tuned: Path, workers: int, on_progress: Callable[[str, int, int], None]) -> bool:
    """Whether it is what the tuned model is recovered to, where that is another.  Raises IntegrityError if neither."""
    expected = {tensor.name: (tensor.dtype, tensor.shape, tensor.sha256) for tensor in manifest.tensors}
    weights, what = read_folder(tuned, "tuned model"), "verify the tuned model"
    wrong = _differing(expected, weights, what, workers, on_progress)
    if wrong and any(each.num_unequal for each in manifest.differences):
        rounded = {each.name: (*expected[each.name][:2], each.recovered_sha256) for each in manifest.differences}
        if not _differing(rounded, weights, what, workers, on_progress):
            return True
    if wrong:
        message = f"{_counted(wrong, len(expected))}: this is not the model that the diff gives"
        hint = "name the tuned model that the diff was made of"
        raise IntegrityError(message, where=str(tuned), hint=hint)
    return False


def _differing(
    expected: Mapping[str, tuple[str, tuple[int, ...], str]],
    weights: WeightFolder,
    what: str,
    workers: int,
    on_progress: Callable[[str, int, int], None],
    *,
    may_have_more: bool = False,
) -> list[str]:
    """The names of tensors that are not of the type, shape and SHA-256 expected, or not expected at all."""
    names = [name for name in expected if name in weights.tensors]
    progress = Progress(what, sum(weights.tensors[name].num_bytes for name in names), on_progress)

    def is_right(name: str) -> bool:
        here, (dtype, shape, sha256) = weights.tensors[name], expected[name]
        if (here.dtype, here.shape) != (dtype, shape):
            return False
        digest = digest_of(here)
        progress.add(here.num_bytes)
        return digest == sha256

    rights = set(compress(names, each_of(names, is_right, workers, progress.stop)))
    more = [] if may_have_more else sorted(weights.tensors.keys() - expected.keys())
    return [name for name in expected if name not in rights] + more


def _counted(wrong: list[str], total: int) -> str:
    more = f" and {len(wrong) - 1} more" if len(wrong) > 1 else ""
    return f"{len(wrong)} of {total} tensors differ ({wrong[0]}{more})"

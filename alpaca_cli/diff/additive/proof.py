"""Whether an additive diff, its base and what they add up to are as the diff's manifest says."""

from __future__ import annotations

from alpaca_cli.diff.additive.arithmetic import Added
from alpaca_cli.diff.additive.terms import Model
from alpaca_cli.diff.manifest import MODEL_FILES, Difference, Manifest, TunedTensor
from alpaca_cli.diff.otherfiles import INDEX, check_others
from alpaca_cli.diff.rightbase import find_base
from alpaca_cli.errors import DataError, IntegrityError, UsageError
from alpaca_cli.weights.rawfile import DOWNLOAD


class BaseIsOther(Exception):
    """A tensor of the base is not the one that the diff was made from."""


def check_manifest(manifest: Manifest, base: Model, diff: Model) -> None:
    """Raises UsageError for an exact diff, IntegrityError if diff or base have other tensors than the manifest says,
    DataError if its files would lead a loader elsewhere.
    """
    where = str(diff.folder.path)
    if manifest.kind != "additive":
        raise UsageError("expected an additive diff, found an exact one", where=where)
    shapes = {name: (each.dtype, each.shape) for name, each in diff.folder.tensors.items()}
    both = zip(manifest.tensors, manifest.differences, strict=True)
    if shapes != {tensor.name: (difference.dtype, tensor.shape) for tensor, difference in both}:
        raise IntegrityError("the diff's tensors are not those of its manifest", where=where, hint=DOWNLOAD)
    check_others(diff.folder.path / MODEL_FILES, manifest.files)
    if any(file.name == INDEX for file in manifest.files):  # the one that is written would be overwritten with it
        raise DataError(f"expected no {INDEX} among the files of an additive diff", where=where)
    find_base(manifest, base.folder)


def prove(added: Added, tensor: TunedTensor, difference: Difference, dtype: str, diff: Model) -> None:
    """Raises IntegrityError if a tensor was not recovered from or to what was promised, BaseIsOther for the base."""
    where = str(diff.folder.path)
    if added.diff != difference.sha256:
        raise IntegrityError(f"{tensor.name} of the diff is not as it was made", where=where, hint=DOWNLOAD)
    told_from = {each.name: each.sha256 for each in (tensor.base, difference.second_base) if each is not None}
    if any(added.base.get(name, sha256) != sha256 for name, sha256 in told_from.items()):
        raise BaseIsOther
    if added.base != told_from:
        message = f"{tensor.name} was made from {' and '.join(told_from) or 'nothing'}, which this base has otherwise"
        raise IntegrityError(message, where=where, hint="name the base that the diff was made from")
    if dtype == tensor.dtype and added.recovered != difference.recovered_sha256:
        message = f"{tensor.name} did not come out as the diff's manifest says"
        hint = "base and diff are as they were: the memory of this machine may be faulty"
        raise IntegrityError(message, where=where, hint=hint)

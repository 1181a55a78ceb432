"""Whether a base is the one that a diff was made from, and if not, what it seems to be instead."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from alpaca_cli.diff.crew import each_of
from alpaca_cli.diff.manifest import BaseTensor, Manifest
from alpaca_cli.diff.pairs import is_embedding, same_names
from alpaca_cli.diff.tensorstream import digest_of
from alpaca_cli.errors import IntegrityError
from alpaca_cli.weights.folder import ROTARY, WeightFolder
from alpaca_cli.weights.tensor import Tensor

_ROTATED = re.compile(r"\.(q_proj|k_proj)\.weight$")


@dataclass(frozen=True)
class Wrong:
    """A tensor of the base that is not as it should be."""

    expected: BaseTensor
    found: Tensor | None


def find_base(manifest: Manifest, base: WeightFolder) -> Mapping[str, Tensor]:
    """For each tensor of the base that the diff is told from, by its name there, where it lies.

    Raises IntegrityError if one is missing or of another type or shape; no weight is read.
    """
    found: dict[str, Tensor] = {}
    wrong: list[Wrong] = []
    for expected in told_from(manifest):
        names = (name for name in same_names(base, expected.name) if name in base.tensors)
        here = next((base.tensors[name] for name in names), None)
        if here is None or (here.dtype, here.shape) != (expected.dtype, expected.shape):
            wrong.append(Wrong(expected, here))
        else:
            found[expected.name] = here
    if wrong:
        raise _error(manifest, base, wrong)
    return found


def told_from(manifest: Manifest) -> list[BaseTensor]:
    """The tensors of the base that a diff needs, each once."""
    firsts, seconds = (tensor.base for tensor in manifest.tensors), (each.second_base for each in manifest.differences)
    return list({each.name: each for each in (*firsts, *seconds) if each is not None}.values())


def refuse_base(manifest: Manifest, base: WeightFolder, found: Mapping[str, Tensor], workers: int) -> IntegrityError:
    """The error about a base in which some bytes differ; it is read once more, to say in how many tensors."""
    expected = told_from(manifest)

    def is_right(each: BaseTensor) -> bool:
        return digest_of(found[each.name]) == each.sha256

    rights = each_of(expected, is_right, workers, lambda: None)
    wrong = [Wrong(each, found[each.name]) for each, right in zip(expected, rights, strict=True) if not right]
    if not wrong:
        message = "the base was read twice, first with tensors that differ, then with none that do"
        return IntegrityError(message, where=str(base.path), hint="check the disk and the memory of this machine")
    return _error(manifest, base, wrong)


def _error(manifest: Manifest, base: WeightFolder, wrong: Sequence[Wrong]) -> IntegrityError:
    total = len(told_from(manifest))
    first = wrong[0].expected.name
    more = f" and {len(wrong) - 1} more" if len(wrong) > 1 else ""
    what, hint = _explanation(manifest, base, wrong, total)
    count = f"{len(wrong)} of {total} tensors differ ({first}{more})"
    return IntegrityError(f"{count}: {what}", where=str(base.path), hint=hint)


def _lacking(manifest: Manifest, base: WeightFolder, missing: Sequence[Wrong]) -> str:
    """About a base without these tensors: whether it has their like under other names."""
    known = {each.name for each in told_from(manifest)}
    kinds = {(each.expected.dtype, each.expected.shape) for each in missing}
    like = [each for name, each in base.tensors.items() if name not in known and (each.dtype, each.shape) in kinds]
    return f"it has others, or other names ({like[0].name})" if like else "it lacks them"


def _explanation(manifest: Manifest, base: WeightFolder, wrong: Sequence[Wrong], total: int) -> tuple[str, str]:
    """What kind of base this seems to be, and what to do."""
    other = "this is not the base it was made from"
    name = manifest.base.name
    wanted = f"the diff was made from {name!r}: get those weights, unchanged"
    missing = [each for each in wrong if each.found is None]
    if len(missing) == len(wrong):
        return f"{other}: {_lacking(manifest, base, missing)}", wanted
    dtypes = {(each.expected.dtype, each.found.dtype) for each in wrong if each.found is not None}
    shapes = [(each.expected, each.found) for each in wrong if each.found and each.found.shape != each.expected.shape]
    has_other_rows = all(is_embedding(one.name) and one.shape[1:] == two.shape[1:] for one, two in shapes)
    if not missing and shapes and has_other_rows and len(shapes) == len(wrong):
        rows = shapes[0][0].shape[0], shapes[0][1].shape[0]
        message = f"{other}, but one with another vocabulary: expected {rows[0]:,} rows, found {rows[1]:,}"
        return message, "use the base as it was published, before tokens were added to it or taken from it"
    if not missing and not shapes and all(one != two for one, two in dtypes):
        (expected, here), *_ = dtypes
        hint = f"an exact diff needs the very bits: get the base in {expected}"
        return f"the base is in another type, so its bits were not looked at: expected {expected}, found {here}", hint
    if shapes:
        (expected_one, found_one), *_ = shapes
        sizes = f"is {list(found_one.shape)} there, and was {list(expected_one.shape)}"
        return f"{other}, but a model of another size: {expected_one.name} {sizes}", wanted
    if missing:
        return other, wanted
    if all(_ROTATED.search(each.expected.name) for each in wrong) and len(wrong) > 1:
        message = f"{other}, but another conversion of it: only q_proj and k_proj differ, whose rows a converter orders"
        return message, f"convert the original weights as {name!r} was"
    if all(is_embedding(each.expected.name) for each in wrong) and len(wrong) > 1:
        return f"{other}, but one whose embeddings were changed", "use the base as it was published"
    files = {each.found.path.name for each in wrong if each.found is not None}
    if len(wrong) * 10 <= total and len(files) <= 2:
        names = " and ".join(sorted(files))
        return f"the base, but damaged: all of them are in {names}", f"download {names} of the base again"
    if any(ROTARY.search(each) for each in base.tensors):
        hint = f"it was converted by an old transformers, whose conversions differed: {wanted}"
        return other, hint
    return other, wanted

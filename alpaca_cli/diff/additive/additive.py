"""Additive diffs: tuned - base as an ordinary model folder, as the original publishes it and as others do.

Of a tuned model in bf16 or fp16, a diff in fp32 gives every value back bit for bit but these: one whose base is more
than 2^13 times as large (2^10 for fp16; a quarter of that where input and output are tied), -0.0, which may come back
as 0.0, NaN, and one whose base or difference is no finite number.  Where the tuned model is in fp32, or the diff in 16
bits, what is written is rounded, and values come back near to what they were.

`make_additive` adds up what it writes, as `recover_additive` will, and counts the values that come out otherwise.  What
comes out is the same on every machine, so that either way it can be proven.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from alpaca_cli import __version__
from alpaca_cli.diff.additive.arithmetic import Added, NewRows, add, num_read, subtract
from alpaca_cli.diff.additive.card import additive_card
from alpaca_cli.diff.additive.likeness import refuse_model
from alpaca_cli.diff.additive.modelconfig import CONFIG, write_config
from alpaca_cli.diff.additive.modelfiles import MAX_SHARD_BYTES, ModelFiles, Outline, split
from alpaca_cli.diff.additive.original import limits_of_others
from alpaca_cli.diff.additive.proof import BaseIsOther, check_manifest, prove
from alpaca_cli.diff.additive.sums import Sums, check_sum, sums
from alpaca_cli.diff.additive.terms import Model, Term, pair, read_model, refuse_whole
from alpaca_cli.diff.crew import Progress, each_of, num_workers
from alpaca_cli.diff.floats import FLOATS
from alpaca_cli.diff.folders import model_name, new_folder, refuse_entangled, refuse_full, refuse_too_large
from alpaca_cli.diff.make import refuse_unwritable
from alpaca_cli.diff.manifest import MANIFEST, MODEL_FILES, Manifest, TunedTensor, WeightFile, digest_of, written
from alpaca_cli.diff.manifest import Model as Named
from alpaca_cli.diff.otherfiles import copy_others, find_others, recover_others
from alpaca_cli.diff.readmanifest import read_manifest
from alpaca_cli.diff.rightbase import find_base, refuse_base
from alpaca_cli.errors import UsageError
from alpaca_cli.weights.safetensors import header_text, parse_header

OnProgress = Callable[[str, int, int], None]
OnNote = Callable[[str], None]
_CARD = "README.md"


@dataclass(frozen=True)
class MadeAdditive:
    """An additive diff that was made."""

    path: Path
    manifest: Manifest
    digest: str
    num_bytes: int
    """Of its tensors."""
    sums: Sums
    """Of what it is recovered to, for the original's check."""
    left_out: list[str]
    """What else the tuned model's folder holds, and is not part of the model."""

    @property
    def num_unequal(self) -> int:
        """Values that come back near to what they were; all others bit for bit."""
        return sum(each.num_unequal for each in self.manifest.differences)


@dataclass(frozen=True)
class RecoveredAdditive:
    """A model that was recovered from an additive diff."""

    path: Path
    manifest: Manifest | None
    """None: the diff has none, so that nothing is proven."""
    digest: str
    num_tensors: int
    num_bytes: int
    sums: Sums
    is_proven: bool
    """Every tensor is, bit for bit, what the manifest says that base and diff add up to."""
    num_unequal: int
    """If so: values that are near to the tuned model's; of all others every bit is the same."""


def make_additive(
    base: Path,
    tuned: Path,
    out: Path,
    *,
    dtype: str = "F32",
    workers: int | None = None,
    allow_whole: bool = False,
    max_shard_bytes: int = MAX_SHARD_BYTES,
    on_progress: OnProgress = lambda *_: None,
    on_note: OnNote = lambda _: None,
) -> MadeAdditive:
    """Write tuned - base, rounded to `dtype` (F32, BF16, F16), to the new folder `out`.

    Tokens that the base lacks are told from the mean of its rows, as the original does.  Memory: some 20 MB a worker.
    Raises UsageError or DataError if a folder is not what it should be, or, without `allow_whole`, if more than a tenth
    of the tuned model has no counterpart in the base and would be published as it is.
    """
    refuse_entangled({"base": base, "tuned model": tuned, "output": out})
    refuse_full(out)
    first, second = read_model(base, "base"), read_model(tuned, "tuned model")
    terms = pair(first, second, "tuned model", on_note)
    refuse_unwritable([term.tensor for term in terms], [each for term in terms for each in term.base])
    weights, order = _weight_files([_outline(term, term.tensor.dtype) for term in terms], max_shard_bytes, tuned)
    if not allow_whole:
        refuse_whole(terms, second)
    limits = limits_of_others(first, second, terms)
    for limit in limits:
        on_note(limit)
    kept, left_out = find_others(second.folder)
    if left_out:
        on_note(f"not part of the model, left out: {', '.join(left_out[:8])}{', ...' if len(left_out) > 8 else ''}")
    outlines = [_outline(term, dtype if term.base else term.tensor.dtype) for term in terms]
    num_bytes = sum(outline.num_bytes for outline in outlines)
    refuse_too_large(out, num_bytes)
    progress = Progress("subtract", sum(num_read(term, "mean") for term in terms), on_progress)
    with new_folder(out, "making", is_resumed=False) as folder:
        others = copy_others(tuned, kept, folder / MODEL_FILES, "tuned model")
        copy_others(tuned, [name for name in kept if name not in (_CARD, CONFIG)], folder, "tuned model")
        write_config(second.config, folder, dtype)
        with ModelFiles(folder, outlines, max_shard_bytes=max_shard_bytes) as files:
            work = partial(subtract, dtype=dtype, files=files, progress=progress)
            found = list(each_of(terms, work, num_workers(workers), progress.stop))
        by_name = {each.tuned.name: each for each in found}
        manifest = Manifest(
            format="alpaca-diff", version=1, kind="additive", made_by=f"alpaca {__version__}", base=_named(first),
            tuned=_named(second), weights=weights, files=tuple(others), shards=(),
            tensors=tuple(by_name[name].tuned for name in order),
            differences=tuple(by_name[name].difference for name in order),
        )  # fmt: skip
        raw, total = written(manifest), _sums(second, terms, [each.total for each in found])
        (folder / MANIFEST).write_bytes(raw)
        read_manifest(folder)  # nothing is published that would be refused
        card = additive_card(manifest, digest_of(raw), num_bytes, total, limits)
        (folder / _CARD).write_text(card, encoding="utf-8")
    return MadeAdditive(out, manifest, digest_of(raw), num_bytes, total, left_out)


def recover_additive(
    base: Path,
    diff: Path,
    out: Path,
    *,
    dtype: str | None = None,
    new_rows: NewRows | None = None,
    expect_sum: float | None = None,
    workers: int | None = None,
    max_shard_bytes: int = MAX_SHARD_BYTES,
    on_progress: OnProgress = lambda *_: None,
    on_note: OnNote = lambda _: None,
) -> RecoveredAdditive:
    """Write base + diff to the new folder `out`, proven by the diff's manifest if it has one.

    `dtype`: of the output; None is that of the tuned model, or of the diff if nobody says.  `new_rows`: what the diff
    was told from where the base has no rows; None is the mean for one row, as the original makes it.  `expect_sum`:
    what the parameters must add up to.

    Raises UsageError or DataError if a folder is not what it should be, or the two do not go together; IntegrityError
    if base, diff or result is not as the manifest says, or the sum is another.  Then nothing is at `out`.
    """
    refuse_entangled({"base": base, "diff": diff, "output": out})
    refuse_full(out)
    manifest, digest = read_manifest(diff) if (diff / MANIFEST).exists() else (None, "")
    first, second = read_model(base, "base"), read_model(diff, "diff")
    if manifest is not None:
        check_manifest(manifest, first, second)
    else:
        on_note("this diff has no manifest, so that nothing proves the result; if a sum was published: --expect-sum")
    terms = pair(first, second, "diff", on_note)
    if manifest is None:
        refuse_model(terms, str(diff))
    rows = _settle_rows(first, second, terms, new_rows, is_ours=manifest is not None, on_note=on_note)
    promised = {} if manifest is None else {each.name: each for each in manifest.tensors}
    outlines = [_outline(term, _dtype(term, dtype, promised)) for term in terms]
    refuse_too_large(out, sum(outline.num_bytes for outline in outlines))
    progress = Progress("add", sum(num_read(term, rows) for term in terms), on_progress)
    differences = {} if manifest is None else {each.name: each for each in manifest.differences}

    def work(at: int) -> Added:
        term, to = terms[at], outlines[at].dtype
        added = add(term, to, rows, files, progress, is_hashed=manifest is not None)
        if manifest is not None:
            prove(added, promised[term.tensor.name], differences[term.tensor.name], to, second)
        return added

    with new_folder(out, "recovering", is_resumed=False) as folder:
        try:
            with ModelFiles(folder, outlines, max_shard_bytes=max_shard_bytes) as files:
                found = list(each_of(range(len(terms)), work, num_workers(workers), progress.stop))
        except BaseIsOther:
            assert manifest is not None
            on_note("the base differs: reading it to the end, to say where")
            raise refuse_base(manifest, first.folder, find_base(manifest, first.folder), num_workers(workers)) from None
        total = _sums(second, terms, [added.total for added in found])
        if expect_sum is not None:
            on_note(check_sum(total, expect_sum))
        is_as_tuned = manifest is not None and all(promised[each.name].dtype == each.dtype for each in outlines)
        _copy_files(second, manifest, folder, None if is_as_tuned else _widest_share(outlines))
    num_unequal = sum(each.num_unequal for each in differences.values()) if is_as_tuned else 0
    return RecoveredAdditive(
        out, manifest, digest, len(terms), files.num_bytes, total, is_as_tuned, num_unequal
    )  # fmt: skip


def _outline(term: Term, dtype: str) -> Outline:
    return Outline(term.tensor.name, dtype, term.tensor.shape)


def _weight_files(
    outlines: Sequence[Outline], max_shard_bytes: int, tuned: Path
) -> tuple[tuple[WeightFile, ...], list[str]]:
    """The files of the recovered model, and the names of all tensors in the order in which they lie there.

    Raises DataError about names that no safetensors file can have, as those of .bin may be.
    """
    contents = split(outlines, max_shard_bytes)
    texts = {name: header_text(content) for name, content in contents.items()}
    for text in texts.values():
        parse_header(text, tuned)
    files = (WeightFile(name=name, header=text.decode("utf-8")) for name, text in texts.items())
    return tuple(files), [outline.name for content in contents.values() for outline in content]


def _named(model: Model) -> Named:
    tensors = model.folder.tensors.values()
    num_values = sum(tensor.num_values for tensor in tensors if tensor.name not in model.folder.shared)
    return Named(name=model_name(model.folder.path), num_bytes=model.folder.num_bytes, num_values=num_values)


def _sums(model: Model, terms: Sequence[Term], totals: Sequence[float]) -> Sums:
    """A matrix that is input and output is counted twice, as the original does."""
    counted = []
    for term, total in zip(terms, totals, strict=True):
        counted += [total] * (2 if term.tensor is model.input is model.output else 1)
    return sums(counted, model.config)


def _dtype(term: Term, dtype: str | None, promised: Mapping[str, TunedTensor]) -> str:
    """What a tensor is recovered to."""
    if dtype is not None and term.tensor.dtype in FLOATS:
        return dtype
    return promised[term.tensor.name].dtype if promised else term.tensor.dtype


def _widest_share(outlines: Sequence[Outline]) -> str:
    """The type of most bytes."""
    return max(FLOATS, key=lambda dtype: sum(each.num_bytes for each in outlines if each.dtype == dtype))


def _copy_files(diff: Model, manifest: Manifest | None, folder: Path, dtype: str | None) -> None:
    """Copy what is no weight, with `dtype` in the config; None: the config is as the tuned model's is."""
    if manifest is not None:
        recover_others(diff.folder.path / MODEL_FILES, manifest.files, folder)
    else:
        kept, _ = find_others(diff.folder)
        copy_others(diff.folder.path, [name for name in kept if name not in (_CARD, CONFIG)], folder, "diff")
    if dtype is not None:
        write_config(diff.config, folder, dtype)


def _settle_rows(
    base: Model, diff: Model, terms: Sequence[Term], new_rows: NewRows | None, *, is_ours: bool, on_note: OnNote
) -> NewRows:
    """What the base holds for tokens that it lacks.  Raises UsageError if that is to be said, or cannot be chosen."""
    number = max(term.num_new_rows for term in terms)
    if is_ours and new_rows == "zero" and number:
        hint = "leave --new-rows out"
        raise UsageError("this diff was made from the mean of the base's rows", where=str(diff.folder.path), hint=hint)
    if new_rows is not None or not number or is_ours:
        return new_rows or "mean"
    if number > 1:
        message = (
            f"the base has {base.num_rows:,} tokens, the diff {diff.num_rows:,}: their rows may be told from two things"
        )
        hint = "say --new-rows mean (as stanford_alpaca makes diffs) or --new-rows zero (as FastChat and LLaVA do)"
        raise UsageError(message, where=str(diff.folder.path), hint=hint)
    on_note(
        f"the diff has one token more than the base's {base.num_rows:,}: its row is added to the mean of the others, as"
        " stanford_alpaca does; for a diff of FastChat's (Vicuna v0) say --new-rows zero"
    )
    return "mean"

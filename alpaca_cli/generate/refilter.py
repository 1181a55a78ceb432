"""Judge a run's completions by other rules: the same journal replayed, at no cost, and what that changes."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alpaca_cli import yamlfile
from alpaca_cli.data.journal import Completion, Journal
from alpaca_cli.data.ledger import Ledger
from alpaca_cli.errors import UsageError
from alpaca_cli.generate.about import Origin, about
from alpaca_cli.generate.card import write_card
from alpaca_cli.generate.inputs import load_inputs
from alpaca_cli.generate.plan import addresses_without_keys, read_paid
from alpaca_cli.generate.replay import REASONS, Replay
from alpaca_cli.generate.runfolder import DATASET, JOURNAL, LEDGER, RECIPE, check_paid, opened
from alpaca_cli.recipe.generate import GenerateRecipe

CHANGEABLE = ("rules", "novelty", "num", "license")


@dataclass(frozen=True)
class Changed:
    """An example that is new in a dataset or gone from it, and the reason that refused it before or does now."""

    instruction: str
    reason: str


@dataclass(frozen=True)
class Refiltered:
    """What other rules change in a run."""

    dataset: Path
    num: int
    """Examples that the run is to end with."""
    kept: tuple[int, int]
    """Before and now."""
    refused: Mapping[str, tuple[int, int]]
    """By reason, in the order in which they are asked: before and now."""
    num_same: int
    new: Sequence[Changed]
    gone: Sequence[Changed]
    is_written: bool
    notes: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "dataset": str(self.dataset),
            "num": self.num,
            "kept": _pair(self.kept),
            "refused": {reason: _pair(counts) for reason, counts in self.refused.items()},
            "rows": {"same": self.num_same, "new": len(self.new), "gone": len(self.gone)},
            "new": [vars(each) for each in self.new],
            "gone": [vars(each) for each in self.gone],
            "is_written": self.is_written,
        }


def refilter(
    folder: Path,
    *,
    assignments: Sequence[str],
    rules_of: Path | None,
    flags: Mapping[str, tuple[str, object]],
    origin: Origin,
    environment: Mapping[str, str],
    dry_run: bool,
) -> Refiltered:
    """Replay the journal in `folder` by its own recipe with changes, and write what comes of it unless `dry_run`.

    The changes: rules and novelty of the recipe `rules_of`, then `key=value` assignments, then flags (name to key and
    value).  The folder's recipe changes with them, so that a later run with the same rules goes on from here.
    Raises UsageError if there is no journal, or if something else than what is CHANGEABLE would change.
    """
    if not (folder / RECIPE).is_file() or not (folder / JOURNAL).is_file() or not (folder / JOURNAL).stat().st_size:
        hint = "name the folder of a run that has asked its teacher, with --out"
        raise UsageError("no journal to filter again", where=str(folder), hint=hint)
    before = yamlfile.read(folder / RECIPE).check(GenerateRecipe)
    recipe = _changed(folder / RECIPE, assignments, rules_of, flags)
    inputs = load_inputs(before, beside=folder)
    completions, _ = read_paid(folder)  # also so that a damaged journal is told before anything is changed
    told = check_paid(folder, completions).get("run", {})
    with ExitStack() as stack:
        if not dry_run:
            run = stack.enter_context(opened(folder, recipe, inputs, may_differ=True))
            completions = stack.enter_context(Journal(run.journal_path)).completions
        old, new = (_replayed(Replay(each, inputs.seed_tasks, each.num or 0), completions) for each in (before, recipe))
        notes = []
        if not dry_run:
            ledger = stack.enter_context(Ledger(folder / LEDGER))
            if "command" in told:
                origin = Origin(told["command"], told["recipe"], refiltered_by=origin.command)
            at = addresses_without_keys(recipe, environment)
            report = run.write_outputs(new, about(origin, recipe, at, new.used, ledger))
            if note := write_card(folder, report, recipe, inputs):
                notes.append(note)
        if not new.is_done:
            words = ["alpaca", "generate", "--recipe", str(folder / RECIPE), "--out", str(folder)]
            missing = f"{len(new.accepted):,} of {new.num:,} are kept; to ask for the rest: {shlex.join(words)}"
            notes.append(missing if not dry_run else f"{missing}, after the same without --dry-run")
    return _compared(folder, old, new, is_written=not dry_run, notes=tuple(notes))


def _changed(
    path: Path, assignments: Sequence[str], rules_of: Path | None, flags: Mapping[str, tuple[str, object]]
) -> GenerateRecipe:
    """The recipe in `path` with the changes that are allowed."""
    document = yamlfile.read(path)
    if rules_of is not None:
        other = yamlfile.read(rules_of).check(GenerateRecipe).model_dump(mode="json")
        for name in ("rules", "novelty"):
            document.put((name,), other[name], source=f"--recipe {rules_of}")
    for assignment in assignments:
        key = assignment.partition("=")[0].strip()
        _check_changeable(f"--set {key}", key)
    document.override(assignments)
    for flag, (key, value) in flags.items():
        _check_changeable(flag, key)
        document.put(tuple(key.split(".")), value, source=flag)
    return document.check(GenerateRecipe)


def _check_changeable(where: str, key: str) -> None:
    if key.partition(".")[0] not in CHANGEABLE:
        raise UsageError(
            "--refilter asks nothing anew, so this cannot change",
            where=where,
            hint=f"what can: {', '.join(CHANGEABLE)}; for a run with anything else choose another --out",
        )


def _replayed(replay: Replay, completions: Mapping[int, Completion]) -> Replay:
    for k in sorted(completions):
        replay.offer(completions[k])
    return replay


def _compared(folder: Path, old: Replay, new: Replay, *, is_written: bool, notes: tuple[str, ...]) -> Refiltered:
    were, are = _rows(old), _rows(new)
    return Refiltered(
        dataset=folder / DATASET,
        num=new.num,
        kept=(len(were), len(are)),
        refused={
            reason: (old.reasons[reason], new.reasons[reason])
            for reason in REASONS
            if old.reasons[reason] or new.reasons[reason]
        },
        num_same=len(were.keys() & are.keys()),
        new=_changes(are, were, old),
        gone=_changes(were, are, new),
        is_written=is_written,
        notes=notes,
    )


def _rows(replay: Replay) -> dict[tuple[int, int], str]:
    """The accepted instructions by where they stand in the journal: number of the request, and place in its answer."""
    pairs = zip(replay.places, replay.accepted, strict=True)
    return {place: example.instruction for place, example in pairs}


def _changes(
    rows: Mapping[tuple[int, int], str], others: Mapping[tuple[int, int], str], refusing: Replay
) -> list[Changed]:
    """The rows that are not among `others`, each with the reason that `refusing` has for it."""
    reasons = {(refused.k, refused.task.position): refused.reason for refused in refusing.refused}
    return [Changed(rows[place], reasons.get(place, "not looked at")) for place in rows if place not in others]


def _pair(counts: tuple[int, int]) -> dict[str, int]:
    return {"before": counts[0], "now": counts[1]}

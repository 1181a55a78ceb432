"""The run folder: what a run was told, what it paid for, and what was made of it.

.lock, .reserve        held by the one process that may write; room that it keeps on the disk while it runs
recipe.resolved.yaml   what the run does; with the two copies below it can be run again anywhere
prompt.txt, seed_tasks.jsonl
versions.json          the versions of Python and of the packages the result hangs on, when it began
journal.jsonl          every completion: the truth; never rewritten
ledger.jsonl           every request, before it is sent, and what it cost
batches.jsonl          every step of every batch, where the Batch API is used
batches/               what batches sent and got, as it was
alpaca_data.json       the accepted examples      ─┐
provenance.jsonl       where each comes from       │  pure functions of the files above: the same bytes
refused.jsonl          the others, with reasons    │  whatever the concurrency, the crashes and the resumes
report.json            the counts                 ─┘  but for its part `run`: when, at what cost, by which command
README.md              the dataset's card, made of the report; README.generated.md where the user has edited it
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from alpaca_cli import __version__, yamlfile
from alpaca_cli.data.files import read_bytes, read_text, reason, sha256, write_atomically, write_text
from alpaca_cli.data.journal import RESERVE, Completion
from alpaca_cli.data.jsonl import dumps, parse_json, write_json, write_jsonl
from alpaca_cli.errors import AlpacaError, IntegrityError, UsageError
from alpaca_cli.generate.difference import differences, moves
from alpaca_cli.generate.inputs import Inputs
from alpaca_cli.generate.prompt import RequestMaker
from alpaca_cli.generate.replay import Replay
from alpaca_cli.generate.report import is_report, provenance_rows, refused_rows, report
from alpaca_cli.recipe.generate import GenerateRecipe

RECIPE, PROMPT, SEEDS, VERSIONS = "recipe.resolved.yaml", "prompt.txt", "seed_tasks.jsonl", "versions.json"
JOURNAL, LEDGER, BATCHES = "journal.jsonl", "ledger.jsonl", "batches.jsonl"
ANSWERS = "answers"  # of the journal that a report was made of: the digest of their texts, and of no file
DATASET, PROVENANCE, REFUSED, REPORT = "alpaca_data.json", "provenance.jsonl", "refused.jsonl", "report.json"
CARD, OTHER_CARD = "README.md", "README.generated.md"
_MADE = (DATASET, PROVENANCE, REFUSED)
_LOCK = ".lock"
_OURS = frozenset(
    [RECIPE, PROMPT, SEEDS, VERSIONS, JOURNAL, LEDGER, BATCHES, RESERVE, _LOCK, *_MADE, REPORT, CARD, OTHER_CARD]
)


class RunFolder:
    """The files of one run.  Made by `opened`, which holds the lock as long as it lasts."""

    def __init__(self, path: Path, maker: RequestMaker) -> None:
        self.path = path
        self.maker = maker
        self.notes: list[str] = []
        """What the user should know of a run that is taken up again."""

    @property
    def journal_path(self) -> Path:
        """Where the completions are."""
        return self.path / JOURNAL

    @property
    def ledger_path(self) -> Path:
        """Where it stands what was sent, and what it cost."""
        return self.path / LEDGER

    @property
    def batches_path(self) -> Path:
        """Where it stands how far each batch has come."""
        return self.path / BATCHES

    @property
    def dataset_path(self) -> Path:
        """Where the accepted examples are, in Stanford's form."""
        return self.path / DATASET

    def report_if_complete(self, num: int, completions: Mapping[int, Completion]) -> dict[str, Any] | None:
        """The report of a run that ended with `num` examples, if its files are still what it says; else None.

        Raises IntegrityError if the report counts completions that the journal does not hold: they were paid, and
        would be asked and paid again.
        """
        found = check_paid(self.path, completions)
        used = found.get("completions", 0)
        if not found.get("is_complete") or found.get("num") != num:
            return None
        made = {name: self.path / name for name in _MADE}
        sums = {name: sha256(read_bytes(path)) for name, path in made.items() if path.is_file()}
        is_whole = found.get("sha256") == {ANSWERS: _digest(completions[k] for k in range(used)), **sums}
        return found if is_whole else None

    def write_outputs(
        self,
        replay: Replay,
        about: Mapping[str, Any],
        on_progress: Callable[[int, int], None] = lambda *_: None,
    ) -> dict[str, Any]:
        """Write the derived files, each whole or not at all; the report, which says how many there are, comes last.

        `about` becomes the report's part `run`: what two runs of one recipe need not share.  `on_progress` hears of
        examples whose provenance is known, and of examples in all.  Returns the report.
        """
        (self.path / REPORT).unlink(missing_ok=True)  # else, after a kill, it would count what is no more
        with write_atomically(self.path / DATASET) as stream:
            # Stanford's bytes: a list, indent 4, without a final newline (utils.py L161-171); but text unescaped.
            stream.write(dumps([example.as_dict() for example in replay.accepted], indent=4).encode("utf-8"))
        write_jsonl(self.path / PROVENANCE, provenance_rows(replay, on_progress))
        write_jsonl(self.path / REFUSED, refused_rows(replay))
        sums = {name: sha256(read_bytes(self.path / name)) for name in _MADE}
        whole = {**report(replay, self.maker), "sha256": {ANSWERS: _digest(replay.used), **sums}, "run": {**about}}
        write_json(self.path / REPORT, whole)
        return whole

    def write_about(self, report: Mapping[str, Any], about: Mapping[str, Any]) -> dict[str, Any]:
        """Put another part `run` into the report of a run that is complete.  Returns the report."""
        whole = {**report, "run": {**about}}
        write_json(self.path / REPORT, whole)
        return whole


@contextmanager
def opened(path: Path, recipe: GenerateRecipe, inputs: Inputs, *, may_differ: bool = False) -> Iterator[RunFolder]:
    """The run folder at `path`, new or taken up again, locked against a second writer.

    `may_differ`: the caller answers for what differs from the recipe there, and makes the derived files anew.
    Raises UsageError if another process writes there, if the folder holds something else, or if it holds a run of
    another recipe, prompt or seeds, whose difference the message shows.
    """
    beginning = _beginning(inputs)
    try:
        path.mkdir(parents=True, exist_ok=True)
        _check_ours(path, beginning)  # before anything, the lock too, is put into a folder of somebody else
        lock = FileLock(path / _LOCK, timeout=0)
        lock.acquire()
    except Timeout:
        hint = "wait for it, stop it, or choose another folder with --out"
        raise UsageError("another process is writing to this run", where=str(path), hint=hint) from None
    except FileExistsError:
        raise UsageError("expected a folder, found a file", where=str(path), hint="choose another --out") from None
    except OSError as error:
        raise UsageError(f"cannot write: {reason(error)}", where=str(path), hint="choose another --out") from error
    try:
        folder = RunFolder(path, inputs.request_maker(recipe))
        _remove_leftovers(path)
        if may_differ:
            (path / REPORT).unlink(
                missing_ok=True
            )  # else, after a kill, the old dataset would pass for the new recipe's
        elif (path / RECIPE).exists() and _is_begun(path):
            folder.notes = _check_same(path, recipe, inputs)
        else:
            for name, content in beginning.items():
                with write_atomically(path / name) as stream:
                    stream.write(content)
        inside = {"seeds": SEEDS, "prompt": recipe.prompt.model_copy(update={"file": PROMPT})}
        write_text(path / RECIPE, yamlfile.dump(recipe.model_copy(update=inside)))
        yield folder
    finally:
        lock.release()


def check_folder(path: Path, recipe: GenerateRecipe, inputs: Inputs) -> list[str]:
    """The notes that `opened` would have on a folder, which is only read; raises what that would."""
    if not path.exists():
        return []
    if not path.is_dir():
        raise UsageError("expected a folder, found a file", where=str(path), hint="choose another --out")
    _check_ours(path, _beginning(inputs))
    return _check_same(path, recipe, inputs) if (path / RECIPE).exists() and _is_begun(path) else []


def check_paid(path: Path, completions: Mapping[int, Completion]) -> dict[str, Any]:
    """The report of a run folder, if there is one.

    Raises IntegrityError if it counts completions that the journal does not hold.
    """
    found = read_report(path)
    used = found.get("completions", 0)
    if num_missing := used - sum(0 <= k < used for k in completions):
        raise IntegrityError(
            f"the journal lacks {num_missing:,} of {used:,} completions that {REPORT} counts",
            where=str(path / JOURNAL),
            hint=f"put the journal back; or delete {REPORT}, to ask and pay for them again",
        )
    return found


def stored_limits(path: Path) -> dict[str, Any]:
    """The limits that a run was last given: a cap is not lifted by leaving it out."""
    if not (path / RECIPE).is_file():
        return {}
    before = yamlfile.read(path / RECIPE).check(GenerateRecipe)
    limits = {name: getattr(before, name) for name in ("max_cost", "max_requests")}
    return {name: limit for name, limit in limits.items() if limit is not None}


def versions() -> dict[str, str]:
    """What the bytes of a result may hang on besides recipe and journal."""
    packages = ("numpy", "openai", "pydantic", "rapidfuzz")
    return {"alpaca": __version__, "python": platform.python_version(), **{name: version(name) for name in packages}}


def _beginning(inputs: Inputs) -> dict[str, bytes]:
    """The first files of a run folder: name and content."""
    return {
        PROMPT: f"{inputs.prompt}\n".encode(),
        SEEDS: inputs.seeds,
        VERSIONS: f"{dumps(versions(), indent=2)}\n".encode(),
    }


def _check_ours(path: Path, beginning: dict[str, bytes]) -> None:
    """A folder without a recipe may hold what a run wrote that was killed before its recipe, and nothing else."""
    names = sorted(entry.name for entry in path.iterdir())
    for name in names if RECIPE not in names else ():
        if name == _LOCK or _is_leftover(name) or (name in beginning and read_bytes(path / name) == beginning[name]):
            continue
        message = f"not a run folder: it holds {name} and no {RECIPE}"
        raise UsageError(message, where=str(path), hint="choose an empty or new folder with --out")


def _check_same(path: Path, recipe: GenerateRecipe, inputs: Inputs) -> list[str]:
    """What differs without harm from the run in the folder, in words.  Raises UsageError for what does harm."""
    before = yamlfile.read(path / RECIPE).check(GenerateRecipe)
    found = differences(before, recipe)
    if read_bytes(path / PROMPT) != f"{inputs.prompt}\n".encode():
        found.append("prompt: another text")
    if read_bytes(path / SEEDS) != inputs.seeds:
        found.append("seeds: other seed tasks")
    if found:
        raise UsageError(
            f"this folder holds a run of another recipe ({'; '.join(found)})",
            where=str(path),
            hint="choose another folder with --out, or give the same recipe and flags to go on with this run"
            if not all(text.startswith(("rules.", "novelty.")) for text in found)
            else f"go on by the folder's own rules with --recipe {path / RECIPE}, or judge its answers by these with "
            "--refilter, which costs nothing",
        )
    kept = read_report(path).get("kept", 0)
    if recipe.num is not None and recipe.num < kept:
        raise UsageError(
            f"this run has kept {kept:,} examples already, more than --num {recipe.num:,}",
            where=str(path),
            hint="raise --num, or choose another folder with --out",
        )
    notes = moves(before, recipe)
    if changed := _changed_versions(path):
        notes.append(f"this run was begun with other versions, which may judge otherwise: {changed}")
    return notes


def _is_begun(path: Path) -> bool:
    """Whether anything was paid for in a folder: if not, another recipe may take it."""
    records = [path / JOURNAL, path / BATCHES]
    return read_report(path).get("completions", 0) > 0 or any(each.exists() and each.stat().st_size for each in records)


def _digest(completions: Iterable[Completion]) -> str:
    """What tells whether completions, in order of k, are those that a report was made of."""
    return sha256(dumps([[each.k, each.text, each.finish_reason] for each in completions]).encode("utf-8"))


def _changed_versions(path: Path) -> str:
    try:
        before = parse_json(read_text(path / VERSIONS), path / VERSIONS)
    except AlpacaError:
        return ""
    if not isinstance(before, dict):
        return ""
    now = versions()
    return ", ".join(
        f"{name} {before[name]} then, {now[name]} now" for name in now if before.get(name, now[name]) != now[name]
    )


def read_report(path: Path) -> dict[str, Any]:
    """What the report of a run folder says; nothing if there is none, or what is there is no report."""
    try:
        found = parse_json(read_text(path / REPORT), path / REPORT)
    except AlpacaError:
        return {}
    return found if is_report(found) else {}


def _remove_leftovers(path: Path) -> None:
    """Temporary neighbours of our own files that a killed process left; the lock says that it is gone."""
    for entry in list(path.iterdir()):
        if _is_leftover(entry.name):
            entry.unlink(missing_ok=True)


def _is_leftover(name: str) -> bool:
    return name.endswith(".tmp") and any(name.startswith(f".{ours}.") for ours in _OURS)

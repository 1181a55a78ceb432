"""A run taken up: its folder under lock, its records checked, and what is made of them in the end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from alpaca_cli.data.journal import GIVEN_UP, Journal
from alpaca_cli.data.ledger import Ledger
from alpaca_cli.errors import IntegrityError
from alpaca_cli.generate.about import Origin, about
from alpaca_cli.generate.address import Address
from alpaca_cli.generate.card import write_card
from alpaca_cli.generate.inputs import Inputs, load_inputs
from alpaca_cli.generate.progress import Listener
from alpaca_cli.generate.prompt import RequestMaker
from alpaca_cli.generate.replay import Replay
from alpaca_cli.generate.runfolder import RunFolder, opened, stored_limits
from alpaca_cli.recipe.generate import GenerateRecipe

MOST_FORGOTTEN = 32  # requests that a power failure may take from the end of a ledger, while their answers stay


@dataclass(frozen=True)
class Result:
    """What a run has come to; `report` is what `report.json` holds."""

    folder: Path
    dataset: Path
    report: dict[str, Any]
    num_completions: int
    """Paid in all, as the journal has them."""
    num_over: int
    """Of these, how many came after the last one needed; they stay in the journal for a larger --num."""
    num_asked: int
    """Completions that this process asked for."""
    spent: Decimal | None
    """USD of all processes of the run; None if no price is known."""
    unknown: Decimal
    """Of these, what was counted at its worst because no server said what it cost."""


@dataclass(frozen=True)
class OpenRun:
    """A run that this process holds the lock of; made by `open_run`."""

    recipe: GenerateRecipe
    at: Sequence[Address]
    origin: Origin
    listener: Listener
    inputs: Inputs
    maker: RequestMaker
    folder: RunFolder
    journal: Journal
    ledger: Ledger
    num_before: int
    """Completions that were in the journal when the run was taken up."""

    def replay(self) -> Replay:
        """What the journal's completions give, in order of k."""
        assert self.recipe.num is not None
        replay = Replay(self.recipe, self.inputs.seed_tasks, self.recipe.num)
        for k in sorted(self.journal.completions):
            replay.offer(self.journal.completions[k])
            self.listener.replaying(len(replay.used), self.num_before)
        return replay

    def complete_result(self) -> Result | None:
        """The result of a run that is complete already, with nothing made again but what its user may change."""
        assert self.recipe.num is not None
        report = self.folder.report_if_complete(self.recipe.num, self.journal.completions)
        if report is None:
            return None
        if report.get("run", {}).get("license", "") != self.recipe.license:
            used = [self.journal.completions[k] for k in range(report["completions"])]
            report = self.folder.write_about(report, about(self.origin, self.recipe, self.at, used, self.ledger))
        return self._result(report)

    def make(self, replay: Replay) -> Result:
        """Write everything that is derived from the journal."""
        self.journal.sync()  # what a report counts must be there after a power failure too
        told = about(self.origin, self.recipe, self.at, replay.used, self.ledger)
        return self._result(self.folder.write_outputs(replay, told, self.listener.comparing))

    def _result(self, report: dict[str, Any]) -> Result:
        if note := write_card(self.folder.path, report, self.recipe, self.inputs):
            self.listener.note(note)
        num = len(self.journal.completions)
        is_priced = all(each.price is not None for each in self.at)
        return Result(
            self.folder.path,
            self.folder.dataset_path,
            report,
            num,
            num - int(report["completions"]),
            num - self.num_before,
            spent=self.ledger.spent + self.ledger.reserved if is_priced else None,
            unknown=self.ledger.unknown + self.ledger.reserved,
        )


def with_stored_limits(recipe: GenerateRecipe, folder: Path, listener: Listener) -> GenerateRecipe:
    """The recipe with the limits that the run in `folder` was last given: none is lifted by leaving it out."""
    for name, limit in stored_limits(folder).items():
        if getattr(recipe, name) is None:
            flag = f"--{name.replace('_', '-')}"
            listener.note(f"{flag} {limit} of this run still holds; give another to change it")
            recipe = recipe.model_copy(update={name: limit})
    return recipe


@contextmanager
def open_run(
    recipe: GenerateRecipe,
    folder: Path,
    *,
    at: Sequence[Address],
    origin: Origin,
    listener: Listener,
    beside: Path = Path(),
) -> Iterator[OpenRun]:
    """The run in `folder`, new or taken up again; `beside` is the folder from which the recipe's own paths are seen.

    Raises UsageError, DataError, and IntegrityError if the journal does not answer this run's requests.
    """
    inputs = load_inputs(recipe, beside=beside)
    maker = inputs.request_maker(recipe)
    with (
        opened(folder, recipe, inputs) as run,
        Journal(run.journal_path) as journal,
        Ledger(run.ledger_path) as ledger,
    ):
        for note in run.notes:
            listener.note(note)
        if journal.torn_bytes:
            listener.note(f"the journal's last line was torn by a crash: {journal.torn_bytes} bytes cut off")
        _check(journal, maker)
        _check_ledger(journal, ledger)
        num_before = len(journal.completions)
        yield OpenRun(recipe, at, origin, listener, inputs, maker, run, journal, ledger, num_before)


def num_forgotten(journal: Journal, ledger: Ledger) -> int:
    """Answers whose requests are not in the ledger."""
    num_answers = sum(each.finish_reason != GIVEN_UP for each in journal.completions.values())
    return max(0, num_answers - ledger.num_requests)


def _check_ledger(journal: Journal, ledger: Ledger) -> None:
    """Every answer was a request; a ledger that lost some would forget what they cost."""
    if num_forgotten(journal, ledger) > MOST_FORGOTTEN:
        num_answers = ledger.num_requests + num_forgotten(journal, ledger)
        raise IntegrityError(
            f"the ledger has {ledger.num_requests:,} requests, and the journal {num_answers:,} answers",
            where=str(ledger.path),
            hint="put the ledger back: without it, what was spent is not known; or choose another --out",
        )


def _check(journal: Journal, maker: RequestMaker) -> None:
    """Each completion must answer the request that this recipe makes under its number."""
    for k, completion in journal.completions.items():
        if completion.prompt_sha256 != maker.request(k, len(completion.seed_ids)).prompt_sha256:
            raise IntegrityError(
                f"the answer to request {k} was asked with another prompt than this run's",
                where=str(journal.path),
                hint="the folder was changed by hand, or begun by another version; choose another --out",
            )

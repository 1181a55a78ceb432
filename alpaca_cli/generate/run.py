"""A run of `alpaca generate` from its recipe to its files; taken up again where it stopped."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

from alpaca_cli.data.journal import Journal
from alpaca_cli.data.ledger import Ledger
from alpaca_cli.errors import AlpacaError, IntegrityError, UsageError
from alpaca_cli.generate.address import Address, check_money, warnings
from alpaca_cli.generate.batch import Batches
from alpaca_cli.generate.batchfolder import BatchFolder
from alpaca_cli.generate.budget import Budget
from alpaca_cli.generate.inputs import load_inputs
from alpaca_cli.generate.loop import Loop
from alpaca_cli.generate.progress import Listener
from alpaca_cli.generate.prompt import RequestMaker
from alpaca_cli.generate.replay import Replay
from alpaca_cli.generate.runfolder import RunFolder, opened, report
from alpaca_cli.generate.server import Server
from alpaca_cli.generate.teacher import Teacher
from alpaca_cli.generate.throttle import Throttle
from alpaca_cli.recipe import GenerateRecipe


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


def generate(
    recipe: GenerateRecipe, folder: Path, *, at: Sequence[Address], listener: Listener, beside: Path = Path()
) -> Result:
    """Run until `recipe.num` examples are accepted, or go on with the run in `folder`, or do nothing if it is done.

    `at` are the servers to ask; `beside` is the folder from which the recipe's own paths are seen.  The derived files
    are written however the run ends, short of a kill.  Raises UsageError, DataError, TeacherError, IntegrityError,
    LimitReached; KeyboardInterrupt on Ctrl-C.
    """
    num = recipe.num
    if num is None:
        raise UsageError("how many examples?", hint="give --num, for example: alpaca generate --num 1000")
    check_money(recipe, at)
    if recipe.teacher.kind == "openai" and not recipe.teachers:
        resolved = recipe.teacher.model_copy(update={"base_url": at[0].base_url})
        recipe = recipe.model_copy(update={"teacher": resolved})
    inputs = load_inputs(recipe, beside=beside)
    maker = inputs.request_maker(recipe)
    with (
        opened(folder, recipe, inputs) as run,
        Journal(run.journal_path) as journal,
        Ledger(run.ledger_path) as ledger,
    ):
        budget = Budget(ledger, max_cost=_decimal(recipe.max_cost), max_requests=recipe.max_requests)
        for note in run.notes:
            listener.note(note)
        if journal.torn_bytes:
            listener.note(f"the journal's last line was torn by a crash: {journal.torn_bytes} bytes cut off")
        check_journal(journal, maker)
        num_before = len(journal.completions)
        if (done := run.report_if_complete(num, journal.completions)) is not None:
            return result_of(run, done, journal, num_before, budget, at)
        replay = Replay(recipe, inputs.seed_tasks, num)
        for k in sorted(journal.completions):
            replay.offer(journal.completions[k])
            listener.replaying(len(replay.used), num_before)
        try:
            if not replay.is_done:
                for warning in warnings(at, today=date.today()):
                    listener.note(warning)
                asyncio.run(_ask(recipe, at, maker, replay, journal, budget, run, listener))
        except BaseException:
            try:
                write_outputs(run, replay, journal)
            except AlpacaError as error:  # what went wrong first is what is told as the error
                listener.note(f"the next run will make the dataset: {error}")
            raise
        write_outputs(run, replay, journal)
        return result_of(run, report(replay), journal, num_before, budget, at)


async def _ask(
    recipe: GenerateRecipe,
    at: Sequence[Address],
    maker: RequestMaker,
    replay: Replay,
    journal: Journal,
    budget: Budget,
    run: RunFolder,
    listener: Listener,
) -> None:
    async with AsyncExitStack() as stack:
        servers = []
        for each in at:
            teacher = Teacher(
                each.settings,
                base_url=each.base_url,
                api_key=each.api_key,
                left_out=_left_out(journal, each),
                on_note=listener.note,
            )
            await stack.enter_async_context(teacher)
            servers.append(Server(teacher, Throttle(each.settings.concurrency), each.price, each.weight))
        if recipe.batch or run.batches_path.exists():
            folder = stack.enter_context(BatchFolder(run.path))
            batches = Batches(
                recipe,
                teacher=servers[0].teacher,
                price=servers[0].price,
                maker=maker,
                replay=replay,
                journal=journal,
                budget=budget,
                folder=folder,
                listener=listener,
            )
            await (batches.run() if recipe.batch else batches.finish())
            if replay.is_done:
                return
        loop = Loop(
            recipe,
            servers=servers,
            maker=maker,
            replay=replay,
            journal=journal,
            budget=budget,
            listener=listener,
        )
        await loop.run()


def _left_out(journal: Journal, at: Address) -> tuple[str, ...]:
    """The parameters that this server had refused when it last answered in this run."""
    for completion in reversed(journal.completions.values()):
        if completion.base_url in (None, at.base_url) and completion.text:
            return completion.left_out
    return ()


def result_of(
    run: RunFolder,
    report: dict[str, Any],
    journal: Journal,
    num_before: int,
    budget: Budget,
    at: Sequence[Address],
) -> Result:
    """What a run has come to, by its report; it began this time with `num_before` completions."""
    num = len(journal.completions)
    is_priced = all(each.price is not None for each in at)
    return Result(
        run.path,
        run.dataset_path,
        report,
        num,
        num - int(report["completions"]),
        num - num_before,
        spent=budget.ledger.spent if is_priced else None,
        unknown=budget.ledger.unknown + budget.ledger.reserved,
    )


def _decimal(amount: float | None) -> Decimal | None:
    return None if amount is None else Decimal(str(amount))


def write_outputs(run: RunFolder, replay: Replay, journal: Journal) -> None:
    """Make the derived files."""
    journal.sync()  # what a report counts must be there after a power failure too
    run.write_outputs(replay)


def check_journal(journal: Journal, maker: RequestMaker) -> None:
    """Each completion must answer the request that this recipe makes under its number."""
    for k, completion in journal.completions.items():
        if completion.prompt_sha256 != maker.request(k, len(completion.seed_ids)).prompt_sha256:
            raise IntegrityError(
                f"the answer to request {k} was asked with another prompt than this run's",
                where=str(journal.path),
                hint="the folder was changed by hand, or begun by another version; choose another --out",
            )

"""A run of `alpaca generate` from its recipe to its files; taken up again where it stopped."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from decimal import Decimal
from pathlib import Path

from alpaca_cli.data.journal import RESERVE_BYTES
from alpaca_cli.errors import AlpacaError, UsageError
from alpaca_cli.generate.about import Origin
from alpaca_cli.generate.address import Address, check_money
from alpaca_cli.generate.batch.batches import Batches
from alpaca_cli.generate.batch.folder import BatchFolder
from alpaca_cli.generate.budget import Budget, Past
from alpaca_cli.generate.loop import Loop
from alpaca_cli.generate.openrun import OpenRun, Result, num_forgotten, open_run, with_stored_limits
from alpaca_cli.generate.plan import estimate, located
from alpaca_cli.generate.progress import Listener
from alpaca_cli.generate.replay import Replay
from alpaca_cli.generate.server import Server
from alpaca_cli.generate.teacher import Teacher
from alpaca_cli.generate.throttle import Throttle
from alpaca_cli.recipe.generate import GenerateRecipe


def generate(
    recipe: GenerateRecipe,
    folder: Path,
    *,
    at: Sequence[Address],
    listener: Listener,
    origin: Origin,
    beside: Path = Path(),
) -> Result:
    """Run until `recipe.num` examples are accepted, or go on with the run in `folder`, or do nothing if it is done.

    `at` are the servers to ask; `beside` is the folder from which the recipe's own paths are seen.  The derived files
    are written however the run ends, short of a kill.  Raises UsageError, DataError, TeacherError, IntegrityError,
    LimitReached; KeyboardInterrupt on Ctrl-C.
    """
    if recipe.num is None:
        raise UsageError("how many examples?", hint="give --num, for example: alpaca generate --num 1000")
    recipe = with_stored_limits(recipe, folder, listener)
    check_money(recipe, at)
    recipe = located(recipe, at)
    with open_run(recipe, folder, at=at, origin=origin, listener=listener, beside=beside) as run:
        if (done := run.complete_result()) is not None:
            _tell_of_batch(run)
            return done
        replay = run.replay()
        try:
            if replay.is_done:
                _tell_of_batch(run)
            else:
                spent = run.ledger.spent + run.ledger.reserved
                listener.plan(estimate(recipe, at, run.maker, replay, run.journal.completions, spent))
                asyncio.run(_ask(run, replay))
        except BaseException:
            try:
                run.make(replay)
            except AlpacaError as error:  # what went wrong first is what is told as the error
                listener.note(f"the next run will make the dataset: {error}")
            raise
        return run.make(replay)


async def _ask(run: OpenRun, replay: Replay) -> None:
    recipe = run.recipe
    max_cost = None if recipe.max_cost is None else Decimal(str(recipe.max_cost))
    if not run.journal.has_room:
        raise UsageError(
            f"cannot keep {RESERVE_BYTES:,} bytes free for answers that are paid and under way: the disk is full",
            where=str(run.folder.path),
            hint="make room, then run the same command again",
        )
    budget = Budget(run.ledger, max_cost=max_cost, max_requests=recipe.max_requests)
    past = Past(
        run.journal.completions.values(),
        [each.price for each in run.at if each.price is not None],
        recipe.teacher.max_tokens,
    )
    if forgotten := num_forgotten(run.journal, run.ledger):
        run.listener.note(f"the ledger lost {forgotten} requests that were answered: counted as the dearest answers")
        budget.charge_forgotten(past, forgotten)
    if max_cost is not None:
        budget.charge_unpriced(past)
    async with AsyncExitStack() as stack:
        servers = []
        for each in run.at:
            teacher = await _teacher(run, each, stack)
            servers.append(Server(teacher, Throttle(each.settings.concurrency), each.price, each.weight))
        if recipe.batch or run.folder.batches_path.exists():
            folder = stack.enter_context(BatchFolder(run.folder.path))
            asked = folder.out.base_url if folder.out is not None else None
            server = next((each for each in servers if each.teacher.base_url == asked), servers[0])
            batches = Batches(
                recipe,
                teacher=server.teacher,
                price=server.price,
                maker=run.maker,
                replay=replay,
                journal=run.journal,
                budget=budget,
                folder=folder,
                listener=run.listener,
            )
            await (batches.run() if recipe.batch else batches.finish())
        if not replay.is_done:
            loop = Loop(
                recipe,
                servers=servers,
                maker=run.maker,
                replay=replay,
                journal=run.journal,
                budget=budget,
                listener=run.listener,
            )
            await loop.run()


async def _teacher(run: OpenRun, at: Address, stack: AsyncExitStack) -> Teacher:
    teacher = Teacher(
        at.settings,
        base_url=at.base_url,
        api_key=at.api_key,
        left_out=_left_out(run, at),
        on_note=run.listener.note,
    )
    return await stack.enter_async_context(teacher)


def _left_out(run: OpenRun, at: Address) -> tuple[str, ...]:
    """The parameters that this server had refused when it last answered in this run."""
    for completion in reversed(run.journal.completions.values()):
        if completion.base_url == at.base_url and completion.text:
            return completion.left_out
    return ()


def _tell_of_batch(run: OpenRun) -> None:
    """A batch that is at its server while the run has all that it needs."""
    if not run.folder.batches_path.exists():
        return
    with BatchFolder(run.folder.path) as folder:
        if (wave := folder.out) is not None:
            run.listener.note(f"batch {wave.wave} is not taken yet, and not needed now: a larger --num takes it")

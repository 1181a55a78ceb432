"""A run by the Batch API: one batch after the other, each sized by what those before it gave.

Every step is recorded before or after it is taken, so that the same command goes on from any of them: no batch is
submitted twice, and results are kept as they came before anything looks at them.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal

from alpaca_cli.data.batchlog import Wave
from alpaca_cli.data.journal import GIVEN_UP, Journal
from alpaca_cli.errors import TeacherUnreachable
from alpaca_cli.generate.batch.file import MOST_REQUESTS
from alpaca_cli.generate.batch.folder import BatchFolder
from alpaca_cli.generate.batch.harvest import Gathered, Harvest
from alpaca_cli.generate.batch.money import BatchMoney
from alpaca_cli.generate.batch.steps import BatchSteps
from alpaca_cli.generate.batch.wave import wanted, write_input
from alpaca_cli.generate.budget import Budget
from alpaca_cli.generate.collapse import collapse
from alpaca_cli.generate.failure import Failure
from alpaca_cli.generate.interrupt import on_interrupt
from alpaca_cli.generate.prices import Price
from alpaca_cli.generate.progress import Listener, Progress
from alpaca_cli.generate.prompt import RequestMaker
from alpaca_cli.generate.replay import Replay
from alpaca_cli.generate.standing import Standing
from alpaca_cli.generate.teacher import Teacher
from alpaca_cli.recipe.generate import GenerateRecipe

MOST_EMPTY = 3  # batches in a row that give no answer


class Batches:
    """One process's part of a run by batches."""

    def __init__(
        self,
        recipe: GenerateRecipe,
        *,
        teacher: Teacher,
        price: Price | None,
        maker: RequestMaker,
        replay: Replay,
        journal: Journal,
        budget: Budget,
        folder: BatchFolder,
        listener: Listener,
    ) -> None:
        self._recipe = recipe
        self._teacher = teacher
        self._price = price
        self._replay = replay
        self._journal = journal
        self._budget = budget
        self._folder = folder
        self._log = folder.log
        self._listener = listener
        self._money = BatchMoney(budget, price)
        self._steps = BatchSteps(recipe, teacher, folder, self._money, listener)
        self._harvest = Harvest(maker, teacher.body, teacher.settings, journal, clean=teacher.clean)
        self._most_requests = MOST_REQUESTS
        self._num_empty = 0
        self._is_interrupted = False
        self._began = time.monotonic()
        self._standing = Standing(replay, journal, budget.ledger, is_priced=price is not None)
        folder.fold(self._harvest)

    async def run(self) -> None:
        """Until enough tasks are accepted.

        Raises UsageError when a file cannot be written, TeacherError when the teacher fails for good or gives nothing
        usable, LimitReached at the user's own limit, and KeyboardInterrupt on Ctrl-C, at once: what is at the server
        goes on there.
        """
        with self._leaving():
            self._listener.progress(self._progress())
            if self._price is not None and self._price.batch_factor is None:
                self._listener.note("no price for batches is known: they are counted at the standard price")
            if (wave := self._open()) is not None:
                await self._judge(wave, await self._go(wave))
            while not self._replay.is_done:
                wave = self._plan()
                await self._judge(wave, await self._go(wave))
                self._listener.progress(self._progress())

    async def finish(self) -> None:
        """Take the batch that an earlier process left open, if there is one; raises as `run`."""
        with self._leaving():
            if (wave := self._open()) is not None:
                await self._go(wave)

    @contextmanager
    def _leaving(self) -> Iterator[None]:
        """Ctrl-C leaves at once."""
        task = asyncio.current_task()
        assert task is not None

        def interrupt() -> None:
            self._is_interrupted = True
            task.cancel()

        with on_interrupt(interrupt):
            try:
                yield
            except asyncio.CancelledError:
                if not self._is_interrupted:
                    raise
                if (out := self._folder.out) is not None:
                    self._listener.note(f"batch {out.wave} goes on at the server; the same command takes it up again")
                raise KeyboardInterrupt from None

    # --- one batch, step by step -------------------------------------------------------------------------------------

    def _open(self) -> Wave | None:
        """The batch that an earlier process submitted or was about to, and did not take."""
        wave = self._log.waves[-1] if self._log.waves else None
        if wave is None or not (wave.is_out or (wave.step != "taken" and self._money.ticket(wave))):
            return None
        self._listener.note(f"batch {wave.wave} is {wave.step} and not taken yet: this comes first")
        is_gone = self._recipe.teacher.kind == "rehearsal" and wave.base_url not in (None, self._teacher.base_url)
        if is_gone and wave.step in ("submitting", "submitted", "ended"):
            self._listener.note(f"batch {wave.wave} ended with the rehearsal that it was submitted to")
            self._log.record(wave, "downloaded", status="cancelled", output_file_id="", error_file_id="")
        return wave

    def _plan(self) -> Wave:
        found = write_input(
            self._folder.path(self._log.next_number, "input"),
            wanted(self._recipe, self._replay, self._journal.completions, self._harvest),
            self._recipe,
            self._teacher.body,
            budget=self._budget,
            worst=lambda request: self._money.cost(request, self._teacher.body.max_tokens(request), None),
            most_requests=self._most_requests,
        )
        wave = self._log.begin("planned", num_requests=found.num_requests, sha256=found.sha256, most=found.most)
        cost = f", ${found.most:.4f} at most" if self._price is not None else ""
        cut = f"; {found.cut_by} has no room for more" if found.cut_by else ""
        self._listener.note(f"batch {wave.wave}: {found.num_requests:,} requests{cost}{cut}")
        return wave

    async def _go(self, wave: Wave) -> Gathered:
        await self._steps.go(wave)
        return await self._take(wave)

    async def _take(self, wave: Wave) -> Gathered:
        """Journal the results, then look at them."""
        gathered = self._folder.take(wave, self._harvest, self._money.cost)
        self._journal.sync()
        self._money.settle(wave, gathered.cost)
        self._log.record(wave, "taken")
        self._tell(wave, gathered)
        for completion in sorted(gathered.new, key=lambda each: each.k):
            self._standing.count(completion)
            self._replay.offer(completion)
            self._listener.progress(self._progress())
            await asyncio.sleep(0)
        for left in list(self._harvest.to_leave()):
            self._listener.note(f"request {left.k} left aside: it failed in {left.tries} batches that answered others")
            self._journal.append(left)
            self._replay.offer(left)
        return gathered

    async def _judge(self, wave: Wave, gathered: Gathered) -> None:
        """End the run if what a batch gave says that the next would be no better."""
        if wave.code == "token_limit_exceeded" and wave.num_requests > 1:
            self._most_requests = wave.num_requests // 2
            self._listener.note(f"asking {self._most_requests:,} requests at once from now on, half as many as before")
            return
        if wave.status == "failed":
            raise await self._teacher.refused(Failure(f"batch {wave.wave} failed: {_words(wave)}", "fatal"))
        if gathered.num_answered:
            self._num_empty = 0
            if self._replay.num_barren >= self._recipe.patience and not self._replay.is_done:
                raise collapse(self._replay)
            return
        failures = list(gathered.failures.values())
        is_proven = any(each.finish_reason != GIVEN_UP for each in self._journal.completions.values())
        for kinds in (("fatal",), () if is_proven else ("rejected", "too_long")):
            if found := next((each for each in failures if each.kind in kinds), None):
                raise await self._teacher.refused(found)
        self._num_empty += not any(each.kind == "changed" for each in failures)
        if self._num_empty >= MOST_EMPTY:
            last = failures[-1].message if failures else f"it ended as {wave.status}"
            raise TeacherUnreachable(
                f"{MOST_EMPTY} batches in a row gave no answer; last: {last}",
                where=self._teacher.base_url,
                hint="run the same command again to submit another, or without --batch to ask one by one",
            )

    def _tell(self, wave: Wave, gathered: Gathered) -> None:
        if wave.status == "failed":
            self._listener.note(f"batch {wave.wave} failed: {_words(wave)}")
            return
        parts = [f"{gathered.num_answered:,} of {wave.num_requests:,} answered"]
        if gathered.failures:
            last = next(reversed(gathered.failures.values())).message
            parts.append(f"{len(gathered.failures):,} failed, the last with: {last}")
        if gathered.num_undone:
            parts.append(f"{gathered.num_undone:,} not asked, since it was {wave.status}")
        if gathered.num_foreign:
            parts.append(f"{gathered.num_foreign:,} results not taken, since they answer nothing that was asked")
        if gathered.num_unreadable:
            parts.append(f"{gathered.num_unreadable:,} results not taken, since they cannot be read")
        self._listener.note(f"batch {wave.wave}: {'; '.join(parts)}")

    def _progress(self) -> Progress:
        out = self._folder.out
        ticket = None if out is None else self._money.ticket(out)
        return self._standing.progress(
            num_under_way=0 if out is None else out.num_requests,
            most_under_way=Decimal(0) if ticket is None else ticket.most,
            limit=self._most_requests,
            seconds=time.monotonic() - self._began,
        )


def _words(wave: Wave) -> str:
    """Why a server would not begin with a batch."""
    message = wave.message or "the server does not say why"
    return f"{message} ({wave.code})" if wave.code else message

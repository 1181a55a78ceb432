"""The loop: keep the teacher busy until enough tasks are accepted; journal each completion before looking at it.

It never asks a journalled request again, and asks no more at once than the missing tasks are likely to need.
"""

from __future__ import annotations

import asyncio
import math
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from alpaca_cli.data.journal import Completion, Journal
from alpaca_cli.errors import TeacherError, UsageError
from alpaca_cli.generate.prompt import RequestMaker
from alpaca_cli.generate.replay import Replay
from alpaca_cli.generate.teacher import Teacher
from alpaca_cli.recipe import GenerateRecipe

UNPROVEN = 4  # requests under way at most, until one has given an accepted task


@dataclass(frozen=True)
class Progress:
    """How a run stands: what a live view shows."""

    kept: int
    num: int
    num_kept_before: int
    """Accepted examples that this process found in the journal when it began."""
    num_tasks: int
    """Tasks looked at, accepted or refused."""
    num_completions: int
    """Completions in the journal."""
    num_under_way: int
    prompt_tokens: int
    completion_tokens: int
    reasons: Counter[str]
    seconds: float
    """Since this process began to ask."""


class Listener(Protocol):
    """What hears of a run while it goes on."""

    def note(self, text: str) -> None:
        """One line that the user should know."""

    def retry(self, text: str) -> None:
        """A try failed, in one line, and will be made again; there may be very many of these."""

    def replaying(self, done: int, count: int) -> None:
        """Of `count` completions in the journal, `done` have been looked at again."""

    def progress(self, progress: Progress) -> None:
        """The run has moved."""


class Loop:
    """One process's part of a run."""

    def __init__(
        self,
        recipe: GenerateRecipe,
        *,
        teacher: Teacher,
        maker: RequestMaker,
        replay: Replay,
        journal: Journal,
        listener: Listener,
    ) -> None:
        self._recipe = recipe
        self._teacher = teacher
        self._maker = maker
        self._replay = replay
        self._journal = journal
        self._listener = listener
        self._num_kept_before = len(replay.accepted)
        self._num_new = 0
        self._error: BaseException | None = None
        self._unrecorded: list[Completion] = []
        self._interrupted = False
        self._under_way: set[asyncio.Task[Completion]] = set()
        self._numbers = self._missing_numbers()
        self._tokens = Counter[str]()
        for completion in journal.completions.values():
            self._tokens.update(completion.usage or {})
        self._began = time.monotonic()

    async def run(self) -> None:
        """Until enough tasks are accepted.

        Raises UsageError when the journal cannot be written, TeacherError when the teacher fails for good or gives
        nothing usable, and KeyboardInterrupt after Ctrl-C; in all cases what was under way, and so will be paid, has
        been waited for.
        """
        with _on_interrupt(self._interrupt):
            self._listener.progress(self._progress())
            while not self._replay.is_done:
                self._fill()
                if not self._under_way:
                    break
                done, self._under_way = await asyncio.wait(self._under_way, return_when=asyncio.FIRST_COMPLETED)
                self._take(done)
            await self._drain()
        self._record_late()
        if self._interrupted and not self._unrecorded:
            raise KeyboardInterrupt
        if self._replay.is_done and isinstance(self._error, TeacherError):
            return  # it was a surplus request that failed: nothing is missing
        if self._error is not None:
            raise self._error

    def _missing_numbers(self) -> Iterator[int]:
        k = 0
        while True:
            if k not in self._journal.completions:
                yield k
            k += 1

    def _fill(self) -> None:
        while self._error is None and not self._interrupted and len(self._under_way) < self._room():
            request = self._maker.request(next(self._numbers))
            self._under_way.add(asyncio.create_task(self._teacher.ask(request)))

    def _room(self) -> int:
        """How many requests may be under way: the first goes alone, the last are no more than are likely needed."""
        if self._num_new == 0:
            return 1
        if not self._replay.accepted:
            return min(self._recipe.teacher.concurrency, UNPROVEN)
        missing = self._replay.num - len(self._replay.accepted)
        per_completion = max(len(self._replay.accepted), 1) / max(len(self._replay.used), 1)
        needed = math.ceil(missing / per_completion) - self._replay.num_waiting
        return max(1, min(self._recipe.teacher.concurrency, needed))

    def _take(self, done: set[asyncio.Task[Completion]]) -> None:
        """Journal what came, then look at it; the first failure ends the asking."""
        for task in sorted(done, key=lambda task: task.exception() is not None):
            error = task.exception()
            if error is None:
                self._record(task.result())
            else:
                self._fail(error)
        if self._num_new and self._replay.num_barren >= self._recipe.patience and not self._replay.is_done:
            self._fail(self._barren())
        self._listener.progress(self._progress())

    def _record(self, completion: Completion) -> None:
        try:
            self._journal.append(completion)
        except UsageError as error:  # a full disk, most likely
            self._unrecorded.append(completion)
            self._journal.free_reserve()
            self._fail(error)
            return
        self._num_new += 1
        self._tokens.update(completion.usage or {})
        self._replay.offer(completion)

    def _record_late(self) -> None:
        """Try once more to record what a full disk kept out: it is paid, and there may be room by now."""
        lost = 0
        for completion in self._unrecorded:
            try:
                self._journal.append(completion)
            except UsageError:
                lost += 1
        if lost:
            self._listener.note(f"{lost} paid answers could not be recorded and are lost")

    def _fail(self, error: BaseException) -> None:
        if self._error is None:
            self._error = error
            self._teacher.stop()

    async def _drain(self) -> None:
        """Wait for what is under way: it is being paid."""
        self._teacher.stop()
        while self._under_way:
            done, self._under_way = await asyncio.wait(self._under_way, return_when=asyncio.FIRST_COMPLETED)
            self._take(done)

    def _interrupt(self) -> None:
        """First Ctrl-C: ask no more, wait for what is under way.  Second: leave at once."""
        if self._interrupted:
            for task in self._under_way:
                task.cancel()
            raise KeyboardInterrupt
        self._interrupted = True
        self._teacher.stop()
        if self._under_way:
            count = len(self._under_way)
            answers = "an answer" if count == 1 else f"{count} answers"
            self._listener.note(
                f"waiting for {answers} under way; Ctrl-C again leaves at once, though they may be paid"
            )

    def _barren(self) -> TeacherError:
        """Completion after completion without an accepted task; the count goes over the journal, so that running the
        same command again asks one more and no further patience."""
        count = self._replay.num_barren
        first = self._replay.used[-count].k
        found = Counter(refused.reason for refused in self._replay.refused if refused.k >= first)
        reasons = ", ".join(f"{reason} {number:,}" for reason, number in found.most_common(4))
        last = " ".join(self._replay.used[-1].text.split())
        hint = (
            "look at journal.jsonl; a model that does not follow the prompt needs another --prompt or --model "
            "(a base model: --set teacher.api=completions), in another --out"
        )
        if found and found.most_common(1)[0][0] == "truncated":
            hint = "answers end before a task does: raise --set teacher.max_tokens, in another --out"
        excerpt = f"{last[:160]}..." if len(last) > 160 else last
        return TeacherError(
            f"{count} completions in a row gave no accepted task ({reasons or 'no task was found in them'}); "
            f"the last one reads: {excerpt!r}",
            hint=hint,
        )

    def _progress(self) -> Progress:
        replay = self._replay
        return Progress(
            kept=len(replay.accepted),
            num=replay.num,
            num_kept_before=self._num_kept_before,
            num_tasks=len(replay.accepted) + len(replay.refused),
            num_completions=len(self._journal.completions),
            num_under_way=len(self._under_way),
            prompt_tokens=self._tokens["prompt_tokens"],
            completion_tokens=self._tokens["completion_tokens"],
            reasons=Counter(replay.reasons),
            seconds=time.monotonic() - self._began,
        )


@contextmanager
def _on_interrupt(react: Callable[[], None]) -> Iterator[None]:
    """Ctrl-C, and SIGTERM as schedulers send it, call `react` in the event loop, where platform and thread allow."""
    loop = asyncio.get_running_loop()
    try:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, react)
    except (NotImplementedError, ValueError, RuntimeError):
        yield  # Windows, or not the main thread: Ctrl-C keeps its usual meaning
        return
    try:
        yield
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)

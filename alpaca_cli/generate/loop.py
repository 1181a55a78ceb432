"""The loop: keep the teachers busy until enough tasks are accepted; journal each completion before looking at it.

One try of a request is one task; what became of it comes back here, where it is decided: journal it, ask again after a
pause, ask otherwise, leave it aside, or end the run.  Nothing journalled is asked again, nothing goes out that the
budget has no room for, and no more is asked at once than the missing tasks are likely to need.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from decimal import Decimal

from alpaca_cli.data.journal import GIVEN_UP, Completion, Journal
from alpaca_cli.data.ledger import Ticket
from alpaca_cli.errors import TeacherError, UsageError
from alpaca_cli.generate.asks import Ask, Asks
from alpaca_cli.generate.body import max_tokens_of
from alpaca_cli.generate.budget import Budget
from alpaca_cli.generate.collapse import collapse
from alpaca_cli.generate.failure import Failure
from alpaca_cli.generate.interrupt import on_interrupt
from alpaca_cli.generate.level import Mark
from alpaca_cli.generate.progress import Listener, Progress
from alpaca_cli.generate.prompt import RequestMaker
from alpaca_cli.generate.recorder import Recorder, given_up
from alpaca_cli.generate.replay import Replay
from alpaca_cli.generate.server import Outcome, Server, choose
from alpaca_cli.generate.standing import Standing
from alpaca_cli.generate.teacher import Reply
from alpaca_cli.generate.trouble import Trouble, pause, times, unreachable
from alpaca_cli.recipe.generate import GenerateRecipe

UNPROVEN = 4  # requests under way at most, until one has given an accepted task
LIVE_S, LONG_S = 5.0, 10.0
MOST_CHANGES = 12  # of parameters, for one request: more are no negotiation


@dataclass(frozen=True)
class Sent:
    """One try under way."""

    ask: Ask
    server: Server
    ticket: Ticket
    mark: Mark
    """The throttle's mark for it."""
    at: float
    """When, by the loop's clock."""


class Loop:
    """One process's part of a run."""

    def __init__(
        self,
        recipe: GenerateRecipe,
        *,
        servers: Sequence[Server],
        maker: RequestMaker,
        replay: Replay,
        journal: Journal,
        budget: Budget,
        listener: Listener,
    ) -> None:
        self._recipe = recipe
        self._servers = servers
        self._maker = maker
        self._replay = replay
        self._journal = journal
        self._budget = budget
        self._listener = listener
        self._num_new = 0
        self._error: BaseException | None = None
        self._recorder = Recorder(journal)
        self._interrupted = False
        self._odd_tiers: set[str] = set()
        self._under_way: dict[asyncio.Task[Outcome], Sent] = {}
        self._ended: deque[asyncio.Task[Outcome]] = deque()
        self._asks = Asks(journal.completions, maker.request)
        self._has_answers = any(each.finish_reason != GIVEN_UP for each in journal.completions.values())
        is_priced = all(server.price is not None for server in servers)
        self._standing = Standing(replay, journal, budget.ledger, is_priced=is_priced)

    async def run(self) -> None:
        """Until enough tasks are accepted.

        Raises UsageError when the journal cannot be written, TeacherError when the teachers fail for good or give
        nothing usable, LimitReached at the user's own limit, and KeyboardInterrupt after Ctrl-C; in all cases what was
        under way, and so will be paid, has been waited for.
        """
        self._clock = asyncio.get_running_loop().time
        self._began = self._clock()
        longest = max(server.teacher.settings.longest_pause_s for server in self._servers)
        self._trouble = Trouble(self._began, self._recipe.breaker_s, longest)
        self._moved = asyncio.Event()
        self._told_until = self._began
        with on_interrupt(self._interrupt):
            self._listener.progress(self._progress())
            while not self._is_ending:
                wait = self._fill()
                if self._is_ending:
                    break
                self._tell_of_pause(wait)
                await self._wait(wait)
                self._take()
            if self._replay.is_done and self._under_way:
                answers = _answers(len(self._under_way))
                self._listener.note(f"complete; waiting for {answers} under way, to be kept; Ctrl-C leaves at once")
            while self._under_way:  # it is being paid
                await self._wait(None)
                self._take()
        if lost := self._recorder.record_late():
            self._listener.note(f"{lost} paid answers could not be recorded and are lost")
        self._listener.progress(self._progress())
        if self._replay.is_done and not isinstance(self._error, UsageError):
            return  # what failed was surplus: nothing is missing
        if self._interrupted and not isinstance(self._error, UsageError):
            raise KeyboardInterrupt
        if self._error is not None:
            raise self._error

    @property
    def _is_ending(self) -> bool:
        return self._replay.is_done or self._error is not None or self._interrupted

    def _tell_of_pause(self, seconds: float | None) -> None:
        """Nothing is under way, and nothing may be sent for a while: say so, once for each such pause."""
        until = self._clock() + (seconds or 0.0)
        if not self._under_way and seconds is not None and seconds > LONG_S and until > self._told_until + LONG_S:
            self._told_until = until
            self._listener.note(f"the server is to be left alone for {seconds:,.0f} s")

    async def _wait(self, seconds: float | None) -> None:
        """Until a try ends, Ctrl-C, or so many seconds have passed; and not so long that a live view would stand."""
        if self._ended:
            return
        self._moved.clear()
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._moved.wait(), min(LIVE_S, LIVE_S if seconds is None else seconds))

    # --- sending -----------------------------------------------------------------------------------------------------

    def _fill(self) -> float | None:
        """Send what may be sent now; seconds until there may be more to do (None: not before a try ends)."""
        while not self._is_ending:
            now = self._clock()
            is_wanted = len(self._under_way) + self._asks.num_waiting < self._room()
            ask = self._asks.take(now, may_be_new=is_wanted)
            if ask is None:
                return self._asks.seconds_until_due(now)
            servers = self._affordable(ask)
            server, wait = choose(servers, ask, now)
            if server is None or not self._send(ask, server):
                self._asks.put_back(ask, now)
                return wait if servers else None
        return None

    def _affordable(self, ask: Ask) -> list[Server]:
        """The servers whose worst case for a request the budget has room for; none ends the run, unless something is
        under way that may come in below its worst case."""
        budget, text = self._budget, ask.request.text
        alive = [server for server in self._servers if server.lost is None]
        most = [
            budget.most(server.price, prompt=text, max_tokens=server.teacher.body.max_tokens(ask.request))
            for server in alive
        ]
        limits = [budget.room(amount) for amount in most]
        if alive and all(limits) and not self._under_way:
            self._fail(budget.reached(limits[0] or "", min(most)))
        return [server for server, limit in zip(alive, limits, strict=True) if limit is None]

    def _room(self) -> int:
        """How many requests may be open: the first goes alone, the last are no more than are likely needed."""
        if self._num_new == 0:
            return len(self._servers) + (self._asks.num_waiting > 0)  # it may be that request which cannot be answered
        needed = self._replay.num_needed if self._replay.accepted else min(UNPROVEN, self._replay.num)
        return max(1, needed - self._replay.num_waiting)

    def _send(self, ask: Ask, server: Server) -> bool:
        """Send one try, for which the budget has room."""
        budget, request = self._budget, ask.request
        body = server.teacher.body.of(request)  # what is reserved for is what is sent, whatever is learnt meanwhile
        most = budget.most(server.price, prompt=request.text, max_tokens=max_tokens_of(body))
        try:
            ticket = budget.send(most, k=request.k, is_priced=server.price is not None)
        except UsageError as error:
            self._fail(error)
            return False
        mark = server.throttle.sent(self._clock(), server.tokens(request))
        server.num_sent += 1
        task = asyncio.create_task(server.ask(request, body))
        self._under_way[task] = Sent(ask, server, ticket, mark, self._clock())
        task.add_done_callback(self._on_end)
        return True

    def _on_end(self, task: asyncio.Task[Outcome]) -> None:
        self._ended.append(task)
        self._moved.set()

    # --- taking ------------------------------------------------------------------------------------------------------

    def _take(self) -> None:
        """Look at every try that has ended: answers first, since they are paid and must be recorded."""
        ended = [task for task in self._ended if task in self._under_way]
        self._ended.clear()
        failures = []
        for task in ended:
            sent = self._under_way.pop(task)
            if task.cancelled():
                continue
            if (bug := task.exception()) is not None:
                self._fail(bug)
                continue
            outcome, error = task.result()
            if isinstance(outcome, Reply):
                self._answered(sent, outcome)
            else:
                failures.append((sent, outcome, error))
        for sent, failure, error in failures:
            self._failed(sent, failure, error)
        if self._num_new and self._replay.num_barren >= self._recipe.patience and not self._replay.is_done:
            self._fail(collapse(self._replay))
        self._journal.sync_if_due()
        self._budget.ledger.sync_if_due()
        self._listener.progress(self._progress())

    def _answered(self, sent: Sent, reply: Reply) -> None:
        server, now = sent.server, self._clock()
        completion = replace(reply.completion, tries=sent.ask.tries + 1, base_url=server.teacher.base_url)
        is_recorded = self._record(completion)
        if reply.is_paid:
            self._settle(sent, completion)
        else:
            self._budget.release(sent.ticket, may_be_paid=False)
        tokens = sum((completion.usage or {}).get(key, 0) for key in ("prompt_tokens", "completion_tokens"))
        server.throttle.answered(sent.mark, now, tokens=tokens, headers=reply.headers)
        if server.tier == "flex" and completion.tier not in (None, "flex") and not server.is_proven:
            self._listener.note(f"the server answers in tier {completion.tier}, at full price, not in flex")
        server.answered()
        self._trouble.answered(now)
        if is_recorded:
            self._num_new += 1
            self._standing.count(completion)
            self._replay.offer(completion)

    def _settle(self, sent: Sent, completion: Completion) -> None:
        """Count an answer at the price of the tier that the server says it was in; one of another tier at its worst."""
        price, usage, tier = sent.server.price, completion.usage, completion.tier
        if tier in (None, "default", "standard", "auto"):
            self._budget.settle(sent.ticket, price, usage)
        elif tier == "flex":
            self._budget.settle(sent.ticket, price, usage, "flex")
        else:
            if tier not in self._odd_tiers:
                self._odd_tiers.add(tier)
                self._listener.note(f"answers come in tier {tier}, of which no price is known: counted at their worst")
            self._budget.release(sent.ticket, may_be_paid=True)

    def _record(self, completion: Completion) -> bool:
        error = self._recorder.record(completion)
        if error is not None:
            self._fail(error)
        return error is None

    def _failed(self, sent: Sent, failure: Failure, error: TeacherError | None) -> None:
        ask, server, now = sent.ask, sent.server, self._clock()
        self._budget.release(sent.ticket, may_be_paid=failure.may_be_paid)
        if failure.kind == "busy":
            server.throttle.refused(sent.mark, now, pause_s=failure.pause_s, headers=failure.headers)
        elif failure.kind == "passing":
            server.throttle.failed(sent.mark, now, timed_out=failure.timed_out)
            server.failed(now)
        else:
            server.throttle.dropped(sent.mark)
        ask.failed_at = now if ask.failed_at is None else ask.failed_at
        ask.failed_by = server
        if failure.kind == "changed" and ask.changes < MOST_CHANGES:
            ask.changes += 1
            self._asks.again(ask, now)
        elif failure.kind == "too_long" and len(ask.request.seed_ids) > 1:
            ask.request = self._maker.request(ask.request.k, len(ask.request.seed_ids) - 1)
            self._listener.retry(f"request {ask.request.k}: {failure.message}; asking with one seed task less")
            self._asks.again(ask, now)
        elif error is not None and not self._may_pass(server, failure):
            self._lose(server, error)
            self._asks.again(ask, now)
        else:
            self._try_again(ask, server, failure)

    def _may_pass(self, server: Server, failure: Failure) -> bool:
        """A server that has answered may refuse one request, or its proxy may say in HTML what it does not mean."""
        if failure.kind == "fatal":
            return server.is_proven and not failure.is_spoken
        return server.is_proven or self._has_answers

    def _try_again(self, ask: Ask, server: Server, failure: Failure) -> None:
        settings, now = server.teacher.settings, self._clock()
        if (failure.pause_s or 0.0) > settings.longest_pause_s:
            minutes = (failure.pause_s or 0.0) / 60
            self._lose(server, unreachable(f"told to wait {minutes:,.0f} minutes", server.teacher.base_url, failure))
            self._asks.again(ask, now)
            return
        verdict = self._trouble.judge(ask, failure, now, max_tries=settings.max_tries)
        has_answered = self._trouble.answered_at is not None
        if verdict == "leave":
            self._leave(ask, failure)
        elif verdict == "stop" and not has_answered and any(each.server is server for each in self._under_way.values()):
            self._ask_later(ask, failure, settings.max_tries)  # another request may be answered there yet
        elif verdict == "stop" and not has_answered:
            what = f"asked {times(self._trouble.num_failed)} without an answer"
            self._lose(server, unreachable(what, server.teacher.base_url, failure, has_answered=False))
            self._asks.again(ask, now)
        elif verdict == "stop":
            what = f"asking for {self._trouble.minutes(now):,.0f} minutes without an answer"
            self._fail(unreachable(what, server.teacher.base_url, failure))
        else:
            self._ask_later(ask, failure, settings.max_tries)

    def _ask_later(self, ask: Ask, failure: Failure, max_tries: int) -> None:
        seconds = pause(ask, failure)
        is_counted = 0 < ask.tries < max_tries  # while nobody is answered, more are made
        tries = f"try {ask.tries + 1} of {max_tries}" if is_counted else "again"
        self._listener.retry(f"request {ask.request.k}: {failure.message}; {tries} in {seconds:.1f} s")
        self._asks.again(ask, self._clock() + seconds)

    def _leave(self, ask: Ask, failure: Failure) -> None:
        """Leave a request aside for good: others are answered, and it is not."""
        request = ask.request
        self._listener.note(f"request {request.k} left aside after {times(ask.tries)}; last: {failure.message}")
        completion = given_up(request, ask.tries)
        if self._record(completion):
            self._replay.offer(completion)

    # --- ending ------------------------------------------------------------------------------------------------------

    def _lose(self, server: Server, error: TeacherError) -> None:
        """Ask a server no more; the run goes on as long as there is another."""
        if server.lost is None:
            server.lost = error
            if any(other.lost is None for other in self._servers):
                self._listener.note(f"{error}; going on with the other servers")
            else:
                self._fail(error)

    def _fail(self, error: BaseException) -> None:
        if self._error is None:
            self._error = error
            self._moved.set()

    def _interrupt(self) -> None:
        """First Ctrl-C: ask no more, wait for what is under way.  Second: leave at once."""
        if self._interrupted or self._replay.is_done:
            for task in self._under_way:
                task.cancel()
            if self._replay.is_done:
                return
            raise KeyboardInterrupt
        self._interrupted = True
        self._moved.set()
        if self._under_way:
            self._listener.note(
                f"waiting for {_answers(len(self._under_way))} under way; Ctrl-C again leaves at once, though they may "
                "be paid"
            )

    def _progress(self) -> Progress:
        sent = self._under_way.values()
        return self._standing.progress(
            num_under_way=len(sent),
            most_under_way=sum((each.ticket.most for each in sent), Decimal(0)),
            limit=sum(int(server.throttle.limit) for server in self._servers if server.lost is None),
            seconds=self._clock() - self._began,
            oldest_s=max((self._clock() - each.at for each in sent), default=0.0),
        )


def _answers(count: int) -> str:
    return "an answer" if count == 1 else f"{count} answers"

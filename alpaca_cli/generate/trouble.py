"""What to do with a request that failed: ask again after a pause, leave it aside, or end the run.

A request is left aside after its tries only if others were answered meanwhile; if none is, the server is in trouble and
not the request.  Then a server that never answered ends the run after as many tries as one request has, and one that
did, after `breaker_s` seconds of failures, in which pauses that a server asked for are not counted.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Literal

from alpaca_cli.errors import TeacherUnreachable
from alpaca_cli.generate.asks import Ask
from alpaca_cli.generate.failure import Failure

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 30.0


@dataclass
class Trouble:
    """The loop's patience.  Times are seconds of one monotonic clock; `began` is when it was made."""

    began: float
    breaker_s: float
    longest_pause_s: float
    answered_at: float | None = None
    """When the last answer came."""
    num_failed: int = 0
    """Tries that failed before the first answer."""
    _since: float | None = None

    def answered(self, now: float) -> None:
        """An answer came: no trouble."""
        self.answered_at, self._since = now, None

    def judge(self, ask: Ask, failure: Failure, now: float, *, max_tries: int) -> Literal["again", "leave", "stop"]:
        """Count a failed try, and say what follows."""
        if failure.kind != "busy" or self.answered_at is None:
            ask.tries += 1
        first = ask.failed_at = now if ask.failed_at is None else ask.failed_at
        since = now if self._since is None else self._since
        self._since = since if failure.pause_s is None else max(since, now + failure.pause_s)
        if self.answered_at is None:
            self.num_failed += 1
            if self.num_failed >= max_tries:
                return "stop"
        elif ask.tries >= max_tries and self.answered_at > first:
            return "leave"
        is_over = now - since >= self.breaker_s or self.minutes(now) * 60 >= self.breaker_s + self.longest_pause_s
        return "stop" if is_over else "again"

    def minutes(self, now: float) -> float:
        """Minutes since the last answer, or since the beginning."""
        return (now - (self.began if self.answered_at is None else self.answered_at)) / 60


def pause(ask: Ask, failure: Failure) -> float:
    """Seconds before the next try: doubling, with a quarter of jitter so that requests do not come back as one; no
    less than the server asked for."""
    doubled = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0 ** max(ask.tries - 1, 0))
    return max(doubled * (1 - random.random() / 4), failure.pause_s or 0.0)


def unreachable(what: str, base_url: str, failure: Failure, *, has_answered: bool = True) -> TeacherUnreachable:
    """The error that ends a run for want of answers."""
    hint = "once the server answers again, run the same command: it goes on where it stopped"
    if not has_answered and failure.status is None:
        hint = "is the server running, and is this its address?  If so, run the same command once it answers"
    if failure.status == 200:
        hint = "is this the address of an OpenAI-compatible API?  It mostly ends in /v1"
    elif failure.status == 500:
        hint = (
            "look into the server's log; some servers say this of a model that they do not have (--model).  "
            "The same command goes on where it stopped"
        )
    return TeacherUnreachable(f"{what}; last: {failure.message}", where=base_url, hint=hint)


def times(count: int) -> str:
    """How often, in words."""
    return {1: "once", 2: "twice"}.get(count, f"{count} times")

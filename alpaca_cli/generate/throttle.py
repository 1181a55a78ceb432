"""When the next request may be sent to a server: the least of what it grants, what it is known to bear, and its pauses.

No clock and no I/O: every time is passed in, in seconds of one monotonic clock.  The law by which the level of requests
moves is told in `level`, what the server's headers grant in `bucket`.  Sends are paced, since requests that come in one
moment are refused by servers that would take them one by one (Linux does so for TCP): at the level itself if it is
a rate, else at twice the level for each latency, which costs nothing where slots are the limit.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from alpaca_cli.generate.bucket import Bucket
from alpaca_cli.generate.level import Level, Mark

PACE = 2.0  # of slots, in levels a latency
LATE_S = 0.02  # a rate's sends that come late by so much are made up for
FAILURES = 3  # in a row, before a pause
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 30.0  # where the server names none; doubled while nothing is answered
PAUSES_APART = 15.0  # a probe that may cost a pause is made at most once in so many of them


class Throttle:
    """For one server.  At most `most` requests are under way, `first` at the beginning."""

    def __init__(self, most: int, *, first: int = 4) -> None:
        self.num_under_way = 0
        self.paused_until = -math.inf
        self._most = most
        self._level = Level(first, most)
        self._requests, self._tokens = Bucket("requests"), Bucket("tokens")
        self._next_at = -math.inf
        self._is_held = False  # the level keeps somebody waiting; while it does not, going well tells nothing
        self._num_troubles = 0  # decreases and failures since the last good answer
        self._is_after_pause = False

    @property
    def limit(self) -> float:
        """Requests under way that the level means; from 1 to `most`."""
        level = self._level
        amount = level.amount * (level.latency_s or 0.0) if level.is_rate else level.amount
        return min(float(self._most), max(1.0, amount))

    def wait(self, now: float, tokens: int) -> float | None:
        """Seconds until one more request of about `tokens` (prompt and longest answer) may be sent, if nothing happens.

        0: now.  None: not before one that is under way has ended.  Ask only for a request that there is: that one has
        to wait is what the level may grow from.
        """
        if self.num_under_way >= self._most:
            return None
        if not self._level.is_rate and self.num_under_way >= int(self.limit):
            self._is_held = True
            return None
        granted = max(0.0, self.paused_until - now, self._requests.wait(now, 1), self._tokens.wait(now, tokens))
        paced = self._next_at - now
        if paced > granted and (self._level.is_rate or 2 * self.num_under_way >= self.limit):
            self._is_held = True  # the pace alone: a level of which not even half is used proves nothing
        return max(granted, paced)

    def sent(self, now: float, tokens: int) -> Mark:
        """A request is sent; its mark comes back with its end, in exactly one of the next four."""
        level = self._level
        if self._is_after_pause:
            self._is_after_pause = False
            level.ease(self.num_under_way)
        self.num_under_way += 1
        self._is_held = False
        self._requests.spend(now, 1)
        self._tokens.spend(now, tokens)
        if level.is_rate:
            self._next_at = max(self._next_at, now - LATE_S) + 1 / level.amount
        else:
            self._next_at = max(self._next_at, now) + (level.latency_s or 0.0) / (PACE * level.amount)
        spent = (self._requests.spent, self._tokens.spent)
        mark = Mark(now, tokens, self.num_under_way, level.epoch, level.round, spent)
        level.sent(mark)
        return mark

    def answered(self, mark: Mark, now: float, *, tokens: int, headers: Mapping[str, str]) -> None:
        """A good answer, which used `tokens`, prompt and answer (0: unknown)."""
        self.num_under_way -= 1
        self._num_troubles = 0
        self._read(mark, now, headers)
        self._level.learn(mark, now, tokens or mark.tokens)
        if self._is_held:
            self._level.grow(now)

    def refused(self, mark: Mark, now: float, *, pause_s: float | None, headers: Mapping[str, str]) -> None:
        """The server has too much to do (429, or 503); `pause_s` is how long it asks to be left alone, if it does."""
        self.num_under_way -= 1
        self._read(mark, now, headers)
        asked_s = pause_s if pause_s is not None and 0 < pause_s < math.inf else 0.0
        if asked_s:
            self._pause(now, asked_s)
        # The longer the answers, the smaller the share of them that a pause takes.
        self._level.pause_cost_s = (
            PAUSES_APART * asked_s * min(1.0, asked_s / (self._level.latency_s or asked_s or 1.0))
        )
        if mark.epoch == self._level.epoch:
            self._lower(now, mark)

    def failed(self, mark: Mark, now: float, *, timed_out: bool) -> None:
        """No answer: a timeout is congestion; other failures are none, but some in a row bring a pause."""
        self.num_under_way -= 1
        if mark.epoch != self._level.epoch:
            return
        if timed_out:
            self._lower(now, None)
            return
        self._num_troubles += 1
        if self._num_troubles >= FAILURES:
            self._level.begin_epoch()
            self._back_off(now, self._num_troubles - FAILURES)

    def dropped(self, mark: Mark) -> None:  # noqa: ARG002  (symmetry: every mark comes back)
        """Cancelled: nothing is learnt."""
        self.num_under_way -= 1

    def _read(self, mark: Mark, now: float, headers: Mapping[str, str]) -> None:
        for bucket, spent in zip((self._requests, self._tokens), mark.spent, strict=True):
            bucket.learn(now, headers, sent_at=mark.sent_at, spent=spent)

    def _lower(self, now: float, refused: Mark | None) -> None:
        self._num_troubles += 1
        if self._num_troubles > 1:  # nothing was answered since the last time
            self._back_off(now, self._num_troubles - 2)
        self._level.lower(now, refused)

    def _back_off(self, now: float, times: int) -> None:
        self._pause(now, min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0 ** min(times, 10)))

    def _pause(self, now: float, seconds: float) -> None:
        self.paused_until = max(self.paused_until, now + seconds)
        self._is_after_pause = True

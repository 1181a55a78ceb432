"""A teacher's server and a loop around a throttle, in simulated time: nothing sleeps, a seed gives the same run."""

from __future__ import annotations

import heapq
import math
import random
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from alpaca_cli.generate.throttle import Throttle

PROMPT_TOKENS, ANSWER_TOKENS, MOST_ANSWER_TOKENS = 500, 1500, 3000


@dataclass
class Server:
    """Exactly one of the limits slots, rpm and tpm; from a time on it is multiplied by a factor (`change`)."""

    latency_s: float
    """Median; lognormal."""
    slots: int | None = None
    is_queueing: bool = False
    """Requests wait for a slot instead of being refused."""
    rpm: float | None = None
    tpm: float | None = None
    """Counted when a request comes: its prompt and the longest answer."""
    burst_s: float = 1.0
    """Seconds' worth of a rate that a quiet time saves up; at least one request's worth."""
    network_s: float = 0.001
    """One way: for so long an answer is still under way for the one who asked."""
    spread: float = 0.4
    """Sigma of the lognormal latencies."""
    is_steady: bool = True
    """Latency goes with an answer's tokens; if not, all answers have the same number of them."""
    has_headers: bool = False
    retry_after_s: float | None = None
    change: tuple[float, float] = (math.inf, 1.0)
    error_share: float = 0.0

    def capacity(self, now: float) -> float:
        """Slots, or requests a second."""
        factor = self.change[1] if now >= self.change[0] else 1.0
        if self.slots is not None:
            return self.slots * factor
        per_minute = self.rpm if self.rpm is not None else (self.tpm or 0) / (PROMPT_TOKENS + MOST_ANSWER_TOKENS)
        return per_minute / 60 * factor


@dataclass
class Record:
    """What happened, in seconds of simulated time."""

    sends: list[float] = field(default_factory=list)
    refusals: list[float] = field(default_factory=list)
    """By the time of sending."""
    taken: list[float] = field(default_factory=list)
    busy: list[tuple[float, float]] = field(default_factory=list)
    """From, to: a slot at work."""
    under_way: list[tuple[float, int]] = field(default_factory=list)
    """At each send."""

    def refused_share(self, start: float, end: float) -> float:
        sends = sum(start <= at < end for at in self.sends)
        return sum(start <= at < end for at in self.refusals) / max(1, sends)

    def use(self, server: Server, start: float, end: float) -> float:
        """The share of the server's capacity that was used; the capacity is the one at the end."""
        whole = server.capacity(end) * (end - start)
        if server.slots is None:
            return sum(start <= at < end for at in self.taken) / whole
        return sum(max(0.0, min(end, to) - max(start, since)) for since, to in self.busy) / whole

    def follow_s(self, server: Server, since: int, until: int, *, window_s: int = 10) -> int | None:
        """Whole seconds after `since` until 90 % of the capacity is used for `window_s`; None: not before `until`."""
        for start in range(since, until - window_s + 1):
            if self.use(server, start, start + window_s) >= 0.9:
                return start - since
        return None

    def crowd(self, start: float, end: float) -> float:
        """Mean number under way, over sends."""
        found = [number for at, number in self.under_way if start <= at < end]
        return sum(found) / max(1, len(found))


class Simulation:
    """A loop that has `demand` requests to ask at any time, and asks a refused one again after 0.5 to 1 s."""

    def __init__(self, server: Server, *, most: int = 1000, seed: int = 0, demand: int = 10**9) -> None:
        self.server = server
        self.throttle = Throttle(most)
        self.record = Record()
        self.now = 0.0
        self._rng = random.Random(seed)
        self._events: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._count = 0
        self._demand = demand  # requests that the loop would have under way at once
        self._num_out = 0  # under way or waiting for another try
        self._wake_at = math.inf
        self._busy = 0
        self._queue: deque[Any] = deque()
        self._level = self._room(0)
        self._level_at = 0.0

    def run(self, seconds: float) -> Record:
        self._at(self.now, self._fill)
        while self._events and self._events[0][0] <= seconds:
            self.now, _, action, given = heapq.heappop(self._events)
            action(*given)
        self.now = seconds
        return self.record

    def _at(self, when: float, action: Callable[..., None], *given: Any) -> None:
        self._count += 1
        heapq.heappush(self._events, (when, self._count, action, given))

    # The loop

    def _wake(self, when: float) -> None:
        if when == self._wake_at:  # not overtaken by an earlier one
            self._wake_at = math.inf
            self._fill()

    def _fill(self) -> None:
        tokens = PROMPT_TOKENS + MOST_ANSWER_TOKENS
        while self._num_out < self._demand:
            wait = self.throttle.wait(self.now, tokens)
            if wait is None:
                return
            if wait > 0:
                when = self.now + wait
                if when < self._wake_at:
                    self._wake_at = when
                    self._at(when, self._wake, when)
                return
            mark = self.throttle.sent(self.now, tokens)
            self._num_out += 1
            self.record.sends.append(self.now)
            self.record.under_way.append((self.now, self.throttle.num_under_way))
            self._at(self.now + self.server.network_s, self._arrive, mark, self.now)

    def _answered(self, mark: Any, tokens: int, headers: Mapping[str, str]) -> None:
        self.throttle.answered(mark, self.now, tokens=tokens, headers=headers)
        self._num_out -= 1
        self._fill()

    def _refused(self, mark: Any, headers: Mapping[str, str]) -> None:
        pause = self.server.retry_after_s
        self.throttle.refused(mark, self.now, pause_s=pause, headers=headers)
        self._at(self.now + max(pause or 0.0, 0.5 + self._rng.random() / 2), self._again)
        self._fill()

    def _failed(self, mark: Any) -> None:
        self.throttle.failed(mark, self.now, timed_out=False)
        self._at(self.now + 0.5 + self._rng.random() / 2, self._again)
        self._fill()

    def _again(self) -> None:
        self._num_out -= 1
        self._fill()

    # The server

    def _room(self, now: float) -> float:
        return max(1.0, self.server.capacity(now) * self.server.burst_s)

    def _arrive(self, mark: Any, sent_at: float) -> None:
        server = self.server
        if self._rng.random() < server.error_share:
            self._at(self.now + self.server.network_s, self._failed, mark)
        elif server.slots is None:
            rate = server.capacity(self.now)
            self._level = min(self._room(self.now), self._level + (self.now - self._level_at) * rate)
            self._level_at = self.now
            if self._level < 1 - 1e-9:
                self._refuse(mark, sent_at)
            else:
                self._level -= 1
                self._work(mark)
        elif self._busy < int(server.capacity(self.now)):
            self._work(mark)
        elif server.is_queueing:
            self._queue.append(mark)
        else:
            self._refuse(mark, sent_at)

    def _refuse(self, mark: Any, sent_at: float) -> None:
        self.record.refusals.append(sent_at)
        self._at(self.now + self.server.network_s, self._refused, mark, self._headers())

    def _work(self, mark: Any) -> None:
        factor = self._rng.lognormvariate(0.0, self.server.spread)
        seconds = self.server.latency_s * factor
        self._busy += 1
        self.record.taken.append(self.now)
        self.record.busy.append((self.now, self.now + seconds))
        tokens = PROMPT_TOKENS + min(MOST_ANSWER_TOKENS, int(ANSWER_TOKENS * (factor if self.server.is_steady else 1)))
        self._at(self.now + seconds, self._finish, mark, tokens, self._headers())

    def _finish(self, mark: Any, tokens: int, headers: Mapping[str, str]) -> None:
        self._busy -= 1
        self._at(self.now + self.server.network_s, self._answered, mark, tokens, headers)
        while self._queue and self._busy < int(self.server.capacity(self.now)):
            self._work(self._queue.popleft())

    def _headers(self) -> dict[str, str]:
        server = self.server
        if not server.has_headers or server.slots is not None:
            return {}
        rate = server.capacity(self.now)
        cost = 1 if server.rpm is not None else PROMPT_TOKENS + MOST_ANSWER_TOKENS
        kind = "requests" if server.rpm is not None else "tokens"
        full_in = (self._room(self.now) - self._level) / rate
        return {
            f"x-ratelimit-limit-{kind}": f"{rate * 60 * cost:.0f}",
            f"x-ratelimit-remaining-{kind}": f"{math.floor(max(0.0, self._level) * cost)}",
            f"x-ratelimit-reset-{kind}": f"{full_in * 1000:.0f}ms",
        }

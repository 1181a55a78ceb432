"""The server's hidden limits: requests and tokens per minute as leaking buckets, and requests under way at once.

The buckets fill without steps, at a sixtieth of the limit each second, up to `burst_s` seconds' worth.
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from alpaca_cli.rehearsal.faults import SOME_PAUSE_S, duration, rate_limited
from alpaca_cli.rehearsal.protocol import MODEL, ApiError
from alpaca_cli.rehearsal.storm import Storm

SECONDS_PER_MINUTE = 60.0
_WAKE_S = 0.5


class Refused(Exception):
    """A request over a limit: which one, "requests", "tokens" or "concurrency", and what to answer."""

    def __init__(self, limit: str, error: ApiError) -> None:
        super().__init__(limit)
        self.limit = limit
        self.error = error


class Bucket:
    """So many of something per minute, `burst` of them at once after a rest; `now` are seconds of any clock.

    Who needs more than the burst is served when the bucket is full, and leaves a debt.
    """

    def __init__(self, per_minute: float, burst: float, now: float) -> None:
        self.per_second = per_minute / SECONDS_PER_MINUTE
        self.burst = max(1.0, burst)
        self._level = self.burst
        self._at = now

    def level(self, now: float) -> float:
        """How much is in it, below 0 for a debt."""
        self._level = min(self.burst, self._level + max(0.0, now - self._at) * self.per_second)
        self._at = max(self._at, now)
        return self._level

    def wait(self, amount: float, now: float) -> float:
        """Seconds until `amount` may be taken; 0: now."""
        lacking = min(amount, self.burst) - self.level(now)
        return max(0.0, lacking / self.per_second)

    def take(self, amount: float, now: float) -> None:
        self._level = self.level(now) - amount

    def seconds_to_full(self, now: float) -> float:
        return (self.burst - self.level(now)) / self.per_second


class Capacity:
    """Lets requests in or refuses them, as the storm's limits are at the time.  Safe to use from many threads."""

    def __init__(self, storm: Storm, stopping: threading.Event) -> None:
        self._changed = threading.Condition()
        self._stopping = stopping
        self._num_inside = 0
        self._waiting: deque[object] = deque()
        self.change(storm)

    def change(self, storm: Storm) -> None:
        """Use other limits from now on; the buckets begin full."""
        now = time.monotonic()
        with self._changed:
            self._storm = storm
            self._buckets = {
                name: (limit, Bucket(limit, limit / SECONDS_PER_MINUTE * storm.burst_s, now))
                for name, limit in (("requests", storm.requests_per_minute), ("tokens", storm.tokens_per_minute))
                if limit is not None
            }
            self._changed.notify_all()

    @contextmanager
    def admitted(self, num_tokens: int) -> Iterator[None]:
        """Hold a place for a request of so many tokens.  Raises Refused if there is none."""
        self._enter(num_tokens)
        try:
            yield
        finally:
            with self._changed:
                self._num_inside -= 1
                self._changed.notify_all()

    def headers(self) -> dict[str, str]:
        """OpenAI's x-ratelimit headers as of now; none where the storm does not tell them."""
        now = time.monotonic()
        found: dict[str, str] = {}
        with self._changed:
            if not self._storm.headers:
                return found
            for name, (limit, bucket) in self._buckets.items():
                found[f"x-ratelimit-limit-{name}"] = str(int(limit))
                found[f"x-ratelimit-remaining-{name}"] = str(max(0, int(bucket.level(now))))
                found[f"x-ratelimit-reset-{name}"] = duration(bucket.seconds_to_full(now))
        return found

    def _enter(self, num_tokens: int) -> None:
        with self._changed:
            if self._is_full() and not self._storm.queue:
                raise self._refused("concurrency", "Too many concurrent requests.", SOME_PAUSE_S)
            self._take({"requests": 1, "tokens": num_tokens})
            ticket = object()
            self._waiting.append(ticket)
            while (self._is_full() or self._waiting[0] is not ticket) and not self._stopping.is_set():
                self._changed.wait(_WAKE_S)
            self._waiting.remove(ticket)
            self._num_inside += 1
            self._changed.notify_all()

    def _is_full(self) -> bool:
        return self._storm.concurrency is not None and self._num_inside >= self._storm.concurrency

    def _take(self, amounts: dict[str, int]) -> None:
        now = time.monotonic()
        for name, (limit, bucket) in self._buckets.items():
            amount = amounts[name]
            per_minute = {"requests": "requests per min (RPM)", "tokens": "tokens per min (TPM)"}[name]
            told = f"for {MODEL} on {per_minute}: Limit {int(limit)}"
            if amount > limit:
                message = f"Request too large {told}, Requested {amount}."
                raise Refused(name, rate_limited(message, name, pause_s=None))
            if (pause := bucket.wait(amount, now)) > 0:
                used = math.ceil(bucket.burst - bucket.level(now))
                message = f"Rate limit reached {told}, Used {used}, Requested {amount}."
                raise self._refused(name, message, pause)
        for name, (_, bucket) in self._buckets.items():
            bucket.take(amounts[name], now)

    def _refused(self, name: str, message: str, pause_s: float) -> Refused:
        return Refused(name, rate_limited(message, name, pause_s=pause_s if self._storm.retry_after else None))

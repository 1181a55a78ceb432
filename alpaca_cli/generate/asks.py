"""The requests that are to be sent: those to be asked again, when their pause is over, before new ones."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Container
from dataclasses import dataclass
from itertools import count

from alpaca_cli.generate.prompt import Request


@dataclass
class Ask:
    """A request on its way to a completion."""

    request: Request
    tries: int = 0
    """Tries that failed and count against it."""
    changes: int = 0
    """How often it was asked in other words, because the server refused a parameter."""
    failed_at: float | None = None
    """When its first try failed, by the loop's clock."""
    failed_by: object = None
    """The server of the last try, which another is preferred to."""


class Asks:
    """Hands out each request that is not `done` in order of k, and takes back what must be asked again."""

    def __init__(self, done: Container[int], make: Callable[[int], Request]) -> None:
        self._numbers = (k for k in count() if k not in done)
        self._make = make
        self._new: list[Ask] = []
        self._again: list[tuple[float, int, Ask]] = []

    @property
    def num_waiting(self) -> int:
        """How many have been asked, and are to be asked again."""
        return len(self._again)

    def take(self, now: float, *, may_be_new: bool) -> Ask | None:
        """The request to send next; None if none is due and a new one is not wanted."""
        if self._again and self._again[0][0] <= now:
            return heapq.heappop(self._again)[2]
        if not may_be_new:
            return None
        return self._new.pop() if self._new else Ask(self._make(next(self._numbers)))

    def put_back(self, ask: Ask, now: float) -> None:
        """It could not be sent after all."""
        if ask.failed_at is None:
            self._new.append(ask)
        else:
            self.again(ask, now)

    def again(self, ask: Ask, due: float) -> None:
        """Ask it again at `due`."""
        heapq.heappush(self._again, (due, ask.request.k, ask))

    def seconds_until_due(self, now: float) -> float | None:
        """Seconds until the next of those to be asked again is due; None if there is none."""
        return max(0.0, self._again[0][0] - now) if self._again else None

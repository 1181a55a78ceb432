"""One server of a run: the teacher there, how fast it may be asked, what it costs, and whether it still answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from alpaca_cli.errors import TeacherError
from alpaca_cli.generate.asks import Ask
from alpaca_cli.generate.failure import Failure
from alpaca_cli.generate.prices import Price, Tier
from alpaca_cli.generate.prompt import Request
from alpaca_cli.generate.teacher import Reply, Teacher
from alpaca_cli.generate.throttle import Throttle

BYTES_PER_TOKEN = 4  # of English prose, about; only to guess with
TIRED_AFTER = 8  # failures in a row: then it is tried now and then, and the other servers do the work
LONGEST_REST_S = 30.0

Outcome = tuple[Reply | Failure, TeacherError | None]
"""What became of a try, and the error that ends the run if it is one that will not pass."""


@dataclass
class Server:
    """A teacher with its throttle.  `weight` is its share of the requests against other servers'."""

    teacher: Teacher
    throttle: Throttle
    price: Price | None = None
    weight: float = 1.0
    num_sent: int = 0
    is_proven: bool = False
    """Whether it has answered in this process; until then it is asked one request at a time."""
    lost: TeacherError | None = None
    """Why it is not asked any more."""
    _num_failed: int = 0
    """In a row, until now."""
    _rests_until: float = 0.0

    async def ask(self, request: Request, body: dict[str, Any]) -> Outcome:
        """Ask once, with this body; a failure that will not pass is explained, which may ask for the models."""
        outcome = await self.teacher.ask(request, body)
        if isinstance(outcome, Reply) or outcome.kind not in ("fatal", "rejected", "too_long"):
            return outcome, None
        return outcome, await self.teacher.refused(outcome)

    def wait(self, request: Request, now: float) -> float | None:
        """Seconds until it may be asked; None: not before a request under way has ended, or never."""
        if self.lost is not None or (not self.is_proven and self.throttle.num_under_way):
            return None
        wait = self.throttle.wait(now, self.tokens(request))
        return None if wait is None else max(wait, self._rests_until - now, 0.0)

    def answered(self) -> None:
        """It works."""
        self.is_proven = True
        self._num_failed, self._rests_until = 0, 0.0

    def failed(self, now: float) -> None:
        """It gave no answer; after several in a row it is left alone for a while."""
        self._num_failed += 1
        if self._num_failed >= TIRED_AFTER and now >= self._rests_until:
            self._rests_until = now + min(LONGEST_REST_S, 2.0 ** (self._num_failed - TIRED_AFTER))

    def tokens(self, request: Request) -> int:
        """What a server's limit of tokens a minute counts for a request: the prompt, guessed, and all new tokens."""
        return len(request.text) // BYTES_PER_TOKEN + self.teacher.body.max_tokens(request)

    @property
    def tier(self) -> Tier:
        """The tier that is asked for."""
        return self.teacher.settings.tier


def choose(servers: Sequence[Server], ask: Ask, now: float) -> tuple[Server | None, float | None]:
    """The server that a request goes to: of those with room, one that it has not just failed at, and of these the one
    furthest behind its share.  Or else None, and the seconds until one may have room (None: not before a request
    under way has ended)."""
    waits = [(server, server.wait(ask.request, now)) for server in servers]
    free = [server for server, wait in waits if wait == 0]
    if free:
        return min(free, key=lambda server: (server is ask.failed_by, server.num_sent / server.weight)), 0.0
    return None, min((wait for _, wait in waits if wait is not None), default=None)

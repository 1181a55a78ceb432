"""One server of a run: the teacher there, how fast it may be asked, what it costs, and whether it still answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from alpaca_cli.errors import TeacherError
from alpaca_cli.generate.prices import Price, Tier
from alpaca_cli.generate.prompt import Request
from alpaca_cli.generate.teacher import Teacher
from alpaca_cli.generate.throttle import Throttle

BYTES_PER_TOKEN = 4  # of English prose, about; only to guess with


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

    def wait(self, request: Request, now: float) -> float | None:
        """Seconds until it may be asked; None: not before a request under way has ended, or never."""
        if self.lost is not None or (not self.is_proven and self.throttle.num_under_way):
            return None
        return self.throttle.wait(now, self.tokens(request))

    def tokens(self, request: Request) -> int:
        """What a server's limit of tokens a minute counts for a request: the prompt, guessed, and all new tokens."""
        return len(request.text) // BYTES_PER_TOKEN + self.teacher.body.max_tokens(request)

    @property
    def tier(self) -> Tier:
        """The tier that is asked for."""
        return self.teacher.settings.tier


def choose(servers: Sequence[Server], request: Request, now: float) -> tuple[Server | None, float | None]:
    """The server that a request goes to, of those with room the one furthest behind its share; or else None, and the
    seconds until one may have room (None: not before a request under way has ended)."""
    waits = [(server, server.wait(request, now)) for server in servers]
    free = [server for server, wait in waits if wait == 0]
    if free:
        return min(free, key=lambda server: server.num_sent / server.weight), 0.0
    return None, min((wait for _, wait in waits if wait is not None), default=None)

"""What a run tells while it goes on, and who hears it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol

from alpaca_cli.generate.plan import Plan


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
    num_requests: int
    """Sent by all processes of the run, each try counted."""
    limit: int
    """How many may be under way at present, as the throttle has found out."""
    prompt_tokens: int
    completion_tokens: int
    reasons: Counter[str]
    seconds: float
    """Since this process began to ask."""
    spent: Decimal | None
    """USD of all processes of the run; None if no price is known."""
    expected: Decimal | None
    """USD that the whole run will have cost in the end, from what it has cost so far; None if that is not known."""
    num_waiting: int = 0
    """Answers that wait for that of an earlier request, since they are looked at in order."""
    oldest_s: float = 0.0
    """Seconds that the oldest request under way has been under way."""


class Listener(Protocol):
    """What hears of a run while it goes on."""

    def note(self, text: str) -> None:
        """One line that the user should know."""

    def retry(self, text: str) -> None:
        """A try failed, in one line, and will be made again; there may be very many of these."""

    def replaying(self, done: int, count: int) -> None:
        """Of `count` completions in the journal, `done` have been looked at again."""

    def comparing(self, done: int, count: int) -> None:
        """Of `count` accepted examples, `done` have been compared with all before them, as their provenance says."""

    def plan(self, plan: Plan) -> None:
        """What is about to be asked, before anything is."""

    def waiting(self, text: str) -> None:
        """How what is waited for stands, in one line."""

    def progress(self, progress: Progress) -> None:
        """The run has moved."""

"""The server's own books: what was asked, what was done and must be paid, and what was answered more than once."""

from __future__ import annotations

import hashlib
import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal

from alpaca_cli.rehearsal.protocol import Json

NO_ANSWER = "none"
"""Stands for the status of a request whose connection was closed without one."""


@dataclass(frozen=True)
class Bill:
    """Work that was done: the choices answered, and tokens by the server's own count."""

    answers: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0

    def __add__(self, other: Bill) -> Bill:
        return Bill(
            self.answers + other.answers,
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
        )

    def cost(self, input_per_million: Decimal, output_per_million: Decimal) -> Decimal:
        """What it costs, exactly, at prices per 1,000,000 tokens."""
        return (self.prompt_tokens * input_per_million + self.completion_tokens * output_per_million) / 1_000_000

    def as_json(self) -> Json:
        return {
            "answers": self.answers,
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
        }


class Books:
    """Counts of everything since the server's start; all of it may be read at any time, from any thread.

    `requests` counts by path and status ("200", or `NO_ANSWER`), `faults` by name, `refused` what the hidden limits
    refused, by limit.  `billed` holds online work, whether or not its answer arrived, and `batches` that of each batch
    by its id.  `delivered` counts, by SHA-256 of the prompt, the whole answers that were sent, online or in a batch.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.requests: Counter[tuple[str, str]] = Counter()
        self.faults: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self.delivered: Counter[str] = Counter()
        self.billed = Bill()
        self.batches: dict[str, Bill] = {}
        self.num_arrived = 0
        self.in_flight = 0
        self.peak_in_flight = 0

    @property
    def total(self) -> Bill:
        """All that is billed, online and in batches."""
        with self._lock:
            return sum(self.batches.values(), self.billed)

    @contextmanager
    def under_way(self) -> Iterator[None]:
        """Count one completion request as in flight."""
        with self._lock:
            self.in_flight += 1
            self.peak_in_flight = max(self.peak_in_flight, self.in_flight)
        try:
            yield
        finally:
            with self._lock:
                self.in_flight -= 1

    def arrived(self) -> None:
        """Count a request of any kind, when it comes in."""
        with self._lock:
            self.num_arrived += 1

    def answered(self, path: str, status: int | None) -> None:
        """Count a request; `status` is None if it was given no answer."""
        with self._lock:
            self.requests[path, NO_ANSWER if status is None else str(int(status))] += 1

    def met(self, fault: str) -> None:
        """Count a fault."""
        with self._lock:
            self.faults[fault] += 1

    def turned_away(self, limit: str) -> None:
        """Count a refusal by a hidden limit."""
        with self._lock:
            self.refused[limit] += 1

    def bill(self, work: Bill, *, batch: str | None = None) -> None:
        """Write down work that was done, online or for a batch."""
        with self._lock:
            if batch is None:
                self.billed += work
            else:
                self.batches[batch] = self.batches.get(batch, Bill()) + work

    def deliver(self, prompts: Iterable[str]) -> None:
        """Count a whole answer to each of the prompts."""
        names = [prompt_name(prompt) for prompt in prompts]
        with self._lock:
            self.delivered.update(names)

    def num_delivered(self, prompt: str) -> int:
        """How often a prompt was answered whole."""
        return self.delivered[prompt_name(prompt)]

    def as_json(self) -> Json:
        """All of it, for other processes."""
        with self._lock:
            paths: dict[str, dict[str, int]] = {}
            for (path, status), count in sorted(self.requests.items()):
                paths.setdefault(path, {})[status] = count
            return {
                "requests": paths,
                "faults": dict(self.faults),
                "refused": dict(self.refused),
                "peak_in_flight": self.peak_in_flight,
                "billed": self.billed.as_json(),
                "total": sum(self.batches.values(), self.billed).as_json(),
                "batches": {name: bill.as_json() for name, bill in self.batches.items()},
                "delivered": dict(self.delivered),
            }


def prompt_name(prompt: str) -> str:
    """The SHA-256 of a prompt: of a chat, of the contents of its messages with an empty line between."""
    return hashlib.sha256(prompt.encode("utf-8", "surrogatepass")).hexdigest()


def bill_of(usage: Json, answers: Sequence[object]) -> Bill:
    """The bill of one request from its usage and its choices."""
    return Bill(len(answers), int(usage["prompt_tokens"]), int(usage["completion_tokens"]))

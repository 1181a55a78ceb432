"""The ledger: what each request to a teacher may cost, written down before it is sent, and what it did cost, after.

A request that was sent and never settled (the process was killed, the answer was lost) goes on counting at its worst,
so that a cap on what a run may cost holds through crashes and resumes.  Amounts are exact, in USD.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from alpaca_cli.data.appendfile import AppendFile, problem_of

UNPRICED = "sent before a price was known"
"""Name of the ticket by which that is counted later."""
_MOST_PLACES = 1000  # before or behind the point: no product of prices comes near it, and sums of such still work


@dataclass(frozen=True)
class Ticket:
    """Leave to send one request, or one batch of them."""

    number: int
    most: Decimal
    """What it costs at most, in USD; 0 where no price is known."""
    num_requests: int = 1
    name: str | None = None
    """Of the batch, if it is one."""


class Ledger(AppendFile):
    """Append-only file of what was sent and what it cost; see `AppendFile` for what it survives."""

    what = "an entry of the ledger"
    hint = "the file was damaged; without it, what was spent before is not known: put a good copy back"

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        self.num_requests = 0
        """Requests sent, by every process of the run, each try counted."""
        self.num_unpriced = 0
        """Of these, how many had no known price, and were not counted later."""
        self.spent = Decimal(0)
        """USD of what is settled."""
        self.unknown = Decimal(0)
        """Of this, what was counted at its worst because nobody said what it cost."""
        self.open: dict[int, Ticket] = {}
        """Sent and not settled: under way, or lost with the process that sent it."""
        self._last = 0
        super().__init__(path, read_only=read_only)

    @property
    def reserved(self) -> Decimal:
        """USD that everything sent and not settled costs at most."""
        return sum((ticket.most for ticket in self.open.values()), Decimal(0))

    def send(
        self,
        most: Decimal,
        *,
        k: int | None = None,
        num_requests: int = 1,
        name: str | None = None,
        is_priced: bool = True,
    ) -> Ticket:
        """Write down that request `k`, or a batch under `name`, is about to be sent.  Raises UsageError (disk full)."""
        row: dict[str, Any] = {"ticket": self._last + 1, "most": str(most)}
        row |= {"k": k} if k is not None else {"num_requests": num_requests, "name": name}
        row |= {} if is_priced else {"is_priced": False}
        self.write(row, doing="record a request before it is sent")
        self.take(row)
        return self.open[self._last]

    def settle(self, ticket: Ticket, cost: Decimal | None) -> None:
        """Write down what it did cost; None: nobody said, and it counts at its worst.  Raises UsageError (disk full),
        after which it goes on counting at its worst."""
        row = {"ticket": ticket.number, "cost": None if cost is None else str(cost)}
        self.write(row, doing="record what a request cost")
        self.take(row)

    def take(self, row: dict[str, Any]) -> str | None:
        if problem := problem_of(row, _WANTED, _MAY_MISS):
            return problem
        number = row["ticket"]
        try:
            amounts = {key: Decimal(row[key]) for key in ("most", "cost") if row.get(key) is not None}
        except InvalidOperation:
            return "expected an amount in USD"
        if any(not amount.is_finite() or amount < 0 for amount in amounts.values()):
            return "expected an amount in USD from 0"
        if any(abs(amount.adjusted()) > _MOST_PLACES for amount in amounts.values()):
            return f"expected an amount in USD of at most {_MOST_PLACES:,} places"
        if row.get("num_requests", 0) < 0:
            return f"num_requests: expected a number from 0, found {row['num_requests']}"
        if "most" in row:
            if number != self._last + 1:
                return f"ticket: expected {self._last + 1}, found {number}"
            self._last = number
            self.open[number] = Ticket(number, amounts["most"], row.get("num_requests", 1), row.get("name"))
            self.num_requests += row.get("num_requests", 1)
            if not row.get("is_priced", True):
                self.num_unpriced += row.get("num_requests", 1)
            elif row.get("name") == UNPRICED:
                self.num_unpriced = 0
            return None
        ticket = self.open.pop(number, None)
        if ticket is None:
            return f"ticket: {number} is settled and was not sent, or is settled twice"
        self.spent += amounts.get("cost", ticket.most)
        self.unknown += ticket.most if "cost" not in amounts else 0
        return None


_WANTED: dict[str, tuple[tuple[type, ...], str]] = {
    "ticket": ((int,), "a whole number"),
    "most": ((str,), "an amount in USD"),
    "cost": ((str, type(None)), "an amount in USD or null"),
    "k": ((int,), "a whole number"),
    "num_requests": ((int,), "a whole number"),
    "name": ((str,), "a string"),
    "is_priced": ((bool,), "true or false"),
}
_MAY_MISS = frozenset(_WANTED) - {"ticket"}

"""What batches cost: a ticket of the ledger for each, with all its requests at their worst, before it is submitted."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from alpaca_cli.data.batchlog import Wave
from alpaca_cli.data.ledger import Ticket
from alpaca_cli.generate.budget import Budget
from alpaca_cli.generate.prices import Price, Tier
from alpaca_cli.generate.prompt import Request


class BatchMoney:
    """The budget as batches use it.  Without a price for batches, they count at the standard price."""

    def __init__(self, budget: Budget, price: Price | None) -> None:
        self._budget = budget
        self._price = price
        self._tier: Tier = "batch" if price is None or price.batch_factor is not None else "standard"

    def ticket(self, wave: Wave) -> Ticket | None:
        """The leave to submit a batch, if it was written down and is not settled."""
        tickets = self._budget.ledger.open.values()
        return next((ticket for ticket in tickets if ticket.name == _name(wave)), None)

    def send(self, wave: Wave) -> None:
        """Write down that a batch is about to be submitted, unless that is written.  Raises UsageError (disk full)."""
        if self.ticket(wave) is None:
            is_priced = self._price is not None
            self._budget.send(Decimal(wave.most), num_requests=wave.num_requests, name=_name(wave), is_priced=is_priced)
            self._budget.ledger.sync()

    def settle(self, wave: Wave, cost: Decimal) -> None:
        """A batch came back, whose answers cost so much together; a second time this changes nothing."""
        if (ticket := self.ticket(wave)) is not None:
            self._budget.settle_at(ticket, cost)

    def cost(self, request: Request, max_tokens: int, usage: Mapping[str, int] | None) -> Decimal:
        """USD of an answer to a request that allowed so many new tokens: by its usage, or else at its worst."""
        if self._price is None:
            return Decimal(0)
        cost = self._budget.cost(self._price, usage, self._tier)
        if cost is not None:
            return cost
        return self._budget.most(self._price, prompt=request.text, max_tokens=max_tokens, tier=self._tier)


def _name(wave: Wave) -> str:
    """Of a batch's ticket in the ledger."""
    return f"batch {wave.wave} {wave.sha256[:8]}"

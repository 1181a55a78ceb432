"""The budget: no request goes out unless its worst case fits below the cap, with everything sent before it.

The worst case of a request is one token for each byte of its prompt (no tokenizer makes more of a text) with what a
chat template may add, and as many new tokens as it allows, at the standard price.  What failed without a word about
its cost counts at its worst, since a server may have done the work and charged for it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal

from alpaca_cli.data.journal import Completion
from alpaca_cli.data.ledger import UNPRICED, Ledger, Ticket
from alpaca_cli.errors import LimitReached, UsageError
from alpaca_cli.generate.prices import Price, Tier

TEMPLATE_TOKENS = 64
"""Room for what a chat template adds to a prompt."""
LONG_PROMPT = 10_000
"""Tokens of a prompt of which nothing is known any more."""


@dataclass(frozen=True)
class Past:
    """What a run was answered before, and the prices that are known now."""

    completions: Collection[Completion]
    prices: Sequence[Price]
    """Of the servers whose price is known; the dearest counts."""
    max_tokens: int

    @property
    def most(self) -> Decimal:
        """USD that a request costs at most of whose prompt nothing is known any more."""
        worst = [price.most(prompt_tokens=LONG_PROMPT, completion_tokens=self.max_tokens) for price in self.prices]
        return max(worst, default=Decimal(0))

    def costs(self, budget: Budget) -> list[Decimal]:
        """USD of each answer, at its worst where it was not counted; none if no price is known."""
        most = self.most
        found = [[budget.cost(price, each.usage) for price in self.prices] for each in self.completions]
        return [max(most if cost is None else cost for cost in costs) for costs in found if costs]


class Budget:
    """What a run may spend and has spent.  `max_cost` is in USD; None: no limit.

    A server that counts more tokens than the worst case raises the worst case of all that follow (`surcharge`), since
    it does not keep to its limits.
    """

    def __init__(self, ledger: Ledger, *, max_cost: Decimal | None = None, max_requests: int | None = None) -> None:
        self.ledger = ledger
        self.max_cost = max_cost
        self.max_requests = max_requests
        self.surcharge = Decimal(1)
        self._surcharge_of: dict[int, Decimal] = {}
        """That of each ticket, when it was written."""

    def most(self, price: Price | None, *, prompt: str, max_tokens: int, tier: Tier = "standard") -> Decimal:
        """USD that one request costs at most; 0 without a price."""
        if price is None:
            return Decimal(0)
        tokens = len(prompt.encode("utf-8", "surrogatepass")) + TEMPLATE_TOKENS
        return self.surcharge * price.most(prompt_tokens=tokens, completion_tokens=max_tokens, tier=tier)

    def room(self, most: Decimal, *, num_requests: int = 1) -> str | None:
        """None if there is room for so much more; else the limit in the way: `max_cost` or `max_requests`."""
        if self.max_requests is not None and self.ledger.num_requests + num_requests > self.max_requests:
            return "max_requests"
        if self.max_cost is not None and self.ledger.spent + self.ledger.reserved + most > self.max_cost:
            return "max_cost"
        return None

    def send(
        self,
        most: Decimal,
        *,
        k: int | None = None,
        num_requests: int = 1,
        name: str | None = None,
        is_priced: bool = True,
    ) -> Ticket:
        """Leave to send a request, or a batch under `name`, of at most `most` USD.  Raises UsageError (disk full)."""
        ticket = self.ledger.send(most, k=k, num_requests=num_requests, name=name, is_priced=is_priced)
        self._surcharge_of[ticket.number] = self.surcharge
        return ticket

    def settle(
        self, ticket: Ticket, price: Price | None, usage: Mapping[str, int] | None, tier: Tier = "standard"
    ) -> None:
        """An answer came, with the server's own count of its tokens or without."""
        self.settle_at(ticket, Decimal(0) if price is None else self.cost(price, usage, tier))

    def cost(self, price: Price, usage: Mapping[str, int] | None, tier: Tier = "standard") -> Decimal | None:
        """USD that one answer costs by the server's own count of its tokens; None if it did not count."""
        if usage is None or not {"prompt_tokens", "completion_tokens"} <= usage.keys():
            return None
        if tier == "flex" and price.flex_factor is None:
            tier = "standard"
        return price.cost(
            prompt_tokens=usage["prompt_tokens"],
            completion_tokens=usage["completion_tokens"],
            cached_tokens=usage.get("cached_tokens", 0),
            cache_write_tokens=usage.get("cache_write_tokens", 0),
            tier=tier,
        )

    def charge_unpriced(self, past: Past) -> None:
        """Count what was asked before a price was known: what was answered by its usage, what was not at its worst.
        Too much rather than too little, and once."""
        if self.ledger.num_unpriced and past.prices:
            costs = past.costs(self)
            num_lost = max(0, self.ledger.num_unpriced - len(costs))
            self._charge(sum(costs, Decimal(0)) + num_lost * past.most, name=UNPRICED)

    def charge_forgotten(self, past: Past, num_requests: int) -> None:
        """Count answered requests that the ledger has lost, as if they had been the dearest."""
        amount = sum(sorted(past.costs(self))[-num_requests:], Decimal(0))
        is_priced = bool(past.prices)
        self._charge(amount, name="lost from the ledger", num_requests=num_requests, is_priced=is_priced)

    def _charge(self, amount: Decimal, *, name: str, num_requests: int = 0, is_priced: bool = True) -> None:
        ticket = self.ledger.send(amount, num_requests=num_requests, name=name, is_priced=is_priced)
        self.ledger.settle(ticket, amount)

    def reached(self, limit: str, most: Decimal) -> LimitReached:
        """The clean stop at a limit that `room` found in the way of one more request."""
        if limit == "max_requests":
            return LimitReached(f"--max-requests {self.max_requests:,} reached", limit=limit)
        spent, cap = self.ledger.spent + self.ledger.reserved, self.max_cost
        return LimitReached(
            f"--max-cost {cap} reached: ${spent:.4f} are spent, and one more request may cost ${most:.4f}", limit=limit
        )

    def release(self, ticket: Ticket, *, may_be_paid: bool) -> None:
        """No answer came; `may_be_paid` unless it is sure that the server charges nothing."""
        self.settle_at(ticket, None if may_be_paid else Decimal(0))

    def settle_at(self, ticket: Ticket, cost: Decimal | None) -> None:
        """What was sent did cost so much; None: nobody said, and it counts at its worst."""
        at_send = self._surcharge_of.pop(ticket.number, Decimal(1))
        if cost is not None and ticket.most and cost > ticket.most:
            self.surcharge = max(self.surcharge, at_send * cost / ticket.most)
        with suppress(UsageError):  # a full disk, which the journal tells: it goes on counting at its worst
            self.ledger.settle(ticket, cost)

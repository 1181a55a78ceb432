"""What a teacher costs, and until when it answers: the table that ships beside this file, `prices.yaml`.

Amounts are exact decimals: a sum of many small costs is the sum that the provider bills, not a neighbour of it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import Field

from alpaca_cli import yamlfile
from alpaca_cli.yamlfile import Settings

_PATH = Path(__file__).with_name("prices.yaml")
_SNAPSHOT = re.compile(r"-\d{4}-\d{2}-\d{2}$")

Tier = Literal["standard", "flex", "batch"]

_Usd = Annotated[Decimal, Field(gt=0)]
_Factor = Annotated[Decimal, Field(gt=0, le=1)]


@dataclass(frozen=True)
class Price:
    """What the tokens of one model cost: USD per 1,000,000."""

    input: Decimal
    cached_input: Decimal
    output: Decimal
    batch_factor: Decimal | None
    """The Batch API's price as a part of the standard one; None: there is no such tier."""
    flex_factor: Decimal | None
    """The same for `service_tier: flex`."""
    date: str | None
    """Of the table, YYYY-MM-DD; None for a price that the user gave."""
    source: str
    cache_write: Decimal | None = None
    """Of prompt tokens that the provider wrote to its cache; None: as input."""

    def cost(
        self,
        *,
        prompt_tokens: int,
        completion_tokens: int,
        cached_tokens: int = 0,
        cache_write_tokens: int = 0,
        tier: Tier = "standard",
    ) -> Decimal:
        """Exact USD.  Cached and written tokens are parts of the prompt: what is told beyond it is not counted.

        Raises ValueError for a tier without a factor.
        """
        factor = {"standard": Decimal(1), "flex": self.flex_factor, "batch": self.batch_factor}[tier]
        if factor is None:
            raise ValueError(f"no price is known for tier {tier}")
        cached = min(max(cached_tokens, 0), prompt_tokens)
        written = min(max(cache_write_tokens, 0), prompt_tokens - cached)
        written_price = self.input if self.cache_write is None else self.cache_write
        millionths = (
            (prompt_tokens - cached - written) * self.input
            + cached * self.cached_input
            + written * written_price
            + completion_tokens * self.output
        )
        return (millionths * factor).scaleb(-6)

    def most(self, *, prompt_tokens: int, completion_tokens: int, tier: Tier = "standard") -> Decimal:
        """What so many tokens cost at most, in USD: the prompt read from a cache or written to it, or neither."""
        ways: tuple[dict[str, int], ...] = ({}, {"cached_tokens": prompt_tokens}, {"cache_write_tokens": prompt_tokens})
        return max(
            self.cost(prompt_tokens=prompt_tokens, completion_tokens=completion_tokens, tier=tier, **way)
            for way in ways
        )


class _Model(Settings):
    input: _Usd
    cached_input: _Usd | None = None
    cache_write: _Usd | None = None
    output: _Usd
    flex_factor: _Factor | None = None
    source: str = Field(pattern="^https://")
    seen: date
    retires: date | None = None
    unconfirmed: bool = False


class _Provider(Settings):
    batch_factor: _Factor | None = None
    models: dict[str, _Model]
    retires: dict[date, tuple[str, ...]] = Field(default_factory=dict)


class _Table(Settings):
    date: date
    providers: dict[str, _Provider]


def find_price(base_url: str, model: str) -> Price | None:
    """What `model` costs at the provider whose host is in `base_url`; None if the table does not say.

    A dated snapshot costs what its model does, unless it is listed itself.
    """
    provider = _provider(base_url)
    found = provider and provider.models.get(_listed(provider, model))
    if not provider or not found:
        return None
    return Price(
        input=found.input,
        cached_input=found.input if found.cached_input is None else found.cached_input,
        output=found.output,
        batch_factor=provider.batch_factor,
        flex_factor=found.flex_factor,
        date=table_date(),
        source=f"{found.source} (unconfirmed)" if found.unconfirmed else found.source,
        cache_write=found.cache_write,
    )


def retirement(base_url: str, model: str) -> date | None:
    """The day from which the provider does not answer for `model`, past or to come; None if none is known."""
    provider = _provider(base_url)
    return _retirements(provider).get(_listed(provider, model)) if provider else None


def table_date() -> str:
    """The day of the table, YYYY-MM-DD."""
    return _table().date.isoformat()


@cache
def _table() -> _Table:
    return yamlfile.read(_PATH).check(_Table)


def _provider(base_url: str) -> _Provider | None:
    try:
        host = urlsplit(base_url).hostname
    except ValueError:  # brackets that hold no address: whoever connects will say so
        return None
    return _table().providers.get(host or "")


def _listed(provider: _Provider, model: str) -> str:
    """The name under which the table would have `model`: its own, else that without the date of a snapshot."""
    return model if model in provider.models or model in _retirements(provider) else _SNAPSHOT.sub("", model)


def _retirements(provider: _Provider) -> dict[str, date]:
    dates = {name: day for day, names in provider.retires.items() for name in names}
    return dates | {name: model.retires for name, model in provider.models.items() if model.retires}

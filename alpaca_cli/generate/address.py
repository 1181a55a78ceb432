"""Where the teachers of a run are, the keys that they want, and what they cost; checked before anything is asked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from urllib.parse import urlsplit

from alpaca_cli.errors import UsageError
from alpaca_cli.generate.body import OPENAI_URL
from alpaca_cli.generate.prices import Price, find_price, retirement
from alpaca_cli.generate.teacher import NO_KEY
from alpaca_cli.recipe.generate import GenerateRecipe, PriceSettings, TeacherSettings

RETIRES_SOON = timedelta(days=90)


@dataclass(frozen=True)
class Address:
    """A teacher to ask: its settings, where it is, its key, its price where one is known, and its share of requests."""

    settings: TeacherSettings
    base_url: str
    api_key: str
    price: Price | None
    weight: float = 1.0

    def __repr__(self) -> str:
        return f"Address({self.base_url!r})"  # never the key


def addresses(recipe: GenerateRecipe, environment: Mapping[str, str]) -> list[Address]:
    """The openai teachers of a recipe: where the recipe or flag says, else OPENAI_BASE_URL, else OpenAI; a key only
    where needed.

    Raises UsageError, before anything is asked, if there is no way to one.
    """
    return [_address(settings, weight, environment) for settings, weight in recipe.servers()]


def _address(settings: TeacherSettings, weight: float, environment: Mapping[str, str]) -> Address:
    base_url = settings.base_url or environment.get("OPENAI_BASE_URL") or OPENAI_URL
    _check_url(base_url)
    api_key = environment.get(settings.api_key_env, "").strip()
    if not (api_key.isascii() and api_key.isprintable()):
        raise UsageError("expected a key of printable ASCII characters", where=settings.api_key_env)
    if not api_key:
        if base_url.rstrip("/") == OPENAI_URL:
            raise UsageError(
                f"no teacher: {settings.api_key_env} is not set and no --base-url is given",
                hint=f"set {settings.api_key_env} to use OpenAI, or --base-url and --model to use another server, "
                "or --teacher rehearsal to try everything offline and for free",
            )
        api_key = NO_KEY
    price = price_of(settings.price) if settings.price else find_price(base_url, settings.model or "")
    return Address(settings, base_url, api_key, price, weight)


def _check_url(base_url: str) -> None:
    """Raises UsageError if this is no address to send requests to; a password in it is never shown."""
    try:
        parts = urlsplit(base_url)
        is_good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        has_secret = bool(parts.username or parts.password)
    except ValueError:
        is_good = has_secret = False
    if has_secret:
        hint = "put the key into an environment variable and name it in teacher.api_key_env"
        raise UsageError("expected an address without a name or password in it", where="base_url", hint=hint)
    if not is_good:
        raise UsageError(
            "expected an address that begins with http:// or https://",
            where=f"base_url {base_url!r}",
            hint="for example: --base-url http://localhost:8000/v1",
        )


def price_of(price: PriceSettings) -> Price:
    """A price that the user gave."""
    return Price(
        input=_exact(price.input),
        cached_input=_exact(price.input if price.cached_input is None else price.cached_input),
        output=_exact(price.output),
        batch_factor=_exact(price.batch_factor),
        flex_factor=_exact(price.flex_factor),
        date=None,
        source="given by the user",
    )


def _exact(amount: float) -> Decimal:
    return Decimal(str(amount))  # as it was written, not as binary digits come near it


FREE = price_of(PriceSettings(input=0, output=0))
"""What costs nothing, such as the rehearsal teacher."""


def check_money(recipe: GenerateRecipe, at: Sequence[Address]) -> None:
    """Raises UsageError if a cap is set that could not be kept, since a price is not known."""
    for address in at if recipe.max_cost is not None else ():
        if recipe.batch and address.price is not None and address.price.batch_factor is None:
            raise UsageError(
                f"no batch price is known for {address.settings.model}, so --max-cost cannot be kept with --batch",
                where="--max-cost",
                hint="leave out --batch, or give the price with teacher.price.batch_factor (1: as one by one)",
            )
        if address.price is None:
            raise UsageError(
                f"no price is known for {address.settings.model} at {address.base_url}, so --max-cost cannot be kept",
                where="--max-cost",
                hint="give its price in USD per 1,000,000 tokens, for example: --price-in 0.10 --price-out 0.50 "
                "(a server of your own: 0 and 0)",
            )


def warnings(at: Sequence[Address], *, today: date) -> Iterator[str]:
    """What a user should know of the models before asking them, a line each."""
    for address in {(each.settings.model, each.base_url): each for each in at}.values():
        model = address.settings.model or ""
        day = retirement(address.base_url, model)
        if day is not None and day <= today:
            yield f"{model} was retired on {day}: its provider does not answer for it any more"
        elif day is not None and day - today <= RETIRES_SOON:
            yield f"{model} retires on {day}, in {(day - today).days} days; choose another for a run to be repeated"
        is_flex = address.settings.tier == "flex"
        if is_flex and address.price is not None and address.price.flex_factor is None:
            yield f"no flex price is known for {model}: its answers are counted at the standard price"

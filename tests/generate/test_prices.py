"""The price table: whole and plausible as it ships, exact to the last digit, matched by host and by snapshot."""

from __future__ import annotations

import re
from datetime import date
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from alpaca_cli.generate import prices
from alpaca_cli.generate.prices import Price, find_price, retirement, table_date

OPENAI = "https://api.openai.com/v1"
RAW = yaml.load(Path(prices.__file__).with_name("prices.yaml").read_text(encoding="utf-8"), yaml.BaseLoader)
AMOUNTS = ("input", "cached_input", "cache_write", "output", "flex_factor")


def entries() -> list[Any]:
    return [
        pytest.param(host, name, model, id=f"{host}-{name}")
        for host, provider in RAW["providers"].items()
        for name, model in provider["models"].items()
    ]


def retired() -> list[tuple[str, str, str]]:
    return [
        (host, name, day)
        for host, provider in RAW["providers"].items()
        for day, names in provider.get("retires", {}).items()
        for name in names
    ]


@pytest.mark.parametrize(("host", "name", "model"), entries())
def test_every_price_is_plausible_and_says_where_it_stands(host: str, name: str, model: dict[str, str]) -> None:
    price = find_price(f"https://{host}", name)

    assert price is not None
    assert 0 < price.cached_input <= price.input <= price.output
    assert price.cache_write is None or price.input <= price.cache_write <= 2 * price.input
    assert model["source"].startswith("https://") and price.source.startswith(model["source"])
    assert ("unconfirmed" in price.source) == (model.get("unconfirmed") == "true")
    assert date(2026, 1, 1) <= date.fromisoformat(model["seen"]) <= date.fromisoformat(RAW["date"])
    assert price.date == RAW["date"] == table_date()


@pytest.mark.parametrize(("host", "name", "model"), entries())
def test_every_price_is_read_to_the_digit(host: str, name: str, model: dict[str, str]) -> None:
    price = find_price(f"https://{host}", name)

    assert {key: str(getattr(price, key)) for key in AMOUNTS if key in model} == {
        key: model[key] for key in AMOUNTS if key in model
    }


def test_every_amount_is_quoted_so_that_it_is_never_a_float() -> None:
    lines = Path(prices.__file__).with_name("prices.yaml").read_text(encoding="utf-8").splitlines()
    amounts = [line for line in lines if re.match(rf" +({'|'.join(AMOUNTS)}|batch_factor): ", line)]

    assert len(amounts) > len(entries())
    assert [line for line in amounts if not re.search(r': "\d+(\.\d+)?"( +#.*)?$', line)] == []


def test_the_default_of_this_year_and_its_tiers() -> None:
    price = find_price(OPENAI, "gpt-6-luna")

    assert price is not None
    usage = {"prompt_tokens": 3_900_000, "completion_tokens": 8_500_000}
    assert price.cost(**usage) == Decimal("4.64")
    assert price.cost(**usage, tier="flex") == price.cost(**usage, tier="batch") == Decimal("2.32")


@pytest.mark.parametrize(
    "base_url",
    [
        "https://api.openai.com",
        "https://api.openai.com/v1/",
        "https://API.OpenAI.com:443/v1",
        "https://k@api.openai.com",
    ],
)
def test_a_provider_is_known_by_its_host(base_url: str) -> None:
    assert find_price(base_url, "gpt-6-luna") == find_price(OPENAI, "gpt-6-luna") is not None


@pytest.mark.parametrize(
    "base_url",
    [
        "",
        "api.openai.com/v1",
        "http://localhost:8000/v1",
        "http://[broken",
        "https://eu.api.openai.com/v1",  # one region costs more
        "https://api.openai.com.example.org",
        "https://example.org/api.openai.com",
    ],
)
def test_any_other_host_is_not_guessed_at(base_url: str) -> None:
    assert find_price(base_url, "gpt-6-luna") is None
    assert retirement(base_url, "gpt-3.5-turbo") is None


def test_a_snapshot_is_its_model_unless_it_is_listed_itself() -> None:
    assert find_price(OPENAI, "gpt-6-luna-2026-09-22") == find_price(OPENAI, "gpt-6-luna") is not None
    assert retirement(OPENAI, "gpt-4o-2024-08-06") == retirement(OPENAI, "gpt-4o") == date(2027, 1, 14)
    # The first snapshot of gpt-4o cost twice as much, and is gone.
    assert find_price(OPENAI, "gpt-4o-2024-05-13") is None
    assert retirement(OPENAI, "gpt-4o-2024-05-13") == date(2026, 10, 23)


@pytest.mark.parametrize(
    "model", ["", "gpt-6", "gpt-6-luna-fast", "GPT-6-luna", "gpt-6-luna-2026", "ft:gpt-4o-mini", "-2026-09-22"]
)
def test_a_model_that_is_not_listed_has_no_price(model: str) -> None:
    assert find_price(OPENAI, model) is None
    assert retirement(OPENAI, model) is None


@pytest.mark.parametrize(("host", "name", "day"), retired())
def test_a_retired_model_is_told_with_its_day(host: str, name: str, day: str) -> None:
    assert retirement(f"https://{host}/v1", name) == date.fromisoformat(day)
    assert find_price(f"https://{host}/v1", name) is None


def test_no_name_is_listed_twice() -> None:
    names = [(host, name) for host, name, _ in retired()]
    priced = [(host, name) for host, provider in RAW["providers"].items() for name in provider["models"]]

    assert len(set(names + priced)) == len(names + priced)


@pytest.mark.parametrize(
    ("model", "day"),
    [
        ("text-davinci-003", date(2024, 1, 4)),
        ("gpt-3.5-turbo-instruct", date(2026, 9, 28)),
        ("gpt-3.5-turbo", date(2026, 10, 23)),
        ("gpt-5-nano", date(2026, 12, 11)),
        ("gpt-4o-mini", date(2027, 1, 14)),
        ("gpt-6-luna", None),
    ],
)
def test_the_days_that_users_of_the_original_will_meet(model: str, day: date | None) -> None:
    assert retirement(OPENAI, model) == day


COUNTS = st.integers(0, 10**10)
AMOUNT = st.decimals("0.0001", "1000", places=4)


@given(
    AMOUNT, AMOUNT, AMOUNT, st.none() | AMOUNT, COUNTS, COUNTS, COUNTS, COUNTS, st.sampled_from(["standard", "flex"])
)
def test_a_cost_is_exact(
    plain: Decimal,
    cached: Decimal,
    output: Decimal,
    write: Decimal | None,
    prompt: int,
    completion: int,
    read: int,
    written: int,
    tier: Any,
) -> None:
    price = Price(plain, cached, output, None, Decimal("0.35"), None, "me", write)
    read_of_prompt = min(read, prompt)
    written_of_prompt = min(written, prompt - read_of_prompt)
    expected = Fraction(plain) * (prompt - read_of_prompt - written_of_prompt)
    expected += Fraction(cached) * read_of_prompt + Fraction(output) * completion
    expected += Fraction(plain if write is None else write) * written_of_prompt

    cost = price.cost(
        prompt_tokens=prompt, completion_tokens=completion, cached_tokens=read, cache_write_tokens=written, tier=tier
    )

    assert Fraction(cost) == expected / 10**6 * (Fraction(35, 100) if tier == "flex" else 1)


def test_counts_below_nothing_earn_nothing() -> None:
    price = Price(Decimal(1), Decimal("0.1"), Decimal(2), None, None, None, "me", Decimal(3))

    cost = price.cost(prompt_tokens=1_000_000, completion_tokens=0, cached_tokens=-5, cache_write_tokens=-5)

    assert cost == Decimal(1)


@pytest.mark.parametrize("tier", ["flex", "batch"])
def test_a_tier_that_a_model_does_not_have_is_never_billed_as_another(tier: Any) -> None:
    price = find_price("https://api.deepseek.com", "deepseek-flash")

    assert price is not None
    with pytest.raises(ValueError, match=f"no price is known for tier {tier}"):
        price.cost(prompt_tokens=1, completion_tokens=1, tier=tier)

"""The budget's promise: what a server may charge never exceeds the cap, whatever happens to the requests."""

from __future__ import annotations

import random
from decimal import Decimal
from pathlib import Path

import pytest

from alpaca_cli.data.ledger import Ledger
from alpaca_cli.generate.budget import TEMPLATE_TOKENS, Budget
from alpaca_cli.generate.prices import Price

CHEAP = Price(
    Decimal("0.10"), Decimal("0.01"), Decimal("0.50"), Decimal("0.5"), Decimal("0.5"), None, "", Decimal("0.125")
)


def test_the_worst_case_is_a_token_a_byte_at_the_dearest_price(tmp_path: Path) -> None:
    with Ledger(tmp_path / "l") as ledger:
        most = Budget(ledger).most(CHEAP, prompt="häß", max_tokens=1000)

    assert most == (Decimal(5 + TEMPLATE_TOKENS) * Decimal("0.125") + 1000 * Decimal("0.5")) / 1_000_000


def test_a_request_has_room_only_if_its_worst_case_has(tmp_path: Path) -> None:
    with Ledger(tmp_path / "l") as ledger:
        budget = Budget(ledger, max_cost=Decimal("0.01"), max_requests=3)
        ticket = ledger.send(Decimal("0.008"), k=0)
        assert budget.room(Decimal("0.002")) is None
        assert budget.room(Decimal("0.0020001")) == "max_cost"
        budget.settle(ticket, CHEAP, {"prompt_tokens": 1000, "completion_tokens": 2000, "cached_tokens": 500})
        assert ledger.spent == Decimal("0.001055")
        assert budget.room(Decimal("0.008945")) is None
        ledger.send(Decimal(0), k=1)
        ledger.send(Decimal(0), k=2)

        assert budget.room(Decimal(0)) == "max_requests"


@pytest.mark.parametrize("usage", [None, {}, {"prompt_tokens": 5}, {"completion_tokens": 5}])
def test_an_answer_that_nobody_counted_counts_at_its_worst(tmp_path: Path, usage: dict[str, int] | None) -> None:
    with Ledger(tmp_path / "l") as ledger:
        budget = Budget(ledger)
        budget.settle(ledger.send(Decimal("0.01"), k=0), CHEAP, usage)

        assert (ledger.spent, ledger.unknown) == (Decimal("0.01"), Decimal("0.01"))


def test_a_flex_answer_costs_half_and_one_that_was_not_does_not(tmp_path: Path) -> None:
    usage = {"prompt_tokens": 0, "completion_tokens": 1_000_000}
    with Ledger(tmp_path / "l") as ledger:
        budget = Budget(ledger)
        for tier in ("flex", "standard", "batch"):
            budget.settle(ledger.send(Decimal(1), k=0), CHEAP, usage, tier)  # type: ignore[arg-type]

        assert ledger.spent == Decimal("0.25") + Decimal("0.5") + Decimal("0.25")


def test_a_server_that_goes_beyond_its_limits_makes_the_next_requests_dearer(tmp_path: Path) -> None:
    with Ledger(tmp_path / "l") as ledger:
        budget = Budget(ledger)
        before = budget.most(CHEAP, prompt="x", max_tokens=100)
        cost_of_three = {"prompt_tokens": 0, "completion_tokens": int(before * 3 / Decimal("0.0000005"))}
        budget.settle(ledger.send(before, k=0), CHEAP, cost_of_three)

        assert 2.9 < budget.most(CHEAP, prompt="x", max_tokens=100) / before < 3.1


@pytest.mark.parametrize("seed", range(40))
def test_the_cap_holds_by_the_servers_own_count_whatever_happens(tmp_path: Path, seed: int) -> None:
    """Random prices, caps, lengths, concurrency and fates: answered, uncounted, lost, refused, killed and resumed."""
    rng = random.Random(seed)
    price = Price(
        *(Decimal(rng.randint(1, 5000)).scaleb(-2) for _ in range(3)), None, None, None, ""
    )  # cached may be dearer than input: the table is not trusted to be sane
    cap = Decimal(rng.randint(1, 10_000)).scaleb(-3)
    charged = Decimal(0)
    path = tmp_path / "l"
    for _ in range(rng.randint(1, 4)):  # processes
        with Ledger(path) as ledger:
            budget = Budget(ledger, max_cost=cap)
            under_way = []
            for _ in range(rng.randint(0, 60)):
                prompt, max_tokens = "x" * rng.randint(1, 5000), rng.randint(1, 5000)
                most = budget.most(price, prompt=prompt, max_tokens=max_tokens)
                if budget.room(most) is None:
                    under_way.append((ledger.send(most, k=0), len(prompt), max_tokens))
                if under_way and rng.random() < 0.5:
                    ticket, length, limit = under_way.pop(rng.randrange(len(under_way)))
                    usage = {
                        "prompt_tokens": rng.randint(1, length + TEMPLATE_TOKENS),
                        "completion_tokens": rng.randint(0, limit),
                    }
                    usage["cached_tokens"] = rng.randint(0, usage["prompt_tokens"]) if rng.random() < 0.3 else 0
                    fate = rng.random()
                    if fate < 0.2:
                        budget.release(ticket, may_be_paid=False)
                        continue
                    charged += price.cost(**usage)
                    if fate < 0.4:
                        budget.release(ticket, may_be_paid=True)
                    else:
                        budget.settle(ticket, price, usage if fate < 0.8 else None)
            for _, length, limit in under_way:  # lost with the process, done and charged by the server
                charged += price.cost(prompt_tokens=length, completion_tokens=limit)

            assert charged <= ledger.spent + ledger.reserved <= cap


def test_servers_that_are_equally_far_beyond_their_limits_make_requests_dearer_once(tmp_path: Path) -> None:
    """Sixteen answers under way at once, each half as dear again as its worst case: half as dear again, not 1.5^16."""
    with Ledger(tmp_path / "l") as ledger:
        budget = Budget(ledger)
        most = budget.most(CHEAP, prompt="x", max_tokens=1000)
        tickets = [budget.send(most, k=k) for k in range(16)]
        usage = {"prompt_tokens": 1, "completion_tokens": int(most * Decimal("1.5") / Decimal("0.0000005"))}
        for ticket in tickets:
            budget.settle(ticket, CHEAP, usage)

        assert Decimal("1.49") < budget.surcharge < Decimal("1.51")

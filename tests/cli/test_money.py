"""What a run may cost: caps that hold, prices that are known or asked for, and the way on from a clean stop."""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest

from alpaca_cli.rehearsal.server import RehearsalServer
from alpaca_cli.rehearsal.storm import storm_of
from conftest import Outcome
from scripted_server import by_seeds, serving

Alpaca = Callable[..., Outcome]
REHEARSAL = ("generate", "--teacher", "rehearsal", "--out", "r", "--price-in", "0.10", "--price-out", "0.50")


def rows(folder: str = "r") -> list[dict[str, str]]:
    found: list[dict[str, str]] = json.loads((Path(folder) / "alpaca_data.json").read_text())
    return found


def test_a_cap_ends_the_run_cleanly_and_a_larger_one_goes_on_to_the_same_result(alpaca: Alpaca) -> None:
    whole = alpaca(*REHEARSAL[:4], "w", "--num", 200)
    stopped = alpaca(*REHEARSAL, "--num", 200, "--max-cost", "0.008")
    had = rows()
    again = alpaca(*REHEARSAL, "--num", 200, "--max-cost", "0.008")
    raised = alpaca(*REHEARSAL, "--num", 200, "--max-cost", "1")

    assert (whole.code, stopped.code, again.code, raised.code) == (0, 7, 7, 0)
    assert "--max-cost 0.008 reached" in stopped.err
    assert 0 < len(had) < 200
    assert rows()[: len(had)] == had
    assert rows() == rows("w")


def test_a_cap_on_requests_counts_every_try_of_every_process(alpaca: Alpaca) -> None:
    with RehearsalServer(storm=storm_of(0.3).model_copy(update={"slow_s": 0.0, "hang_s": 0.1})) as server:
        command = ["generate", "--base-url", server.base_url, "--model", "rehearsal", "--out", "r", "--num", 500]
        codes = [alpaca(*command, "--max-requests", most).code for most in (7, 7, 15)]
        asked = server.num_requests

    assert codes == [7, 7, 7]
    assert asked == 15


def test_a_cap_without_a_known_price_is_refused_before_anything_is_asked(alpaca: Alpaca) -> None:
    with serving(by_seeds) as seen:
        command = ["generate", "--num", 5, "--base-url", seen.base_url, "--model", "m", "--out", "r", "--max-cost", 1]
        run = alpaca(*command)
        asked, made = len(seen.requests), Path("r").exists()
        free = alpaca(*command, "--price-in", 0, "--price-out", 0)

    assert (run.code, asked, made) == (2, 0, False)
    assert f"no price is known for m at {seen.base_url}, so --max-cost cannot be kept" in run.err
    assert "--price-in" in run.err
    assert free.code == 0


@pytest.mark.parametrize(
    "flags",
    [
        ("--max-cost", "0"),
        ("--max-cost", "-1"),
        ("--max-cost", "nan"),
        ("--max-requests", "0"),
        ("--price-in", "0.1"),
        ("--price-in", "-1", "--price-out", "1"),
        ("--tier", "express"),
    ],
)
def test_limits_and_prices_that_make_no_sense_are_usage_errors(alpaca: Alpaca, flags: tuple[str, ...]) -> None:
    run = alpaca("generate", "--num", 5, "--base-url", "http://127.0.0.1:9/v1", "--model", "m", "--out", "r", *flags)

    assert run.code == 2
    assert not Path("r").exists()
    assert "Traceback" not in run.err


def test_calls_without_a_known_outcome_count_at_their_worst(alpaca: Alpaca) -> None:
    storm = storm_of(0.5).model_copy(update={"rates": {"drop_after_work": 0.5}})
    with RehearsalServer(storm=storm) as server:
        command = ["generate", "--base-url", server.base_url, "--model", "rehearsal", "--out", "r", "--num", 1000]
        run = alpaca(*command, "--price-in", "0.10", "--price-out", "0.50", "--max-cost", "0.03")
        charged = server.books.total.cost(Decimal("0.10"), Decimal("0.50"))

    assert run.code == 7
    assert Decimal("0.005") < charged <= Decimal("0.03")

"""What a run may cost: caps that hold, prices that are known or asked for, and the way on from a clean stop."""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from alpaca_cli.rehearsal.server import RehearsalServer
from alpaca_cli.rehearsal.storm import Storm, storm_of
from conftest import ROOT, Outcome
from scripted_server import Answer, by_seeds, serving

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


def test_a_request_that_fails_at_first_does_not_buy_what_nobody_needs(alpaca: Alpaca) -> None:
    """Whatever is answered meanwhile waits for it: no more is asked than was likely needed."""
    with RehearsalServer(storm=Storm(script=("error_503", "error_503"))) as server:
        run = alpaca("generate", "--base-url", server.base_url, "--model", "rehearsal", "--out", "r", "--num", 20)
        bought = server.books.total.answers

    assert run.code == 0
    assert bought <= 6


def test_a_cap_still_holds_when_the_flag_is_left_out(alpaca: Alpaca) -> None:
    stopped = alpaca(*REHEARSAL, "--num", 200, "--max-cost", "0.008")
    again = alpaca(*REHEARSAL, "--num", 200)
    lifted = alpaca(*REHEARSAL, "--num", 200, "--max-cost", "9")

    assert (stopped.code, again.code, lifted.code) == (7, 7, 0)
    assert "--max-cost 0.008 of this run still holds; give another to change it" in again.err


@pytest.mark.parametrize("lost", ["all", "half"])
def test_a_ledger_that_forgot_requests_is_told_and_nothing_is_asked(alpaca: Alpaca, lost: str) -> None:
    alpaca(*REHEARSAL, "--num", 600, "--max-cost", "9")
    ledger = Path("r/ledger.jsonl")
    lines = ledger.read_text().splitlines(keepends=True)
    if lost == "all":
        ledger.unlink()
    else:
        ledger.write_text("".join(lines[:4]))
    run = alpaca(*REHEARSAL, "--num", 700, "--max-cost", "9")

    assert run.code == 5
    assert "r/ledger.jsonl: the ledger has " in run.err


def test_requests_that_a_power_failure_took_from_the_ledger_are_counted_as_the_dearest(alpaca: Alpaca) -> None:
    alpaca(*REHEARSAL, "--num", 100, "--max-cost", "9")
    ledger = Path("r/ledger.jsonl")
    lines = ledger.read_text().splitlines(keepends=True)
    spent = Decimal(json.loads(Path("r/report.json").read_text())["run"]["spent"])
    ledger.write_text("".join(lines[:2]))
    run = alpaca(*REHEARSAL, "--num", 200, "--max-cost", "9")

    report = json.loads(Path("r/report.json").read_text())
    assert run.code == 0
    assert "requests that were answered: counted as the dearest answers" in run.err
    assert Decimal(report["run"]["spent"]) > spent


def test_what_was_asked_before_a_price_was_known_is_counted_when_a_cap_comes(alpaca: Alpaca) -> None:
    with RehearsalServer() as server:
        command = ["generate", "--base-url", server.base_url, "--model", "rehearsal", "--out", "r", "--num"]
        first = alpaca(*command, 150)
        capped = [*command, 300, "--price-in", 1, "--price-out", 5, "--max-cost"]
        refused = alpaca(*capped, "0.05")
        again = alpaca(*capped, "0.05")
        done = alpaca(*capped, "9")
        charged = server.books.total.cost(Decimal(1), Decimal(5))

    report = json.loads(Path("r/report.json").read_text())
    assert (first.code, refused.code, again.code, done.code) == (0, 7, 7, 0)
    assert refused.err.count("asked") == again.err.count("asked") == 0
    assert Decimal(report["run"]["spent"]) == charged


def test_a_dear_server_at_its_cap_leaves_the_work_to_a_free_one(alpaca: Alpaca) -> None:
    with RehearsalServer() as dear, RehearsalServer() as free:
        recipe = Path("two.yaml")
        text = (ROOT / "recipes/generate.yaml").read_text(encoding="utf-8").replace("gpt-6-luna", "rehearsal")
        recipe.write_text(
            f"{text}max_cost: 0.05\nteachers:\n"
            f"  - {{base_url: {dear.base_url}, price: {{input: 1, output: 5}}}}\n"
            f"  - {{base_url: {free.base_url}, price: {{input: 0, output: 0}}}}\n"
        )
        run = alpaca("generate", "--recipe", recipe, "--num", 200, "--out", "r")
        charged = dear.books.total.cost(Decimal(1), Decimal(5))

    assert run.code == 0, run.err
    assert charged <= Decimal("0.05")


def test_answers_in_a_tier_of_unknown_price_count_at_their_worst(alpaca: Alpaca) -> None:
    def priority(number: int, body: dict[str, Any]) -> Answer:
        answer = by_seeds(number, body)
        return Answer(200, {**answer.body, "service_tier": "priority"})

    with serving(priority) as seen:
        command = ["generate", "--base-url", seen.base_url, "--model", "m", "--out", "r", "--num", 9]
        run = alpaca(*command, "--price-in", 1, "--price-out", 1, "--max-cost", 9)

    rows_ = [json.loads(line) for line in Path("r/ledger.jsonl").read_text().splitlines()]
    assert run.code == 0
    assert run.err.count("answers come in tier priority, of which no price is known: counted at their worst") == 1
    assert {row["cost"] for row in rows_ if "cost" in row} == {None}


@pytest.mark.parametrize(
    ("tier", "factor"), [(None, 1), ("default", 1), ("flex", Decimal("0.5"))], ids=["none", "default", "flex"]
)
def test_an_answer_costs_what_the_tier_costs_that_it_was_in(alpaca: Alpaca, tier: str | None, factor: Decimal) -> None:
    def answering(number: int, body: dict[str, Any]) -> Answer:
        return Answer(200, {**by_seeds(number, body).body, "service_tier": tier})

    with serving(answering) as seen:
        command = ["generate", "--base-url", seen.base_url, "--model", "m", "--out", "r", "--num", 3]
        price = "teacher.price={input: 1, output: 10, flex_factor: 0.5}"
        run = alpaca(*command, "--set", price, "--tier", "flex")

    rows_ = [json.loads(line) for line in Path("r/ledger.jsonl").read_text().splitlines()]
    assert run.code == 0
    assert {Decimal(row["cost"]) for row in rows_ if "cost" in row} == {factor * Decimal(10 + 200) / 1_000_000}

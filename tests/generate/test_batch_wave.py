"""What the next batch asks: no more than is likely needed, nothing twice, and never beyond a limit."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path

import pytest

from alpaca_cli.data.example import Example
from alpaca_cli.data.journal import Completion, Journal
from alpaca_cli.data.ledger import Ledger
from alpaca_cli.errors import LimitReached
from alpaca_cli.generate.batch import wave as wave_module
from alpaca_cli.generate.batch.file import Row, custom_id
from alpaca_cli.generate.batch.harvest import Harvest
from alpaca_cli.generate.batch.wave import Input, num_likely, wanted, write_input
from alpaca_cli.generate.body import Body
from alpaca_cli.generate.budget import Budget
from alpaca_cli.generate.inputs import load_inputs
from alpaca_cli.generate.prompt import RequestMaker
from alpaca_cli.generate.replay import Replay
from alpaca_cli.recipe.generate import GenerateRecipe

RECIPE = GenerateRecipe.model_validate({"kind": "generate", "num": 100, "teacher": {"model": "m"}})
BODY = Body(RECIPE.teacher, "http://localhost/v1")
PATH = Path("in.jsonl")


def maker() -> RequestMaker:
    return load_inputs(RECIPE).request_maker(RECIPE)


def replay(num: int = 100, *, used: int = 0, accepted: int = 0) -> Replay:
    """A replay that has looked at so many completions, without the work."""
    found = Replay(RECIPE, [], num)
    found.used = [Completion(k, (), "", "", "stop", None, None, None, "", 0.0) for k in range(used)]
    found.accepted = [Example("Say it.", "", "it")] * accepted
    return found


@pytest.mark.parametrize(
    ("num", "used", "accepted", "likely"),
    [
        (1, 0, 0, 1),
        (17, 0, 0, 1),
        (18, 0, 0, 2),
        (52_000, 0, 0, 100),
        (100, 3, 0, 6),  # nothing accepted says nothing of the rate
        (100, 6, 50, 8),  # 6 more at the rate so far, a twentieth more, and one
        (52_000, 3059, 26_000, 3213),
    ],
)
def test_how_many_are_likely_needed(num: int, used: int, accepted: int, likely: int) -> None:
    assert num_likely(RECIPE, replay(num, used=used, accepted=accepted)) == likely


def test_what_has_no_completion_is_asked_in_order_of_number() -> None:
    with Journal(Path("journal.jsonl")) as journal:
        found = wanted(RECIPE, replay(), {1, 2, 4, 77}, Harvest(maker(), BODY, RECIPE.teacher, journal))

    assert [request.k for request in found] == [0, 3, 5]


def test_what_failed_before_does_not_go_alone() -> None:
    made = maker()
    with Journal(Path("journal.jsonl")) as journal:
        harvest = Harvest(made, BODY, RECIPE.teacher, journal)
        names = [custom_id(made.request(k)) for k in (0, 9)]
        good = {"choices": [{"message": {"content": "x"}}]}
        rows = [Row(names[0], 500, None), Row(names[1], 200, good)]
        harvest.take(rows, started="", sent={name: {} for name in names})
        found = wanted(RECIPE, replay(num=17), journal.completions, harvest)

    assert [request.k for request in found] == [0, 1]


def written(num: int = 9, **limits: object) -> Input:
    made = maker()
    return write_input(PATH, [made.request(k) for k in range(num)], RECIPE, BODY, **limits)  # type: ignore[arg-type]


def test_the_file_holds_what_it_says() -> None:
    found = written(worst=lambda request: Decimal(request.k))
    lines = PATH.read_text().splitlines()

    assert (found.num_requests, found.most, found.cut_by) == (9, 36, None)
    assert [int(json.loads(line)["custom_id"].partition("-")[0]) for line in lines] == list(range(9))
    assert written() == Input(9, found.sha256, Decimal(0), None)


def test_a_batch_is_no_larger_than_a_server_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    size = written(3) and PATH.stat().st_size
    monkeypatch.setattr(wave_module, "MOST_BYTES", size)

    assert written().num_requests == 3
    assert PATH.stat().st_size == size
    assert written(most_requests=2).num_requests == 2


def test_a_batch_is_cut_to_the_budget() -> None:
    with Ledger(Path("ledger.jsonl")) as ledger:
        budget = Budget(ledger, max_cost=Decimal(10), max_requests=7)
        dear = written(budget=budget, worst=lambda _: Decimal(3))
        many = written(budget=budget, worst=lambda _: Decimal(1))
        ledger.settle(ledger.send(Decimal(9), num_requests=3, name="batch 1"), Decimal(9))
        PATH.unlink()
        with pytest.raises(LimitReached, match="--max-cost 10 reached") as stop:
            written(budget=budget, worst=lambda _: Decimal(3))

    assert (dear.num_requests, dear.most, dear.cut_by) == (3, 9, "max_cost")
    assert (many.num_requests, many.most, many.cut_by) == (7, 7, "max_requests")
    assert stop.value.limit == "max_cost"
    assert not PATH.exists()

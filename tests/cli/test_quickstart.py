"""`alpaca quickstart` from argv to files."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from pathlib import Path

from conftest import Outcome

Alpaca = Callable[..., Outcome]


def test_quickstart_makes_everything_it_names(alpaca: Alpaca) -> None:
    run = alpaca("quickstart", "a b")

    made = [Path(line) for line in run.out.splitlines()]
    rows = json.loads(Path("a b/run/alpaca_data.json").read_text())
    assert run.code == 0
    assert made == [Path("a b/run/alpaca_data.json"), Path("a b/new.json"), Path("a b/train.jsonl")]
    assert all(path.is_file() for path in made)
    assert len({row["instruction"] for row in rows}) == len(rows) == 200
    assert Path("a b/train.val.jsonl").is_file()
    assert "What you have" in run.err


def test_the_commands_that_it_shows_do_the_same_when_pasted(alpaca: Alpaca) -> None:
    shown = alpaca("quickstart", "first").err
    before = {path.relative_to("first"): path.read_bytes() for path in Path("first").rglob("*.json*")}
    for line in shown.splitlines():
        if line.startswith("$ alpaca "):
            words = [word.replace("first/", "second/") for word in shlex.split(line)[2:]]
            assert alpaca(*words).code == 0

    after = {path.relative_to("second"): path.read_bytes() for path in Path("second").rglob("*.json*")}
    assert before.keys() == after.keys()
    assert before[Path("train.jsonl")] == after[Path("train.jsonl")]


def test_what_lies_there_is_not_overwritten_unasked(alpaca: Alpaca) -> None:
    Path("mine").mkdir()
    Path("mine/new.json").write_text("precious")
    refused = alpaca("quickstart", "mine")

    assert refused.code == 2
    assert "there is something here already" in refused.err
    assert [path.name for path in Path("mine").iterdir()] == ["new.json"]
    assert Path("mine/new.json").read_text() == "precious"
    assert alpaca("quickstart", "mine", "--force").code == 0

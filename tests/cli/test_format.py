"""`alpaca format` from argv to files."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from alpaca_cli.format.names import FORMAT_NAMES
from conftest import Outcome

Alpaca = Callable[..., Outcome]


@pytest.mark.parametrize("name", FORMAT_NAMES)
def test_every_format_goes_there_and_back(alpaca: Alpaca, dataset: Path, name: str) -> None:
    there = alpaca("format", dataset, "--to", name, "--out", "there")
    back = alpaca("format", "there", "--to", "alpaca", "--out", "back.json")

    assert (there.code, there.out, back.code) == (0, "there\n", 0)
    assert Path("back.json").read_text() == dataset.read_text()


def test_the_help_names_every_format(alpaca: Alpaca) -> None:
    run = alpaca("format", "--help")

    assert all(name in run.out for name in FORMAT_NAMES)


def test_a_validation_part_is_held_out(alpaca: Alpaca, dataset: Path) -> None:
    run = alpaca(
        "format", dataset, "--to", "jsonl", "--out", "t.jsonl", "--val-fraction", "0.25", "--seed", "3", "--json"
    )
    again = alpaca("format", dataset, "--to", "messages", "--out", "m.jsonl", "--val-fraction", "0.25", "--seed", "3")

    held_out = json.loads(Path("t.val.jsonl").read_text())
    assert again.code == 0
    assert (run.json["read"], run.json["written"], run.json["validation"]) == (4, 3, 1)
    assert held_out["output"] == json.loads(Path("m.val.jsonl").read_text())["messages"][1]["content"]
    assert held_out["output"] not in Path("t.jsonl").read_text()


def test_every_bad_row_is_told_and_nothing_is_written(alpaca: Alpaca) -> None:
    Path("bad.jsonl").write_text(
        '{"instruction": "a", "output": "b"}\n{"instruction": 3, "output": "b"}\n{oops\n{"instruction": "c"}\n'
    )
    run = alpaca("format", "bad.jsonl", "--to", "alpaca", "--out", "new.json", "--json")

    assert run.code == 3
    assert not Path("new.json").exists()
    assert [problem["where"] for problem in run.json["error"]["problems"]] == [
        "bad.jsonl:2", "bad.jsonl:3:2", "bad.jsonl:4",
    ]  # fmt: skip
    assert "--skip-bad" in run.err


def test_skipped_rows_are_counted(alpaca: Alpaca) -> None:
    Path("bad.jsonl").write_text('{"instruction": "a", "output": "b"}\n{"instruction": "c", "output": ""}\n')
    run = alpaca("format", "bad.jsonl", "--to", "alpaca", "--out", "new.json", "--skip-bad", "--json")

    assert (run.code, run.json["read"], run.json["written"], run.json["skipped"]) == (0, 2, 1, 1)
    assert "1 malformed row left out" in run.err
    assert "bad.jsonl:2" in run.err


def test_another_template_is_taken_by_file(alpaca: Alpaca, dataset: Path) -> None:
    Path("mine.yaml").write_text(
        'with_input: "Q: {instruction} ({input}) A: "\nwithout_input: "Q: {instruction} A: "\n', encoding="utf-8"
    )
    alpaca("format", dataset, "--to", "text", "--out", "t.jsonl", "--template", "mine.yaml")

    texts = [json.loads(line)["text"] for line in Path("t.jsonl").read_text().splitlines()]
    assert texts[0] == "Q: Name three birds that swim well. A: Penguin, duck, swan."
    assert texts[1] == "Q: Sort these numbers from small to large. (3 1 2) A: 1 2 3"


def test_an_unknown_format_is_told_with_the_nearest(alpaca: Alpaca, dataset: Path) -> None:
    run = alpaca("format", dataset, "--to", "mesages", "--out", "new.jsonl")

    assert (run.code, Path("new.jsonl").exists()) == (2, False)
    assert "did you mean messages?" in run.err

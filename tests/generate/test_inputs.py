"""What a run reads besides its recipe is checked before it begins."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from alpaca_cli.errors import AlpacaError, DataError, UsageError
from alpaca_cli.generate.inputs import load_inputs
from alpaca_cli.recipe.generate import GenerateRecipe
from conftest import ROOT


def recipe(**changes: Any) -> GenerateRecipe:
    return GenerateRecipe.model_validate({"kind": "generate", "teacher": {"model": "m"}, **changes})


def seeds(*ids: str) -> bytes:
    rows = [{"id": each, "instruction": f"Say {each}.", "instances": [{"output": each}]} for each in ids]
    return "".join(f"{json.dumps(row)}\n" for row in rows).encode()


def refused(changes: dict[str, Any], error: type[AlpacaError], beside: Path = Path()) -> str:
    with pytest.raises(error) as found:
        load_inputs(recipe(**changes), beside=beside)
    return str(found.value)


def test_the_shipped_files_are_the_default() -> None:
    inputs = load_inputs(recipe())

    assert inputs.seeds == (ROOT / "prompts" / "seed_tasks.jsonl").read_bytes()
    assert inputs.prompt == (ROOT / "prompts" / "generate.txt").read_text(encoding="utf-8").strip()
    assert len(inputs.seed_tasks) == 175


def test_files_are_seen_from_the_folder_of_the_recipe() -> None:
    Path("there").mkdir()
    Path("there/ask.txt").write_text("\ufeff\n  Ask for {num_tasks}.  \n\n", encoding="utf-8")
    Path("there/mine.jsonl").write_bytes(seeds("a", "b", "c"))
    Path("ask.txt").write_text("not this one")
    inputs = load_inputs(recipe(seeds="mine.jsonl", prompt={"file": "ask.txt"}), beside=Path("there"))

    assert inputs.prompt == "Ask for {num_tasks}."
    assert [task.id for task in inputs.seed_tasks] == ["a", "b", "c"]
    assert inputs.seeds == seeds("a", "b", "c")


def test_the_request_maker_follows_the_recipe() -> None:
    Path("ask.txt").write_text("Ask for {num_tasks}.")
    Path("mine.jsonl").write_bytes(seeds("a", "b", "c"))
    made = recipe(seeds="mine.jsonl", prompt={"file": "ask.txt", "num_tasks": 7, "num_seeds": 2}, seed=5)
    request = load_inputs(made).request_maker(made).request(3)

    assert request.text.startswith("Ask for 7.\n###\n1. Instruction: Say ")
    assert len(set(request.seed_ids)) == 2
    assert request == load_inputs(made).request_maker(made).request(3)
    other = made.model_copy(update={"seed": 6})
    assert {load_inputs(other).request_maker(other).request(k).seed_ids for k in range(9)} != {request.seed_ids}


def test_a_missing_file_is_told_with_what_ships() -> None:
    assert refused({"seeds": "no.jsonl"}, UsageError) == "no.jsonl: no such file, nor a shipped one of prompts"
    assert refused({"prompt": {"file": "no.txt"}}, UsageError).startswith("no.txt: no such file")


@pytest.mark.parametrize("text", ["", " \n\t\n", "\ufeff"])
def test_an_empty_prompt_is_refused(text: str) -> None:
    Path("ask.txt").write_text(text, encoding="utf-8")

    assert refused({"prompt": {"file": "ask.txt"}}, UsageError) == "ask.txt: the prompt is empty"


def test_a_prompt_that_is_no_utf_8_is_told_by_line_and_column() -> None:
    Path("ask.txt").write_bytes("é\nü".encode() + b"\xfc")

    assert refused({"prompt": {"file": "ask.txt"}}, DataError) == "ask.txt:2:2: invalid UTF-8: byte 0xfc"


def test_every_malformed_seed_task_is_told() -> None:
    Path("mine.jsonl").write_bytes(b'{"id": 5}\n{"id": "a"\n')

    assert refused({"seeds": "mine.jsonl"}, DataError).splitlines() == [
        "mine.jsonl:1: id: expected a string, found a number",
        "mine.jsonl:1: instruction: missing",
        "mine.jsonl:1: instances: expected a list of at least one, found nothing",
        "mine.jsonl:2:11: invalid JSON: expecting ',' delimiter",
    ]


def test_fewer_seed_tasks_than_a_prompt_shows_are_refused() -> None:
    Path("mine.jsonl").write_bytes(seeds("a", "b"))

    assert refused({"seeds": "mine.jsonl"}, UsageError) == (
        "mine.jsonl: prompt.num_seeds is 3, but there are only 2 seed tasks"
    )
    assert len(load_inputs(recipe(seeds="mine.jsonl", prompt={"num_seeds": 2})).seed_tasks) == 2

"""Seed tasks: self-instruct's file form is read, and every malformed field is told with its line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from alpaca_cli.data.example import Example, SeedTask, parse_seed_tasks, text_problem
from alpaca_cli.errors import DataError

HALF = "holds half a character (a lone surrogate), which cannot be sent to a teacher"
TASK: dict[str, Any] = {"id": "a", "instruction": "Add.", "instances": [{"input": "1 2", "output": "3"}]}


def raw(*rows: object) -> bytes:
    return "".join(f"{json.dumps(row)}\n" for row in rows).encode()


def told(content: bytes) -> list[str]:
    with pytest.raises(DataError) as found:
        parse_seed_tasks(content, Path("s"))
    return [str(problem) for problem in found.value.problems]


def test_an_example_has_stanfords_three_keys_in_order() -> None:
    assert list(Example("a", "b", "c").as_dict().items()) == [("instruction", "a"), ("input", "b"), ("output", "c")]


def test_self_instructs_form_is_read() -> None:
    row = {
        "id": "seed_task_0", "name": "breakfast_suggestion", "instruction": "Is there anything for breakfast?",
        "instances": [{"input": "", "output": "Yes."}, {"input": "second", "output": 5}], "is_classification": False,
    }  # fmt: skip
    (task,) = parse_seed_tasks(raw(row), Path("s"))

    example = Example("Is there anything for breakfast?", "", "Yes.")
    assert task == SeedTask("seed_task_0", "breakfast_suggestion", example, is_classification=False)


def test_name_input_and_is_classification_may_be_left_out() -> None:
    (task,) = parse_seed_tasks(raw({"id": "a", "instruction": "Hi.", "instances": [{"output": "Hi!"}]}), Path("s"))

    assert task == SeedTask("a", "", Example("Hi.", "", "Hi!"), is_classification=False)


def test_unknown_keys_are_passed_over_and_order_is_kept() -> None:
    tasks = parse_seed_tasks(raw(TASK | {"id": "b", "author": 5}, TASK), Path("s"))

    assert [task.id for task in tasks] == ["b", "a"]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (5, "expected an object, found a number"),
        ([TASK], "expected an object, found a list"),
        ({**TASK, "id": None}, "id: expected a string, found null"),
        ({**TASK, "id": 7}, "id: expected a string, found a number"),
        ({**TASK, "id": " "}, "id: empty"),
        ({key: TASK[key] for key in ("instruction", "instances")}, "id: missing"),
        ({**TASK, "instruction": ["x"]}, "instruction: expected a string, found a list"),
        ({**TASK, "instruction": "\n\t"}, "instruction: empty"),
        ({key: TASK[key] for key in ("id", "instances")}, "instruction: missing"),
        ({**TASK, "name": 5}, "name: expected a string, found a number"),
        ({**TASK, "is_classification": "no"}, "is_classification: expected a boolean, found a string"),
        ({**TASK, "is_classification": 0}, "is_classification: expected a boolean, found a number"),
        ({"id": "a", "instruction": "Hi."}, "instances: expected a list of at least one, found nothing"),
        ({**TASK, "instances": None}, "instances: expected a list of at least one, found null"),
        ({**TASK, "instances": []}, "instances: expected a list of at least one, found an empty list"),
        ({**TASK, "instances": {"output": "3"}}, "instances: expected a list of at least one, found an object"),
        ({**TASK, "instances": ["3"]}, "instances[0]: expected an object, found a string"),
        ({**TASK, "instances": [{"input": ""}]}, "instances[0].output: missing"),
        ({**TASK, "instances": [{"output": None}]}, "instances[0].output: expected a string, found null"),
        ({**TASK, "instances": [{"output": ""}]}, "instances[0].output: empty"),
        ({**TASK, "instances": [{"input": None, "output": "3"}]}, "instances[0].input: expected a string, found null"),
        ({**TASK, "instruction": "\ud83d Hi"}, f"instruction: {HALF}"),
        ({**TASK, "instances": [{"input": "\ude00", "output": "3"}]}, f"instances[0].input: {HALF}"),
        ({**TASK, "instances": [{"output": "3\udfff"}]}, f"instances[0].output: {HALF}"),
    ],
)  # fmt: skip
def test_each_malformed_field_is_told(row: object, message: str) -> None:
    assert told(raw(TASK | {"id": "first"}, row)) == [f"s:2: {message}"]


def test_whole_emoji_written_as_escapes_are_fine() -> None:
    (task,) = parse_seed_tasks(b'{"id": "a", "instruction": "\\ud83d\\ude00", "instances": [{"output": "x"}]}', Path())

    assert task.example.instruction == "😀"


def test_all_mistakes_of_all_lines_are_told_at_once() -> None:
    content = raw({"id": 1, "name": 2, "instances": []}, TASK) + b"\n{oops\n" + raw(TASK)

    assert told(content) == [
        "s:1: id: expected a string, found a number",
        "s:1: instruction: missing",
        "s:1: name: expected a string, found a number",
        "s:1: instances: expected a list of at least one, found an empty list",
        "s:4:2: invalid JSON: expecting property name enclosed in double quotes",
        "s:5: id 'a' given twice, first on line 2",
    ]


@pytest.mark.parametrize("content", [b"", b"\n \n", b"\xef\xbb\xbf"])
def test_a_file_without_tasks_is_refused(content: bytes) -> None:
    assert told(content) == ["s: no seed tasks in this file"]


def test_a_text_problem_tells_missing_wrong_and_empty_apart() -> None:
    assert text_problem({}, "x") == "x: missing"
    assert text_problem({"x": 5}, "x") == "x: expected a string, found a number"
    assert text_problem({"x": " "}, "x") == "x: empty"
    assert text_problem({"x": " y"}, "x") is None

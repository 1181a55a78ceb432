"""The shipped seed tasks: their number, their variety, and their answers, each worked out again."""

from __future__ import annotations

import copy
import json
import re
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from alpaca_cli.data.example import SeedTask, parse_seed_tasks
from alpaca_cli.data.shipped import shipped_dir
from alpaca_cli.dedup.pool import Pool
from alpaca_cli.generate.parse import is_no_input
from alpaca_cli.generate.rules import refuse
from alpaca_cli.recipe.generate import GenerateRecipe
from alpaca_cli.recipe.load import load
from seed_answers import life_and_science, numbers_and_code, reading, writing

PATH = shipped_dir("prompts") / "seed_tasks.jsonl"
TASKS = parse_seed_tasks(PATH.read_bytes(), PATH)
ROWS: dict[str, dict[str, Any]] = {
    row["name"]: row for row in map(json.loads, PATH.read_text(encoding="utf-8").splitlines())
}
NAMES = list(ROWS)
MODULES = (numbers_and_code, reading, writing, life_and_science)
CHECKS: dict[str, Callable[[dict[str, Any]], None]] = {
    name: check for module in MODULES for name, check in module.CHECKS.items()
}


def answered(name: str, output: str) -> dict[str, Any]:
    """The task with another answer."""
    row = copy.deepcopy(ROWS[name])
    row["instances"][0]["output"] = output
    return row


def is_wrong(name: str, output: str) -> bool:
    """Whether the check refuses an answer: by an assertion, or because it cannot even read it."""
    try:
        CHECKS[name](answered(name, output))
    except Exception:
        return True
    return False


def count_words(text: str) -> int:
    return len(text.split())


each_task = pytest.mark.parametrize("task", TASKS, ids=[task.name for task in TASKS])


def test_there_are_175_tasks_numbered_in_order() -> None:
    assert [task.id for task in TASKS] == [f"seed_task_{number}" for number in range(175)]


def test_every_task_has_a_name_of_its_own() -> None:
    assert len(NAMES) == len({task.name for task in TASKS}) == 175
    assert all(re.fullmatch(r"[a-z0-9]+(?:_[a-z0-9]+)+", name) for name in NAMES)


def test_the_file_is_in_the_format_of_self_instruct() -> None:
    for row in ROWS.values():
        assert list(row) == ["id", "name", "instruction", "instances", "is_classification"]
        assert [list(instance) for instance in row["instances"]] == [["input", "output"]]


def test_about_as_many_have_an_input_and_are_classifications_as_in_the_original() -> None:
    """The original's have 125 and 26."""
    assert 0.65 <= sum(bool(task.example.input) for task in TASKS) / 175 <= 0.75
    assert 24 <= sum(task.is_classification for task in TASKS) <= 27


def test_instructions_are_unlike_each_other() -> None:
    texts = [task.example.instruction for task in TASKS]
    pool = Pool()
    assert [match for text in texts if (match := pool.admit(text, 0.6))] == []


def test_instructions_open_in_many_ways() -> None:
    first_words = Counter(task.example.instruction.split()[0] for task in TASKS)
    assert len(first_words) >= 20
    assert max(first_words.values()) <= 175 // 10


def test_a_fair_share_are_questions() -> None:
    assert 0.25 <= sum("?" in task.example.instruction for task in TASKS) / 175 <= 0.5


@each_task
def test_a_task_keeps_the_limits_that_the_prompt_states(task: SeedTask) -> None:
    example = task.example
    assert count_words(example.input) <= 100
    assert 0 < count_words(example.output) <= 100
    assert 1 <= len(re.findall(r"[.?!]['\"’”)]*(?=\s|$)", example.instruction)) <= 2
    assert count_words(example.instruction) <= 40


@each_task
def test_a_task_is_clean_text(task: SeedTask) -> None:
    for text in task.example.as_dict().values():
        assert text == text.strip()
        assert not re.search(r"[^\S \n]|[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\ufeff]| \n|\n{4}", text)
    assert "\n" not in task.example.instruction
    assert not is_no_input(task.example.input) or task.example.input == ""


@each_task
@pytest.mark.parametrize("recipe", ["generate", "generate_alpaca_2023"])
def test_a_task_passes_the_rules_that_it_teaches(task: SeedTask, recipe: str) -> None:
    assert refuse(task.example, load(shipped_dir("recipes") / f"{recipe}.yaml", GenerateRecipe).rules) is None


def test_every_check_belongs_to_a_task_and_to_one_alone() -> None:
    assert set(CHECKS) <= set(NAMES)
    assert len(CHECKS) == sum(len(module.CHECKS) for module in MODULES)
    assert len(CHECKS) >= 0.9 * len(NAMES)


@pytest.mark.parametrize("name", CHECKS)
def test_the_answer_is_right(name: str) -> None:
    CHECKS[name](copy.deepcopy(ROWS[name]))


@pytest.mark.parametrize("name", CHECKS)
def test_an_empty_answer_is_wrong(name: str) -> None:
    assert is_wrong(name, "")


@pytest.mark.parametrize("name", CHECKS)
def test_the_answer_to_any_other_task_is_wrong(name: str) -> None:
    others = [row["instances"][0]["output"] for other, row in ROWS.items() if other != name]
    assert [output for output in others if not is_wrong(name, output)] == []

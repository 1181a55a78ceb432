"""The nouns of a dataset: the example, which models are trained on, and the seed task, which people wrote."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alpaca_cli.data.jsonl import LONE_SURROGATE, iter_lines, kind_of, parse_json
from alpaca_cli.errors import DataError, Problem


@dataclass(frozen=True)
class Example:
    """One row of a dataset: what to do, on what (may be empty), and the answer."""

    instruction: str
    input: str
    output: str

    def as_dict(self) -> dict[str, str]:
        """The row as Stanford's file has it: the three keys in this order."""
        return {"instruction": self.instruction, "input": self.input, "output": self.output}


@dataclass(frozen=True)
class SeedTask:
    """A task written by people, in self-instruct's file format; only its first instance is used, as in the original.

    Source: stanford_alpaca generate_instruction.py L118-121.
    """

    id: str
    name: str
    example: Example
    is_classification: bool


def parse_seed_tasks(raw: bytes, path: Path) -> list[SeedTask]:
    """The seed tasks of a JSONL file, in file order.

    Raises DataError that lists every malformed line at once, and if there is none at all, or an id twice.
    """
    if raw.lstrip()[:1] == b"[":
        hint = "write one object a line, for example: jq -c '.[]' OLD > NEW"
        raise DataError("expected seed tasks as JSON Lines, found a JSON list", where=f"{path}:1", hint=hint)
    tasks: list[SeedTask] = []
    problems: list[Problem] = []
    line_of: dict[str, int] = {}
    for number, line in iter_lines(raw, path):
        try:
            row = parse_json(line, path, first_line=number)
        except DataError as error:
            problems.extend(error.problems)
            continue
        found = _seed_task_problems(row)
        if not found and row["id"] in line_of:
            found = [f"id {row['id']!r} given twice, first on line {line_of[row['id']]}"]
        if found:
            problems += [Problem(message, f"{path}:{number}") for message in found]
            continue
        line_of[row["id"]] = number
        instance = row["instances"][0]
        example = Example(row["instruction"], instance.get("input", ""), instance["output"])
        tasks.append(SeedTask(row["id"], row.get("name", ""), example, row.get("is_classification", False)))
    if problems:
        raise DataError.of(problems)
    if not tasks:
        raise DataError("no seed tasks in this file", where=str(path), hint="write one JSON object a line")
    return tasks


def _seed_task_problems(row: Any) -> list[str]:
    """What keeps `row` from being a seed task: one message for each field."""
    if not isinstance(row, dict):
        return [f"expected an object, found {kind_of(row)}"]
    problems = [message for field in ("id", "instruction") if (message := text_problem(row, field))]
    for field, type_, name in (("name", str, "a string"), ("is_classification", bool, "a boolean")):
        if field in row and not isinstance(row[field], type_):
            problems.append(f"{field}: expected {name}, found {kind_of(row[field])}")
    instances = row.get("instances")
    if not isinstance(instances, list) or not instances:
        found = "an empty list" if instances == [] else kind_of(instances) if "instances" in row else "nothing"
        return [*problems, f"instances: expected a list of at least one, found {found}"]
    first = instances[0]
    if not isinstance(first, dict):
        return [*problems, f"instances[0]: expected an object, found {kind_of(first)}"]
    if "input" in first and not isinstance(first["input"], str):
        problems.append(f"instances[0].input: expected a string, found {kind_of(first['input'])}")
    if message := text_problem(first, "output"):
        problems.append(f"instances[0].{message}")
    texts = {
        "instruction": row.get("instruction"),
        "instances[0].input": first.get("input"),
        "instances[0].output": first.get("output"),
    }
    for name, text in texts.items():
        if isinstance(text, str) and LONE_SURROGATE.search(text):
            problems.append(f"{name}: holds half a character (a lone surrogate), which cannot be sent to a teacher")
    return problems


def text_problem(row: dict[str, Any], field: str) -> str | None:
    """Why `row[field]` is not a text with something in it, or None if it is."""
    if field not in row:
        return f"{field}: missing"
    if not isinstance(row[field], str):
        return f"{field}: expected a string, found {kind_of(row[field])}"
    return None if row[field].strip() else f"{field}: empty"

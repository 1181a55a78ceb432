"""The recipes that ship: each loads, finds its files, tells its story, and says the facts that it claims."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

from alpaca_cli import yamlfile
from alpaca_cli.data.shipped import recipe_names
from alpaca_cli.generate.inputs import load_inputs
from alpaca_cli.generate.prompt import Request
from alpaca_cli.recipe.generate import GenerateRecipe
from alpaca_cli.recipe.load import find_recipe, load, load_any
from conftest import ROOT

RECIPES = sorted((ROOT / "recipes").iterdir())
BY_NAME = pytest.mark.parametrize("path", RECIPES, ids=lambda path: str(path.stem))


def story(path: Path) -> list[str]:
    """The lines of the comment with which a recipe begins, without their marks."""
    lines = path.read_text(encoding="utf-8").splitlines()
    end = next(number for number, line in enumerate(lines) if not line.startswith("#"))
    return [line.removeprefix("#").strip() for line in lines[:end]]


def test_every_file_among_the_recipes_is_one_and_is_listed() -> None:
    assert [path.name for path in RECIPES] == [f"{name}.yaml" for name in recipe_names()]
    assert {"generate", "generate_alpaca_2023"} <= set(recipe_names())


@BY_NAME
def test_a_shipped_recipe_loads_and_so_does_its_dump(path: Path) -> None:
    recipe = load_any(path)
    Path("dumped.yaml").write_text(yamlfile.dump(recipe), encoding="utf-8")

    assert find_recipe(path.stem) == path
    assert load_any(Path("dumped.yaml")) == recipe


@BY_NAME
def test_a_shipped_recipe_writes_every_setting_out(path: Path) -> None:
    """Who reads it need not know the defaults; what is left out is null by default."""
    written = yaml.safe_load(path.read_text(encoding="utf-8"))
    full = yaml.safe_load(yamlfile.dump(load_any(path)))

    def left_out(whole: dict[str, Any], part: dict[str, Any], prefix: str = "") -> set[str]:
        missing = {f"{prefix}{key}" for key, value in whole.items() if key not in part and value not in (None, [], {})}
        inner = [key for key in whole if isinstance(whole[key], dict) and isinstance(part.get(key), dict)]
        return missing.union(*(left_out(whole[key], part[key], f"{prefix}{key}.") for key in inner))

    transport = {f"teacher.{key}" for key in ("api_key_env", "max_tries", "longest_pause_s", "tier")} | {
        "batch",
        "breaker_s",
    }
    assert left_out(full, written) <= transport


@BY_NAME
def test_a_shipped_recipe_finds_its_prompt_and_seeds_and_makes_requests(path: Path) -> None:
    recipe = load(path, GenerateRecipe)
    inputs = load_inputs(recipe, beside=path.parent)
    request = inputs.request_maker(recipe).request(0)

    assert len(inputs.seed_tasks) == 175
    assert isinstance(request, Request)
    assert len(set(request.seed_ids)) == recipe.prompt.num_seeds
    assert "{num_tasks}" in inputs.prompt
    assert "{num_tasks}" not in request.text
    assert request.text.endswith(f"###\n{recipe.prompt.num_seeds + 1}. Instruction:")


@BY_NAME
def test_a_shipped_recipe_begins_with_its_story_and_a_command_to_copy(path: Path) -> None:
    lines = story(path)
    commands = [shlex.split(line.removeprefix("command")) for line in lines if line.startswith("command ")]

    assert len(lines) > 5
    assert lines[0].endswith(".")
    assert lines[1] == ""
    assert commands
    for command in commands:
        assert command[:2] == ["alpaca", load_any(path).kind]
        assert "--num" in command
        named = command[command.index("--recipe") + 1] if "--recipe" in command else "generate"
        assert named == path.stem


def test_the_recipe_of_2023_says_stanfords_facts() -> None:
    """Source: stanford_alpaca generate_instruction.py L68-113 (rules), L118-135 and L142-149 (numbers)."""
    path = find_recipe("generate_alpaca_2023")
    recipe = load(path, GenerateRecipe)

    assert (recipe.prompt.num_seeds, recipe.prompt.num_tasks) == (3, 20)
    teacher = recipe.teacher
    assert (teacher.model, teacher.api) == ("text-davinci-003", "completions")
    assert (teacher.temperature, teacher.top_p, teacher.max_tokens, teacher.concurrency) == (1.0, 1.0, 3072, 5)
    assert teacher.stop == ("\n20. Instruction",)
    assert (recipe.novelty.threshold, recipe.novelty.tokenizer) == (0.7, "rouge")
    rules = recipe.rules.model_dump()
    assert (rules.pop("too_short"), rules.pop("too_long")) == (4, 150)
    assert rules.pop("unsuitable_word") == (
        "image", "images", "graph", "graphs", "picture", "pictures", "file", "files", "map", "maps", "draw", "plot",
        "go to", "video", "audio", "music", "flowchart", "diagram",
    )  # fmt: skip
    assert {name for name, on in rules.items() if on} == {
        "write_a_program", "opens_with_punctuation", "opens_with_non_ascii",
    }  # fmt: skip
    assert re.search(r"52,002", story(path)[0])


def test_the_default_recipe_uses_every_rule_but_the_list_of_words() -> None:
    rules = load(find_recipe("generate"), GenerateRecipe).rules.model_dump()

    assert [name for name, value in rules.items() if not value] == ["unsuitable_word"]  # its own comment says why

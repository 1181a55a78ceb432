"""Finding a file by path, seen from where it was named, or by shipped name."""

from __future__ import annotations

from pathlib import Path

import pytest

from alpaca_cli.data.shipped import find, recipe_names, shipped_dir
from alpaca_cli.errors import UsageError
from conftest import ROOT


def told(name: str, kind: str, beside: Path = Path()) -> str:
    with pytest.raises(UsageError) as found:
        find(name, kind, beside=beside)
    return f"{found.value} [{found.value.problems[0].hint}]"


def test_the_shipped_folders_are_those_of_the_checkout() -> None:
    assert shipped_dir("recipes") == ROOT / "recipes"
    assert recipe_names() == sorted(path.stem for path in (ROOT / "recipes").glob("*.yaml"))


def test_a_shipped_file_is_found_by_name_with_or_without_its_ending() -> None:
    assert find("generate", "recipes") == ROOT / "recipes" / "generate.yaml"
    assert find("generate.yaml", "recipes") == ROOT / "recipes" / "generate.yaml"
    assert find("seed_tasks.jsonl", "prompts") == ROOT / "prompts" / "seed_tasks.jsonl"


def test_a_path_goes_before_a_shipped_name_for_a_flag() -> None:
    Path("generate.yaml").write_text("mine")

    assert find("generate.yaml", "recipes") == Path("generate.yaml")
    assert find("generate", "recipes") == ROOT / "recipes" / "generate.yaml"


def test_a_recipes_neighbour_is_found_from_anywhere(tmp_path: Path) -> None:
    folder = tmp_path / "project"
    (folder / "sub").mkdir(parents=True)
    (folder / "mine.txt").write_text("x")

    assert find("mine.txt", "prompts", beside=folder) == folder / "mine.txt"
    assert find("../mine.txt", "prompts", beside=folder / "sub") == folder / "sub" / ".." / "mine.txt"
    assert find(str(folder / "mine.txt"), "prompts", beside=Path("elsewhere")) == folder / "mine.txt"


def test_a_file_that_happens_to_lie_here_does_not_shadow_what_a_recipe_elsewhere_names() -> None:
    Path("seed_tasks.jsonl").write_text("not meant")

    assert find("seed_tasks.jsonl", "prompts", beside=ROOT / "recipes") == ROOT / "prompts" / "seed_tasks.jsonl"


def test_a_folder_of_the_same_name_does_not_hide_a_shipped_file() -> None:
    Path("generate").mkdir()

    assert find("generate", "recipes") == ROOT / "recipes" / "generate.yaml"


def test_an_unknown_name_lists_what_ships() -> None:
    prompts = ", ".join(sorted(path.name for path in (ROOT / "prompts").iterdir()))

    assert told("nope", "recipes") == (
        f"nope: no such file, nor a shipped one of recipes [recipes: {', '.join(recipe_names())}]"
    )
    assert told("nope", "prompts") == f"nope: no such file, nor a shipped one of prompts [prompts: {prompts}]"


def test_a_shipped_name_is_no_path_that_leads_out_of_the_folder() -> None:
    for name in ("../README.md", "../recipes/generate.yaml", "x/generate.yaml"):
        assert told(name, "recipes").startswith(f"{name}: no such file")


def test_a_directory_is_told(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()

    assert told("mine", "recipes").startswith("mine: expected a file, found a directory")
    assert told("..", "recipes").startswith("..: expected a file, found a directory")


@pytest.mark.parametrize("name", ["x" * 300, "a\0b", "x/" * 3000])
def test_an_impossible_name_is_told_like_any_other(name: str) -> None:
    assert told(name, "recipes").startswith(f"{name}: no such file")

"""`alpaca recipes list | show | validate`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from conftest import ROOT, Outcome

Alpaca = Callable[..., Outcome]


def test_list_names_every_shipped_recipe(alpaca: Alpaca) -> None:
    run = alpaca("recipes", "list")
    names = [line.split()[0] for line in run.out.splitlines()]

    assert names == sorted(path.stem for path in (ROOT / "recipes").glob("*.yaml"))
    assert [row["name"] for row in alpaca("recipes", "list", "--json").json] == names


def test_what_show_prints_is_a_valid_recipe(alpaca: Alpaca) -> None:
    Path("mine.yaml").write_text(alpaca("recipes", "show", "generate").out, encoding="utf-8")
    Path("full.yaml").write_text(alpaca("recipes", "show", "generate", "--resolved").out, encoding="utf-8")

    assert alpaca("recipes", "validate", "mine.yaml").code == 0
    assert alpaca("recipes", "validate", "full.yaml", "--json").json == {
        "path": "full.yaml", "kind": "generate", "is_valid": True,
    }  # fmt: skip
    assert Path("mine.yaml").read_text() == (ROOT / "recipes" / "generate.yaml").read_text()


def test_a_recipe_of_ones_own_sees_its_neighbours(alpaca: Alpaca) -> None:
    Path("mine").mkdir()
    Path("mine/r.yaml").write_text("kind: generate\nteacher: {model: m}\nprompt: {file: ask.txt}\n")
    missing = alpaca("recipes", "validate", "mine/r.yaml")
    Path("mine/ask.txt").write_text("Write {num_tasks} tasks.")
    found = alpaca("recipes", "validate", "mine/r.yaml")

    assert (missing.code, found.code) == (2, 0)
    assert "ask.txt: no such file" in missing.err

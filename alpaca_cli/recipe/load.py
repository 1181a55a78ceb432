"""A recipe by path or shipped name, checked: one YAML file that says what a run does.

`kind` says which command a recipe is for.  Flags say where, recipes say what; `--set key.path=value` changes one value.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

from alpaca_cli import yamlfile
from alpaca_cli.data.shipped import find
from alpaca_cli.errors import RecipeError
from alpaca_cli.recipe.finetune import FinetuneRecipe
from alpaca_cli.recipe.generate import GenerateRecipe
from alpaca_cli.yamlfile import Document

Recipe = GenerateRecipe | FinetuneRecipe
KINDS: dict[str, type[Recipe]] = {"generate": GenerateRecipe, "finetune": FinetuneRecipe}

_R = TypeVar("_R", GenerateRecipe, FinetuneRecipe)


def find_recipe(name: str) -> Path:
    """The file of a recipe by path or shipped name.  Raises UsageError that lists the shipped names."""
    return find(name, "recipes")


def check_any(document: Document) -> Recipe:
    """The recipe in a document, of whichever kind it says.  Raises RecipeError that lists every mistake."""
    kind = document.data.get("kind")
    model = KINDS.get(kind) if isinstance(kind, str) else None
    if model is None:
        found = "nothing" if kind is None else repr(kind)
        expected = " or ".join(KINDS)
        raise RecipeError(f"kind: expected {expected}, found {found}", where=document.place(["kind"]))
    return document.check(model)


def check(document: Document, model: type[_R]) -> _R:
    """The recipe in a document, of the kind that a command takes.  Raises RecipeError that lists every mistake."""
    kind = document.data.get("kind")
    wanted = next(name for name, each in KINDS.items() if each is model)
    if isinstance(kind, str) and kind in KINDS and kind != wanted:
        hint = f"this one is for: alpaca {kind}"
        raise RecipeError(f"kind: expected {wanted}, found {kind!r}", where=document.place(["kind"]), hint=hint)
    recipe = check_any(document)
    assert isinstance(recipe, model)
    return recipe


def read_document(path: Path, assignments: Sequence[str] = ()) -> Document:
    """The YAML of a recipe, with `key.path=value` assignments applied.  Raises RecipeError with path:line:col."""
    document = yamlfile.read(path)
    document.override(assignments)
    return document


def load_any(path: Path, assignments: Sequence[str] = ()) -> Recipe:
    """The recipe in a file, of whichever kind.  Raises RecipeError with path:line:col."""
    return check_any(read_document(path, assignments))


def load(path: Path, model: type[_R], assignments: Sequence[str] = ()) -> _R:
    """The recipe of kind `model` in a file.  Raises RecipeError with path:line:col."""
    return check(read_document(path, assignments), model)

"""Where the recipes and prompts that ship with the package lie: beside it in a checkout, inside it in a wheel.

A recipe, prompt or seed file is found by path, else by name among these.  Standard library only: completion runs it.
"""

from __future__ import annotations

from pathlib import Path

from alpaca_cli.errors import UsageError

_PACKAGE_DIR = Path(__file__).resolve().parent.parent


def shipped_dir(kind: str) -> Path:
    """The folder of the shipped `recipes` or `prompts`."""
    inside = _PACKAGE_DIR / "_share" / kind
    return inside if inside.is_dir() else _PACKAGE_DIR.parent / kind


def recipe_names() -> list[str]:
    """The names under which the shipped recipes are known, sorted: file names without `.yaml`."""
    return sorted(path.stem for path in shipped_dir("recipes").glob("*.yaml"))


def find(name: str, kind: str, *, beside: Path | None = None) -> Path:
    """The file that `name` means: a path that exists (also as seen from `beside`), else a shipped file of `kind`.

    Raises UsageError that lists the shipped names.
    """
    asked = Path(name)
    places = [asked] if beside is None or asked.is_absolute() else [beside / asked, asked]
    if asked.name == name:
        folder = shipped_dir(kind)
        places += [folder / name, folder / f"{name}.yaml"]
    for place in places:
        if place.is_file():
            return place
    if asked.is_dir():
        raise UsageError("expected a file, found a directory", where=name)
    names = recipe_names() if kind == "recipes" else sorted(path.name for path in shipped_dir(kind).iterdir())
    raise UsageError(f"no such file in {kind}, nor a path", where=name, hint=f"shipped {kind}: {', '.join(names)}")

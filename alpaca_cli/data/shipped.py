"""Where the recipes and prompts that ship with the package lie: beside it in a checkout, inside it in a wheel.

A recipe, prompt or seed file is found by path, else by name among these.  Standard library only: completion runs it.
"""

from __future__ import annotations

import os.path
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


def find(name: str, kind: str, *, beside: Path = Path()) -> Path:
    """The file that `name` means: a path as seen from `beside`, else a shipped file of `kind`.

    `beside` is the folder of the recipe that holds the name, or the working directory for a flag.
    Raises UsageError that lists the shipped names.
    """
    asked = beside / name
    if _is_file(asked):
        return asked
    if Path(name).name == name:
        for place in (shipped_dir(kind) / name, shipped_dir(kind) / f"{name}.yaml"):
            if _is_file(place):
                return place
    if os.path.isdir(asked):  # noqa: PTH112
        raise UsageError("expected a file, found a directory", where=name)
    names = recipe_names() if kind == "recipes" else sorted(path.name for path in shipped_dir(kind).iterdir())
    raise UsageError(f"no such file, nor a shipped one of {kind}", where=name, hint=f"{kind}: {', '.join(names)}")


def _is_file(path: Path) -> bool:
    return os.path.isfile(path)  # noqa: PTH113  (`Path.is_file` raises for a name that is too long)

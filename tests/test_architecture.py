"""What CONTRIBUTING says of the layers, and what a light front door costs, as tests."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "alpaca_cli"
MODULES = sorted(path for path in PACKAGE.rglob("*.py"))

# From the bottom up; rooms on one floor do not import each other.
FLOORS = [
    ["errors"],
    ["data"],
    ["yamlfile"],
    ["recipe"],
    ["format"],
    ["dedup"],
    ["weights"],
    ["diff", "finetune", "generate", "rehearsal"],
    ["cli"],
]
FLOOR_OF = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
# Nothing of this may be loaded to show help or to complete a word.
HEAVY = [
    "torch", "transformers", "accelerate", "safetensors", "openai", "pydantic", "yaml", "numpy", "rapidfuzz", "pyarrow",
    "httpx2", "rich.console", "asyncio", "alpaca_cli.recipe", "alpaca_cli.finetune", "alpaca_cli.generate",
    "alpaca_cli.diff", "alpaca_cli.weights", "alpaca_cli.rehearsal.server",
]  # fmt: skip
COMMANDS = [
    [], ["quickstart"], ["generate"], ["dedup"], ["format"], ["rehearsal"],
    ["finetune"], ["finetune-worker"],
    ["diff"], ["diff", "make"], ["diff", "recover"], ["diff", "verify"], ["diff", "show"],
    ["recipes"], ["recipes", "list"], ["recipes", "show"], ["recipes", "validate"], ["recipes", "accelerate-config"],
]  # fmt: skip


def _imports(path: Path) -> Iterator[tuple[int, str]]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative import"
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


def _room(module: str) -> str | None:
    parts = module.split(".")
    return parts[1] if parts[0] == "alpaca_cli" and len(parts) > 1 and parts[1] in FLOOR_OF else None


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_down_only(path: Path) -> None:
    room = _room(".".join(path.relative_to(ROOT).with_suffix("").parts))
    if room is None:
        return
    for line, name in _imports(path):
        other = _room(name)
        if other is not None and other != room:
            assert FLOOR_OF[other] < FLOOR_OF[room], f"{path}:{line}: {room} imports {other}"


def test_every_room_is_on_a_floor() -> None:
    rooms = {path.stem if path.is_file() else path.name for path in PACKAGE.iterdir() if not path.name.startswith("__")}

    assert rooms == set(FLOOR_OF) | ({"_share"} & rooms)


def test_inner_init_files_are_empty() -> None:
    assert [path for path in PACKAGE.rglob("__init__.py") if path.parent != PACKAGE and path.read_text()] == []


def test_no_module_is_named_for_nothing() -> None:
    banned = {"utils", "common", "helpers", "manager", "base", "core", "misc"}

    assert [path for path in MODULES if path.stem in banned] == []


def test_only_the_screen_writes_to_the_terminal() -> None:
    writers = set()
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            prints = isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
            streams = isinstance(node, ast.Attribute) and node.attr in ("stdout", "stderr")
            if prints or streams:
                writers.add(path.name)

    assert writers == {"screen.py", "app.py"}  # app.py silences a closed pipe


def test_only_the_front_door_chooses_an_exit_code() -> None:
    assert [path for path in MODULES if "sys.exit" in path.read_text()] == [PACKAGE / "__main__.py"]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_help_loads_nothing_heavy(command: list[str]) -> None:
    code = (
        "import sys; from alpaca_cli.cli.app import main; code = main(sys.argv[1:]);"
        f"heavy = [name for name in {HEAVY!r} if name in sys.modules];"
        "print(heavy, file=sys.stderr); sys.exit(code)"
    )
    run = subprocess.run([sys.executable, "-c", code, *command, "--help"], capture_output=True, text=True, check=False)

    assert (run.returncode, run.stderr.strip()) == (0, "[]")
    assert "Usage: alpaca" in run.stdout
    assert command in ([], ["diff"], ["recipes"]) or "Example: alpaca" in run.stdout


def test_every_module_imports_on_its_own() -> None:
    names = [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in MODULES if path.stem != "__main__"]
    code = "import importlib, sys\nfor name in sys.argv[1:]: importlib.import_module(name)"
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", code, *names], capture_output=True, text=True, check=False
    )

    assert (run.returncode, run.stderr) == (0, "")

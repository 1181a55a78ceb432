"""The README and CONTRIBUTING say what the code does."""

from __future__ import annotations

import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from alpaca_cli import __version__, errors
from alpaca_cli.cli.app import app
from alpaca_cli.dedup import kernel
from alpaca_cli.format.names import FORMAT_NAMES
from conftest import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")


def _blocks(heading: str) -> list[str]:
    """The code blocks under a heading of the second rank, up to the next."""
    section = README.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]
    return re.findall(r"```sh\n(.*?)```", section, re.DOTALL)


@pytest.mark.parametrize("heading", ["Quickstart", "Tests"])
def test_set_up_is_one_line_that_begins_with_a_virtual_environment(heading: str) -> None:
    (block,) = _blocks(heading)

    assert block.count("\n") == 1
    assert block.startswith("python3 -m venv .venv && ")
    assert "-c constraints.txt" in block


def test_every_command_is_in_the_readme() -> None:
    commands = [info.name for info in app.registered_commands if not info.hidden]
    commands += [info.name for info in app.registered_groups]

    assert [name for name in commands if f"alpaca {name}" not in README] == []


def test_every_format_is_in_the_readme() -> None:
    assert [name for name in FORMAT_NAMES if f"`{name}`" not in README] == []


def test_every_folder_is_in_the_tree() -> None:
    folders = [
        f"alpaca_cli/{path.name}/" for path in (ROOT / "alpaca_cli").iterdir() if (path / "__init__.py").exists()
    ]
    folders += [f"{name}/" for name in ("recipes", "prompts", "docs", "tests", "benchmarks")]

    assert [name for name in folders if f"| `{name}` |" not in README] == []


def test_the_exit_codes_are_those_of_the_errors() -> None:
    section = README.split("\n## Exit codes\n", 1)[1].split("\n## ", 1)[0]
    told = {int(code) for code in re.findall(r"^\| (\d+) \|", section, re.MULTILINE)}
    raised = {
        error.exit_code for error in vars(errors).values() if isinstance(error, type) and hasattr(error, "exit_code")
    }

    assert told == raised | {0, 1, 130, 141}


def test_the_flags_that_the_readme_names_exist(capsys: pytest.CaptureFixture[str]) -> None:
    from alpaca_cli.cli.app import main

    for line in re.findall(r"^alpaca (.+)$", README, re.MULTILINE):
        words = line.split()
        command = words[:2] if words[0] in ("diff", "recipes") else words[:1]
        flags = [word for word in words if word.startswith("--")]
        if command[0].startswith("--"):
            command = []
        capsys.readouterr()
        main([*command, "--help"])
        text = capsys.readouterr().out
        assert [flag for flag in flags if flag not in text] == [], line


def test_recipes_and_prompts_travel_in_the_wheel(tmp_path: Path) -> None:
    hatchling = pytest.importorskip("hatchling.build")
    code = "import sys, hatchling.build as build; print(build.build_wheel(sys.argv[1]))"
    run = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert hatchling is not None
    assert run.returncode == 0, run.stderr
    (wheel,) = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())

    assert wheel.name.startswith(f"alpaca_cli-{__version__}-py3-none-")
    kernels = [name for name in names if "/_kernel." in name]
    assert len(kernels) == (0 if wheel.name.endswith("-any.whl") else 2)
    assert (kernel.LIBRARY is None) == (kernels == [])
    for kind in ("recipes", "prompts"):
        files = {path.name for path in (ROOT / kind).iterdir()}
        assert {f"alpaca_cli/_share/{kind}/{name}" for name in files} <= names

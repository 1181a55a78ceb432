"""Completion in a real bash: what TAB offers after `source` of the script that `--show-completion` prints."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")


@pytest.fixture
def bash(tmp_path: Path) -> dict[str, str]:
    """Surroundings in which `alpaca` is a command."""
    folder = tmp_path / "bin"
    folder.mkdir()
    script = folder / "alpaca"
    script.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m alpaca_cli "$@"\n')
    script.chmod(0o755)
    return {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}", "HOME": str(tmp_path)}


def offered(line: str, bash: dict[str, str]) -> list[str]:
    """What bash's own completion machinery holds after TAB at the end of `line`."""
    words = line.split(" ")
    quoted = " ".join(f"'{word}'" for word in words)
    script = f"""
        eval "$(_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION=1 alpaca --show-completion bash)"
        COMP_WORDS=({quoted}); COMP_CWORD={len(words) - 1}; COMP_LINE='{line}'; COMP_POINT={len(line)}
        "$(complete -p alpaca | sed 's/.*-F \\([^ ]*\\).*/\\1/')" alpaca
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    run = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True, env=bash)
    return sorted(run.stdout.split())


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("alpaca qu", ["quickstart"]),
        ("alpaca ", ["dedup", "diff", "finetune", "format", "generate", "quickstart", "recipes", "rehearsal"]),
        ("alpaca diff ", ["make", "recover", "show", "verify"]),
        ("alpaca recipes ", ["accelerate-config", "list", "show", "validate"]),
        ("alpaca dedup --thr", ["--threshold"]),
        ("alpaca format x --to m", ["messages"]),
        ("alpaca format x --to ", ["alpaca", "jsonl", "messages", "parquet", "prompt-completion", "sharegpt", "text"]),
        ("alpaca generate --recipe ", ["generate", "generate_alpaca_2023"]),
        ("alpaca finetune 7b_", ["7b_fsdp", "7b_multinode", "7b_offload", "7b_single_gpu"]),
        ("alpaca finetune gen", []),
        ("alpaca recipes show generate_", ["generate_alpaca_2023"]),
        ("alpaca generate --teacher re", ["rehearsal"]),
    ],
)
def test_tab_offers_what_fits(line: str, expected: list[str], bash: dict[str, str]) -> None:
    assert offered(line, bash) == expected


def test_tab_loads_nothing_heavy(bash: dict[str, str]) -> None:
    code = (
        "import sys, atexit\n"
        "heavy = ('torch', 'openai', 'pydantic', 'yaml', 'numpy', 'pyarrow', 'rich.console')\n"
        "atexit.register(lambda: print('HEAVY', [name for name in heavy if name in sys.modules], file=sys.stderr))\n"
        "from alpaca_cli.cli.app import main\n"
        "sys.exit(main())"
    )
    tabs = {
        "bash": {"_ALPACA_COMPLETE": "complete_bash", "COMP_WORDS": "alpaca generate --recipe g", "COMP_CWORD": "3"},
        "zsh": {"_ALPACA_COMPLETE": "complete_zsh", "_TYPER_COMPLETE_ARGS": "alpaca generate --recipe g"},
        "fish": {
            "_ALPACA_COMPLETE": "complete_fish",
            "_TYPER_COMPLETE_FISH_ACTION": "get-args",
            "_TYPER_COMPLETE_ARGS": "alpaca generate --recipe g",
        },
    }
    for environment in tabs.values():
        run = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=False, env={**bash, **environment}
        )
        assert "HEAVY []" in run.stderr
        assert "generate_alpaca_2023" in run.stdout

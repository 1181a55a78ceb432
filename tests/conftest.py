"""Every test runs in an empty working directory, without keys, proxies or colours of the one who runs it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Outcome:
    """What a command line came to."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@pytest.fixture(autouse=True)
def _clean_surroundings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID", "NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture(autouse=True, scope="session")
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ALPACA_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
def alpaca(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Outcome]:
    """Runs a command line in this process, through the error boundary, and gives code, stdout and stderr."""
    from alpaca_cli.cli.app import main

    def run(*arguments: object) -> Outcome:
        capsys.readouterr()
        words = [str(argument) for argument in arguments]
        monkeypatch.setattr("sys.argv", ["alpaca", *words])
        code = main(words)
        captured = capsys.readouterr()
        return Outcome(code, captured.out, captured.err)

    return run


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """A small dataset in Stanford's form; its third instruction repeats the first but for a word."""
    rows = [
        {"instruction": "Name three birds that swim well.", "input": "", "output": "Penguin, duck, swan."},
        {"instruction": "Sort these numbers from small to large.", "input": "3 1 2", "output": "1 2 3"},
        {"instruction": "Name three birds that swim badly.", "input": "", "output": "Hen, owl, robin."},
        {"instruction": "Why is the sky dark at night?", "input": "", "output": "The Sun is below the horizon."},
    ]
    path = tmp_path / "data.json"
    path.write_text(json.dumps(rows, indent=4), encoding="utf-8")
    return path

"""The live view of a run: its line, its block, its money and its watchdog."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from alpaca_cli.cli import screen
from alpaca_cli.cli.generate_view import View, command_line
from alpaca_cli.generate.progress import Progress
from alpaca_cli.recipe.generate import GenerateRecipe

RECIPE = GenerateRecipe.model_validate({"kind": "generate", "num": 100, "teacher": {"model": "m"}})


def progress(**changes: Any) -> Progress:
    plain: dict[str, Any] = {
        "kept": 40, "num": 100, "num_kept_before": 0, "num_tasks": 60, "num_completions": 5, "num_under_way": 3,
        "num_requests": 8, "limit": 16, "prompt_tokens": 1000, "completion_tokens": 2000,
        "reasons": Counter(not_novel=12, url=8), "seconds": 0.5, "spent": None, "expected": None, "oldest_s": 1.0,
    }  # fmt: skip
    return Progress(**{**plain, **changes})


def shown(monkeypatch: pytest.MonkeyPatch, now: Progress) -> tuple[str, list[str]]:
    """The line for a log and the block for a terminal."""
    found: list[tuple[str, list[str]]] = []
    monkeypatch.setattr(screen.Ticker, "show", lambda _, line, block=(): found.append((line, list(block))))
    with View("generate", RECIPE, Path("r"), {}) as view:
        view.retry("request 3: HTTP 500")
        view.progress(now)
    return found[-1]


def test_the_block(monkeypatch: pytest.MonkeyPatch) -> None:
    line, block = shown(monkeypatch, progress(spent=Decimal("0.4123"), expected=Decimal("4.6011")))

    assert line == "kept 40 of 100 (40%), 5 completions, 3,000 tokens, $0.41 spent, about $4.60 in all"
    assert block[1:] == [
        "  speed    beginning",
        "  asked    8 requests, 1 retry, 3 of 16 under way",
        "  answered 5 completions",
        "  tokens   1,000 in, 2,000 out",
        "  refused  not_novel 12, url 8",
        "  money    $0.41 spent, about $4.60 in all",
    ]


def test_what_a_request_that_is_not_answered_holds_up_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    _, block = shown(monkeypatch, progress(kept=0, num_waiting=4, seconds=99.0))

    assert block[1] == "  speed    nothing kept of late"
    assert block[3] == "  answered 5 completions, 4 of them wait for an earlier one"


@pytest.mark.parametrize("spent", [None, Decimal(0)])
def test_no_money_is_shown_where_there_is_none(monkeypatch: pytest.MonkeyPatch, spent: Decimal | None) -> None:
    line, block = shown(monkeypatch, progress(spent=spent, expected=spent))

    assert "$" not in line + "".join(block)


def test_a_request_that_hangs_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    line, block = shown(monkeypatch, progress(oldest_s=75.0))

    assert line.endswith(", the oldest request for 1 min 15 s")
    assert "  asked    8 requests, 1 retry, 3 of 16 under way, the oldest request for 1 min 15 s" in block
    assert "oldest" not in shown(monkeypatch, progress(oldest_s=59.0))[0]


@pytest.mark.parametrize(
    ("words", "command"),
    [
        (["--num", "9", "--max-cost", "1"], "alpaca --num 9 --max-cost 2"),
        (["--max-cost=1", "--num", "9"], "alpaca --max-cost=2 --num 9"),
        (["--num", "9"], "alpaca --num 9 --max-cost 2"),
        (["--out", "a b", "--set", "x={k: sk-12345678}"], "alpaca --out 'a b' --set 'x={k: $KEY}' --max-cost 2"),
        (["--out", "sk"], "alpaca --out sk --max-cost 2"),
    ],
)
def test_the_command_with_another_limit(monkeypatch: pytest.MonkeyPatch, words: list[str], command: str) -> None:
    monkeypatch.setattr("sys.argv", ["alpaca", *words])

    assert command_line({"sk-12345678": "KEY", "sk": "SHORT"}, {"--max-cost": "2"}) == command


def test_what_takes_long_at_the_beginning_and_the_end_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[str] = []
    monkeypatch.setattr(screen.Ticker, "show", lambda _, line: found.append(line))
    with View("generate", RECIPE, Path("r"), {}) as view:
        view.replaying(2000, 5765)
        view.comparing(2560, 52000)

    assert found == [
        "reading the journal: 2,000 of 5,765 completions",
        "comparing each example with all before it: 2,560 of 52,000 examples",
    ]

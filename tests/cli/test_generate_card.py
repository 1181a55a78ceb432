"""The card and the report's part `run`, from argv to files."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from conftest import Outcome
from scripted_server import Answer, chat, serving, tasks

Alpaca = Callable[..., Outcome]
KEY = "sk-canary-0123456789"


def answer(number: int, body: dict[str, Any]) -> Answer:
    """Three tasks that depend on the prompt alone, from a model that names itself more exactly."""
    key = sum(body["messages"][0]["content"].encode()) % 100_003
    texts = [f"Describe w{key * 3 + part}x z{key * 5 + part}y q{key * 7 + part}z please." for part in range(3)]
    made = chat(tasks(*texts), usage={"prompt_tokens": 100, "completion_tokens": 200, "total_tokens": 300})
    return Answer(body={**made.body, "model": "m-2026-01-02"})


def told(folder: str = "r") -> dict[str, Any]:
    found: dict[str, Any] = json.loads(Path(folder, "report.json").read_text())["run"]
    return found


def test_a_run_tells_what_it_was(alpaca: Alpaca, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with serving(answer) as seen:
        command = ["generate", "--num", 9, "--base-url", seen.base_url, "--model", "m", "--out", "r"]
        run = alpaca(*command, "--price-in", 1, "--price-out", 2, "--license", "cc-by-4.0", "--json")

    line = f"alpaca generate --num 9 --base-url {seen.base_url} --model m --out r --price-in 1 --price-out 2"
    found = told()
    journal = [json.loads(row) for row in Path("r/journal.jsonl").read_text().splitlines()]
    card = Path("r/README.md").read_text("utf-8")
    assert found == {
        "command": f"{line} --license cc-by-4.0 --json",
        "recipe": "generate",
        "alpaca": found["alpaca"],
        "first_asked": min(row["started"] for row in journal),
        "last_asked": max(row["started"] for row in journal),
        "models": {"m-2026-01-02": 3},
        "base_urls": [seen.base_url],
        "requests": 3,
        "spent": "0.0015",
        "unknown": "0",
        "prices": [{"input": "1", "cached_input": "1", "output": "2", "date": None, "source": "given by the user"}],
        "license": "cc-by-4.0",
    }
    assert run.json["run"] == found
    assert yaml.safe_load(card.split("---\n")[1])["license"] == "cc-by-4.0"
    assert f"```sh\n{found['command']}\n```" in card
    assert "| teacher | `m-2026-01-02` (3 answers) |" in card
    assert "| cost | 0.0015 USD; at 1 in and 2 out per 1,000,000 tokens (given by the user) |" in card
    assert [path.name for path in Path("r").iterdir() if KEY.encode() in path.read_bytes()] == []
    assert KEY not in run.out + run.err


def test_a_complete_run_takes_a_licence_without_asking_anything(alpaca: Alpaca) -> None:
    with serving(answer) as seen:
        command = ["generate", "--num", 9, "--base-url", seen.base_url, "--model", "m", "--out", "r"]
        first = alpaca(*command)
        before = {path.name: path.read_bytes() for path in Path("r").iterdir()}
        asked = len(seen.requests)
        again = alpaca(*command, "--license", "cc-by-4.0")

    after = {path.name: path.read_bytes() for path in Path("r").iterdir()}
    assert len(seen.requests) == asked
    assert "no licence stated: add --license ID (for example cc-by-nc-4.0) and run again" in first.err
    assert "no licence stated" not in again.err
    assert {name for name in after if after[name] != before[name]} == {
        "README.md",
        "report.json",
        "recipe.resolved.yaml",
    }
    assert b"license: cc-by-4.0\n" in after["README.md"]
    assert b"license: cc-by-4.0\n" in after["recipe.resolved.yaml"]
    assert told()["license"] == "cc-by-4.0"


def test_a_card_that_was_taken_away_comes_back_and_one_that_was_edited_stays(alpaca: Alpaca) -> None:
    command = ["generate", "--num", 20, "--teacher", "rehearsal", "--out", "r"]
    alpaca(*command)
    before = Path("r/README.md").read_bytes()
    Path("r/README.md").unlink()
    alpaca(*command)
    assert Path("r/README.md").read_bytes() == before

    Path("r/README.md").write_text("mine")
    more = alpaca("generate", "--num", 40, "--teacher", "rehearsal", "--out", "r")
    assert "README.md was edited and is left as it is; the card as of now is in r/README.generated.md" in more.err
    assert Path("r/README.md").read_text() == "mine"
    assert "\n40 examples of" in Path("r/README.generated.md").read_text()


def test_a_run_that_stopped_has_a_card_that_says_so(alpaca: Alpaca) -> None:
    with serving(answer) as seen:
        command = ["generate", "--num", 30, "--base-url", seen.base_url, "--model", "m", "--out", "r"]
        stopped = alpaca(*command, "--max-requests", 2)

    assert stopped.code == 7
    assert "It is not complete: 6 of the 30 examples that were asked for." in Path("r/README.md").read_text()


def test_the_report_is_a_function_of_the_journal_but_for_its_part_run(alpaca: Alpaca) -> None:
    texts = []
    for out in ("a", "b"):
        with serving(answer) as seen:
            alpaca("generate", "--num", 9, "--base-url", seen.base_url, "--model", "m", "--out", out)
        texts.append(Path(out, "report.json").read_text())

    assert texts[0] != texts[1]
    assert texts[0].partition('"run": {')[0] == texts[1].partition('"run": {')[0]


def test_a_price_that_is_not_known_is_null_in_the_report(alpaca: Alpaca) -> None:
    with serving(answer) as seen:
        alpaca("generate", "--num", 3, "--base-url", seen.base_url, "--model", "m", "--out", "r")

    assert (told()["spent"], told()["unknown"], told()["prices"]) == (None, None, [])
    assert "| cost | not known: no price was given |" in Path("r/README.md").read_text()

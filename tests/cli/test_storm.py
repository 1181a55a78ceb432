"""`alpaca generate` in bad weather: every fault of the rehearsal teacher, over real HTTP, below a cap on its cost."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from alpaca_cli.generate import trouble
from alpaca_cli.rehearsal.faults import FATAL, PASSING
from alpaca_cli.rehearsal.server import RehearsalServer
from alpaca_cli.rehearsal.storm import Storm, storm_of
from conftest import Outcome
from scripted_server import Answer, by_seeds, chat, error, serving, tasks

Alpaca = Callable[..., Outcome]
CANARY = "sk-canary-4f1d6c0e8b7a"
DERIVED = ("alpaca_data.json", "provenance.jsonl", "refused.jsonl")
PRICED = ("--price-in", "0.10", "--price-out", "0.50")


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trouble, "FIRST_PAUSE_S", 0.02)
    monkeypatch.setenv("OPENAI_API_KEY", CANARY)


def lines(path: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(path).read_text().splitlines()]


def against(base_url: str, *more: object, out: str = "r") -> list[object]:
    return ["generate", "--base-url", base_url, "--model", "rehearsal", "--out", out, *more]


def leaks(folder: str, run: Outcome) -> list[str]:
    """Where the key can be read in what a run wrote."""
    found = [str(path) for path in Path(folder).rglob("*") if path.is_file() and CANARY.encode() in path.read_bytes()]
    return found + [name for name, text in (("stdout", run.out), ("stderr", run.err)) if CANARY in text]


def test_in_a_storm_a_run_ends_with_exactly_num_examples_below_its_cap(alpaca: Alpaca) -> None:
    storm = storm_of(0.3).model_copy(update={"slow_s": 0.1, "hang_s": 3.0})
    with RehearsalServer(storm=storm) as server:
        run = alpaca(*against(server.base_url, "--num", 400, *PRICED, "--max-cost", 1, "--set", "teacher.timeout_s=1"))
        books = server.books
        charged = books.total.cost(Decimal("0.10"), Decimal("0.50"))
        asked = server.num_requests
        calm = {name: (Path("r") / name).read_bytes() for name in DERIVED}
        for name in (*DERIVED, "report.json"):
            (Path("r") / name).unlink()
        again = alpaca(*against(server.base_url, "--num", 400, *PRICED, "--set", "teacher.timeout_s=1"))

        assert server.num_requests == asked  # made again from the journal alone

    assert (run.code, again.code) == (0, 0)
    assert len(json.loads(calm["alpaca_data.json"])) == 400
    assert {name: (Path("r") / name).read_bytes() for name in DERIVED} == calm
    journal = lines("r/journal.jsonl")
    assert len({row["k"] for row in journal}) == len(journal)
    assert sum(1 for row in lines("r/ledger.jsonl") if "most" in row) == sum(books.requests.values())
    costs = {row["ticket"]: Decimal(row["most"]) for row in lines("r/ledger.jsonl") if "most" in row}
    costs |= {row["ticket"]: Decimal(row["cost"]) for row in lines("r/ledger.jsonl") if row.get("cost") is not None}
    assert charged <= sum(costs.values()) <= 1
    assert leaks("r", run) == []


@pytest.mark.parametrize("fault", [*PASSING, "context_length"])
def test_a_run_lives_through_any_passing_fault(alpaca: Alpaca, fault: str) -> None:
    script = ("ok", *[fault, "ok"] * 3)
    storm = Storm(script=script, slow_s=0.05, hang_s=2.0)
    with RehearsalServer(storm=storm) as server:
        run = alpaca(*against(server.base_url, "--num", 120, "--set", "teacher.timeout_s=1"))
        met = server.books.faults[fault]

    assert run.code == 0, run.err
    assert "Traceback" not in run.err
    assert len(json.loads(Path("r/alpaca_data.json").read_text())) == 120
    assert met >= 1
    assert leaks("r", run) == []


@pytest.mark.parametrize("fault", FATAL)
@pytest.mark.parametrize("before", [0, 3], ids=["at once", "in the middle"])
def test_a_fatal_fault_is_one_line_and_what_was_paid_is_kept(alpaca: Alpaca, fault: str, before: int) -> None:
    with RehearsalServer(storm=Storm(script=("ok",) * before + (fault,) * 100)) as server:
        run = alpaca(*against(server.base_url, "--num", 300))
        delivered = sum(server.books.delivered.values())
        server.storm = Storm()
        again = alpaca(*against(server.base_url, "--num", 300))
        most = max(server.books.delivered.values())

    errors = [line for line in run.err.splitlines() if line.startswith("error:")]
    assert (run.code, len(errors)) == (4, 1), run.err
    assert "Traceback" not in run.err
    assert delivered == before
    assert leaks("r", run) == []
    assert again.code == 0
    assert most == 1  # no answer was asked for twice


def test_a_pause_that_the_server_asks_for_is_kept(alpaca: Alpaca) -> None:
    at: list[float] = []

    def script(number: int, body: dict[str, Any]) -> Answer:
        at.append(time.monotonic())
        return error(429, "slow down", retry_after="1.2") if number == 1 else by_seeds(number, body)

    with serving(script) as seen:
        run = alpaca("generate", "--num", 6, "--base-url", seen.base_url, "--model", "m", "--out", "r")

    assert run.code == 0
    after = [when for when in at if when > at[1]]
    assert min(after) - at[1] >= 1.15  # no earlier: that is no matter of the machine's speed


def test_a_server_that_asks_to_wait_for_a_day_is_not_waited_for(alpaca: Alpaca) -> None:
    with serving(lambda number, body: error(429, "come back tomorrow", retry_after="86400")) as seen:
        run = alpaca("generate", "--num", 6, "--base-url", seen.base_url, "--model", "m", "--out", "r")

    assert run.code == 4
    assert "told to wait 1,440 minutes" in run.err


def test_a_server_that_stops_answering_ends_the_run_and_the_same_command_goes_on(alpaca: Alpaca) -> None:
    with RehearsalServer(storm=Storm(script=("ok",) * 4 + ("error_500",) * 3000)) as server:
        command = against(server.base_url, "--num", 200, "--set", "breaker_s=0.5", "--set", "teacher.max_tries=100")
        run = alpaca(*command)
        kept = len(lines("r/journal.jsonl"))
        server.storm = Storm()
        again = alpaca(*command)
        most = max(server.books.delivered.values())

    assert (run.code, kept) == (4, 4)
    assert "without an answer; last: HTTP 500" in run.err
    assert again.code == 0
    assert most == 1


def test_a_request_that_is_never_answered_is_left_aside_and_not_asked_again(alpaca: Alpaca) -> None:
    poison: list[str] = []

    def script(number: int, body: dict[str, Any]) -> Answer:
        prompt = body["messages"][0]["content"]
        if number == 2 or prompt in poison:
            poison.append(prompt)
            return error(500, "this one breaks me")
        return by_seeds(number, body)

    with serving(script) as seen:
        command = ["generate", "--base-url", seen.base_url, "--model", "m", "--out", "r", "--num"]
        run = alpaca(*command, 60)
        more = alpaca(*command, 90)

    left = [row for row in lines("r/journal.jsonl") if row["finish_reason"] == "given_up"]
    assert (run.code, more.code, len(left), len(poison)) == (0, 0, 1, 6)
    assert left[0]["tries"] == 6
    assert "left aside after 6 times; last: HTTP 500: this one breaks me" in run.err


def test_a_first_request_that_is_never_answered_does_not_block_the_run(alpaca: Alpaca) -> None:
    first: list[str] = []

    def script(number: int, body: dict[str, Any]) -> Answer:
        prompt = body["messages"][0]["content"]
        first.append(prompt)
        return error(500, "this one breaks me") if prompt == first[0] else by_seeds(number, body)

    with serving(script) as seen:
        run = alpaca("generate", "--base-url", seen.base_url, "--model", "m", "--out", "r", "--num", 20)

    assert run.code == 0
    assert first.count(first[0]) == 6


def test_a_bad_request_in_the_middle_of_a_run_is_one_requests_affair(alpaca: Alpaca) -> None:
    def script(number: int, body: dict[str, Any]) -> Answer:
        return error(400, "I do not like it") if number == 2 else by_seeds(number, body)

    with serving(script) as seen:
        run = alpaca("generate", "--base-url", seen.base_url, "--model", "m", "--out", "r", "--num", 20)

    assert run.code == 0


def test_a_model_with_a_short_context_is_shown_fewer_seed_tasks(alpaca: Alpaca) -> None:
    with RehearsalServer(storm=Storm(context_tokens=1100)) as server:
        command = against(server.base_url, "--num", 30, "--set", "teacher.max_tokens=1000")
        run = alpaca(*command)
        again = alpaca(*against(server.base_url, "--num", 60, "--set", "teacher.max_tokens=1000"))

    assert (run.code, again.code) == (0, 0)
    assert "the model's context is too short: asking for" in run.err
    assert any(row.get("max_tokens", 1000) < 1000 for row in lines("r/journal.jsonl"))


def test_a_context_too_short_for_three_seed_tasks_does_with_fewer(alpaca: Alpaca) -> None:
    def script(number: int, body: dict[str, Any]) -> Answer:
        prompt = body["messages"][0]["content"]
        shown = prompt.count(". Output:")
        length = 300 + 300 * shown
        if length + body["max_tokens"] > 1000:
            words = f"maximum context length is 1000 tokens, you asked for {length} in the messages"
            return error(400, words, code="context_length_exceeded")
        return chat(tasks(f"Name {number} birds of the {len(prompt)} kind there are, please.", first=shown + 1))

    with serving(script) as seen:
        command = ["generate", "--base-url", seen.base_url, "--model", "m", "--out", "r", "--num"]
        run = alpaca(*command, 3, "--set", "novelty.threshold=1")
        more = alpaca(*command, 5, "--set", "novelty.threshold=1")

    assert (run.code, more.code) == (0, 0), run.err
    assert {len(row["seed_ids"]) for row in lines("r/journal.jsonl")} == {1}
    assert "asking with one seed task less" in run.err


def test_the_key_is_in_nothing_that_a_run_writes_whatever_the_server_repeats(alpaca: Alpaca) -> None:
    """A server that puts the key into errors, pages, answers and headers."""

    def script(number: int, body: dict[str, Any]) -> Answer:
        good = by_seeds(number, body)
        echoes = [
            error(500, f"key {CANARY} failed me"),
            Answer(200, f"<html>{'x' * 60} {CANARY} {CANARY}</html>".encode()),
            error(429, f"{CANARY}: slow down"),
            Answer(200, {"choices": [{"message": {"content": [CANARY]}}]}),
            chat(tasks(f"Say {CANARY} with {number} words of your own."), usage={"prompt_tokens": 1}),
            Answer(200, {**good.body, "model": CANARY, "id": CANARY}, {"x-request-id": CANARY}),
        ]
        return echoes[number % 7] if number % 7 < 6 else error(401, f"wrong key {CANARY}") if number > 20 else good

    with serving(script) as seen:
        run = alpaca("generate", "--base-url", seen.base_url, "--model", "m", "--out", "r", "--num", 500)

    assert run.code == 4
    assert "wrong key ***" in run.err
    assert leaks("r", run) == []


def test_a_request_that_a_server_will_not_take_does_not_block_a_run_that_is_taken_up(alpaca: Alpaca) -> None:
    refused: list[str] = []

    def script(number: int, body: dict[str, Any]) -> Answer:
        prompt = body["messages"][0]["content"]
        if number == 4:
            refused.append(prompt)
        return error(400, "I do not like it") if prompt in refused else by_seeds(number, body)

    with serving(script) as seen:
        command = ["generate", "--base-url", seen.base_url, "--model", "m", "--out", "r", "--num"]
        first = alpaca(*command, 12)
        more = alpaca(*command, 24)

    assert (first.code, more.code) == (0, 0), more.err


@pytest.mark.parametrize("reset", ["24h", "1790000000", "9" * 400])
def test_headers_that_make_no_sense_do_not_stop_a_run_for_ever(alpaca: Alpaca, reset: str) -> None:
    headers = {
        "x-ratelimit-limit-requests": "6000",
        "x-ratelimit-remaining-requests": "5000",
        "x-ratelimit-reset-requests": reset,
    }

    def script(number: int, body: dict[str, Any]) -> Answer:
        return Answer(200, by_seeds(number, body).body, headers)

    with serving(script) as seen:
        run = alpaca("generate", "--base-url", seen.base_url, "--model", "m", "--out", "r", "--num", 12)

    assert run.code == 0


def test_nothing_is_asked_where_paid_answers_could_not_be_kept(alpaca: Alpaca, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.posix_fallocate", full)
    with serving(by_seeds) as seen:
        run = alpaca("generate", "--base-url", seen.base_url, "--model", "m", "--out", "r", "--num", 12)
        asked = len(seen.requests)

    assert (run.code, asked) == (2, 0)
    assert "cannot keep 1,048,576 bytes free for answers that are paid and under way: the disk is full" in run.err

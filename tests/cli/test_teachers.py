"""Several teachers at once: shares by weight, and a run that goes on when one of them is gone."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from alpaca_cli.generate import trouble
from alpaca_cli.generate.asks import Ask
from alpaca_cli.generate.prompt import Request
from alpaca_cli.generate.server import Server, choose
from alpaca_cli.generate.teacher import Teacher
from alpaca_cli.generate.throttle import Throttle
from alpaca_cli.recipe.generate import TeacherSettings
from alpaca_cli.rehearsal.server import RehearsalServer
from alpaca_cli.rehearsal.storm import Storm
from conftest import ROOT, Outcome
from scripted_server import by_seeds, serving

Alpaca = Callable[..., Outcome]


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trouble, "FIRST_PAUSE_S", 0.02)


def recipe(*servers: str, more: str = "") -> Path:
    text = (ROOT / "recipes/generate.yaml").read_text(encoding="utf-8")
    listed = "".join(f"  - {{{server}}}\n" for server in servers)
    path = Path("teachers.yaml")
    path.write_text(text.replace("gpt-6-luna", "rehearsal") + f"teachers:\n{listed}{more}", encoding="utf-8")
    return path


def test_servers_share_the_requests_by_their_weights(alpaca: Alpaca) -> None:
    with RehearsalServer(latency_s=0.02) as one, RehearsalServer(latency_s=0.02) as other:
        path = recipe(f"base_url: {one.base_url}, weight: 3", f"base_url: {other.base_url}, concurrency: 2")
        run = alpaca("generate", "--recipe", path, "--num", 500, "--out", "r")
        counts = (one.num_requests, other.num_requests)

    asked = [json.loads(line)["base_url"] for line in Path("r/journal.jsonl").read_text().splitlines()]
    assert run.code == 0
    assert (asked.count(one.base_url), asked.count(other.base_url)) == counts
    assert counts[0] > counts[1] > 0


def test_which_server_answers_changes_nothing(alpaca: Alpaca) -> None:
    with RehearsalServer() as one, RehearsalServer() as other:
        path = recipe(f"base_url: {one.base_url}", f"base_url: {other.base_url}")
        alpaca("generate", "--recipe", path, "--num", 120, "--out", "two")
    alpaca("generate", "--teacher", "rehearsal", "--num", 120, "--out", "one")

    assert Path("two/alpaca_data.json").read_bytes() == Path("one/alpaca_data.json").read_bytes()


def test_a_server_that_is_gone_is_done_without(alpaca: Alpaca) -> None:
    with RehearsalServer() as gone:
        dead = gone.base_url
    with RehearsalServer(latency_s=0.01) as server:
        path = recipe(f"base_url: {dead}", f"base_url: {server.base_url}")
        run = alpaca("generate", "--recipe", path, "--num", 300, "--out", "r")

    reasons = [json.loads(line)["finish_reason"] for line in Path("r/journal.jsonl").read_text().splitlines()]
    assert run.code == 0
    assert "given_up" not in reasons


def test_a_server_that_refuses_for_good_is_told_and_done_without(alpaca: Alpaca) -> None:
    with RehearsalServer() as good, RehearsalServer(storm=Storm(script=("wrong_key",) * 50)) as bad:
        path = recipe(f"base_url: {bad.base_url}", f"base_url: {good.base_url}")
        run = alpaca("generate", "--recipe", path, "--num", 100, "--out", "r")
        asked = bad.books.requests["/v1/chat/completions", "401"]

    assert run.code == 0
    assert asked == 1
    assert "Incorrect API key provided. (invalid_api_key); going on with the other servers" in run.err


def test_when_the_last_server_is_lost_the_run_ends(alpaca: Alpaca) -> None:
    no_key, no_money = Storm(script=("wrong_key",) * 50), Storm(script=("ok", "ok", *["insufficient_quota"] * 50))
    with RehearsalServer(storm=no_key) as bad, RehearsalServer(storm=no_money) as empty:
        path = recipe(f"base_url: {bad.base_url}", f"base_url: {empty.base_url}")
        run = alpaca("generate", "--recipe", path, "--num", 300, "--out", "r")

    assert run.code == 4
    assert "You exceeded your current quota" in run.err


def test_each_server_has_its_own_model_key_and_price(alpaca: Alpaca, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOX_KEY", "sk-of-the-box-0123456789")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-everything-else-01")
    with serving(by_seeds) as one, serving(by_seeds) as other:
        path = recipe(
            f"base_url: {one.base_url}, model: a, api_key_env: BOX_KEY, price: {{input: 1, output: 2}}",
            f"base_url: {other.base_url}, price: {{input: 0, output: 0}}",
            more="max_cost: 5\n",
        )
        run = alpaca("generate", "--recipe", path, "--num", 40, "--out", "r")

    assert run.code == 0, run.err
    assert {body["model"] for body in one.requests} == {"a"}
    assert {body["model"] for body in other.requests} == {"rehearsal"}
    assert {each["authorization"] for each in one.headers} == {"Bearer sk-of-the-box-0123456789"}
    assert {each["authorization"] for each in other.headers} == {"Bearer sk-of-everything-else-01"}


def test_the_rehearsal_teacher_is_one(alpaca: Alpaca) -> None:
    path = recipe("base_url: http://127.0.0.1:9/v1")
    run = alpaca("generate", "--recipe", path, "--teacher", "rehearsal", "--num", 3, "--out", "r")

    assert run.code == 2
    assert "teachers: the rehearsal teacher is one, built in" in run.err


def test_a_dead_server_does_not_end_a_run_whose_other_server_is_slow(alpaca: Alpaca) -> None:
    with RehearsalServer() as gone:
        dead = gone.base_url
    with RehearsalServer(latency_s=2.5) as slow:
        path = recipe(f"base_url: {dead}", f"base_url: {slow.base_url}")
        run = alpaca("generate", "--recipe", path, "--num", 10, "--out", "r", "--set", "teacher.max_tries=2")

    assert run.code == 0, run.err
    assert "going on with the other servers" in run.err


def test_a_request_that_failed_goes_to_another_server_first() -> None:
    servers = [Server(Teacher(TeacherSettings(model="m"), base_url=url, api_key="k"), Throttle(8)) for url in "ab"]
    for server in servers:
        server.is_proven = True
    each = Ask(Request(0, (), "text", 1), failed_by=servers[0])
    servers[1].num_sent = 100

    assert choose(servers, each, 0.0) == (servers[1], 0.0)
    each.failed_by = None
    assert choose(servers, each, 0.0) == (servers[0], 0.0)

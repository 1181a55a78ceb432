"""`alpaca generate --dry-run`, and the money that a run shows."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from conftest import Outcome
from scripted_server import Answer, chat, error, serving, tasks

Alpaca = Callable[..., Outcome]
PRICED = ["--price-in", 1, "--price-out", 2]
NUMBERS = ["num_requests", "prompt_tokens", "completion_tokens"]


def answer(number: int, body: dict[str, Any]) -> Answer:
    """Three tasks that depend on the prompt alone, at 100 tokens in and 200 out."""
    key = sum(body["messages"][0]["content"].encode()) % 100_003
    texts = [f"Describe w{key * 3 + part}x z{key * 5 + part}y q{key * 7 + part}z please." for part in range(3)]
    return chat(tasks(*texts), usage={"prompt_tokens": 100, "completion_tokens": 200, "total_tokens": 300})


def tree() -> dict[Path, tuple[bytes, int]]:
    return {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in Path().rglob("*") if path.is_file()}


# --- before a run -------------------------------------------------------------------------------------------------


def test_a_plan_needs_no_key_and_writes_nothing(alpaca: Alpaca) -> None:
    run = alpaca("generate", "--num", 52000, "--dry-run", "--out", "r")

    assert (run.code, run.err) == (0, "")
    assert "the plan: 52,000 examples from gpt-6-luna at https://api.openai.com/v1, into r\n" in run.out
    assert "kept      0 of 52,000 already" in run.out
    assert "requests  about 4,700\n" in run.out  # 52,000 / (0.65 * 17)
    assert "8.4M out" in run.out  # 4,706 * 17 * 105
    assert "of 20" in run.out  # the day of the price table
    assert "https://developers.openai.com/" in run.out
    assert "assumed" in run.out
    assert list(Path().iterdir()) == []


def test_a_plan_shows_the_whole_prompt_that_is_sent_first(alpaca: Alpaca) -> None:
    with serving(answer) as seen:
        command = ["generate", "--num", 3, "--base-url", seen.base_url, "--model", "m", "--out", "r"]
        plain = alpaca(*command, "--dry-run")
        as_json = alpaca(*command, "--dry-run", "--json")
        assert seen.requests == []
        assert not Path("r").exists()
        alpaca(*command)

    sent = seen.requests[0]["messages"][0]["content"]
    assert plain.out.startswith(f"the prompt of request 0, as it is sent:\n\n{sent}\n\nthe plan: 3 examples from m at ")
    assert as_json.json["prompt"] == sent


def test_the_numbers_of_a_plan(alpaca: Alpaca) -> None:
    command = ["generate", "--num", 1000, "--base-url", "http://localhost:1/v1", "--model", "m", "--dry-run", "--json"]
    plan = alpaca(*command, *PRICED, "--set", "teacher.price.batch_factor=0.5").json

    assert {key: plan[key] for key in ("num", "kept", "num_completions", "concurrency", "is_observed")} == {
        "num": 1000, "kept": 0, "num_completions": 0, "concurrency": 64, "is_observed": False,
    }  # fmt: skip
    assert plan["num_requests"] == 91
    assert plan["completion_tokens"] == 91 * 17 * 105
    assert plan["seconds"] == pytest.approx(2 * 17.85)  # two rounds of 64 answers of 1,785 tokens
    assert float(plan["cost"]) == pytest.approx((plan["prompt_tokens"] * 1 + plan["completion_tokens"] * 2) / 1e6)
    assert float(plan["costs"]["batch"]) == pytest.approx(float(plan["cost"]) / 2)
    assert plan["prices"] == [{"input": "1", "output": "2", "date": None, "source": "given by the user"}]
    assert list(Path().iterdir()) == []


def test_an_unknown_price_is_told_with_the_way_to_give_one(alpaca: Alpaca) -> None:
    command = ["generate", "--num", 9, "--base-url", "http://localhost:1/v1", "--model", "m", "--dry-run"]
    plain, as_json = alpaca(*command), alpaca(*command, "--json")

    assert plain.code == 0
    assert "cost      not known: give --price-in and --price-out, in USD per 1,000,000 tokens" in plain.out
    assert (as_json.json["cost"], as_json.json["costs"], as_json.json["prices"]) == (None, {}, [])


def test_a_plan_says_what_a_cap_buys(alpaca: Alpaca) -> None:
    command = ["generate", "--num", 1000, "--base-url", "http://localhost:1/v1", "--model", "m", *PRICED, "--dry-run"]
    cost = float(alpaca(*command, "--json").json["cost"])
    poor = alpaca(*command, "--max-cost", 0.1)
    found = alpaca(*command, "--max-cost", 0.1, "--json").json
    rich = alpaca(*command, "--max-cost", 1)

    room = 0.1 - float(found["most"])
    assert found["num_affordable"] == int(room * 1000 / cost)
    assert f"$0.1, likely not enough: it buys about {found['num_affordable']} examples in all" in poor.out
    assert "$1.0, likely enough" in rich.out


def test_a_plan_with_a_cap_that_could_not_be_kept_fails_as_the_run_would(alpaca: Alpaca) -> None:
    command = ["generate", "--num", 9, "--base-url", "http://localhost:1/v1", "--model", "m", "--max-cost", 1]
    planned, run = alpaca(*command, "--dry-run"), alpaca(*command)

    assert (planned.code, run.code) == (2, 2)
    assert planned.err == run.err
    assert "no price is known for m at http://localhost:1/v1, so --max-cost cannot be kept" in planned.err
    assert not Path("runs").exists()


def test_a_plan_warns_of_a_model_that_is_gone(alpaca: Alpaca) -> None:
    run = alpaca("generate", "--num", 9, "--model", "gpt-4.1-nano", "--dry-run")

    assert run.code == 0
    assert "note: gpt-4.1-nano was retired on 2026-10-23" in run.err


def test_a_plan_of_the_rehearsal_costs_nothing(alpaca: Alpaca) -> None:
    run = alpaca("generate", "--num", 9, "--teacher", "rehearsal", "--dry-run")

    assert "cost      about $0\n" in run.out
    assert list(Path().iterdir()) == []


# --- of a run that was begun --------------------------------------------------------------------------------------


def test_a_plan_of_a_begun_run_goes_by_what_it_has_seen_and_changes_no_byte(alpaca: Alpaca) -> None:
    with serving(answer) as seen:
        command = ["generate", "--base-url", seen.base_url, "--model", "m", "--out", "r", *PRICED, "--num"]
        alpaca(*command, 9)
    with Path("r/journal.jsonl").open("a") as journal:
        journal.write('{"k": 99, "seed_')  # another process is writing, or was killed
    before = tree()
    plan = alpaca(*command, 30, "--dry-run", "--json")

    assert tree() == before
    assert (plan.json["kept"], plan.json["is_observed"], plan.json["num_completions"]) == (9, True, 3)
    assert [plan.json[key] for key in NUMBERS] == [7, 700, 1400]
    assert plan.json["cost"] == "0.0035"
    assert float(plan.json["spent"]) == pytest.approx(3 * 0.0005)


def test_tokens_that_the_server_did_not_count_are_estimated_for_the_plan(alpaca: Alpaca) -> None:
    def uncounted(number: int, body: dict[str, Any]) -> Answer:
        made = answer(number, body)
        return Answer(body={**made.body, "usage": None})

    with serving(uncounted) as seen:
        command = ["generate", "--base-url", seen.base_url, "--model", "m", "--out", "r", "--num"]
        alpaca(*command, 3)
        plan = alpaca(*command, 6, "--dry-run", "--json").json

    report = json.loads(Path("r/report.json").read_text())
    prompt = seen.requests[0]["messages"][0]["content"]
    assert report["tokens"] == {
        "prompt": 0, "completion": 0,
        "estimated": {"prompt": round(len(prompt) / 4), "completion": plan["completion_tokens"]},
    }  # fmt: skip
    assert (plan["num_requests"], plan["prompt_tokens"]) == (1, round(len(prompt) / 4))


def test_a_plan_tells_that_the_server_has_moved(alpaca: Alpaca) -> None:
    with serving(answer) as seen:
        alpaca("generate", "--num", 3, "--base-url", seen.base_url, "--model", "m", "--out", "r")
    elsewhere = ["--base-url", "http://localhost:1/v1", "--model", "m", "--out", "r"]
    run = alpaca("generate", "--num", 9, *elsewhere, "--dry-run", "--json")

    assert run.json["warnings"] == [f"the teacher was at {seen.base_url}, and is at http://localhost:1/v1 now"]
    assert f"note: {run.json['warnings'][0]}\n" in run.err


def test_a_plan_refuses_a_folder_that_the_run_would_refuse(alpaca: Alpaca) -> None:
    with serving(answer) as seen:
        command = ["generate", "--num", 3, "--base-url", seen.base_url, "--model", "m", "--out", "r"]
        alpaca(*command)
        before = tree()
        other = alpaca(*command, "--dry-run", "--set", "novelty.threshold=0.5")
    Path("file").touch()
    Path("mine").mkdir()
    Path("mine/notes").touch()
    at = ["generate", "--num", 3, "--teacher", "rehearsal", "--dry-run", "--out"]

    assert (other.code, other.out) == (2, "")
    assert "novelty.threshold: 0.7 there, 0.5 now" in other.err
    assert {path: value for path, value in tree().items() if path in before} == before
    assert "file: expected a folder, found a file" in alpaca(*at, "file").err
    assert "mine: not a run folder: it holds notes" in alpaca(*at, "mine").err


def test_a_damaged_journal_is_told_by_the_plan(alpaca: Alpaca) -> None:
    with serving(answer) as seen:
        command = ["generate", "--num", 9, "--base-url", seen.base_url, "--model", "m", "--out", "r"]
        alpaca(*command)
    lines = Path("r/journal.jsonl").read_text().splitlines(keepends=True)
    Path("r/journal.jsonl").write_text("".join(["torn\n", *lines]))
    run = alpaca(*command, "--dry-run")

    assert run.code == 5
    assert "r/journal.jsonl:1: not a completion" in run.err


# --- money while it runs ------------------------------------------------------------------------------------------


def test_a_run_begins_with_its_price_and_ends_with_what_it_spent(alpaca: Alpaca) -> None:
    with serving(answer) as seen:
        command = ["generate", "--num", 9, "--base-url", seen.base_url, "--model", "m", "--out", "r"]
        run = alpaca(*command, *PRICED)

    assert run.err.splitlines()[1] == (
        "about 1 request, 750 tokens in, 1,800 out, about $0.0043 (prices given by the user); no --max-cost set"
    )
    assert "asked     3 completions, all now; 3 requests in all" in run.err
    assert "spent     $0.0015\n" in run.err
    assert "no licence stated: add --license ID" in run.err


def test_no_cap_is_not_told_where_there_is_one_or_nothing_to_pay(alpaca: Alpaca) -> None:
    with serving(answer) as seen:
        command = ["generate", "--num", 3, "--base-url", seen.base_url, "--model", "m", "--out"]
        capped = alpaca(*command, "a", *PRICED, "--max-cost", 1)
        free = alpaca(*command, "b", "--price-in", 0, "--price-out", 0)
        unknown = alpaca(*command, "c")
    rehearsal = alpaca("generate", "--num", 3, "--teacher", "rehearsal", "--out", "d")

    assert "(prices given by the user)\n" in capped.err
    assert "about $0 (prices given by the user)\n" in free.err
    assert "spent" not in free.err
    assert "no price is known, give --price-in and --price-out to see the cost\n" in unknown.err
    assert "no --max-cost" not in capped.err + free.err + unknown.err + rehearsal.err
    assert "requests," not in rehearsal.err
    assert "licence" not in rehearsal.err


def test_what_no_server_counted_is_told_as_unknown(alpaca: Alpaca) -> None:
    def uncounted(number: int, body: dict[str, Any]) -> Answer:
        return Answer(body={**answer(number, body).body, "usage": None})

    with serving(uncounted) as seen:
        command = ["generate", "--num", 3, "--base-url", seen.base_url, "--model", "m", "--out", "r"]
        run = alpaca(*command, *PRICED)

    told = json.loads(Path("r/report.json").read_text())["run"]
    assert told["spent"] == told["unknown"] != "0"
    assert "unknown and counted at their worst" in run.err


@pytest.mark.parametrize("limit", [["--max-cost", "0.0095"], ["--max-requests", "3"], ["--max-cost=0.0095"]])
def test_a_limit_that_ends_a_run_is_told_with_the_command_that_likely_suffices(
    alpaca: Alpaca, limit: list[str]
) -> None:
    with serving(answer) as seen:
        command = ["generate", "--num", 30, "--base-url", seen.base_url, "--model", "m", "--out", "a b", *PRICED]
        stopped = alpaca(*command, *limit, "--set", "teacher.concurrency=1", "--set", "teacher.max_tokens=3000")
        (line,) = [line for line in stopped.err.splitlines() if "; to go on: alpaca " in line]
        words = shlex.split(line.partition("; to go on: alpaca ")[2])
        again = alpaca(*words)

    flag = limit[0].partition("=")[0]
    assert (stopped.code, again.code) == (7, 0)
    assert "examples missing, about $0.00" in line
    assert sum(word.partition("=")[0] == flag for word in words) == 1
    assert len(json.loads(Path("a b/alpaca_data.json").read_text())) == 30


def test_a_limit_of_the_recipe_is_raised_by_a_flag(alpaca: Alpaca) -> None:
    with serving(answer) as seen:
        command = ["generate", "--num", 30, "--base-url", seen.base_url, "--model", "m", "--out", "r", *PRICED]
        stopped = alpaca(*command, "--set", "max_requests=1")

    assert stopped.code == 7
    assert "--set max_requests=1 --max-requests 12" in stopped.err  # 3 of 30 came of one: 9 more, a tenth, and two


def test_a_cap_below_one_request_is_told_with_one_that_suffices(alpaca: Alpaca) -> None:
    with serving(answer) as seen:
        command = ["generate", "--num", 9, "--base-url", seen.base_url, "--model", "m", "--out", "r", *PRICED]
        stopped = alpaca(*command, "--max-cost", 0.001)
        (line,) = [line for line in stopped.err.splitlines() if "; to go on: alpaca " in line]
        assert (stopped.code, seen.requests) == (7, [])
        again = alpaca(*shlex.split(line.partition("; to go on: alpaca ")[2]))

    assert again.code == 0


def test_a_run_that_stops_says_how_to_go_on_without_the_key(alpaca: Alpaca, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-canary-0123456789")

    def script(number: int, body: dict[str, Any]) -> Answer:
        return answer(number, body) if number < 3 else error(401, "revoked")

    with serving(script) as seen:
        command = ["generate", "--num", 60, "--base-url", seen.base_url, "--model", "m", "--out", "r"]
        run = alpaca(*command, "--set", "teacher.extra_body={trace: it's sk-canary-0123456789}")

    assert run.code == 4
    assert f"to go on: alpaca generate --num 60 --base-url {seen.base_url} --model m --out r --set" in run.err
    assert "$OPENAI_API_KEY" in run.err
    assert "sk-canary" not in run.out + run.err
    told = ("README.md", "report.json", "journal.jsonl", "ledger.jsonl", "alpaca_data.json")
    assert [name for name in told if "sk-canary" in Path("r", name).read_text()] == []

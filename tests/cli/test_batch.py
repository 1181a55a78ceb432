"""`alpaca generate --batch`, and batches by file, from argv to files, against the rehearsal's real Batch API."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from decimal import Decimal
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from alpaca_cli.generate.batch import client as client_module
from alpaca_cli.generate.batch import steps as steps_module
from alpaca_cli.rehearsal.server import RehearsalServer
from alpaca_cli.rehearsal.storm import Storm
from conftest import Outcome
from meddling_proxy import Answer, error, meddling

Alpaca = Callable[..., Outcome]
NUM = 66
CANARY = "sk-canary-4f1d6c0e8b7a"
PRICES = ("--price-in", 1, "--price-out", 2)


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps_module, "FIRST_LOOK_S", 0.01)
    monkeypatch.setattr(client_module, "FIRST_PAUSE_S", 0.01)
    monkeypatch.setattr(client_module, "LISTED_AFTER_S", 0.05)


@pytest.fixture
def server() -> Iterator[RehearsalServer]:
    with RehearsalServer(storm=Storm(batch_s=0.05)) as found:
        yield found


@pytest.fixture
def run(alpaca: Alpaca, server: RehearsalServer) -> Alpaca:
    """`alpaca generate` of NUM examples by batches of the rehearsal server, into the folder r."""

    def generate(*more: object, base_url: str = server.base_url, out: str = "r") -> Outcome:
        return alpaca("generate", "--num", NUM, "--base-url", base_url, "--model", "rehearsal", "--out", out, *more)

    return generate


@pytest.fixture
def online(run: Alpaca) -> bytes:
    """The dataset of the same run, asked one by one."""
    assert run(out="online").code == 0
    return Path("online/alpaca_data.json").read_bytes()


def stormy(server: RehearsalServer, **settings: Any) -> None:
    server.storm = Storm(batch_s=0.05, **settings)


def dataset() -> bytes:
    return Path("r/alpaca_data.json").read_bytes()


def rows(path: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(path).read_text().splitlines()]


def spent() -> Decimal:
    return sum((Decimal(row["cost"]) for row in rows("r/ledger.jsonl") if "cost" in row), Decimal(0))


def billed(server: RehearsalServer) -> Decimal:
    return sum((bill.cost(Decimal(1), Decimal(2)) for bill in server.books.batches.values()), Decimal(0))


def steps() -> list[str]:
    return [row["step"] for row in rows("r/batches.jsonl")]


def move_batches(base_url: str, server: RehearsalServer) -> None:
    """As if they had been submitted to the server itself, and not to a proxy in front of it."""
    path = Path("r/batches.jsonl")
    path.write_text(path.read_text().replace(base_url, server.base_url))


def test_batches_make_the_dataset_that_asking_one_by_one_makes(
    run: Alpaca, server: RehearsalServer, online: bytes
) -> None:
    done = run("--batch", *PRICES)

    report = json.loads(Path("r/report.json").read_text())
    assert (done.code, done.out) == (0, "r/alpaca_data.json\n")
    assert dataset() == online
    assert report == {
        **json.loads(Path("online/report.json").read_text()),
        "sha256": report["sha256"],
        "run": report["run"],
    }
    assert len(server.books.batches) == 2
    assert spent() == billed(server) > 0
    assert {row["tier"] for row in rows("r/journal.jsonl")} == {"batch"}
    first = rows("r/batches/001.input.jsonl")[0]
    assert (first["custom_id"][:2], first["method"], first["url"]) == ("0-", "POST", "/v1/chat/completions")
    assert not {"stream", "service_tier"} & first["body"].keys()
    one = ["planned", "uploaded", "submitting", "submitted", "ended", "downloaded", "taken"]
    assert steps() == [*one, *one]


def test_base_models_are_asked_by_batches_too(run: Alpaca, server: RehearsalServer) -> None:
    run("--set", "teacher.api=completions", out="online")
    done = run("--batch", "--set", "teacher.api=completions")

    assert done.code == 0
    assert dataset() == Path("online/alpaca_data.json").read_bytes()
    assert rows("r/batches/001.input.jsonl")[0]["url"] == "/v1/completions"


def test_the_first_batch_asks_as_if_every_task_were_accepted(run: Alpaca) -> None:
    run("--batch")

    assert len(rows("r/batches/001.input.jsonl")) == -(-NUM // 17)


def test_a_complete_run_submits_nothing(run: Alpaca, server: RehearsalServer) -> None:
    run("--batch")
    before = server.num_requests
    again = run("--batch")

    assert (again.code, server.num_requests) == (0, before)


STORMS = {
    "create_500": {"batch_script": ("create_500",)},
    "lost_batch": {"batch_script": ("lost_batch",)},
    "lost_upload": {"upload_script": ("lost_upload",)},
    "token_limit": {"batch_script": ("token_limit",)},
    "expired": {"batch_script": ("expired", "ok", "expired")},
    "cancelled": {"batch_script": ("cancelled",)},
    "late_output": {"batch_script": ("late_output", "late_output")},
    "poll_503": {"batch_script": ("poll_503",)},
    "download_502": {"batch_script": ("download_502", "download_502")},
    "rows": {"row_rates": {"error_500": 0.15, "rate_limit": 0.15}},
    "unsupported": {"unsupported": ("max_tokens",)},
    "context": {"context_tokens": 3500},
}


@pytest.mark.parametrize("name", STORMS)
def test_in_any_storm_the_dataset_is_the_same_and_nothing_is_answered_twice(
    run: Alpaca, server: RehearsalServer, online: bytes, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", CANARY)
    server.books.delivered.clear()
    stormy(server, **STORMS[name])
    done = run("--batch", *PRICES)

    assert done.code == 0, done.err
    assert dataset() == online
    assert set(server.books.delivered.values()) == {1}
    assert spent() == billed(server) > 0
    assert [path for path in Path("r").rglob("*") if path.is_file() and CANARY.encode() in path.read_bytes()] == []
    assert CANARY not in done.out + done.err


def test_a_batch_whose_creation_was_not_told_is_adopted(run: Alpaca, server: RehearsalServer) -> None:
    stormy(server, batch_script=("lost_batch",))
    run("--batch")

    assert server.books.requests["/v1/batches", "none"] == 1
    assert len(server.books.batches) == len([step for step in steps() if step == "submitted"])
    assert steps().count("submitting") == steps().count("submitted")


def test_a_file_whose_upload_was_not_told_is_adopted(run: Alpaca, server: RehearsalServer) -> None:
    stormy(server, upload_script=("lost_upload",))
    run("--batch")

    assert (
        sum(server.books.requests["/v1/files", status] for status in ("200", "none"))
        == len([step for step in steps() if step == "uploaded"]) + 1
    )  # the list that it was found in


def test_too_large_a_batch_is_halved(run: Alpaca) -> None:
    with RehearsalServer(storm=Storm(batch_s=0.05, batch_script=("token_limit", "token_limit"))) as server:
        done = run("--batch", base_url=server.base_url)

    sizes = [row["num_requests"] for row in rows("r/batches.jsonl") if row["step"] == "planned"]
    assert done.code == 0
    assert sizes[:3] == [4, 2, 1]
    assert "token_limit_exceeded" in done.err
    assert "asking 1 requests at once from now on" in done.err


def test_one_request_that_is_too_large_ends_the_run(run: Alpaca, server: RehearsalServer) -> None:
    stormy(server, batch_script=("token_limit",) * 9)
    done = run("--batch")

    assert done.code == 4
    assert "batch 3 failed: Enqueued token limit reached" in done.err


def test_prompts_that_a_filter_refuses_are_not_asked_again(run: Alpaca, server: RehearsalServer) -> None:
    stormy(server, row_rates={"content_filter": 0.3})
    done = run("--batch", *PRICES)

    filtered = [row["k"] for row in rows("r/journal.jsonl") if row["finish_reason"] == "content_filter"]
    asked = [line["custom_id"] for path in Path("r/batches").glob("*.input.jsonl") for line in rows(str(path))]
    assert done.code == 0
    assert filtered
    assert len(set(asked)) == len(asked)
    assert spent() == billed(server)


def test_answers_that_were_not_counted_cost_the_most(run: Alpaca, server: RehearsalServer) -> None:
    stormy(server, row_rates={"missing_usage": 1})
    done = run("--batch", *PRICES)

    most = sum(Decimal(row["most"]) for row in rows("r/ledger.jsonl") if "most" in row)
    assert done.code == 0
    assert spent() == most > billed(server)


def test_the_batch_price_counts(run: Alpaca, server: RehearsalServer) -> None:
    done = run("--batch", *PRICES, "--set", "teacher.price.batch_factor=0.5")

    assert done.code == 0
    assert spent() == billed(server) / 2


def test_the_cap_is_kept_and_the_batch_cut_to_it(run: Alpaca, server: RehearsalServer) -> None:
    done = run("--batch", *PRICES, "--max-cost", 0.017)

    assert done.code == 7
    assert "--max-cost 0.017 reached" in done.err
    assert "max_cost has no room for more" in done.err
    assert Decimal("0.005") < billed(server) == spent() <= Decimal("0.017")
    assert Path("r/alpaca_data.json").exists()


def test_no_more_requests_are_sent_than_allowed(run: Alpaca, server: RehearsalServer) -> None:
    done = run("--batch", "--max-requests", 3)

    assert done.code == 7
    assert "--max-requests 3 reached" in done.err
    assert sum(bill.answers for bill in server.books.batches.values()) == 3


def test_a_cap_without_a_price_for_batches_is_refused(run: Alpaca, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-unused")
    refused = run("--batch", "--max-cost", 1, "--model", "deepseek-flash", base_url="https://api.deepseek.com/v1")

    assert refused.code == 2
    assert "no batch price is known for deepseek-flash, so --max-cost cannot be kept with --batch" in refused.err
    assert not Path("r/batches.jsonl").exists()


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (("--tier", "flex"), "a batch is a tier of its own"),
        (("--set", "teachers=[{base_url: 'http://localhost:1/v1'}]"), "a batch goes to one server"),
        (("--batch-export", "f"), "--batch-export asks nothing"),
        (("--batch-import", "f"), "--batch-import asks nothing"),
        (("--force",), "--force overwrites the file of --batch-export"),
    ],
)
def test_what_does_not_go_with_a_batch_is_refused(run: Alpaca, more: tuple[str, ...], words: str) -> None:
    refused = run("--batch", *more)

    assert refused.code == 2
    assert words in refused.err
    assert not Path("r/batches.jsonl").exists()


# --- what servers do that the rehearsal does not ---------------------------------------------------------------------


def test_a_server_without_batches_says_so_at_once(run: Alpaca, server: RehearsalServer) -> None:
    with meddling(server.base_url, before=lambda method, path: error(404, "Not Found")) as (base_url, asked):
        done = run("--batch", base_url=base_url)

    assert done.code == 4
    assert "this server has no Batch API" in done.err
    assert asked == ["POST /files"]


def test_a_wrong_key_ends_the_run_and_is_not_shown(
    run: Alpaca, server: RehearsalServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-very-secret")

    def before(method: str, path: str) -> Answer | None:
        return error(401, "Incorrect API key: sk-very-secret", "invalid_api_key") if path == "/batches" else None

    with meddling(server.base_url, before=before) as (base_url, _):
        refused = run("--batch", base_url=base_url)
    again = run("--batch")

    assert refused.code == 4
    assert "check the key in OPENAI_API_KEY" in refused.err
    assert "very-secret" not in refused.err + Path("r/batches.jsonl").read_text()
    assert again.code == 0
    assert len(server.books.batches) == 2


@pytest.mark.parametrize("is_json", [True, False])
def test_a_key_that_an_odd_answer_repeats_is_not_shown_in_part(
    run: Alpaca, server: RehearsalServer, monkeypatch: pytest.MonkeyPatch, is_json: bool
) -> None:
    """It stands where the excerpt of the answer ends."""
    monkeypatch.setenv("OPENAI_API_KEY", CANARY)
    words = "x" * 58 + CANARY
    odd = Answer(200, json.dumps({"a": words}).encode() if is_json else f"<html>{words}</html>".encode())
    with meddling(server.base_url, before=lambda method, path: odd) as (base_url, _):
        stopped = run("--batch", "--set", "breaker_s=0.1", base_url=base_url)

    assert stopped.code == 4
    assert "x***" in stopped.err
    assert CANARY[:6] not in stopped.err


def test_without_a_list_nothing_is_submitted_twice(run: Alpaca, server: RehearsalServer) -> None:
    def before(method: str, path: str) -> Answer | None:
        return error(404, "Not Found") if method == "GET" and path.startswith("/batches?") else None

    stormy(server, batch_script=("lost_batch",))
    with meddling(server.base_url, before=before) as (base_url, asked):
        first = run("--batch", base_url=base_url)
        second = run("--batch", base_url=base_url)

    assert (first.code, second.code) == (4, 4)
    assert "a batch may have been created, and there is no way to tell: HTTP 404: Not Found" in second.err
    assert "delete the last line of batches.jsonl" in second.err
    assert asked.count("POST /batches") == 1
    move_batches(base_url, server)
    done = run("--batch")
    assert done.code == 0
    assert len(server.books.batches) == steps().count("submitted")


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (404, "run the same command with the key that was used first"),
        (400, "delete the last line of batches.jsonl"),
        (401, "check the key in OPENAI_API_KEY"),
    ],
)
def test_after_a_doubtful_try_no_refusal_means_that_there_is_no_batch(
    run: Alpaca, server: RehearsalServer, online: bytes, status: int, words: str
) -> None:
    """The answer to the creation is lost; then comes a key of another project, which sees no batches and no files."""
    is_other_key = False

    def before(method: str, path: str) -> Answer | None:
        if not is_other_key or not path.startswith("/batches"):
            return None
        if method == "GET":
            return Answer(200, b'{"object": "list", "data": [], "has_more": false}')
        return error(status, "No such File object")

    def after(method: str, path: str, answer: Answer) -> Answer:
        nonlocal is_other_key
        if method == "POST" and path == "/batches" and not server.books.requests["/v1/batches/{id}", "200"]:
            is_other_key = True
            return Answer(0, b"", drop=True)
        return answer

    server.books.delivered.clear()
    with meddling(server.base_url, before=before, after=after) as (base_url, _):
        same_process = run("--batch", *PRICES, base_url=base_url)
        another = run("--batch", *PRICES, base_url=base_url)
        before_it = steps()
        is_other_key = False
        done = run("--batch", *PRICES, base_url=base_url)

    assert (same_process.code, another.code) == (4, 4)
    assert words in same_process.err and words in another.err
    assert "--model" not in same_process.err + another.err
    assert before_it == ["planned", "uploaded", "submitting"]
    assert done.code == 0, done.err
    assert dataset() == online
    assert len(server.books.batches) == 2
    assert set(server.books.delivered.values()) == {1}
    assert spent() == billed(server) > 0


def test_a_sure_refusal_is_settled_and_names_no_model(run: Alpaca, server: RehearsalServer) -> None:
    def before(method: str, path: str) -> Answer | None:
        return error(404, "No such File object: file-1") if (method, path) == ("POST", "/batches") else None

    with meddling(server.base_url, before=before) as (base_url, _):
        refused = run("--batch", *PRICES, base_url=base_url)

    sent, settled = rows("r/ledger.jsonl")
    assert refused.code == 4
    assert "No such File object" in refused.err
    assert "check the key: a server shows files and batches only to the project" in refused.err
    assert "--model" not in refused.err
    assert steps() == ["planned", "uploaded", "submitting", "ended", "taken"]
    assert Decimal(sent["most"]) > 0
    assert settled == {"ticket": sent["ticket"], "cost": "0"}


@pytest.mark.parametrize(
    ("step", "blocked"), [("submitting", "/batches"), ("submitted", "/batches/"), ("ended", "/content")]
)
def test_a_batch_is_not_looked_for_at_another_server(
    run: Alpaca, server: RehearsalServer, online: bytes, step: str, blocked: str
) -> None:
    is_blocked = True

    def after(method: str, path: str, answer: Answer) -> Answer:
        if is_blocked and (path == blocked or (blocked != "/batches" and blocked in path)):
            return error(503, "busy") if method == "GET" else Answer(0, b"", drop=True)
        return answer

    def before(method: str, path: str) -> Answer | None:
        return error(503, "busy") if is_blocked and method == "GET" and path.startswith("/batches?") else None

    server.books.delivered.clear()
    with meddling(server.base_url, before=before, after=after) as (base_url, _):
        run("--batch", *PRICES, "--set", "breaker_s=0.1", base_url=base_url)
        stopped, num_asked = steps(), server.num_requests
        refused = run("--batch", *PRICES)
        unchanged = (steps(), server.num_requests) == (stopped, num_asked)
        is_blocked = False
        done = run("--batch", *PRICES, base_url=base_url)

    assert (stopped[-1], refused.code, unchanged) == (step, 4, True)
    assert f"batch 1 is at another server, {base_url}, and not taken yet" in refused.err
    assert f"run the same command with --base-url {base_url}" in refused.err
    assert done.code == 0, done.err
    assert dataset() == online
    assert set(server.books.delivered.values()) == {1}
    assert spent() == billed(server) > 0


def test_our_batch_is_found_behind_many_pages(run: Alpaca, server: RehearsalServer) -> None:
    """Pages of one batch of others each, and ours behind them."""

    def before(method: str, path: str) -> Answer | None:
        if method != "GET" or not path.startswith("/batches?"):
            return None
        number = int(path.partition("batch_other_")[2].partition("&")[0] or 0) + 1
        page = [{"id": f"batch_other_{number}", "input_file_id": "file-x", "metadata": {"alpaca_run": "another"}}]
        if number == 5:
            page = [{"id": name, "input_file_id": "file-00000001"} for name in server.books.batches]
        return Answer(200, json.dumps({"object": "list", "data": page, "has_more": number < 5}).encode())

    stormy(server, batch_script=("lost_batch",))
    with meddling(server.base_url, before=before) as (base_url, asked):
        done = run("--batch", base_url=base_url)

    assert done.code == 0
    assert asked.count("GET /batches") == 5
    assert len(server.books.batches) == steps().count("submitted") == 2


def test_a_batch_that_is_listed_late_is_found(run: Alpaca, server: RehearsalServer) -> None:
    numbers = count()

    def before(method: str, path: str) -> Answer | None:
        is_first = method == "GET" and path.startswith("/batches?") and next(numbers) == 0
        return Answer(200, b'{"object": "list", "data": [], "has_more": false}') if is_first else None

    stormy(server, batch_script=("lost_batch",))
    with meddling(server.base_url, before=before) as (base_url, asked):
        done = run("--batch", base_url=base_url)

    assert done.code == 0
    assert asked.count("GET /batches") == 2
    assert asked.count("POST /batches") == len(server.books.batches) == 2


def test_a_list_without_an_end_is_no_list(run: Alpaca, server: RehearsalServer) -> None:
    def before(method: str, path: str) -> Answer | None:
        if method != "GET" or not path.startswith("/batches?"):
            return None
        return Answer(200, json.dumps({"data": [{"id": "batch_x"}], "has_more": True}).encode())

    stormy(server, batch_script=("lost_batch",))
    with meddling(server.base_url, before=before) as (base_url, asked):
        done = run("--batch", base_url=base_url)

    assert done.code == 4
    assert "list does not end" in done.err
    assert asked.count("POST /batches") == 1


def test_torn_and_foreign_answers_are_asked_for_again(run: Alpaca, server: RehearsalServer, online: bytes) -> None:
    """Every second answer of a kind is a proxy's page or torn; results are cut in the middle of a line."""
    numbers = count()

    def after(method: str, path: str, answer: Answer) -> Answer:
        if next(numbers) % 2 or path == "/batches":
            return answer
        if path.endswith("/content"):
            return Answer(200, answer.body[: len(answer.body) // 2])
        return Answer(200, b"<html>busy</html>", {"content-type": "text/html"})

    with meddling(server.base_url, after=after) as (base_url, _):
        done = run("--batch", base_url=base_url)

    assert done.code == 0, done.err
    assert dataset() == online
    assert len(server.books.batches) == 2


@pytest.mark.parametrize("part", ["all", "a line"])
def test_results_that_came_short_are_asked_for_again_and_not_paid_again(
    run: Alpaca, server: RehearsalServer, online: bytes, part: str
) -> None:
    """Every second download has status 200, and lacks everything or its last line."""
    numbers = count()

    def after(method: str, path: str, answer: Answer) -> Answer:
        if not path.endswith("/content") or next(numbers) % 2:
            return answer
        return Answer(200, b"" if part == "all" else b"".join(answer.body.splitlines(keepends=True)[:-1]))

    server.books.delivered.clear()
    stormy(server, row_rates={"error_500": 0.15})  # so that there are files of errors, too
    with meddling(server.base_url, after=after) as (base_url, _):
        done = run("--batch", *PRICES, base_url=base_url)

    assert done.code == 0, done.err
    assert dataset() == online
    assert list(Path("r/batches").glob("*.errors.jsonl"))
    assert set(server.books.delivered.values()) == {1}
    assert spent() == billed(server) > 0


def test_results_that_stay_short_are_kept_for_later(run: Alpaca, server: RehearsalServer, online: bytes) -> None:
    is_short = True

    def after(method: str, path: str, answer: Answer) -> Answer:
        return Answer(200, b"") if is_short and path.endswith("/content") else answer

    with meddling(server.base_url, after=after) as (base_url, _):
        stopped = run("--batch", "--set", "breaker_s=0.2", base_url=base_url)
        last = steps()[-1]
        is_short = False
        done = run("--batch", base_url=base_url)

    assert (stopped.code, last) == (4, "ended")
    assert "a file of 0 lines, where the server counted 4 results" in stopped.err
    assert "put it at r/batches/001.output.jsonl" in stopped.err
    assert done.code == 0
    assert dataset() == online
    assert len(server.books.batches) == 2


@pytest.mark.parametrize(
    "counts",
    [
        None,
        {},
        {"completed": "4", "failed": True},
        {"completed": 4, "failed": 4},
        {"completed": 4, "failed": -1},
        {"completed": 99},
    ],
)
def test_counts_that_cannot_be_do_not_hold_a_batch_up(
    run: Alpaca, server: RehearsalServer, online: bytes, counts: object
) -> None:
    def after(method: str, path: str, answer: Answer) -> Answer:
        is_look = method == "GET" and path.startswith("/batches/")
        return answer.but(request_counts=counts) if is_look else answer

    with meddling(server.base_url, after=after) as (base_url, _):
        done = run("--batch", "--set", "breaker_s=0.2", base_url=base_url)

    assert done.code == 0, done.err
    assert dataset() == online


def test_results_that_answer_nothing_asked_are_counted_and_not_taken(
    run: Alpaca, server: RehearsalServer, online: bytes
) -> None:
    def after(method: str, path: str, answer: Answer) -> Answer:
        if not path.endswith("/content"):
            return answer
        foreign = json.loads(answer.body.splitlines()[0])
        changed = {**foreign, "custom_id": "0-0123456789abcdef"}
        other = {**foreign, "custom_id": "request-1"}
        lines = [json.dumps(changed).encode(), b'{"torn', json.dumps(other).encode(), *answer.body.splitlines()]
        return Answer(200, b"\n".join(lines) + b"\n", {"content-type": "application/octet-stream"})

    with meddling(server.base_url, after=after) as (base_url, _):
        done = run("--batch", base_url=base_url)

    assert done.code == 0
    assert "2 results not taken, since they answer nothing that was asked" in done.err
    assert "1 results not taken, since they cannot be read" in done.err
    assert dataset() == online


def test_a_batch_whose_files_never_come_is_kept_for_later(run: Alpaca, server: RehearsalServer, online: bytes) -> None:
    def after(method: str, path: str, answer: Answer) -> Answer:
        is_look = method == "GET" and path.startswith("/batches/")
        return answer.but(output_file_id=None, error_file_id=None) if is_look else answer

    with meddling(server.base_url, after=after) as (base_url, _):
        stopped = run("--batch", "--set", "breaker_s=0.3", base_url=base_url)
    move_batches(base_url, server)
    done = run("--batch")

    assert stopped.code == 4
    assert "names no file of results" in stopped.err
    assert done.code == 0
    assert "batch 1 is submitted and not taken yet: this comes first" in done.err
    assert dataset() == online
    assert len(server.books.batches) == 2


def test_a_server_that_goes_away_is_waited_for_no_longer_than_the_breaker(run: Alpaca, server: RehearsalServer) -> None:
    def before(method: str, path: str) -> Answer | None:
        is_look = method == "GET" and path.startswith("/batches/")
        return Answer(0, b"", drop=True) if is_look else None

    with meddling(server.base_url, before=before) as (base_url, _):
        stopped = run("--batch", "--set", "breaker_s=0.2", base_url=base_url)
    move_batches(base_url, server)
    done = run("--batch")

    assert stopped.code == 4
    assert "looking at a batch failed for 0.2 s" in stopped.err
    assert done.code == 0
    assert len(server.books.batches) == 2


def test_a_batch_that_its_server_does_not_know_is_not_submitted_again(run: Alpaca, server: RehearsalServer) -> None:
    def before(method: str, path: str) -> Answer | None:
        return error(404, "No batch found") if method == "GET" and path.startswith("/batches/") else None

    with meddling(server.base_url, before=before) as (base_url, asked):
        refused = run("--batch", base_url=base_url)
        again = run("--batch", base_url=base_url)

    assert (refused.code, again.code) == (4, 4)
    assert "batch 1 (batch_00000001) is not known here" in again.err
    assert f"it was submitted to {base_url}" in again.err
    assert asked.count("POST /batches") == 1


def _all_rows(status: int, message: str, code: str | None) -> Callable[[str, str, Answer], Answer]:
    """Every result is this error, in the place of an answer."""

    def after(method: str, path: str, answer: Answer) -> Answer:
        if not path.endswith("/content"):
            return answer
        body = {"error": {"message": message, "code": code, "type": "x", "param": None}}
        lines = [json.loads(line) for line in answer.body.splitlines()]
        changed = [{**line, "response": {"status_code": status, "request_id": "x", "body": body}} for line in lines]
        return Answer(200, "".join(f"{json.dumps(line)}\n" for line in changed).encode())

    return after


@pytest.mark.parametrize(
    ("status", "message", "code", "num_batches"),
    [
        (401, "Incorrect API key provided.", "invalid_api_key", 1),
        (429, "You exceeded your current quota.", "insufficient_quota", 1),
        (404, "The model rehearsal does not exist.", "model_not_found", 1),
        (400, "messages: malformed", "invalid_value", 1),
        (500, "The server had an error.", None, 3),
    ],
)
def test_batches_in_which_everything_fails_end_the_run(
    run: Alpaca, server: RehearsalServer, status: int, message: str, code: str | None, num_batches: int
) -> None:
    with meddling(server.base_url, after=_all_rows(status, message, code)) as (base_url, _):
        failed = run("--batch", base_url=base_url)

    assert failed.code == 4
    assert message in failed.err
    assert len(server.books.batches) == num_batches
    assert rows("r/journal.jsonl") == []


def test_a_request_that_always_fails_is_left_aside(run: Alpaca, server: RehearsalServer) -> None:
    def after(method: str, path: str, answer: Answer) -> Answer:
        if not path.endswith("/content"):
            return answer
        lines = [json.loads(line) for line in answer.body.splitlines()]
        for line in lines:
            if line["custom_id"].startswith("1-"):
                line["response"] = {"status_code": 500, "request_id": "x", "body": None}
        return Answer(200, "".join(f"{json.dumps(line)}\n" for line in lines).encode())

    with meddling(server.base_url, after=after) as (base_url, _):
        done = run("--batch", base_url=base_url)

    left = [row for row in rows("r/journal.jsonl") if row["finish_reason"] == "given_up"]
    assert done.code == 0
    assert [(row["k"], row["tries"], row["text"]) for row in left] == [(1, 3, "")]
    assert "request 1 left aside: it failed in 3 batches that answered others" in done.err


def test_a_teacher_without_sense_is_noticed(run: Alpaca, server: RehearsalServer) -> None:
    stormy(server, row_rates={"refusal": 1})
    done = run("--batch", "--set", "patience=3")

    assert done.code == 4
    assert "4 completions in a row gave no accepted task" in done.err
    assert len(server.books.batches) == 1


def test_going_on_online_takes_the_batch_first(run: Alpaca, server: RehearsalServer, online: bytes) -> None:
    def before(method: str, path: str) -> Answer | None:
        return error(503, "busy") if method == "GET" and path.startswith("/batches/") else None

    with meddling(server.base_url, before=before) as (base_url, _):
        run("--batch", "--set", "breaker_s=0.1", base_url=base_url)
    move_batches(base_url, server)
    server.books.delivered.clear()
    asked_before = server.books.billed.answers
    done = run("--set", "teacher.concurrency=1")

    assert done.code == 0
    assert "batch 1 is submitted and not taken yet: this comes first" in done.err
    assert dataset() == online
    assert len(server.books.batches) == 1
    assert server.books.billed.answers > asked_before
    assert set(server.books.delivered.values()) <= {1}
    numbers = [row["k"] for row in rows("r/journal.jsonl")]
    assert len(set(numbers)) == len(numbers)


def test_a_batch_that_is_not_needed_any_more_is_told_and_kept(
    alpaca: Alpaca, run: Alpaca, server: RehearsalServer
) -> None:
    """The second batch is out; what the first one gave is enough for a smaller --num."""

    def before(method: str, path: str) -> Answer | None:
        return error(503, "busy") if path == "/batches/batch_00000002" else None

    with meddling(server.base_url, before=before) as (base_url, _):
        run("--batch", "--set", "breaker_s=0.1", base_url=base_url)
    move_batches(base_url, server)
    kept = len(json.loads(dataset()))
    fewer = alpaca("generate", "-n", kept, "--base-url", server.base_url, "--model", "rehearsal", "--out", "r")
    again = alpaca("generate", "-n", kept, "--base-url", server.base_url, "--model", "rehearsal", "--out", "r")
    done = run("--batch")

    assert 0 < kept < NUM
    assert (fewer.code, again.code, done.code) == (0, 0, 0)
    for each in (fewer, again):
        assert "batch 2 is not taken yet, and not needed now: a larger --num takes it" in each.err
    assert len(server.books.batches) == 2


# --- by file ---------------------------------------------------------------------------------------------------------


def answered(server: RehearsalServer, requests: str, results: str) -> list[dict[str, Any]]:
    """What a batch runner makes of a file of requests, in another order, in the form of vllm run-batch."""
    import http.client
    from urllib.parse import urlsplit

    found = []
    for row in reversed(rows(requests)):
        connection = http.client.HTTPConnection(urlsplit(server.base_url).netloc)
        connection.request("POST", row["url"], json.dumps(row["body"]))
        body = json.loads(connection.getresponse().read())
        connection.close()
        response = {"status_code": 200, "request_id": "vllm-batch-1", "body": body}
        found.append({"id": "vllm-1", "custom_id": row["custom_id"], "response": response, "error": None})
    write(results, found)
    return found


def write(path: str, found: list[dict[str, Any]]) -> None:
    Path(path).write_text("".join(f"{json.dumps(row)}\n" for row in found))


def test_batches_by_file_make_the_same_dataset(run: Alpaca, server: RehearsalServer, online: bytes) -> None:
    before = server.num_requests
    exported = run("--batch-export", "in1.jsonl")
    assert (exported.code, exported.out, server.num_requests) == (0, "in1.jsonl\n", before)
    assert "wrote 4 requests" in exported.err

    answered(server, "in1.jsonl", "out1.jsonl")
    imported = run("--batch-import", "out1.jsonl")
    assert imported.code == 0
    assert "took 4 answers; 0 known already, 0 failed, 0 not asked, 0 of another run" in imported.err
    assert "not complete: write the next requests with --batch-export" in imported.err

    assert run("--batch-export", "in2.jsonl").code == 0
    answered(server, "in2.jsonl", "out2.jsonl")
    done = run("--batch-import", "out2.jsonl", "--json")

    assert done.code == 0
    assert done.json["is_complete"] is True
    assert "not complete" not in done.err
    assert dataset() == online
    assert not {row["custom_id"] for row in rows("in1.jsonl")} & {row["custom_id"] for row in rows("in2.jsonl")}
    assert spent() == 0
    assert Path("r/batches/001.output.jsonl").read_bytes() == Path("out1.jsonl").read_bytes()


def test_the_card_of_imported_answers_names_their_address_and_makes_no_cost_up(
    run: Alpaca, server: RehearsalServer
) -> None:
    run("--batch-export", "in.jsonl")
    answered(server, "in.jsonl", "out.jsonl")
    run("--batch-import", "out.jsonl", *PRICES)
    imported = Path("r/README.md").read_text("utf-8")
    assert run(*PRICES).code == 0
    mixed = Path("r/README.md").read_text("utf-8")

    elsewhere = "what the imported answers cost is not known to alpaca: they were paid for elsewhere |"
    assert f"| cost | {elsewhere}" in imported
    assert f"| cost | {spent().normalize():f} USD; at 1 in and 2 out" in mixed
    assert f"(given by the user); {elsewhere}" in mixed
    for card in (imported, mixed):
        assert f"| asked at | `{server.base_url}` |" in card
        assert "| imported | 1 file of answers, asked for elsewhere |" in card
        assert "read the terms of `rehearsal` at `127.0.0.1` before you train" in card


def test_an_import_without_a_price_states_no_amount(run: Alpaca, server: RehearsalServer) -> None:
    run("--batch-export", "in.jsonl")
    answered(server, "in.jsonl", "out.jsonl")
    found = run("--batch-import", "out.jsonl", "--json").json["run"]

    assert (found["imported"], found["base_urls"]) == (1, [server.base_url])
    assert (found["spent"], found["unknown"], found["prices"]) == (None, None, [])


def test_exporting_twice_writes_the_same_and_asks_before_overwriting(run: Alpaca) -> None:
    run("--batch-export", "in.jsonl")
    first = Path("in.jsonl").read_bytes()
    refused = run("--batch-export", "in.jsonl")
    forced = run("--batch-export", "in.jsonl", "--force", "--json")

    assert refused.code == 2
    assert "output exists" in refused.err
    assert forced.json == {"folder": "r", "file": "in.jsonl", "requests": 4}
    assert Path("in.jsonl").read_bytes() == first


def test_importing_twice_takes_nothing_twice(run: Alpaca, server: RehearsalServer) -> None:
    run("--batch-export", "in.jsonl")
    found = answered(server, "in.jsonl", "out.jsonl")
    run("--batch-import", "out.jsonl")
    same = run("--batch-import", "out.jsonl")
    write("more.jsonl", [*found, {**found[0], "custom_id": "7-0000000000000000"}])
    more = run("--batch-import", "more.jsonl")

    assert "took 0 answers; 4 known already, 0 failed, 0 not asked, 0 of another run" in same.err
    assert "took 0 answers; 4 known already, 0 failed, 0 not asked, 1 of another run" in more.err
    assert len(rows("r/journal.jsonl")) == 4
    assert steps() == ["imported", "taken", "imported", "taken"]


def test_an_import_that_was_killed_is_finished_by_the_next_command(
    run: Alpaca, server: RehearsalServer, online: bytes
) -> None:
    run("--batch-export", "in.jsonl")
    answered(server, "in.jsonl", "out.jsonl")
    run("--batch-import", "out.jsonl")
    for path in ("r/batches.jsonl", "r/journal.jsonl"):  # as they are after a kill in the middle
        lines = Path(path).read_text().splitlines(keepends=True)
        Path(path).write_text(lines[0])
    Path("r/report.json").unlink()
    run("--batch-export", "next.jsonl")
    done = run()

    assert steps() == ["imported", "taken"]
    assert not {row["custom_id"] for row in rows("in.jsonl")} & {row["custom_id"] for row in rows("next.jsonl")}
    assert done.code == 0
    assert dataset() == online


ODD = b'"usage": {"odd": Infinity}, "note": "\xff", "usage"'
"""In the place of the name of an answer's usage: no JSON, no UTF-8, and the same name twice."""


def test_odd_answers_of_a_batch_are_taken_and_not_paid_again(
    run: Alpaca, server: RehearsalServer, online: bytes
) -> None:
    def after(method: str, path: str, answer: Answer) -> Answer:
        return Answer(200, answer.body.replace(b'"usage"', ODD)) if path.endswith("/content") else answer

    server.books.delivered.clear()
    with meddling(server.base_url, after=after) as (base_url, _):
        done = run("--batch", *PRICES, base_url=base_url)

    assert done.code == 0, done.err
    assert ODD in Path("r/batches/001.output.jsonl").read_bytes()
    assert dataset() == online
    assert set(server.books.delivered.values()) == {1}
    assert spent() == billed(server) > 0


def test_odd_answers_in_a_file_are_taken(run: Alpaca, server: RehearsalServer) -> None:
    run("--batch-export", "in.jsonl")
    answered(server, "in.jsonl", "out.jsonl")
    raw = Path("out.jsonl").read_bytes()
    assert raw.count(b'"usage"') == 4
    Path("out.jsonl").write_bytes(raw.replace(b'"usage"', ODD))
    imported = run("--batch-import", "out.jsonl")

    assert imported.code == 0
    assert "took 4 answers" in imported.err


def test_a_malformed_file_is_refused_whole_and_every_line_told(run: Alpaca, server: RehearsalServer) -> None:
    run("--batch-export", "in.jsonl")
    found = answered(server, "in.jsonl", "out.jsonl")
    lines = [json.dumps(found[0]), '{"torn', '{"custom_id": 3}', json.dumps({"custom_id": "0-x"}), "[]"]
    Path("bad.jsonl").write_text("\n".join(lines))
    refused = run("--batch-import", "bad.jsonl")
    requests = run("--batch-import", "in.jsonl")
    Path("empty.jsonl").write_text("\n")
    empty = run("--batch-import", "empty.jsonl")

    assert refused.code == requests.code == empty.code == 3
    assert "bad.jsonl:2:" in refused.err
    assert "bad.jsonl:3: custom_id: expected a string, found a number" in refused.err
    assert "bad.jsonl:4: expected a response or an error, found neither" in refused.err
    assert "bad.jsonl:5: expected an object, found a list" in refused.err
    assert "expected the results of a batch, not its requests" in requests.err
    assert "empty.jsonl: no results in it" in empty.err
    assert not Path("r/journal.jsonl").exists() or rows("r/journal.jsonl") == []


def test_failed_results_are_exported_again(run: Alpaca, server: RehearsalServer) -> None:
    run("--batch-export", "in.jsonl")
    found = answered(server, "in.jsonl", "out.jsonl")
    failed = {"id": "vllm-1", "custom_id": found[0]["custom_id"], "response": {"status_code": 400, "request_id": "x"}}
    write("out.jsonl", [{**failed, "error": "This model's maximum context length is 4096 tokens."}, *found[1:]])
    imported = run("--batch-import", "out.jsonl")
    run("--batch-export", "again.jsonl")

    assert "took 3 answers; 0 known already, 1 failed" in imported.err
    assert "maximum context length is 4096 tokens" in imported.err
    assert found[0]["custom_id"] in {row["custom_id"] for row in rows("again.jsonl")}


def test_with_a_batch_out_nothing_is_exported(run: Alpaca, server: RehearsalServer) -> None:
    def before(method: str, path: str) -> Answer | None:
        return error(503, "busy") if method == "GET" and path.startswith("/batches/") else None

    with meddling(server.base_url, before=before) as (base_url, _):
        run("--batch", "--set", "breaker_s=0.1", base_url=base_url)
    refused = run("--batch-export", "in.jsonl")

    assert refused.code == 2
    assert "batch 1 of this run is not taken yet" in refused.err
    assert not Path("in.jsonl").exists()


def test_a_complete_run_has_nothing_to_export(run: Alpaca) -> None:
    run()
    refused = run("--batch-export", "in.jsonl")

    assert refused.code == 2
    assert "nothing to ask: the run has its 66 examples" in refused.err


def test_an_export_needs_no_key(alpaca: Alpaca) -> None:
    done = alpaca("generate", "-n", 20, "--model", "gpt-x", "--out", "r", "--batch-export", "in.jsonl")

    body = rows("in.jsonl")[0]["body"]
    assert done.code == 0
    assert body["model"] == "gpt-x"
    assert "service_tier" not in body


def test_the_rehearsal_itself_answers_batches(alpaca: Alpaca) -> None:
    done = alpaca("generate", "-n", 20, "--teacher", "rehearsal", "--out", "r", "--batch")
    refused = alpaca("generate", "-n", 20, "--teacher", "rehearsal", "--out", "r2", "--batch-export", "f")

    assert done.code == 0
    assert len(json.loads(Path("r/alpaca_data.json").read_text())) == 20
    assert refused.code == 2
    assert "found the rehearsal teacher" in refused.err


@pytest.mark.parametrize(("step", "method"), [("submitted", "_wait"), ("ended", "_download")])
def test_a_batch_that_went_with_its_rehearsal_is_asked_anew(
    alpaca: Alpaca, monkeypatch: pytest.MonkeyPatch, step: str, method: str
) -> None:
    def leave(*_: object) -> None:
        raise KeyboardInterrupt

    command = ("generate", "-n", 20, "--teacher", "rehearsal", "--out", "r", "--batch")
    with monkeypatch.context() as patched:
        patched.setattr(steps_module.BatchSteps, method, leave)
        left = alpaca(*command)
    last = steps()[-1]
    done = alpaca(*command)

    assert (left.code, last, done.code) == (130, step, 0)
    assert "batch 1 ended with the rehearsal that it was submitted to" in done.err
    assert len(json.loads(Path("r/alpaca_data.json").read_text())) == 20


def test_writing_a_batch_to_a_file_lifts_no_cap(run: Alpaca) -> None:
    stopped = run(*PRICES, "--max-cost", "0.02")
    run("--batch-export", "requests.jsonl")
    again = run(*PRICES)

    assert (stopped.code, again.code) == (7, 7)
    assert "--max-cost 0.02 of this run still holds" in again.err

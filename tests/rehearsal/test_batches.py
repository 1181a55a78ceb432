"""Files and batches of the rehearsal teacher: through the official SDK, and everything that goes wrong with them."""

from __future__ import annotations

import http.client
import json
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alpaca_cli.rehearsal import batch_input, files, tokens
from alpaca_cli.rehearsal.books import Bill
from alpaca_cli.rehearsal.compose import compose
from alpaca_cli.rehearsal.mangle import REFUSAL
from alpaca_cli.rehearsal.multipart import parse
from alpaca_cli.rehearsal.protocol import ApiError
from alpaca_cli.rehearsal.server import RehearsalServer
from alpaca_cli.rehearsal.storm import Storm
from rehearsal.asking import CHAT, KEY, PROMPT, TEXT, ask, send

PROMPTS = [f"{at}. {PROMPT}" for at in range(12)]
ASKED = {"input_file_id": "file-1", "endpoint": CHAT, "completion_window": "24h"}
ENDED = ("completed", "failed", "expired", "cancelled")


def _row(name: str, prompt: str, **more: object) -> dict[str, Any]:
    body = {"model": "rehearsal", "messages": [{"role": "user", "content": prompt}], **more}
    return {"custom_id": name, "method": "POST", "url": CHAT, "body": body}


ROWS = [_row(f"row-{at}", prompt) for at, prompt in enumerate(PROMPTS)]


def _jsonl(rows: list[dict[str, Any]]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


@contextmanager
def _serving(**storm: object) -> Iterator[tuple[RehearsalServer, openai.OpenAI]]:
    weather = Storm.model_validate({"batch_s": 0, **storm})
    with (
        RehearsalServer(storm=weather) as server,
        openai.OpenAI(base_url=server.base_url, api_key=KEY, max_retries=0, timeout=20) as sdk,
    ):
        yield server, sdk


def _start(sdk: openai.OpenAI, rows: list[dict[str, Any]] | bytes = ROWS, **more: Any) -> openai.types.Batch:
    content = rows if isinstance(rows, bytes) else _jsonl(rows)
    file = sdk.files.create(file=("in.jsonl", content), purpose="batch")
    return sdk.batches.create(
        **{"input_file_id": file.id, "endpoint": CHAT, "completion_window": "24h", **more}  # type: ignore[arg-type]
    )


def _ended(sdk: openai.OpenAI, batch: openai.types.Batch) -> openai.types.Batch:
    deadline = time.monotonic() + 30
    while batch.status not in ENDED:
        assert time.monotonic() < deadline
        time.sleep(0.01)
        batch = sdk.batches.retrieve(batch.id)
    return batch


def _lines(sdk: openai.OpenAI, file_id: str | None) -> dict[str, Any]:
    if file_id is None:
        return {}
    found = [json.loads(line) for line in sdk.files.content(file_id).content.splitlines()]
    assert all(set(line) == {"id", "custom_id", "response", "error"} for line in found)
    assert len({line["id"] for line in found}) == len({line["custom_id"] for line in found}) == len(found)
    return {line["custom_id"]: line for line in found}


def test_a_batch_gives_what_online_requests_give() -> None:
    with _serving(batch_s=0.1) as (server, sdk):
        batch = _start(sdk, metadata={"run": "a"})
        assert (batch.status, batch.output_file_id, batch.metadata) == ("validating", None, {"run": "a"})
        done = _ended(sdk, batch)
        assert (done.status, done.error_file_id, done.errors) == ("completed", None, None)
        assert done.request_counts is not None and done.request_counts.model_dump() == {
            "total": 12, "completed": 12, "failed": 0,
        }  # fmt: skip
        assert done.created_at <= done.in_progress_at <= done.finalizing_at <= done.completed_at < done.expires_at  # type: ignore[operator]
        lines = _lines(sdk, done.output_file_id)
        assert list(lines) != [row["custom_id"] for row in ROWS]  # in another order
        assert len(server.books.delivered) == 12
        for row, prompt in zip(ROWS, PROMPTS, strict=True):
            line = lines[row["custom_id"]]
            assert (line["error"], line["response"]["status_code"]) == (None, 200)
            assert line["response"]["body"] == ask(server, prompt).json
        paid = Bill(12, sum(map(tokens.count, PROMPTS)), sum(tokens.count(compose(prompt)) for prompt in PROMPTS))
        assert server.books.batches == {batch.id: paid} == {batch.id: server.books.billed}
        assert server.books.total == paid + paid
        assert done.usage is not None
        assert (done.usage.input_tokens, done.usage.output_tokens) == (paid.prompt_tokens, paid.completion_tokens)
        assert set(server.books.delivered.values()) == {2}


def test_a_batch_of_text_completions() -> None:
    row = {"custom_id": "a", "method": "POST", "url": TEXT, "body": {"model": "rehearsal", "prompt": PROMPT}}
    with _serving() as (_, sdk):
        done = _ended(sdk, _start(sdk, [row], endpoint=TEXT))
        line = _lines(sdk, done.output_file_id)["a"]
        assert line["response"]["body"]["choices"][0]["text"] == compose(PROMPT, chat=False)


def test_files_are_kept_listed_and_deleted() -> None:
    with _serving() as (server, sdk):
        made = [sdk.files.create(file=(f"{at}.jsonl", b"x" * at), purpose="batch") for at in range(5)]
        other = sdk.files.create(file=("other", b"\r\n--x\r\n"), purpose="user_data")
        assert [(file.filename, file.bytes) for file in made] == [(f"{at}.jsonl", at) for at in range(5)]
        assert sdk.files.content(other.id).content == b"\r\n--x\r\n"
        assert [file.id for file in sdk.files.list()] == [file.id for file in [other, *reversed(made)]]
        batch_files = sdk.files.list(purpose="batch", order="asc", limit=2)
        assert batch_files.has_more and [file.id for file in batch_files.data] == [file.id for file in made[:2]]
        assert [file.id for file in batch_files] == [file.id for file in made]  # the SDK turns the pages
        assert sdk.files.retrieve(made[3].id) == made[3]
        assert sdk.files.delete(made[3].id).deleted
        for call in (sdk.files.retrieve, sdk.files.content, sdk.files.delete):
            with pytest.raises(openai.NotFoundError):
                call(made[3].id)
        assert server.books.requests["/v1/files/{id}", "404"] == 2


@pytest.mark.parametrize(
    ("path", "status", "param"),
    [
        ("/v1/files?limit=0", 400, "limit"),
        ("/v1/files?limit=x", 400, "limit"),
        ("/v1/files?after=nothing", 400, "after"),
        ("/v1/files?order=up", 400, "order"),
        ("/v1/files/file-9", 404, "id"),
        ("/v1/batches?limit=101", 400, "limit"),
        ("/v1/batches/batch_9", 404, None),
        ("/v1/batches/batch_9/nothing", 404, None),
    ],
)
def test_what_is_not_there_is_not_shown(path: str, status: int, param: str | None) -> None:
    with _serving() as (server, _):
        heard = send(server, "GET", path)
        assert (heard.status, heard.error["param"]) == (status, param)


def test_uploads_that_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with _serving() as (server, sdk):
        with pytest.raises(openai.BadRequestError, match="purpose"):
            sdk.files.create(file=b"x", purpose="fun")  # type: ignore[arg-type]
        for body in (
            b"",
            b"--b\r\n",
            b'--b\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n--b--\r\n',
        ):
            heard = send(server, "POST", "/v1/files", body, **{"Content-Type": "multipart/form-data; boundary=b"})
            assert heard.status == 400
        assert heard.error["param"] == "file"
        assert send(server, "POST", "/v1/files", {}).error["code"] == "invalid_multipart_form"
        monkeypatch.setattr(files, "LARGEST_FILE", 10)
        with pytest.raises(openai.APIStatusError) as caught:
            sdk.files.create(file=b"x" * 11, purpose="batch")
        assert (caught.value.status_code, caught.value.code) == (413, "file_too_large")
        assert send(server, "PUT", "/v1/files").headers["allow"] == "GET, POST"


def test_a_large_upload_is_taken() -> None:
    content = b"0123456789abcde\n" * (2**20)  # twice what other bodies may have
    with _serving() as (_, sdk):
        file = sdk.files.create(file=("large", content), purpose="batch")
        assert file.bytes == len(content)
        assert sdk.files.content(file.id).content == content


@given(st.dictionaries(st.from_regex(r"[a-z]{1,8}", fullmatch=True), st.binary(max_size=80), max_size=4))
def test_forms_are_read_as_they_were_written(fields: dict[str, bytes]) -> None:
    mark = b"x0x"
    parts = [
        b'--%s\r\nContent-Type: text/plain\r\nContent-Disposition: form-data; name="%s"; filename="f %s"\r\n\r\n%s\r\n'
        % (mark, name.encode(), name.encode(), content.replace(mark, b""))
        for name, content in fields.items()
    ]
    found = parse('multipart/form-data; boundary="x0x"', bytearray(b"".join(parts) + b"--" + mark + b"--\r\n"))
    assert {name: bytes(part.content) for name, part in found.items()} == {
        name: content.replace(mark, b"") for name, content in fields.items()
    }
    assert [part.filename for part in found.values()] == [f"f {name}" for name in fields]


@given(st.integers(0, 200), st.binary(max_size=3))
def test_torn_forms_are_refused_and_never_a_bug(at: int, junk: bytes) -> None:
    whole = b'--b\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\nsome\r\n--b--\r\n'
    torn = whole[:at] + junk
    if whole[:-2] in torn:
        assert set(parse("multipart/form-data; boundary=b", torn)) == {"file"}
    else:
        with pytest.raises(ApiError, match="the body is no form"):
            parse("multipart/form-data; boundary=b", torn)


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (b"{", None),
        ([], None),
        ({"endpoint": CHAT, "completion_window": "24h"}, "input_file_id"),
        ({**ASKED, "endpoint": "/v1/embeddings"}, "endpoint"),
        ({**ASKED, "completion_window": "1h"}, "completion_window"),
        ({**ASKED, "metadata": {"a": 1}}, "metadata"),
        ({**ASKED, "metadata": {"a" * 65: ""}}, "metadata"),
    ],
)
def test_batches_that_are_refused(body: object, param: str | None) -> None:
    with _serving() as (server, sdk):
        heard = send(server, "POST", "/v1/batches", body)
        assert (heard.status, heard.error["param"]) == (400, param)
        assert sdk.batches.list().data == []


def test_a_batch_without_its_file_is_refused() -> None:
    with _serving() as (_, sdk), pytest.raises(openai.NotFoundError):
        sdk.batches.create(input_file_id="file-7", endpoint=CHAT, completion_window="24h")


@pytest.mark.parametrize(
    ("content", "code", "line"),
    [
        (b"", "empty_batch", None),
        (b"\n \n", "empty_batch", None),
        (_jsonl(ROWS[:1]) + b"{torn\n", "invalid_json_line", 2),
        (b"[]\n", "invalid_json_line", 1),
        (_jsonl([ROWS[0], ROWS[1], ROWS[0]]), "duplicate_custom_id", 3),
        (_jsonl([{**ROWS[0], "custom_id": 3}]), "missing_required_parameter", 1),
        (_jsonl([{**ROWS[0], "body": None}]), "missing_required_parameter", 1),
        (_jsonl([{**ROWS[0], "method": "GET"}]), "invalid_method", 1),
        (_jsonl([{**ROWS[0], "url": TEXT}]), "url_mismatch", 1),
        (_jsonl([{**ROWS[0], "body": {**ROWS[0]["body"], "model": "gpt"}}]), "model_not_found", 1),
        (_jsonl([ROWS[0], {**ROWS[1], "body": {**ROWS[1]["body"], "model": "gpt"}}]), "model_mismatch", 2),
    ],
)
def test_inputs_for_which_a_batch_fails(content: bytes, code: str, line: int | None) -> None:
    with _serving() as (server, sdk):
        done = _ended(sdk, _start(sdk, content))
        assert (done.status, done.output_file_id, done.error_file_id) == ("failed", None, None)
        assert done.failed_at is not None and done.errors is not None and done.errors.data is not None
        (error,) = done.errors.data
        assert (error.code, error.line) == (code, line)
        assert error.message
        assert server.books.total == Bill()


def test_a_batch_has_so_many_requests_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch_input, "MOST_REQUESTS", 11)
    with _serving() as (_, sdk):
        done = _ended(sdk, _start(sdk))
        assert done.errors is not None and done.errors.data is not None
        assert [error.code for error in done.errors.data] == ["too_many_tasks"]


def test_rows_may_fail_alone() -> None:
    rows = [ROWS[0], _row("bad", PROMPT, n=0), _row("long", PROMPT, max_tokens=9000)]
    with _serving(context_tokens=5000) as (server, sdk):
        done = _ended(sdk, _start(sdk, rows))
        assert done.status == "completed" and done.request_counts is not None
        assert (done.request_counts.completed, done.request_counts.failed) == (1, 2)
        failed = _lines(sdk, done.error_file_id)
        assert {name: line["response"]["body"]["error"]["code"] for name, line in failed.items()} == {
            "bad": "invalid_value", "long": "context_length_exceeded",
        }  # fmt: skip
        assert {line["response"]["status_code"] for line in failed.values()} == {400}
        assert list(_lines(sdk, done.output_file_id)) == ["row-0"]
        assert server.books.total.answers == 1


def test_rows_meet_faults_at_their_rates() -> None:
    rates = {"error_500": 0.25, "rate_limit": 0.25, "content_filter": 0.25}
    with _serving(row_rates=rates) as (server, sdk):
        done = _ended(sdk, _start(sdk, [_row(f"{at}", "no list") for at in range(100)]))
        failed, good = _lines(sdk, done.error_file_id), _lines(sdk, done.output_file_id)
        assert len(failed) + len(good) == 100 and not failed.keys() & good.keys()
        assert {line["response"]["status_code"] for line in failed.values()} == {400, 429, 500}
        assert 55 <= len(failed) <= 95
        assert server.books.total.answers == len(good)
    with _serving(row_rates={"refusal": 1}) as (_, sdk):
        done = _ended(sdk, _start(sdk, ROWS[:1]))
        body = _lines(sdk, done.output_file_id)["row-0"]["response"]["body"]
        assert body["choices"][0]["message"]["content"] == REFUSAL


def test_a_batch_may_expire_or_be_cancelled_with_part_of_its_rows_done() -> None:
    with _serving(batch_script=["expired", "cancelled"]) as (server, sdk):
        for status in ("expired", "cancelled"):
            done = _ended(sdk, _start(sdk))
            assert done.status == status
            assert getattr(done, f"{status}_at") is not None
            good, undone = _lines(sdk, done.output_file_id), _lines(sdk, done.error_file_id)
            assert (len(good), len(undone)) == (6, 6) and len(good.keys() | undone.keys()) == 12
            assert {line["error"]["code"] for line in undone.values()} == {f"batch_{status}"}
            assert {line["response"] for line in undone.values()} == {None}
            assert server.books.batches[done.id].answers == 6


def test_a_batch_is_cancelled_by_its_client() -> None:
    with _serving(batch_s=3600) as (server, sdk):
        batch = sdk.batches.cancel(_start(sdk).id)
        assert batch.status in ("cancelling", "cancelled") and batch.cancelling_at is not None
        done = _ended(sdk, batch)
        assert (done.status, done.output_file_id) == ("cancelled", None)
        assert len(_lines(sdk, done.error_file_id)) == 12
        assert server.books.total == Bill()
        with pytest.raises(openai.BadRequestError, match="Cannot cancel"):
            sdk.batches.cancel(batch.id)


def test_the_enqueued_tokens_may_be_too_many() -> None:
    with _serving(batch_script=["token_limit", "ok"]) as (_, sdk):
        failed, done = _ended(sdk, _start(sdk)), _ended(sdk, _start(sdk))
        assert (failed.status, done.status) == ("failed", "completed")
        assert failed.errors is not None and failed.errors.data is not None
        assert failed.errors.data[0].code == "token_limit_exceeded"


def test_an_output_may_come_late_and_its_download_fail_once() -> None:
    with _serving(batch_script=["late_output", "download_502", "poll_503"]) as (_, sdk):
        batch = _ended(sdk, _start(sdk))
        assert (batch.status, batch.output_file_id) == ("completed", None)
        assert sdk.batches.retrieve(batch.id).output_file_id is None
        assert sdk.batches.list().data[0].output_file_id is None
        assert sdk.batches.retrieve(batch.id).output_file_id is not None
        second = _ended(sdk, _start(sdk))
        assert second.output_file_id is not None
        with pytest.raises(openai.InternalServerError):
            sdk.files.content(second.output_file_id)
        assert len(_lines(sdk, second.output_file_id)) == 12
        third = _start(sdk)
        with pytest.raises(openai.InternalServerError):
            sdk.batches.retrieve(third.id)
        assert _ended(sdk, third).status == "completed"


def test_answers_may_be_lost_and_what_they_told_of_is_found_in_the_list() -> None:
    with _serving(batch_script=["lost_batch", "create_500", "ok"], upload_script=["lost_upload"]) as (server, sdk):
        with pytest.raises(openai.APIConnectionError):
            sdk.files.create(file=("mine.jsonl", _jsonl(ROWS)), purpose="batch")
        (file,) = sdk.files.list().data
        assert (file.filename, file.bytes) == ("mine.jsonl", len(_jsonl(ROWS)))
        asked: Any = {"input_file_id": file.id, "endpoint": CHAT, "completion_window": "24h"}
        with pytest.raises(openai.APIConnectionError):
            sdk.batches.create(**asked, metadata={"run": "7"})
        (batch,) = sdk.batches.list().data
        assert (batch.metadata, batch.input_file_id) == ({"run": "7"}, file.id)
        assert _ended(sdk, batch).status == "completed"
        with pytest.raises(openai.InternalServerError):
            sdk.batches.create(**asked)
        assert len(sdk.batches.list().data) == 1
        assert server.books.requests["/v1/batches", "none"] == 1
        assert sdk.batches.create(**asked).id != batch.id  # there is no key that makes it the same


def test_batches_are_listed_newest_first_in_pages() -> None:
    with _serving() as (_, sdk):
        made = [_start(sdk, ROWS[:1]).id for _ in range(5)]
        first = sdk.batches.list(limit=2)
        assert [batch.id for batch in first.data] == made[:-3:-1] and first.has_more
        assert [batch.id for batch in sdk.batches.list(limit=2)] == made[::-1]
        assert sdk.batches.list(after=made[0]).data == []


def test_a_server_that_closes_leaves_its_batches_where_they_are() -> None:
    with _serving(batch_s=3600) as (server, sdk):
        batch = _start(sdk)
    assert server.books.batches == {batch.id: Bill()}
    with pytest.raises((ConnectionError, http.client.HTTPException)):
        send(server, "GET", f"/v1/batches/{batch.id}")


def test_what_it_serves_is_told() -> None:
    with _serving() as (server, _):
        told = send(server, "GET", "/").json["endpoints"]
        assert "POST /v1/batches/{id}/cancel" in told and "GET /v1/files/{id}/content" in told
        assert all(re.fullmatch(r"(GET|POST|DELETE) /\S+", each) for each in told)

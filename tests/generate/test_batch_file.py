"""The files of batches: what is asked can be read back, and results are read whoever wrote them, or told by line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alpaca_cli.data.example import Example, SeedTask
from alpaca_cli.errors import DataError
from alpaca_cli.generate.batch.file import Row, asked, custom_id, line_of, request_of, results
from alpaca_cli.generate.body import OPENAI_URL, Body
from alpaca_cli.generate.prompt import RequestMaker
from alpaca_cli.recipe.generate import TeacherSettings

FILE = Path("out.jsonl")
SEEDS = [SeedTask(f"seed_{each}", each, Example(f"Say {each}.", "", each), False) for each in "abcdef"]
MAKER = RequestMaker("Write {num_tasks} tasks.", SEEDS, 20, 3, 0)
BODY = {"id": "c", "object": "chat.completion", "choices": [{"message": {"content": "x"}, "finish_reason": "stop"}]}


def read(*rows: object) -> list[Row | DataError]:
    lines = [row if isinstance(row, bytes) else json.dumps(row).encode() for row in rows]
    return list(results(lines, FILE))


def answer(**changes: Any) -> dict[str, Any]:
    response = {"status_code": 200, "request_id": "r", "body": BODY}
    return {"id": "b", "custom_id": "0-0123456789abcdef", "response": response, "error": None, **changes}


@given(k=st.integers(0, 99_999), num_seeds=st.integers(1, 3))
def test_a_name_says_which_request_it_is_and_that_it_is_the_same(k: int, num_seeds: int) -> None:
    request = MAKER.request(k, num_seeds)
    other = RequestMaker("Write other tasks.", SEEDS, 20, 3, 0)

    assert request_of(custom_id(request), MAKER) == request
    assert request_of(custom_id(request), other) is None
    assert request_of(f"0{custom_id(request)}", MAKER) is None


@pytest.mark.parametrize(
    "name", ["", "1", "1-", "-1-0123456789abcdef", "1-0123456789ABCDEF", "x" * 9999, "9" * 99, "٣-a"]
)
def test_a_name_that_is_none_of_ours_names_nothing(name: str) -> None:
    assert request_of(name, MAKER) is None


@pytest.mark.parametrize(
    ("api", "url", "text"), [("chat", "/v1/chat/completions", "messages"), ("completions", "/v1/completions", "prompt")]
)
def test_a_request_is_a_line_as_a_batch_wants_it(api: Any, url: str, text: str) -> None:
    extra = {"seed": 7}
    settings = TeacherSettings(model="m", api=api, max_tokens=100, temperature=0.5, extra_body=extra, tier="flex")
    request = MAKER.request(5)
    line = line_of(request, Body(settings, OPENAI_URL), api)
    row = json.loads(line)

    assert line.endswith(b"\n") and line.count(b"\n") == 1
    assert (row["custom_id"], row["method"], row["url"]) == (custom_id(request), "POST", url)
    assert row["body"]["seed"] == 7
    assert "service_tier" not in row["body"]
    assert row["body"][text] == ([{"role": "user", "content": request.text}] if api == "chat" else request.text)
    assert asked([line], FILE) == {
        custom_id(request): {key: value for key, value in row["body"].items() if key != text},
    }


def test_a_line_that_asks_nothing_is_told_by_line() -> None:
    line = line_of(MAKER.request(0), Body(TeacherSettings(model="m"), "http://localhost/v1"), "chat")
    with pytest.raises(DataError, match=r"in\.jsonl:2: not a line of a batch"):
        asked([line, b'{"custom_id": "x"}\n'], Path("in.jsonl"))


def test_results_of_openai_and_of_vllm_are_read() -> None:
    vllm_error = {"object": "error", "message": "too long", "type": "BadRequestError", "param": None, "code": 400}
    rows = read(
        answer(),
        b"",
        answer(response={"request_id": "r", "body": BODY}),
        answer(response=None, error={"code": "batch_expired", "message": "not done"}),
        answer(response={"status_code": 400, "request_id": "r", "body": None}, error=vllm_error),
        answer(response={"status_code": 400, "request_id": "r"}, error="too long"),
        answer(response={"status_code": 0, "request_id": "", "body": ""}),
    )

    name = "0-0123456789abcdef"
    assert rows == [
        Row(name, 200, BODY, "r"),
        Row(name, 200, BODY, "r"),
        Row(name, None, None, None, "batch_expired", "not done"),
        Row(name, 400, None, "r", "400", "too long"),
        Row(name, 400, None, "r", None, "too long"),
        Row(name, 0, "", ""),
    ]


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (b'{"torn', "out.jsonl:1:2: invalid JSON"),
        (b"\xff", "out.jsonl:1:1: invalid JSON"),
        (b"[" * 200_000, "out.jsonl:1: invalid JSON: nested too deeply"),
        (b"NaN", "out.jsonl:1: expected an object, found a number"),
        ([], "out.jsonl:1: expected an object, found a list"),
        ({}, "out.jsonl:1: custom_id: expected a string, found nothing"),
        (answer(custom_id=None), "out.jsonl:1: custom_id: expected a string, found null"),
        (answer(response=None), "out.jsonl:1: expected a response or an error, found neither"),
        (answer(response="x"), "out.jsonl:1: response: expected an object or null, found a string"),
        (answer(response={"status_code": "200"}), "out.jsonl:1: response.status_code: expected a whole number"),
    ],
)
def test_what_is_no_result_is_told_by_line_and_the_rest_is_read(row: object, words: str) -> None:
    bad, good = read(row, answer())

    assert isinstance(bad, DataError)
    assert words in str(bad)
    assert isinstance(good, Row)


def test_an_answer_that_is_paid_is_read_as_mildly_as_that_to_a_single_request() -> None:
    """NaN, a key given twice, and bytes that are no UTF-8."""
    whole = json.dumps(answer()).encode()
    odd = whole.replace(b'"content": "x"', b'"content": "y", "logprobs": NaN, "content": "x\xff"')
    (row,) = read(odd)

    assert isinstance(row, Row) and isinstance(row.body, dict)
    assert odd != whole
    assert row.body["choices"][0]["message"]["content"] == "x\ufffd"


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["custom_id", "response", "error", "status_code", "body", "code", "message"]),
                inner,
                max_size=5,
            )
        ),
        max_leaves=12,
    )
)
def test_no_line_is_too_odd_to_be_read_or_told(value: object) -> None:
    (found,) = read(value)

    if isinstance(found, Row) and found.status is not None:
        assert isinstance(found.error.message, str)


def test_an_error_row_is_the_sdks_own_error() -> None:
    inner = {"message": "Unsupported parameter: 'stop'", "type": "invalid_request_error", "param": "stop", "code": "c"}
    (row,) = read(answer(response={"status_code": 400, "request_id": "r", "body": {"error": inner}}))
    assert isinstance(row, Row)
    error = row.error

    assert (error.status_code, error.code, error.param, error.message) == (400, "c", "stop", inner["message"])

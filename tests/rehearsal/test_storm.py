"""The rehearsal teacher's faults and hidden limits, as clients meet them, and what its books say of them."""

from __future__ import annotations

import http.client
import json
import re
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from alpaca_cli.rehearsal import tokens
from alpaca_cli.rehearsal.books import Bill
from alpaca_cli.rehearsal.capacity import Bucket
from alpaca_cli.rehearsal.compose import compose
from alpaca_cli.rehearsal.faults import FATAL, FAULTS, PASSING, duration
from alpaca_cli.rehearsal.mangle import REFUSAL
from alpaca_cli.rehearsal.server import RehearsalServer
from alpaca_cli.rehearsal.storm import Storm, storm_of
from rehearsal.asking import CHAT, KEY, PROMPT, TEXT, Heard, ask, chat, send

WHOLE = compose(PROMPT)
PROMPT_TOKENS, WHOLE_TOKENS = tokens.count(PROMPT), tokens.count(WHOLE)
PAID = Bill(1, PROMPT_TOKENS, WHOLE_TOKENS)

ERRORS = {
    "rate_limit": (429, "requests", None, "rate_limit_exceeded"),
    "rate_limit_bare": (429, "requests", None, "rate_limit_exceeded"),
    "insufficient_quota": (429, "insufficient_quota", None, "insufficient_quota"),
    "error_500": (500, "server_error", None, None),
    "error_502": (502, "server_error", None, None),
    "error_503": (503, "server_error", None, None),
    "error_504": (504, "server_error", None, None),
    "unsupported_parameter": (400, "invalid_request_error", "temperature", "unsupported_parameter"),
    "context_length": (400, "invalid_request_error", "messages", "context_length_exceeded"),
    "content_filter": (400, "invalid_request_error", "prompt", "content_filter"),
    "model_not_found": (404, "invalid_request_error", None, "model_not_found"),
    "model_retired": (404, "invalid_request_error", None, "model_not_found"),
    "wrong_key": (401, "invalid_request_error", None, "invalid_api_key"),
    "echo_key": (401, "invalid_request_error", None, "invalid_api_key"),
}


def _scripted(*script: str, **more: object) -> RehearsalServer:
    return RehearsalServer(storm=Storm.model_validate({"script": script, "slow_s": 0.1, **more}))


def _met(fault: str, *, path: str = CHAT) -> tuple[Heard, RehearsalServer]:
    """What a request hears under a fault, and the server, which has closed since."""
    with _scripted(fault) as server:
        body = chat(temperature=1, max_tokens=3000) if path == CHAT else {"model": "rehearsal", "prompt": PROMPT}
        return send(server, "POST", path, body), server


@pytest.mark.parametrize("fault", ERRORS)
def test_errors_have_openais_shape_and_are_not_billed(fault: str) -> None:
    heard, server = _met(fault)
    status, kind, param, code = ERRORS[fault]
    assert heard.status == status
    assert {key: heard.error[key] for key in ("type", "param", "code")} == {"type": kind, "param": param, "code": code}
    assert heard.error["message"]
    assert ("retry-after" in heard.headers) == (fault == "rate_limit")
    assert (KEY in heard.body.decode()) == (fault == "echo_key")
    assert server.books.billed == (PAID if fault == "error_504" else Bill())
    assert server.books.requests == {(CHAT, str(status)): 1}
    assert server.books.num_delivered(PROMPT) == 0


def test_every_fault_is_of_a_known_kind() -> None:
    assert set(FATAL) | set(PASSING) | {"context_length"} == set(FAULTS)
    assert set(FATAL) <= set(ERRORS)


def test_a_drawn_context_length_tells_numbers_that_add_up() -> None:
    heard, _ = _met("context_length")
    most, asked, prompt, new = map(int, re.findall(r"\d+", heard.error["message"]))
    assert (prompt, new) == (PROMPT_TOKENS, 3000)
    assert asked == prompt + new > most


def test_a_context_is_a_property_of_the_server() -> None:
    with RehearsalServer(storm=Storm(context_tokens=PROMPT_TOKENS + 40)) as server:
        assert ask(server, max_tokens=41).error["code"] == "context_length_exceeded"
        assert ask(server, max_tokens=40).status == 200
        heard = send(server, "POST", TEXT, {"model": "rehearsal", "prompt": PROMPT, "max_tokens": 50})
        assert heard.error["param"] == "prompt"


@pytest.mark.parametrize("path", [CHAT, TEXT])
@pytest.mark.parametrize(
    ("fault", "billed"), [("drop", False), ("drop_after_work", True), ("hang", True), ("torn_body", True)]
)
def test_connections_that_break(fault: str, billed: bool, path: str) -> None:
    with _scripted(fault, "ok", hang_s=0.1) as server:
        body = chat() if path == CHAT else {"model": "rehearsal", "prompt": PROMPT}
        wanted = http.client.IncompleteRead if fault == "torn_body" else http.client.RemoteDisconnected
        with pytest.raises(wanted):
            send(server, "POST", path, body)
        assert server.books.billed.answers == int(billed)
        assert server.books.requests == {(path, "200" if fault == "torn_body" else "none"): 1}
        assert server.books.num_delivered(PROMPT) == 0
        assert send(server, "POST", path, body).status == 200
        assert server.books.num_delivered(PROMPT) == 1
        assert server.books.billed.answers == 1 + int(billed)


def test_a_hang_ends_when_the_client_leaves_and_when_the_server_closes() -> None:
    with _scripted("hang", "hang", concurrency=1) as server:
        with (
            openai.OpenAI(base_url=server.base_url, api_key=KEY, max_retries=0) as sdk,
            pytest.raises(openai.APITimeoutError),
        ):
            _ask_sdk(sdk, 0.2)
        _until(lambda: server.books.in_flight == 0)
        heard: list[type[Exception]] = []

        def wait() -> None:
            try:
                ask(server)
            except http.client.HTTPException as error:
                heard.append(type(error))

        waiting = threading.Thread(target=wait)
        waiting.start()
        _until(lambda: server.books.in_flight == 1)
    waiting.join(20)
    assert heard == [http.client.RemoteDisconnected]


def _ask_sdk(sdk: openai.OpenAI, timeout: float) -> object:
    return sdk.chat.completions.create(
        model="rehearsal", messages=[{"role": "user", "content": PROMPT}], timeout=timeout
    )


@pytest.mark.parametrize(
    ("fault", "status", "billed"),
    [("torn_json", 200, True), ("empty_body", 200, True), ("html", 200, False), ("html_502", 502, False)],
)
def test_answers_that_are_no_json(fault: str, status: int, billed: bool) -> None:
    heard, server = _met(fault)
    assert heard.status == status
    with pytest.raises(ValueError):
        json.loads(heard.body)
    assert ("text/html" in heard.headers["content-type"]) == fault.startswith("html")
    assert (server.books.billed == PAID) == billed
    assert server.books.num_delivered(PROMPT) == 0


@pytest.mark.parametrize("path", [CHAT, TEXT])
def test_answers_that_lack_a_field_are_paid(path: str) -> None:
    whole = compose(PROMPT, chat=path == CHAT)
    paid = Bill(1, PROMPT_TOKENS, tokens.count(whole))
    for fault, delivered in (("missing_usage", 1), ("null_usage", 1), ("slow", 1), ("missing_choices", 0)):
        heard, server = _met(fault, path=path)
        assert heard.status == 200
        assert ("usage" in heard.json) == (fault != "missing_usage")
        assert (heard.json.get("usage") is None) == (fault in ("missing_usage", "null_usage"))
        assert ("choices" in heard.json) == (fault != "missing_choices")
        assert fault == "missing_choices" or heard.text == whole
        assert server.books.billed == paid
        assert server.books.num_delivered(PROMPT) == delivered


def test_a_truncated_answer_ends_inside_a_sentence() -> None:
    heard, server = _met("truncated")
    assert heard.json["choices"][0]["finish_reason"] == "length"
    assert WHOLE.startswith(heard.text)
    assert len(WHOLE) // 2 <= len(heard.text) < len(WHOLE)
    assert re.match(r" \w", WHOLE[len(heard.text) :])
    assert heard.json["usage"]["completion_tokens"] == tokens.count(heard.text) == server.books.billed.completion_tokens


def test_duplicates_are_the_same_list_whatever_is_asked() -> None:
    with _scripted("duplicates", "duplicates", "ok", "ok") as server:
        texts = [ask(server, f"{word} {PROMPT}").text for word in ("One:", "Another:", "One:", "Another:")]
    assert texts[0] == texts[1]
    assert len(set(texts)) == 3
    assert "4. Instruction:" in PROMPT and "5. Instruction:" in texts[0]


def test_a_refusal_is_prose() -> None:
    heard, server = _met("refusal")
    assert heard.text == REFUSAL
    assert heard.json["choices"][0]["finish_reason"] == "stop"
    assert server.books.billed.completion_tokens == tokens.count(REFUSAL)


def test_markdown_has_the_same_tasks_under_headings() -> None:
    with _scripted(*["markdown"] * 8) as server:
        for at in range(8):
            prompt = f"{at}. {PROMPT}"
            text, plain = ask(server, prompt).text, compose(prompt)
            if "**Input:**" not in plain:  # chat answers may be bold by themselves
                assert text.count("### Task ") == plain.count(". Instruction:") + (not plain.startswith("4. I"))
                assert not re.search(r"^\d+\. (Instruction|Input|Output):", text, re.MULTILINE)
                assert text.count("**Output:**") == plain.count(". Output:")
            assert "**Instruction:**" in text or "Instruction:**" in text


def test_a_filter_may_end_an_answer() -> None:
    heard, server = _met("content_filter_finish")
    (choice,) = heard.json["choices"]
    assert (choice["message"]["content"], choice["finish_reason"]) == (None, "content_filter")
    assert server.books.billed == Bill(1, PROMPT_TOKENS, 0)
    assert _met("content_filter_finish", path=TEXT)[0].text == ""


def test_a_parameter_once_refused_is_always_refused() -> None:
    with _scripted(*["unsupported_parameter"] * 9) as server:
        sent: dict[str, object] = {"temperature": 1, "top_p": 1, "stop": ["x"], "max_tokens": 9, "n": 1}
        refused = []
        while (heard := ask(server, **sent)).status == 400:
            refused.append(heard.error["param"])
            assert ask(server, **{heard.error["param"]: sent.pop(heard.error["param"])}).status == 400
        assert refused == ["temperature", "top_p", "stop", "max_tokens"]
        assert ask(server, max_completion_tokens=9).status == 200  # never both names of the limit
        assert server.books.faults == {"unsupported_parameter": 4}


def test_some_parameters_are_never_taken() -> None:
    with RehearsalServer(storm=Storm(unsupported=("temperature",))) as server:
        for _ in range(2):
            heard = ask(server, temperature=0.5)
            assert (heard.status, heard.error["param"]) == (400, "temperature")
        assert ask(server, temperature=None).status == 200


def test_streams_meet_faults_too() -> None:
    with _scripted("truncated", "torn_body") as server:
        heard = ask(server, stream=True)
        assert '"finish_reason": "length"' in heard.body.decode()
        with pytest.raises(http.client.IncompleteRead):
            ask(server, stream=True)


def test_the_sdk_tells_the_errors_apart() -> None:
    wanted = {
        "rate_limit": openai.RateLimitError, "insufficient_quota": openai.RateLimitError,
        "error_500": openai.InternalServerError, "context_length": openai.BadRequestError,
        "model_retired": openai.NotFoundError, "wrong_key": openai.AuthenticationError,
        "drop": openai.APIConnectionError, "html_502": openai.InternalServerError,
    }  # fmt: skip
    with (
        _scripted(*wanted) as server,
        openai.OpenAI(base_url=server.base_url, api_key=KEY, max_retries=0, timeout=20) as sdk,
    ):
        for kind in wanted.values():
            with pytest.raises(kind) as caught:
                _ask_sdk(sdk, 20)
            assert KEY not in str(caught.value)
        assert _ask_sdk(sdk, 20)


def test_chance_follows_the_rates_and_the_seed() -> None:
    storm = Storm(rates={"error_500": 0.25, "rate_limit": 0.25})

    def statuses(seed: int) -> list[int]:
        with RehearsalServer(seed=seed, storm=storm) as server:
            return [ask(server, "no list").status for _ in range(200)]

    first = statuses(1)
    assert statuses(1) == first != statuses(2)
    counts = Counter(first)
    assert set(counts) == {200, 429, 500}
    assert 70 <= counts[200] <= 130 and min(counts.values()) >= 25


def test_a_storm_of_everything_that_passes() -> None:
    storm = storm_of(0.3)
    assert set(storm.rates) == set(PASSING)
    assert sum(storm.rates.values()) == pytest.approx(0.3)
    assert storm_of(1) and storm_of(0) == Storm(rates=dict.fromkeys(PASSING, 0.0))
    with pytest.raises(ValidationError):
        storm_of(1.1)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"rates": {"eror_500": 0.1}}, "did you mean error_500?"),
        ({"rates": {"error_500": 0.7, "drop": 0.6}}, "the rates come to 1.3"),
        ({"rates": {"drop": -0.1}}, "greater than or equal to 0"),
        ({"script": ["oks"]}, "did you mean ok?"),
        ({"unsupported": ["n"]}, "unknown parameter 'n'"),
        ({"unsupported": ["max_tokens", "max_completion_tokens"]}, "must not both be refused"),
        ({"concurrency": 0}, "greater than or equal to 1"),
    ],
)
def test_what_a_storm_must_not_say(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=re.escape(message)):
        Storm.model_validate(settings)


def test_a_script_then_calm_then_another_storm() -> None:
    with _scripted("error_500", "ok", "error_502") as server:
        assert [ask(server).status for _ in range(4)] == [500, 200, 502, 200]
        server.storm = Storm(script=("error_503",))
        assert [ask(server).status for _ in range(2)] == [503, 200]
        assert server.storm.script == ("error_503",)


def test_too_many_requests_per_minute_are_refused() -> None:
    with RehearsalServer(storm=Storm(requests_per_minute=2, headers=True)) as server:
        first, second = ask(server), ask(server)
        assert (first.status, second.status) == (200, 429)
        assert first.headers["x-ratelimit-limit-requests"] == "2"
        assert first.headers["x-ratelimit-remaining-requests"] == "0"
        assert re.fullmatch(r"\d+(\.\d+)?s", first.headers["x-ratelimit-reset-requests"])
        assert "x-ratelimit-limit-requests" in second.headers
        assert 20 <= int(second.headers["retry-after"]) <= 30
        assert 20_000 <= int(second.headers["retry-after-ms"]) <= 30_000
        assert (second.error["type"], second.error["code"]) == ("requests", "rate_limit_exceeded")
        assert "Limit 2, Used 1, Requested 1" in second.error["message"]
        server.storm = Storm(requests_per_minute=2, retry_after=False)
        assert ask(server).status == 200
        bare = ask(server)
        assert (
            bare.status == 429
            and "retry-after" not in bare.headers
            and "x-ratelimit-limit-requests" not in bare.headers
        )
        assert server.books.refused == {"requests": 2}
        server.storm = Storm()
        assert ask(server).status == 200


def test_tokens_per_minute_count_what_may_be_answered() -> None:
    with RehearsalServer(storm=Storm(tokens_per_minute=2 * PROMPT_TOKENS + 100, burst_s=60, headers=True)) as server:
        left = int(ask(server, max_tokens=100).headers["x-ratelimit-remaining-tokens"])
        assert PROMPT_TOKENS <= left <= PROMPT_TOKENS + 50
        refused = ask(server, max_tokens=90)
        assert (refused.status, refused.error["type"]) == (429, "tokens")
        huge = ask(server, max_tokens=5000)
        assert huge.status == 429 and "Request too large" in huge.error["message"]
        assert "retry-after" not in huge.headers


def test_a_bucket_in_time() -> None:
    bucket = Bucket(60, 5, now=10.0)
    assert [bucket.wait(1, 10.0)] == [0.0]
    bucket.take(5, 10.0)
    assert bucket.wait(1, 10.0) == 1.0
    assert bucket.wait(2, 11.0) == 1.0
    assert bucket.wait(50, 11.0) == 4.0  # more than it holds: when it is full
    bucket.take(50, 15.0)
    assert bucket.wait(1, 15.0) == 46.0
    assert bucket.seconds_to_full(15.0) == 50.0


@given(
    st.floats(1, 1e6),
    st.floats(0, 100),
    st.lists(st.tuples(st.floats(0, 60), st.floats(0, 2)), min_size=1, max_size=60),
)
def test_a_bucket_never_gives_more_than_its_rate(
    per_minute: float, burst: float, steps: list[tuple[float, float]]
) -> None:
    bucket, now, taken, largest = Bucket(per_minute, burst, 0.0), 0.0, 0.0, 0.0
    for gap, amount in steps:
        now += gap
        if bucket.wait(amount, now) == 0:
            bucket.take(amount, now)
            taken, largest = taken + amount, max(largest, amount)
    assert taken <= max(1.0, burst) + now * per_minute / 60 + largest + 1e-6


def test_concurrency_refuses_or_queues_and_may_change_under_way() -> None:
    with _scripted("hang", "hang", concurrency=2) as server, ThreadPoolExecutor(3) as pool:
        hanging = [pool.submit(ask, server) for _ in range(2)]
        _until(lambda: server.books.in_flight == 2)
        refused = ask(server)
        assert (refused.status, refused.error["code"]) == (429, "rate_limit_exceeded")
        assert refused.headers["retry-after"] == "1"
        server.storm = Storm(concurrency=2, queue=True)
        waiting = pool.submit(ask, server)
        _until(lambda: server.num_requests == 4)
        assert (server.books.peak_in_flight, waiting.done()) == (2, False)
        server.storm = Storm(concurrency=3, queue=True)
        assert waiting.result(20).status == 200
        assert server.books.peak_in_flight == 3
        server.close()
        for each in hanging:
            assert isinstance(each.exception(20), http.client.RemoteDisconnected)
        assert server.books.refused == {"concurrency": 1}


def _until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_the_books_in_another_process() -> None:
    with _scripted("ok", "error_500", "drop_after_work", "ok") as server:
        for _ in range(4):
            try:
                ask(server)
            except http.client.RemoteDisconnected:
                continue
        found = send(server, "GET", "/rehearsal/books").json
        paid = {"answers": 3, "prompt_tokens": 3 * PROMPT_TOKENS, "completion_tokens": 3 * WHOLE_TOKENS}
        assert found["billed"] == found["total"] == paid
        assert found["requests"] == {CHAT: {"200": 2, "500": 1, "none": 1}}
        assert found["faults"] == {"error_500": 1, "drop_after_work": 1}
        assert list(found["delivered"].values()) == [2]
        assert (found["refused"], found["batches"]) == ({}, {})


def test_a_cost_is_exact() -> None:
    assert Bill(1, 1, 3).cost(Decimal("0.10"), Decimal("0.7")) == Decimal("0.0000022")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0ms"), (0.0124, "12ms"), (1, "1s"), (1.5, "1.5s"), (59.9996, "1m0s"), (360, "6m0s"), (3723.25, "1h2m3.25s")],
)
def test_durations_are_in_openais_form(seconds: float, text: str) -> None:
    assert duration(seconds) == text

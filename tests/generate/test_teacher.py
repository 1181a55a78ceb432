"""The teacher against a real server that answers well, badly, or not at all."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from alpaca_cli.data.journal import Completion
from alpaca_cli.errors import TeacherError, TeacherRefused, TeacherUnreachable
from alpaca_cli.generate import teacher as teacher_module
from alpaca_cli.generate.prompt import Request
from alpaca_cli.generate.teacher import Teacher
from alpaca_cli.recipe import TeacherSettings
from scripted_server import Answer, Script, Seen, chat, error, serving

REQUEST = Request(7, ("seed_task_1", "seed_task_2"), "Write tasks.", 3)
GOOD = chat("4. Instruction: x", usage={"prompt_tokens": 11, "completion_tokens": 5, "total_tokens": 16})


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(teacher_module, "FIRST_PAUSE_S", 0.001)


def ask(script: Script, *, notes: list[str] | None = None, **settings: Any) -> tuple[Completion, Seen]:
    """Ask one request of a scripted server."""

    async def run(seen: Seen) -> Completion:
        checked = TeacherSettings.model_validate({"model": "m", "max_tries": 3, **settings})
        heard = notes if notes is not None else []
        async with Teacher(
            checked, base_url=seen.base_url, api_key="sk-secret", on_note=heard.append, on_retry=heard.append
        ) as teacher:
            return await teacher.ask(REQUEST)

    with serving(script) as seen:
        return asyncio.run(run(seen)), seen


def test_a_chat_completion_comes_back_whole() -> None:
    completion, seen = ask(lambda k, body: GOOD)

    assert (completion.k, completion.seed_ids, completion.text) == (7, REQUEST.seed_ids, "4. Instruction: x")
    assert (completion.finish_reason, completion.model, completion.tries) == ("stop", "m", 1)
    assert completion.usage == {"prompt_tokens": 11, "completion_tokens": 5}
    assert completion.prompt_sha256 == REQUEST.prompt_sha256
    assert seen.paths == ["/v1/chat/completions"]
    assert seen.requests == [
        {"model": "m", "messages": [{"role": "user", "content": "Write tasks."}], "max_tokens": 3072}
    ]
    assert seen.headers[0]["authorization"] == "Bearer sk-secret"


def test_base_models_are_asked_through_the_completions_api() -> None:
    answer = Answer(
        200, {"id": "c", "object": "text_completion", "choices": [{"text": " a", "finish_reason": "length"}]}
    )
    completion, seen = ask(lambda k, body: answer, api="completions", temperature=1.0, stop=["\n20."], top_p=1.0)

    assert (completion.text, completion.finish_reason, completion.usage) == (" a", "length", None)
    assert seen.paths == ["/v1/completions"]
    assert seen.requests[0] == {
        "model": "m", "prompt": "Write tasks.", "max_tokens": 3072, "temperature": 1.0, "top_p": 1.0, "stop": ["\n20."],
    }  # fmt: skip


def test_extra_fields_of_the_recipe_are_sent_as_they_are() -> None:
    _, seen = ask(lambda k, body: GOOD, extra_body={"top_k": 40})

    assert seen.requests[0]["top_k"] == 40


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (error(401, "Incorrect API key provided: sk-secret.", code="invalid_api_key"), "HTTP 401: Incorrect API key"),
        (error(403, "Not allowed."), "HTTP 403: Not allowed."),
        (error(404, "The model `m` does not exist", code="model_not_found"), "HTTP 404: The model `m` does not exist"),
        (error(429, "You exceeded your current quota", code="insufficient_quota"), "HTTP 429: You exceeded"),
        (error(400, "This model's maximum context length is 4097 tokens"), "HTTP 400: This model's maximum"),
    ],
)
def test_what_will_not_pass_ends_at_once_and_hides_the_key(answer: Answer, words: str) -> None:
    seen: list[int] = []

    def script(number: int, body: dict[str, Any]) -> Answer:
        seen.append(number)
        return answer

    with pytest.raises(TeacherRefused) as caught:
        ask(script)

    assert seen == [0]
    assert words in str(caught.value)
    assert "sk-secret" not in str(caught.value)


@pytest.mark.parametrize(
    "bad",
    [
        error(500, "Internal error"),
        error(429, "Rate limit reached", code="rate_limit_exceeded"),
        error(408, "Timeout"),
        Answer(drop=True),
        Answer(200, b"<html>proxy</html>", {"content-type": "text/html"}),
        Answer(200, b'{"choices": [{"mess'),
        Answer(200, b""),
        Answer(200, {"object": "chat.completion"}),
        Answer(200, {"choices": []}),
        Answer(200, {"choices": None}),
        Answer(200, b"[" * 200_000),
        Answer(502, b"<html>Bad gateway</html>", {"content-type": "text/html"}),
    ],
)
def test_what_may_pass_is_tried_again_and_told(bad: Answer) -> None:
    notes: list[str] = []
    completion, seen = ask(lambda number, body: bad if number == 0 else GOOD, notes=notes)

    assert (completion.text, completion.tries, len(seen.requests)) == ("4. Instruction: x", 2, 2)
    assert len(notes) == 1
    assert "request 7: " in notes[0]
    assert "; try 2 of 3 in " in notes[0]


def test_tries_are_bounded() -> None:
    with pytest.raises(TeacherUnreachable, match="request 7 asked 3 times without an answer; last: HTTP 500: Broken"):
        ask(lambda number, body: error(500, "Broken"))


def test_a_server_that_is_not_there_is_named() -> None:
    with serving(lambda number, body: GOOD) as seen:
        address = seen.base_url

    async def run() -> None:
        settings = TeacherSettings(model="m", max_tries=2)
        async with Teacher(settings, base_url=address, api_key="none") as teacher:
            await teacher.ask(REQUEST)

    with pytest.raises(
        TeacherUnreachable,
        match="asked twice without an answer; last: the connection failed: all connection attempts failed",
    ):
        asyncio.run(run())


def test_a_wrong_model_is_answered_with_the_models_there_are() -> None:
    with pytest.raises(TeacherRefused) as caught:
        ask(lambda number, body: error(404, "no such model", code="model_not_found"))

    assert caught.value.problems[0].hint == "name a model with --model; the server knows: m"


@pytest.mark.parametrize("header", [{"retry_after_ms": "40"}, {"retry_after": "0.04"}])
def test_the_pause_that_a_server_asks_for_is_kept(header: dict[str, str]) -> None:
    notes: list[str] = []
    ask(lambda number, body: error(429, "slow down", **header) if number == 0 else GOOD, notes=notes)

    assert "try 2 of 3 in 0.0 s" in notes[0]


def test_a_timeout_is_one_try() -> None:
    import time

    def script(number: int, body: dict[str, Any]) -> Answer:
        if number == 0:
            time.sleep(0.5)
        return GOOD

    notes: list[str] = []
    completion, _ = ask(script, notes=notes, timeout_s=0.1)

    assert completion.tries == 2
    assert "no answer within 0.1 s" in notes[0]


@pytest.mark.parametrize("name", ["reasoning_effort", "temperature", "top_p", "stop"])
def test_a_parameter_that_the_server_refuses_is_left_out_aloud(name: str) -> None:
    settings = {"reasoning_effort": "none", "temperature": 1.0, "top_p": 1.0, "stop": ["x"]}
    refusal = error(400, f"Unsupported parameter: '{name}' is not supported.", code="unsupported_parameter", param=name)
    notes: list[str] = []
    completion, seen = ask(lambda number, body: refusal if name in body else GOOD, notes=notes, **settings)

    assert name not in seen.requests[-1]
    assert set(settings) - {name} <= set(seen.requests[-1])
    assert (completion.left_out, completion.tries, len(seen.requests)) == ((name,), 1, 2)
    assert notes == [f"the server does not take {name}: left out from now on"]


def test_the_name_of_the_token_limit_is_found_out() -> None:
    message = (
        "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."
    )
    refusal = error(400, message, code="unsupported_parameter", param="max_tokens")
    completion, seen = ask(lambda number, body: refusal if "max_tokens" in body else GOOD)

    assert seen.requests[1]["max_completion_tokens"] == 3072
    assert completion.left_out == ("max_tokens",)


def test_a_server_that_takes_neither_name_of_the_token_limit_does_not_loop() -> None:
    def script(number: int, body: dict[str, Any]) -> Answer:
        name = "max_tokens" if "max_tokens" in body else "max_completion_tokens"
        return error(400, f"Unexpected: {name}", param=name)

    with pytest.raises(TeacherError, match="HTTP 400: Unexpected: max_completion_tokens"):
        ask(script)


def test_an_answer_without_text_is_an_empty_text() -> None:
    completion, _ = ask(lambda number, body: chat(None, finish_reason="content_filter"))

    assert (completion.text, completion.finish_reason) == ("", "content_filter")


def test_usage_that_makes_no_sense_is_no_usage() -> None:
    completion, _ = ask(lambda number, body: chat("a", usage={"prompt_tokens": "many"}))

    assert completion.usage is None


def test_a_text_in_parts_is_one_text() -> None:
    parts = [{"type": "text", "text": "4. Instr"}, {"type": "text", "text": "uction: x"}]
    completion, _ = ask(lambda number, body: Answer(200, {"choices": [{"message": {"content": parts}}]}))

    assert completion.text == "4. Instruction: x"


@pytest.mark.parametrize("choice", [{"message": {"content": ["x"]}}, {"message": {"content": 5}}, {"delta": "x"}])
def test_a_paid_answer_of_an_unknown_form_is_kept_and_not_paid_again(choice: dict[str, Any]) -> None:
    completion, seen = ask(lambda number, body: Answer(200, {"choices": [choice]}))

    assert len(seen.requests) == 1
    assert '"choices"' in completion.text


def test_an_answer_that_is_not_utf8_is_kept_but_for_the_bad_byte() -> None:
    raw = b'{"choices": [{"message": {"content": "caf\xe9"}, "finish_reason": "stop"}]}'
    completion, _ = ask(lambda number, body: Answer(200, raw))

    assert completion.text == "caf\ufffd"


def test_a_prompt_that_a_filter_refuses_is_an_empty_answer() -> None:
    refusal = error(400, "The prompt was filtered.", code="content_filter")
    completion, seen = ask(lambda number, body: refusal)

    assert (completion.text, completion.finish_reason, len(seen.requests)) == ("", "content_filter", 1)


def test_a_pause_of_a_day_is_not_waited_for() -> None:
    with pytest.raises(TeacherUnreachable, match="the server asks to wait 1,440 minutes"):
        ask(lambda number, body: error(429, "come back tomorrow", retry_after="86400"))


def test_a_message_about_a_value_does_not_drop_the_parameter() -> None:
    message = "'max_tokens' or 'max_completion_tokens' is too large: 9000. This model's maximum context length is 8192"
    with pytest.raises(TeacherRefused):
        ask(lambda number, body: error(400, message))


def test_loopback_is_not_asked_through_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "socks5://127.0.0.1:9")

    assert ask(lambda number, body: GOOD)[0].tries == 1

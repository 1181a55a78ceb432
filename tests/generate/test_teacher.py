"""The teacher against a real server that answers well, badly, or not at all."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from alpaca_cli.data.journal import Completion
from alpaca_cli.errors import TeacherRefused
from alpaca_cli.generate.body import Body
from alpaca_cli.generate.failure import Failure
from alpaca_cli.generate.prompt import Request
from alpaca_cli.generate.teacher import Reply, Teacher
from alpaca_cli.recipe.generate import TeacherSettings
from scripted_server import Answer, Script, Seen, chat, error, serving

REQUEST = Request(7, ("seed_task_1", "seed_task_2"), "Write tasks.", 3)
GOOD = chat("4. Instruction: x", usage={"prompt_tokens": 11, "completion_tokens": 5, "total_tokens": 16})


def ask(script: Script, *, notes: list[str] | None = None, **settings: Any) -> tuple[Reply | Failure, Seen]:
    """Ask one request of a scripted server, again only as long as the teacher has changed how it asks."""

    async def run(seen: Seen) -> Reply | Failure:
        checked = TeacherSettings.model_validate({"model": "m", **settings})
        heard = notes if notes is not None else []
        async with Teacher(checked, base_url=seen.base_url, api_key="sk-secret", on_note=heard.append) as teacher:
            while True:
                outcome = await teacher.ask(REQUEST)
                if isinstance(outcome, Reply) or outcome.kind != "changed":
                    return outcome

    with serving(script) as seen:
        return asyncio.run(run(seen)), seen


def answered(script: Script, **settings: Any) -> tuple[Completion, Seen]:
    """The completion that a scripted server gives."""
    outcome, seen = ask(script, **settings)
    assert isinstance(outcome, Reply), outcome
    return outcome.completion, seen


def failed(script: Script, **settings: Any) -> Failure:
    """The failure that a scripted server gives."""
    outcome, _ = ask(script, **settings)
    assert isinstance(outcome, Failure), outcome
    return outcome


async def _refused(seen: Seen, failure: Failure) -> TeacherRefused:
    settings = TeacherSettings(model="m")
    async with Teacher(settings, base_url=seen.base_url, api_key="sk-secret") as teacher:
        return await teacher.refused(failure)


def test_a_chat_completion_comes_back_whole() -> None:
    completion, seen = answered(lambda k, body: GOOD)

    assert (completion.k, completion.seed_ids, completion.text) == (7, REQUEST.seed_ids, "4. Instruction: x")
    assert (completion.finish_reason, completion.model) == ("stop", "m")
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
    completion, seen = answered(lambda k, body: answer, api="completions", temperature=1.0, stop=["\n20."], top_p=1.0)

    assert (completion.text, completion.finish_reason, completion.usage) == (" a", "length", None)
    assert seen.paths == ["/v1/completions"]
    assert seen.requests[0] == {
        "model": "m", "prompt": "Write tasks.", "max_tokens": 3072, "temperature": 1.0, "top_p": 1.0, "stop": ["\n20."],
    }  # fmt: skip


def test_extra_fields_of_the_recipe_are_sent_as_they_are() -> None:
    _, seen = answered(lambda k, body: GOOD, extra_body={"top_k": 40})

    assert seen.requests[0]["top_k"] == 40


@pytest.mark.parametrize(
    ("answer", "kind", "words"),
    [
        (error(401, "Incorrect API key provided: sk-secret.", code="invalid_api_key"), "fatal", "HTTP 401: Incorrect"),
        (error(402, "Insufficient Balance"), "fatal", "HTTP 402: Insufficient Balance"),
        (error(403, "Not allowed."), "fatal", "HTTP 403: Not allowed."),
        (error(404, "The model `m` does not exist", code="model_not_found"), "fatal", "HTTP 404: The model `m`"),
        (error(410, "The model `m` has been shut down"), "fatal", "HTTP 410: The model `m` has been shut down"),
        (error(429, "You exceeded your current quota", code="insufficient_quota"), "fatal", "HTTP 429: You exceeded"),
        (error(429, "Rate limit reached", code="rate_limit_exceeded"), "busy", "HTTP 429: Rate limit reached"),
        (error(503, "Overloaded"), "busy", "HTTP 503: Overloaded"),
        (error(400, "messages: what is that?"), "rejected", "HTTP 400: messages: what is that?"),
        (error(422, "what is that?"), "rejected", "HTTP 422: what is that?"),
        (error(500, "Internal error"), "passing", "HTTP 500: Internal error"),
        (error(408, "Timeout"), "passing", "HTTP 408: Timeout"),
        (Answer(drop=True), "passing", "the connection failed: "),
        (Answer(502, b"<html>Bad gateway</html>", {"content-type": "text/html"}), "passing", "HTTP 502: <html>Bad"),
        (Answer(200, b"<html>proxy</html>", {"content-type": "text/html"}), "passing", "not a completion: '<html>"),
        (Answer(200, b'{"choices": [{"mess'), "passing", "not a completion: "),
        (Answer(200, b""), "passing", "not a completion: an empty body"),
        (Answer(200, {"object": "chat.completion"}), "passing", "not a completion: "),
        (Answer(200, {"choices": []}), "passing", "not a completion: "),
        (Answer(200, {"choices": None}), "passing", "not a completion: "),
        (Answer(200, b"[" * 200_000), "passing", "not a completion: "),
    ],
)
def test_failures_are_told_apart_and_hide_the_key(answer: Answer, kind: str, words: str) -> None:
    failure = failed(lambda number, body: answer)

    assert failure.kind == kind
    assert failure.message.startswith(words)
    assert "sk-secret" not in repr(failure)


@pytest.mark.parametrize(
    ("answer", "may_be_paid"),
    [
        (error(401, "no"), False),
        (error(429, "slow down"), False),
        (error(400, "no"), False),
        (error(500, "Internal error"), True),
        (error(503, "Overloaded"), True),
        (Answer(502, b"<html>"), True),
        (Answer(drop=True), True),
        (Answer(200, b"<html>"), True),
    ],
)
def test_what_a_server_may_have_done_the_work_for_may_be_paid(answer: Answer, may_be_paid: bool) -> None:
    assert failed(lambda number, body: answer).may_be_paid is may_be_paid


def test_a_server_that_is_not_there_has_done_no_work() -> None:
    with serving(lambda number, body: GOOD) as seen:
        address = seen.base_url

    async def run() -> Reply | Failure:
        async with Teacher(TeacherSettings(model="m"), base_url=address, api_key="none") as teacher:
            return await teacher.ask(REQUEST)

    outcome = asyncio.run(run())
    assert isinstance(outcome, Failure)
    assert outcome.message.startswith("the connection failed: all connection attempts failed")
    assert (outcome.kind, outcome.may_be_paid) == ("passing", False)


@pytest.mark.parametrize(
    ("failure", "hint"),
    [
        (Failure("HTTP 401: no", "fatal", status=401), "check the key in OPENAI_API_KEY"),
        (Failure("HTTP 404: no", "fatal", status=404), "name a model with --model; the server knows: m"),
        (Failure("HTTP 400: model m is odd", "rejected", status=400), "name a model with --model; the server knows: m"),
        (Failure("HTTP 429: quota", "fatal", status=429), "the account is out of credit"),
        (Failure("HTTP 400: service_tier: no", "rejected", status=400), "leave out --tier flex"),
        (Failure("HTTP 400: long", "too_long", status=400), "name a model with a longer context"),
    ],
)
def test_what_ends_a_run_says_what_to_do(failure: Failure, hint: str) -> None:
    with serving(lambda number, body: GOOD) as seen:
        found = asyncio.run(_refused(seen, failure))

    assert str(found) == f"{seen.base_url}: {failure.message}"
    assert hint in (found.problems[0].hint or "")


@pytest.mark.parametrize("header", [{"retry_after_ms": "90500"}, {"retry_after": "90.5"}])
def test_the_pause_that_a_server_asks_for_is_read(header: dict[str, str]) -> None:
    assert failed(lambda number, body: error(429, "slow down", **header)).pause_s == 90.5


def test_an_answer_that_trickles_is_given_up_at_the_deadline() -> None:
    stop = threading.Event()

    def script(number: int, body: dict[str, Any]) -> Answer:
        stop.wait(5)
        return GOOD

    failure = failed(script, timeout_s=0.1)
    stop.set()

    assert (failure.message, failure.kind, failure.may_be_paid) == ("no answer within 0.1 s", "passing", True)
    assert failure.timed_out


@pytest.mark.parametrize("name", ["reasoning_effort", "temperature", "top_p", "stop"])
def test_a_parameter_that_the_server_refuses_is_left_out_aloud(name: str) -> None:
    settings = {"reasoning_effort": "none", "temperature": 1.0, "top_p": 1.0, "stop": ["x"]}
    refusal = error(400, f"Unsupported parameter: '{name}' is not supported.", code="unsupported_parameter", param=name)
    notes: list[str] = []
    completion, seen = answered(lambda number, body: refusal if name in body else GOOD, notes=notes, **settings)

    assert name not in seen.requests[-1]
    assert set(settings) - {name} <= set(seen.requests[-1])
    assert (completion.left_out, len(seen.requests)) == ((name,), 2)
    assert notes == [f"the server does not take {name}: left out from now on"]


def test_the_name_of_the_token_limit_is_found_out() -> None:
    message = (
        "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."
    )
    refusal = error(400, message, code="unsupported_parameter", param="max_tokens")
    completion, seen = answered(lambda number, body: refusal if "max_tokens" in body else GOOD)

    assert seen.requests[1]["max_completion_tokens"] == 3072
    assert completion.left_out == ("max_tokens",)


def test_a_server_that_takes_neither_name_of_the_token_limit_does_not_loop() -> None:
    def script(number: int, body: dict[str, Any]) -> Answer:
        name = "max_tokens" if "max_tokens" in body else "max_completion_tokens"
        return error(400, f"Unexpected: {name}", param=name)

    failure = failed(script)

    assert (failure.kind, failure.message) == ("rejected", "HTTP 400: Unexpected: max_completion_tokens")


def test_an_answer_without_text_is_an_empty_text() -> None:
    completion, _ = answered(lambda number, body: chat(None, finish_reason="content_filter"))

    assert (completion.text, completion.finish_reason) == ("", "content_filter")


def test_usage_that_makes_no_sense_is_no_usage() -> None:
    completion, _ = answered(lambda number, body: chat("a", usage={"prompt_tokens": "many"}))

    assert completion.usage is None


def test_a_text_in_parts_is_one_text() -> None:
    parts = [{"type": "text", "text": "4. Instr"}, {"type": "text", "text": "uction: x"}]
    completion, _ = answered(lambda number, body: Answer(200, {"choices": [{"message": {"content": parts}}]}))

    assert completion.text == "4. Instruction: x"


@pytest.mark.parametrize("choice", [{"message": {"content": ["x"]}}, {"message": {"content": 5}}, {"delta": "x"}])
def test_a_paid_answer_of_an_unknown_form_is_kept_and_not_paid_again(choice: dict[str, Any]) -> None:
    completion, seen = answered(lambda number, body: Answer(200, {"choices": [choice]}))

    assert len(seen.requests) == 1
    assert '"choices"' in completion.text


def test_an_answer_that_is_not_utf8_is_kept_but_for_the_bad_byte() -> None:
    raw = b'{"choices": [{"message": {"content": "caf\xe9"}, "finish_reason": "stop"}]}'
    completion, _ = answered(lambda number, body: Answer(200, raw))

    assert completion.text == "caf\ufffd"


def test_a_prompt_that_a_filter_refuses_is_an_empty_answer() -> None:
    refusal = error(400, "The prompt was filtered.", code="content_filter")
    completion, seen = answered(lambda number, body: refusal)

    assert (completion.text, completion.finish_reason, len(seen.requests)) == ("", "content_filter", 1)


CONTEXT = (
    "This model's maximum context length is {context} tokens. However, you requested {all} tokens ({prompt} in the "
    "messages, {new} in the completion). Please reduce the length of the messages or completion."
)


def _short_context(context: int, prompt: int) -> Script:
    """A server whose model has so many tokens of context, of which any prompt takes `prompt`."""

    def script(number: int, body: dict[str, Any]) -> Answer:
        new = body["max_tokens"]
        if prompt + new <= context:
            return GOOD
        words = CONTEXT.format(context=context, all=prompt + new, prompt=prompt, new=new)
        return error(400, words, code="context_length_exceeded", param="messages")

    return script


def test_where_the_context_is_short_fewer_new_tokens_are_asked_for() -> None:
    notes: list[str] = []
    completion, seen = answered(_short_context(2048, 800), notes=notes)

    assert [body["max_tokens"] for body in seen.requests] == [3072, 1192]
    assert completion.max_tokens == 1192
    assert notes == ["the model's context is too short: asking for 1,192 new tokens instead of 3,072"]


def test_a_context_that_is_told_in_no_known_words_is_found_by_halving() -> None:
    def script(number: int, body: dict[str, Any]) -> Answer:
        return GOOD if body["max_tokens"] <= 800 else error(400, "too many tokens", code="context_length_exceeded")

    completion, seen = answered(script)

    assert [body["max_tokens"] for body in seen.requests] == [3072, 1536, 768]
    assert completion.max_tokens == 768


def test_a_prompt_that_leaves_no_room_for_an_answer_is_too_long() -> None:
    failure = failed(_short_context(1000, 900))

    assert failure.kind == "too_long"
    assert failure.message.startswith("HTTP 400: This model's maximum context length is 1000 tokens.")


@pytest.mark.parametrize(
    ("refused", "sent"), [(["none"], ["none", "minimal"]), (["none", "minimal"], ["none", "minimal", "low"])]
)
def test_the_least_reasoning_that_a_model_takes_is_asked_for(refused: list[str], sent: list[str]) -> None:
    def script(number: int, body: dict[str, Any]) -> Answer:
        effort = body["reasoning_effort"]
        if effort not in refused:
            return GOOD
        words = f"Unsupported value: 'reasoning_effort' does not support '{effort}' with this model."
        return error(400, words, code="unsupported_value", param="reasoning_effort")

    notes: list[str] = []
    completion, seen = answered(script, reasoning_effort="none", notes=notes)

    assert [body["reasoning_effort"] for body in seen.requests] == sent
    assert completion.left_out == tuple(f"reasoning_effort={effort}" for effort in refused)
    assert notes[-1].endswith(f"sending {sent[-1]}, which bills more")


def test_what_a_server_refused_in_an_earlier_process_is_not_sent_again() -> None:
    async def run(seen: Seen) -> None:
        settings = TeacherSettings(model="m", temperature=1.0, top_p=0.9, reasoning_effort="none")
        left_out = ("temperature", "max_tokens", "reasoning_effort=none")
        async with Teacher(settings, base_url=seen.base_url, api_key="k", left_out=left_out) as teacher:
            outcome = await teacher.ask(REQUEST)
        assert isinstance(outcome, Reply)
        assert outcome.completion.left_out == left_out

    with serving(lambda number, body: GOOD) as seen:
        asyncio.run(run(seen))

    names = {"model", "messages", "top_p", "reasoning_effort", "max_completion_tokens"}
    assert seen.requests[0].keys() == names
    assert seen.requests[0]["reasoning_effort"] == "minimal"


def test_the_flex_tier_is_asked_for_and_what_was_given_is_kept() -> None:
    body = {"choices": [{"message": {"content": "a"}}], "service_tier": "flex"}
    completion, seen = answered(lambda number, sent: Answer(200, body), tier="flex")

    assert seen.requests[0]["service_tier"] == "flex"
    assert completion.tier == "flex"


def test_the_parts_of_usage_that_cost_otherwise_are_kept() -> None:
    usage = {
        "prompt_tokens": 100,
        "completion_tokens": 50,
        "prompt_tokens_details": {"cached_tokens": 64, "cache_write_tokens": 0, "audio_tokens": 3},
        "completion_tokens_details": {"reasoning_tokens": 20, "odd": None},
    }
    completion, _ = answered(lambda number, body: chat("a", usage=usage))

    assert completion.usage == {
        "prompt_tokens": 100,
        "completion_tokens": 50,
        "cached_tokens": 64,
        "reasoning_tokens": 20,
    }


@pytest.mark.parametrize("key", ["sk-secret", "sk-secret-of-another-length"])
def test_a_key_that_a_server_repeats_is_struck_out(key: str) -> None:
    async def run(seen: Seen) -> Reply | Failure:
        async with Teacher(TeacherSettings(model="m"), base_url=seen.base_url, api_key=key) as teacher:
            return await teacher.ask(REQUEST)

    for answer in (error(401, f"Incorrect API key provided: {key}"), Answer(200, f"<html>{key}".encode())):
        with serving(lambda number, body, answer=answer: answer) as seen:  # type: ignore[misc]
            outcome = asyncio.run(run(seen))

        assert isinstance(outcome, Failure)
        assert key not in outcome.message
        assert "***" in outcome.message


def test_loopback_is_not_asked_through_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "socks5://127.0.0.1:9")

    assert answered(lambda number, body: GOOD)[0].text == "4. Instruction: x"


@pytest.mark.parametrize(
    "base_url",
    [
        "https://api.openai.com/v1",
        "https://api.openai.com/v1/",
        "https://API.openai.com/v1",
        "https://api.openai.com:443/v1",
    ],
)
def test_openai_is_asked_for_its_standard_tier_by_whatever_address(base_url: str) -> None:
    """Else the project's own setting counts, which may cost double."""
    body = Body(TeacherSettings(model="m"), base_url).of(REQUEST)

    assert (body["service_tier"], body["max_completion_tokens"]) == ("default", 3072)


@pytest.mark.parametrize("code", [["a"], {"a": 1}, 5, True])
@pytest.mark.parametrize("status", [400, 429, 500])
def test_errors_whose_codes_are_no_texts_are_errors_all_the_same(status: int, code: Any) -> None:
    failure = failed(lambda number, body: error(status, "odd", code=code))

    assert failure.kind == {400: "rejected", 429: "busy", 500: "passing"}[status]


def test_the_name_of_an_extra_field_is_no_pattern() -> None:
    completion, _ = answered(lambda number, body: GOOD if "a(" in body else error(400, "?"), extra_body={"a(": 1})

    assert completion.left_out == ()


def test_counts_of_nothing_are_no_counts() -> None:
    completion, _ = answered(lambda number, body: chat("a", usage={"prompt_tokens": 0, "completion_tokens": 0}))

    assert completion.usage is None


def test_models_names_hold_no_key() -> None:
    with serving(lambda number, body: GOOD, model="x sk-secret y") as seen:
        found = asyncio.run(_refused(seen, Failure("HTTP 404: no", "fatal", status=404)))

    assert "sk-secret" not in str(found.problems)

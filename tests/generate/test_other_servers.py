"""What servers that are not ours really answer, word for word: transformers serve 5.23, llama-cpp-python 0.3.36 and
mlx-lm 0.32 as they were seen; llama-server, vLLM and SGLang as their users quote them."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from alpaca_cli.errors import TeacherRefused
from alpaca_cli.generate.failure import Failure
from alpaca_cli.generate.prompt import Request
from alpaca_cli.generate.teacher import Reply, Teacher
from alpaca_cli.generate.trouble import unreachable
from alpaca_cli.recipe.generate import TeacherSettings
from conftest import Outcome
from scripted_server import Answer, Script, Seen, chat, distinct, serving, tasks

GOOD = chat("4. Instruction: x", usage={"prompt_tokens": 11, "completion_tokens": 5, "total_tokens": 16})
SHORT = Request(1, ("seed_task_1",), "Write tasks.", 3)
LONG = Request(0, ("seed_task_1", "seed_task_2"), "Write tasks. " * 800, 3)
CRASH = Answer(500, b"Internal Server Error", {"content-type": "text/plain; charset=utf-8"})


def ask(
    script: Script, *requests: Request, notes: list[str] | None = None, **settings: Any
) -> tuple[list[Reply | Failure], Seen]:
    """Ask requests in turn, each again only as long as the teacher has changed how it asks."""

    async def run(seen: Seen) -> list[Reply | Failure]:
        checked = TeacherSettings.model_validate({"model": "m", **settings})
        heard = notes if notes is not None else []
        outcomes = []
        async with Teacher(checked, base_url=seen.base_url, api_key="none", on_note=heard.append) as teacher:
            for request in requests:
                while True:
                    outcome = await teacher.ask(request)
                    if isinstance(outcome, Reply) or outcome.kind != "changed":
                        break
                outcomes.append(outcome)
        return outcomes

    with serving(script) as seen:
        return asyncio.run(run(seen)), seen


def failed(script: Script, request: Request = SHORT, **settings: Any) -> Failure:
    outcome = ask(script, request, **settings)[0][0]
    assert isinstance(outcome, Failure), outcome
    return outcome


@pytest.mark.parametrize(
    ("answer", "kind", "message", "is_spoken"),
    [
        (Answer(404, {"detail": "Not Found"}), "fatal", "HTTP 404: Not Found", True),
        (Answer(404, b"Not Found"), "fatal", "HTTP 404: Not Found", False),
        (Answer(404, {"error": "Got: ConnectError"}), "fatal", "HTTP 404: Got: ConnectError", True),
        (Answer(400, {"error": "no messages"}), "rejected", "HTTP 400: no messages", True),
        (Answer(503, {"error": "the worker is dead"}), "busy", "HTTP 503: the worker is dead", True),
        (CRASH, "passing", "HTTP 500: Internal Server Error", False),
        (
            Answer(400, {"detail": "Server is pinned to 'a'; requested 'm'."}),
            "rejected",
            "HTTP 400: Server is pinned to 'a'; requested 'm'.",
            True,
        ),
        (
            Answer(422, {"detail": [{"type": "missing", "loc": ["body", "messages"], "msg": "Field required"}]}),
            "rejected",
            'HTTP 422: [{"type": "missing", "loc": ["body", "messages"], "msg": "Field required"}]',
            True,
        ),
    ],
)
def test_errors_in_every_dress_are_told_apart(answer: Answer, kind: str, message: str, is_spoken: bool) -> None:
    failure = failed(lambda number, body: answer)

    assert (failure.kind, failure.message, failure.is_spoken) == (kind, message, is_spoken)


def test_a_server_that_crashes_over_a_model_that_it_does_not_have_is_no_server_that_is_down() -> None:
    failure = failed(lambda number, body: CRASH)
    error = unreachable("request 0 asked 6 times without an answer", "http://localhost/v1", failure)

    assert "a model that they do not have (--model)" in (error.problems[0].hint or "")
    assert error.exit_code == 4


def test_a_model_that_is_not_found_where_no_models_are_listed_leads_to_both_flags() -> None:
    async def refused(base_url: str) -> TeacherRefused:
        async with Teacher(TeacherSettings(model="m"), base_url=base_url, api_key="none") as teacher:
            return await teacher.refused(Failure("HTTP 404: Not Found", "fatal", status=404))

    with serving(lambda number, body: GOOD) as seen:
        address = seen.base_url

    assert asyncio.run(refused(address)).problems[0].hint == "check --model, and --base-url, which mostly ends in /v1"


def test_several_unexpected_fields_at_once_are_left_out_one_by_one() -> None:
    def script(number: int, body: dict[str, Any]) -> Answer:
        unexpected = sorted({"top_k", "min_p"} & body.keys())
        words = ", ".join(repr(name) for name in unexpected)
        return Answer(422, {"detail": f"Unexpected fields in the request: {{{words}}}"}) if unexpected else GOOD

    notes: list[str] = []
    outcomes, seen = ask(script, SHORT, notes=notes, extra_body={"top_k": 0, "min_p": 0.0})

    assert isinstance(outcomes[0], Reply)
    assert outcomes[0].completion.left_out == ("top_k", "min_p")
    assert len(seen.requests) == 3
    assert notes == [f"the server does not take {name}: left out from now on" for name in ("top_k", "min_p")]


def test_a_server_that_resets_a_connection_is_told_in_words() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def reset() -> None:
            connection, _ = listener.accept()
            connection.recv(100)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            connection.close()

        async def run() -> Reply | Failure:
            address = f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
            async with Teacher(TeacherSettings(model="m"), base_url=address, api_key="none") as teacher:
                return await teacher.ask(SHORT)

        thread = threading.Thread(target=reset)
        thread.start()
        outcome = asyncio.run(run())
        thread.join()

    assert isinstance(outcome, Failure)
    assert (outcome.message, outcome.kind) == ("the connection failed: connection reset by peer", "passing")


def test_an_answer_of_mlx_is_read_whole() -> None:
    body = {
        "id": "chatcmpl-a9",
        "system_fingerprint": "0.32.2-0.32.4-Linux",
        "object": "chat.completion",
        "model": "m",
        "created": 1,
        "choices": [{"index": 0, "finish_reason": "length", "message": {"role": "assistant", "content": "4."}}],
        "usage": {
            "prompt_tokens": 27,
            "completion_tokens": 60,
            "total_tokens": 87,
            "prompt_tokens_details": {"cached_tokens": 26},
        },
    }
    outcome = ask(lambda number, sent: Answer(200, body), SHORT)[0][0]

    assert isinstance(outcome, Reply)
    assert (outcome.completion.text, outcome.completion.request_id) == ("4.", "chatcmpl-a9")
    assert outcome.completion.usage == {"prompt_tokens": 27, "completion_tokens": 60, "cached_tokens": 26}


# How servers say that a context of 4,096 tokens is too short for a prompt of 3,900, or of 3,000 and 3,072 new ones.
LLAMA_CPP_PYTHON_CHAT = (
    "This model's maximum context length is 4096 tokens. However, you requested {all} tokens ({prompt} in the "
    "messages, {new} in the completion). Please reduce the length of the messages or completion."
)
LLAMA_CPP_PYTHON_COMPLETIONS = (
    "This model's maximum context length is 4096 tokens, however you requested {all} tokens ({prompt} in your prompt; "
    "{new} for the completion). Please reduce your prompt; or completion length."
)
VLLM_2025 = (
    "'max_tokens' or 'max_completion_tokens' is too large: {new}. This model's maximum context length is 4096 tokens "
    "and your request has {prompt} input tokens ({new} > 4096 - {prompt})."
)
SGLANG_TOTAL = (
    "Requested token count exceeds the model's maximum context length of 4096 tokens. You requested a total of {all} "
    "tokens: {prompt} tokens from the input messages and {new} tokens for the completion. Please reduce the number."
)
SGLANG_INPUT = "The input ({prompt} tokens) is longer than the model's context length (4096 tokens)."


def openai_error(words: str) -> dict[str, Any]:
    return {"error": {"message": words, "type": "BadRequestError", "param": None, "code": 400}}


def sglang_error(words: str) -> dict[str, Any]:
    return {"object": "error", "message": words, "type": "BadRequestError", "param": None, "code": 400}


def too_short(words: str, prompt: int, dress: Any = openai_error) -> Script:
    """A server of 4,096 tokens of context, of which any prompt takes `prompt`."""

    def script(number: int, body: dict[str, Any]) -> Answer:
        new = body["max_tokens"]
        said = words.format(all=prompt + new, prompt=prompt, new=new)
        return GOOD if prompt + new <= 4096 else Answer(400, dress(said))

    return script


def tokens_asked(seen: Seen) -> Sequence[int]:
    return [body["max_tokens"] for body in seen.requests]


@pytest.mark.parametrize(
    ("words", "dress"),
    [
        (LLAMA_CPP_PYTHON_CHAT, openai_error),
        (LLAMA_CPP_PYTHON_COMPLETIONS, openai_error),
        (VLLM_2025, openai_error),
        (SGLANG_TOTAL, sglang_error),
    ],
)
def test_where_a_server_tells_the_length_of_the_prompt_one_further_try_is_enough(words: str, dress: Any) -> None:
    outcomes, seen = ask(too_short(words, 3000, dress), LONG)

    assert isinstance(outcomes[0], Reply)
    assert tokens_asked(seen) == [3072, 931]  # 4,096 less 3,000 and a twentieth, less 16


@pytest.mark.parametrize(
    ("words", "dress"),
    [
        (LLAMA_CPP_PYTHON_CHAT, openai_error),
        (LLAMA_CPP_PYTHON_COMPLETIONS, openai_error),
        (VLLM_2025, openai_error),
        (SGLANG_TOTAL, sglang_error),
        (SGLANG_INPUT, sglang_error),
    ],
)
def test_a_prompt_that_a_server_calls_too_long_is_not_asked_again_as_it_is(words: str, dress: Any) -> None:
    outcomes, seen = ask(too_short(words, 3900, dress), LONG)

    assert isinstance(outcomes[0], Failure)
    assert outcomes[0].kind == "too_long"
    assert len(seen.requests) == 1


def test_a_number_that_a_server_stopped_counting_at_is_no_length_of_the_prompt() -> None:
    def vllm_2026(number: int, body: dict[str, Any]) -> Answer:
        new, prompt = body["max_tokens"], 3000
        if prompt + new <= 4096:
            return GOOD
        words = (
            f"This model's maximum context length is 4096 tokens. However, you requested {new} output tokens and your "
            f"prompt contains at least {4097 - new:,} input tokens, for a total of at least 4097 tokens."
        )
        return Answer(400, openai_error(words))

    outcomes, seen = ask(vllm_2026, LONG)

    assert isinstance(outcomes[0], Reply)
    assert tokens_asked(seen) == [3072, 440]  # the prompt's length guessed: a third of its bytes, and a twentieth


@pytest.mark.parametrize(
    ("words", "count"),
    [
        (
            "the request exceeds the available context size. try increasing the context size or enable context shift",
            True,
        ),
        ("request (5000 tokens) exceeds the available context size (4096 tokens), try increasing it", False),
    ],
)
def test_llama_server_refuses_only_prompts_and_tells_their_length(words: str, count: bool) -> None:
    def script(number: int, body: dict[str, Any]) -> Answer:
        if body["messages"][0]["content"] == SHORT.text:
            return GOOD
        counts = {"n_prompt_tokens": 5000, "n_ctx": 4096} if count else {}
        return Answer(400, {"error": {"code": 400, "message": words, "type": "exceed_context_size_error", **counts}})

    outcomes, seen = ask(script, LONG, SHORT)

    assert isinstance(outcomes[0], Failure)
    assert (outcomes[0].kind, len(seen.requests)) == ("too_long", 2)
    assert isinstance(outcomes[1], Reply)


def test_one_prompt_that_is_too_long_does_not_shorten_the_answers_to_all_others() -> None:
    def script(number: int, body: dict[str, Any]) -> Answer:
        is_short = body["messages"][0]["content"] == SHORT.text
        return GOOD if is_short else Answer(400, openai_error("too many tokens"))

    outcomes, seen = ask(script, LONG, SHORT)

    assert isinstance(outcomes[0], Failure)
    assert outcomes[0].kind == "too_long"
    assert tokens_asked(seen) == [3072, 1536, 768, 384, 3072]


def test_no_more_new_tokens_are_asked_for_than_the_user_says() -> None:
    _, seen = ask(lambda number, body: GOOD, SHORT, max_tokens=100)

    assert tokens_asked(seen) == [100]


def test_a_server_that_always_takes_the_likeliest_word_is_named_as_the_reason(alpaca: Callable[..., Outcome]) -> None:
    with serving(lambda number, body: chat(tasks(distinct(0), distinct(1)))) as seen:
        run = alpaca(
            "generate", "--num", 5, "--base-url", seen.base_url, "--model", "m", "--out", "r", "--set", "patience=3"
        )

    assert run.code == 4
    assert "completions in a row gave no accepted task (not_novel" in run.err
    assert "hint: the answers repeat one another" in run.err
    assert "--set teacher.temperature=1.0" in run.err
    assert len(json.loads(Path("r/alpaca_data.json").read_text())) == 2

"""OpenAI's completion protocol, as far as the rehearsal teacher speaks it: what it accepts, and the shapes it answers.

Everything here is a function of the request and the server's seed: same question, same answer, to the byte.  That
holds for `created` too, which is a constant.  Fields that steer sampling (temperature, seed, ...) change nothing.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Any

from alpaca_cli.rehearsal import tokens
from alpaca_cli.rehearsal.compose import compose

MODEL = "rehearsal"
OWNER = "alpaca rehearsal, no intelligence"
CREATED = 1_735_689_600  # the first second of 2025
MOST_CHOICES = 128
MOST_ANSWERS = 512  # prompts times n
MOST_STOPS = 16

Json = dict[str, Any]


class ApiError(Exception):
    """A request that is answered by an error in OpenAI's shape, with an HTTP status and perhaps headers of its own.

    `kind` is OpenAI's `type`, where the status does not say it.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        kind: str | None = None,
        headers: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        super().__init__(message)
        self.status = status
        self.param = param
        self.code = code
        self.kind = kind or ("server_error" if status >= 500 else "invalid_request_error")
        self.headers = headers

    def body(self) -> Json:
        """What OpenAI's clients expect to read."""
        return {"error": {"message": str(self), "type": self.kind, "param": self.param, "code": self.code}}


@dataclass(frozen=True)
class Question:
    """A valid request: the prompts to answer, each `num_choices` times, and where the answers end.

    `parameters` are the names of all its fields that are not null.
    """

    chat: bool
    model: str
    parameters: frozenset[str]
    prompts: tuple[str, ...]
    num_choices: int
    stops: tuple[str, ...]
    most_tokens: int | None
    stream: bool
    stream_usage: bool
    digest: str

    @cached_property
    def num_prompt_tokens(self) -> int:
        """All prompts together."""
        return sum(map(tokens.count, self.prompts))


@dataclass(frozen=True)
class Answer:
    """One text of an answer, and why it ended there."""

    index: int
    text: str
    finish_reason: str


def model_card() -> Json:
    """The only model, as GET /v1/models tells it."""
    return {"id": MODEL, "object": "model", "created": CREATED, "owned_by": OWNER}


def read_question(body: bytes | bytearray, *, chat: bool) -> Question:
    """The request that a body holds; raises ApiError for anything a real server would refuse as well."""
    try:
        data = json.loads(body)
    except (ValueError, RecursionError):
        raise ApiError(400, "the body must be JSON, and is not") from None
    if not isinstance(data, dict):
        raise ApiError(400, "the body must be a JSON object")
    model = _required(data, "model")
    if not isinstance(model, str):
        raise _wrong_type("model", "a string")
    if model != MODEL:
        message = f"there is no model {model[:100]!r} here; the only one is {MODEL!r}"
        raise ApiError(404, message, param="model", code="model_not_found")
    prompts = (_conversation(_required(data, "messages")),) if chat else _prompts(_required(data, "prompt"))
    if _boolean(data, "echo"):
        raise ApiError(400, "'echo' is not understood here", param="echo", code="unsupported_parameter")
    num_choices = _integer(data, "n", most=MOST_CHOICES) or 1
    if num_choices * len(prompts) > MOST_ANSWERS:
        raise ApiError(400, f"prompts times n must be at most {MOST_ANSWERS}", param="n", code="invalid_value")
    limits = [_integer(data, name) for name in ("max_completion_tokens", "max_tokens")]
    options = data.get("stream_options")
    if options is not None and not isinstance(options, dict):
        raise _wrong_type("stream_options", "an object")
    return Question(
        chat=chat,
        model=model,
        parameters=frozenset(name for name, value in data.items() if value is not None),
        prompts=prompts,
        num_choices=num_choices,
        stops=_stops(data.get("stop")),
        most_tokens=next((limit for limit in limits if limit is not None), None),
        stream=_boolean(data, "stream"),
        stream_usage=bool(options) and _boolean(options or {}, "include_usage"),
        digest=hashlib.sha256(json.dumps(data, sort_keys=True).encode("ascii")).hexdigest(),
    )


def answer(question: Question, *, seed: int) -> list[Answer]:
    """The texts, prompt by prompt; a few milliseconds each."""
    texts = [
        compose(prompt, seed=seed, choice=choice, chat=question.chat)
        for prompt in question.prompts
        for choice in range(question.num_choices)
    ]
    ends = [tokens.ended(text, question.stops, question.most_tokens) for text in texts]
    return [Answer(index, text, reason) for index, (text, reason) in enumerate(ends)]


def completion(question: Question, answers: Sequence[Answer]) -> Json:
    """The whole answer as one JSON object."""
    choices = [
        {
            "index": each.index,
            **(
                {"message": {"role": "assistant", "content": each.text, "refusal": None}}
                if question.chat
                else {"text": each.text}
            ),
            "logprobs": None,
            "finish_reason": each.finish_reason,
        }
        for each in answers
    ]
    kind = "chat.completion" if question.chat else "text_completion"
    return {**_head(question, answers, kind), "choices": choices, "usage": usage(question, answers)}


def events(question: Question, answers: Sequence[Answer]) -> Iterator[str]:
    """The answer as server-sent events, line by line of its texts, ending in [DONE]."""
    head = _head(question, answers, "chat.completion.chunk" if question.chat else "text_completion")
    no_usage = {"usage": None} if question.stream_usage else {}
    for each in answers:
        for delta, reason in _deltas(each, chat=question.chat):
            part = {"index": each.index, **delta, "logprobs": None, "finish_reason": reason}
            yield _event({**head, "choices": [part], **no_usage})
    if question.stream_usage:
        yield _event({**head, "choices": [], "usage": usage(question, answers)})
    yield "data: [DONE]\n\n"


def _deltas(each: Answer, *, chat: bool) -> Iterator[tuple[Json, str | None]]:
    if chat:
        yield {"delta": {"role": "assistant", "content": ""}}, None
    for line in each.text.splitlines(keepends=True):
        yield {"delta": {"content": line}} if chat else {"text": line}, None
    yield {"delta": {}} if chat else {"text": ""}, each.finish_reason


def _event(data: Json) -> str:
    return f"data: {json.dumps(data)}\n\n"


def _head(question: Question, answers: Sequence[Answer], kind: str) -> Json:
    said = "\n".join((question.digest, *(each.text for each in answers)))
    name = f"{'chatcmpl' if question.chat else 'cmpl'}-{hashlib.sha256(said.encode('utf-8')).hexdigest()[:29]}"
    return {"id": name, "object": kind, "created": CREATED, "model": MODEL, "system_fingerprint": MODEL}


def usage(question: Question, answers: Sequence[Answer]) -> Json:
    """Tokens of prompts and answers, as OpenAI tells them."""
    asked = question.num_prompt_tokens
    told = sum(tokens.count(each.text) for each in answers)
    return {"prompt_tokens": asked, "completion_tokens": told, "total_tokens": asked + told}


def _required(data: Json, name: str) -> Any:
    if data.get(name) is None:
        raise ApiError(400, f"you must provide {name!r}", param=name, code="missing_required_parameter")
    return data[name]


def _wrong_type(name: str, wanted: str) -> ApiError:
    return ApiError(400, f"{name!r} must be {wanted}", param=name, code="invalid_type")


def _integer(data: Json, name: str, *, most: int | None = None) -> int | None:
    value = data.get(name)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool):
        raise _wrong_type(name, "an integer")
    if value < 1 or (most is not None and value > most):
        wanted = "at least 1" if most is None else f"from 1 to {most}"
        raise ApiError(400, f"{name!r} must be {wanted}", param=name, code="invalid_value")
    return value


def _boolean(data: Json, name: str) -> bool:
    value = data.get(name)
    if value is not None and not isinstance(value, bool):
        raise _wrong_type(name, "true or false")
    return bool(value)


def _stops(value: object) -> tuple[str, ...]:
    stops = [value] if isinstance(value, str) else value
    if stops is None:
        return ()
    if not isinstance(stops, list) or not all(isinstance(stop, str) for stop in stops):
        raise _wrong_type("stop", "a string or a list of strings")
    if len(stops) > MOST_STOPS or not all(stops):
        raise ApiError(400, f"'stop' must be up to {MOST_STOPS} texts, none empty", param="stop", code="invalid_value")
    return tuple(stops)


def _prompts(value: object) -> tuple[str, ...]:
    prompts = [value] if isinstance(value, str) else value
    if not isinstance(prompts, list) or not prompts or not all(isinstance(prompt, str) for prompt in prompts):
        raise _wrong_type("prompt", "a string or a list of strings; lists of tokens are not understood here")
    return tuple(prompts)


def _conversation(value: object) -> str:
    """The contents of all messages, in order: what the answer is a function of."""
    if not isinstance(value, list) or not value:
        raise _wrong_type("messages", "a list of at least one message")
    return "\n\n".join(_content(message, at) for at, message in enumerate(value))


def _content(message: object, at: int) -> str:
    name = f"messages[{at}]"
    if not isinstance(message, dict) or not isinstance(message.get("role"), str):
        raise _wrong_type(name, "an object with a role and a content")
    content = message.get("content")
    if content is None and message["role"] == "assistant":
        return ""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise _wrong_type(f"{name}.content", "a string or a list of text parts")
    texts = [part.get("text") if isinstance(part, dict) and part.get("type") == "text" else None for part in content]
    if not all(isinstance(text, str) for text in texts):
        raise _wrong_type(f"{name}.content", "a string or a list of text parts")
    return "".join(text for text in texts if isinstance(text, str))

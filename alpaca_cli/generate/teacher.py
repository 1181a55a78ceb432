"""The teacher: any server that speaks OpenAI's API, asked with the official SDK, one try at a time.

The SDK's own retries are off, since they are invisible and multiply; what to make of a failure is the loop's affair.
The key never leaves this module but in the requests: it is struck out of every message that a server sends.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

import openai
from openai import AsyncOpenAI, DefaultAsyncHttpxClient

from alpaca_cli.data.journal import Completion
from alpaca_cli.errors import TeacherRefused, UsageError
from alpaca_cli.generate.answer import excerpt, text_of, text_or_none, usage_of
from alpaca_cli.generate.body import Body, max_tokens_of
from alpaca_cli.generate.failure import Failure, failure_of, timed_out
from alpaca_cli.generate.prompt import Request
from alpaca_cli.recipe.generate import TeacherSettings

NO_KEY = "none"  # local servers want no key, but the SDK wants one
# What stands for the answer to a prompt that a server's filter refuses each time: asked again it would end every run.
FILTERED: dict[str, Any] = {
    "text": "",
    "finish_reason": "content_filter",
    "usage": None,
    "model": None,
    "request_id": None,
}
_LOOPBACK = ("localhost", "127.0.0.1", "::1")
# A shorter key is no secret but a word that a local server wants, and struck out of texts it would spoil them.
SHORTEST_SECRET, SHORTEST_SECRET_IN_TEXT = 5, 16


@dataclass(frozen=True)
class Reply:
    """A completion, and the headers that came with it; `is_paid` is False if a filter refused to answer."""

    completion: Completion
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    is_paid: bool = True


class Teacher:
    """Asks one server.  One connection pool for the run; use it inside `async with`.

    `on_note` hears, in one line each, what a user should know while it goes on, such as a parameter left out.
    `left_out` are the parameters that this server has refused before.
    """

    def __init__(
        self,
        settings: TeacherSettings,
        *,
        base_url: str,
        api_key: str,
        left_out: Sequence[str] = (),
        on_note: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.settings = settings
        self.base_url = base_url
        self._api_key = api_key
        self.body = Body(settings, base_url, left_out=left_out, on_note=on_note)
        # What listens on this machine is not asked through a proxy.
        direct = DefaultAsyncHttpxClient(trust_env=False) if urlsplit(base_url).hostname in _LOOPBACK else None
        try:
            self.client = AsyncOpenAI(
                base_url=base_url, api_key=api_key, max_retries=0, timeout=settings.deadline_s, http_client=direct
            )
        except ImportError as error:  # a socks:// proxy in the environment, whose package is not installed
            words = str(error).splitlines()[0]
            raise UsageError(f"cannot use the proxy that the environment names: {words}") from error

    async def __aenter__(self) -> Teacher:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.client.close()

    async def ask(self, request: Request, body: dict[str, Any] | None = None) -> Reply | Failure:
        """What one try of a request gave; `body` is what `self.body` made of it, some time before."""
        started = datetime.now(timezone.utc)
        clock = time.monotonic()
        body = self.body.of(request) if body is None else body
        max_tokens = max_tokens_of(body)
        is_paid = True
        headers: Mapping[str, str] = {}
        try:
            # the SDK's own timeout is of each read, and a server may trickle
            answer, headers = await asyncio.wait_for(self._send(body), self.settings.deadline_s)
        except asyncio.TimeoutError:
            return timed_out(self.settings.deadline_s)
        except openai.APIError as error:
            if isinstance(error, openai.APIStatusError) and is_filtered(error):
                found, is_paid = dict(FILTERED), False
            else:
                return self._clean(self._failure(error, request, body))
        else:
            answer, name = self.struck(answer), self.struck(headers.get("x-request-id", "").encode()).decode()
            read = fields_of(answer)
            if read is None:
                message = f"not a completion: {excerpt(answer)}"
                return self._clean(Failure(message, "passing", may_be_paid=True, status=200, is_spoken=False))
            found = read
            found["request_id"] = name or found["request_id"]
        completion = Completion(
            k=request.k,
            seed_ids=request.seed_ids,
            prompt_sha256=request.prompt_sha256,
            started=started.isoformat(timespec="milliseconds"),
            seconds=round(time.monotonic() - clock, 3),
            left_out=tuple(self.body.left_out),
            max_tokens=max_tokens if max_tokens < self.settings.max_tokens else None,
            **found,
        )
        return Reply(completion, headers, is_paid)

    async def refused(self, failure: Failure) -> TeacherRefused:
        """The error that ends a run for a failure that will not pass, with what to do about it."""
        settings = self.settings
        hint = None
        if failure.status == 401:
            hint = f"check the key in {settings.api_key_env}"
        elif "service_tier" in failure.message:
            hint = "this server or model has no flex tier: leave out --tier flex"
        elif failure.kind == "too_long":
            hint = "name a model with a longer context, or make the prompt shorter: --set prompt.num_seeds=1"
        elif failure.status in (404, 410) or f"{settings.model}" in re.split(r"[^\w./:-]+", failure.message):
            names = [self.clean(name) for name in await self._model_names()]
            hint = "check --model, and --base-url, which mostly ends in /v1"
            if names:
                hint = f"name a model with --model; the server knows: {', '.join(names)}"
        elif failure.status in (402, 429):
            hint = "the account is out of credit; run the same command again once it is not"
        return TeacherRefused(failure.message, where=self.base_url, hint=hint)

    async def _send(self, body: dict[str, Any]) -> tuple[bytes, Mapping[str, str]]:
        """The body of the answer as it came, and its headers."""
        rest = {key: value for key, value in body.items() if key not in ("model", "messages", "prompt")}
        if self.settings.api == "chat":
            raw = await self.client.chat.completions.with_raw_response.create(
                model=body["model"], messages=body["messages"], extra_body=rest
            )
        else:
            plain = await self.client.completions.with_raw_response.create(
                model=body["model"], prompt=body["prompt"], extra_body=rest
            )
            return plain.content, plain.headers
        return raw.content, raw.headers

    def _failure(self, error: openai.APIError, request: Request, body: dict[str, Any]) -> Failure:
        failure = failure_of(error, timeout_s=self.settings.deadline_s)
        if failure.kind != "rejected" or not isinstance(error, openai.APIStatusError):
            return failure
        return replace(failure, kind=self.body.react(error, request, body) or failure.kind)

    async def _model_names(self) -> list[str]:
        try:
            return [model.id async for model in self.client.with_options(timeout=5).models.list()][:10]
        except (openai.OpenAIError, AttributeError, TypeError, ValueError):
            return []  # only a help for the message of another error

    def struck(self, answer: bytes) -> bytes:
        """What a server sent, the key struck out, if it is long enough to be one."""
        return (
            answer.replace(self._api_key.encode(), b"***") if len(self._api_key) >= SHORTEST_SECRET_IN_TEXT else answer
        )

    def _clean(self, failure: Failure) -> Failure:
        return replace(failure, message=self.clean(failure.message))

    def clean(self, message: str) -> str:
        """A server's words in one line of at most 300 characters, the key struck out wherever it stands in them."""
        hidden = message.replace(self._api_key, "***") if len(self._api_key) >= SHORTEST_SECRET else message
        return " ".join(hidden.split())[:300]


def is_filtered(error: openai.APIStatusError) -> bool:
    """Whether a server's filter refused the prompt, as it will each time."""
    return error.status_code == 400 and "content_filter" in (error.code, error.type)


def fields_of(answer: bytes) -> dict[str, Any] | None:
    """What a completion takes from a server's answer; None if it is none (HTML of a proxy, torn JSON, ...)."""
    try:
        data = json.loads(answer.decode("utf-8", "replace"))
        choice = data["choices"][0]
        choice.keys()
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return None
    text = text_of(choice)
    if text is None:  # an answer, and paid, in a form unknown: kept as it came
        text = answer.decode("utf-8", "replace")
    return {
        "text": text,
        "finish_reason": text_or_none(choice.get("finish_reason")),
        "usage": usage_of(data.get("usage")),
        "model": text_or_none(data.get("model")),
        "request_id": text_or_none(data.get("id")),
        "tier": text_or_none(data.get("service_tier")),
    }

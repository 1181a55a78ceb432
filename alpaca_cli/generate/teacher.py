"""The teacher: any server that speaks OpenAI's API, asked with the official SDK.

The SDK's own retries are off, since they are invisible and multiply; ours are few, counted and told.  Failures are
told apart: what will not pass by itself (key, quota, model) ends the run at once, what may pass (429, 5xx, connection,
timeout) is tried again after a growing pause, and a parameter that the server does not know is left out, once, aloud.
"""

from __future__ import annotations

import asyncio
import json
import random
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any
from urllib.parse import urlsplit

import openai
from openai import AsyncOpenAI, DefaultAsyncHttpxClient

from alpaca_cli.data.journal import Completion
from alpaca_cli.errors import TeacherError, TeacherRefused, TeacherUnreachable, UsageError
from alpaca_cli.generate.answer import excerpt, is_about, message_of, seconds_to_wait, text_of, text_or_none, usage_of
from alpaca_cli.generate.prompt import Request
from alpaca_cli.recipe import TeacherSettings

NO_KEY = "none"  # local servers want no key, but the SDK wants one
OPENAI_URL = "https://api.openai.com/v1"
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 30.0
LONGEST_ASKED_PAUSE_S = 900.0  # a server that asks to wait longer is not waited for: the same command comes back later
# Left out, one at a time, when a server refuses them: the task does not hang on any of them.
_OPTIONAL = ("reasoning_effort", "temperature", "top_p", "stop")
# What stands for the answer to a prompt that a server's filter refuses each time: asked again it would end every run.
_FILTERED = {"text": "", "finish_reason": "content_filter", "usage": None, "model": None, "request_id": None}
_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_TOKEN_NAMES = {"max_completion_tokens": "max_tokens", "max_tokens": "max_completion_tokens"}


@dataclass(frozen=True)
class _Failure:
    """A try that gave nothing: what to say, whether another may do better, and how long the server asks to wait."""

    message: str
    may_pass: bool
    pause_s: float | None = None
    status: int | None = None
    """HTTP status; 200 for an answer that is not a completion, None if there was no answer."""


class Teacher:
    """Answers requests.  One connection pool for the run; use it inside `async with`.

    `on_note` hears, in one line each, what a user should know while it goes on, such as a parameter left out;
    `on_retry` hears of each try that failed and will be made again.
    """

    def __init__(
        self,
        settings: TeacherSettings,
        *,
        base_url: str,
        api_key: str,
        on_note: Callable[[str], None] = lambda _: None,
        on_retry: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._settings = settings
        self._api_key = api_key
        self._on_note = on_note
        self._on_retry = on_retry
        # What listens on this machine is not asked through a proxy.
        direct = DefaultAsyncHttpxClient(trust_env=False) if urlsplit(base_url).hostname in _LOOPBACK else None
        try:
            self._client = AsyncOpenAI(
                base_url=base_url, api_key=api_key, max_retries=0, timeout=settings.timeout_s, http_client=direct
            )
        except ImportError as error:  # a socks:// proxy in the environment, whose package is not installed
            words = str(error).splitlines()[0]
            raise UsageError(f"cannot use the proxy that the environment names: {words}") from error
        self._stopped = asyncio.Event()
        self._left_out: list[str] = []
        self._body = self._first_body(base_url)

    async def __aenter__(self) -> Teacher:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.close()

    async def ask(self, request: Request) -> Completion:
        """The completion of a request, after as many tries as the recipe allows.

        Raises TeacherRefused if asking again will not help, TeacherUnreachable if no try gave an answer.
        """
        tries = 0
        while True:
            tries += 1
            started = datetime.now(timezone.utc)
            clock = time.monotonic()
            body = dict(self._body)
            found: dict[str, Any] | None = None
            try:
                answer, request_id = await asyncio.wait_for(self._send(request.text, body), self._settings.timeout_s)
            except asyncio.TimeoutError:  # the SDK's own timeout is of each read, and a server may trickle
                failure = self._too_late
            except openai.APIError as error:
                failure = self._failure(error)
                if isinstance(error, openai.BadRequestError) and "content_filter" in (error.code, error.type):
                    found = _FILTERED
                elif isinstance(error, openai.BadRequestError | openai.UnprocessableEntityError) and self._without(
                    error, body
                ):
                    tries -= 1
                    continue
            else:
                found = self._read(answer, request_id)
                failure = _Failure(f"not a completion: {excerpt(answer)}", may_pass=True, status=200)
            if found is not None:
                return Completion(
                    k=request.k,
                    seed_ids=request.seed_ids,
                    prompt_sha256=request.prompt_sha256,
                    started=started.isoformat(timespec="milliseconds"),
                    seconds=round(time.monotonic() - clock, 3),
                    tries=tries,
                    left_out=tuple(self._left_out),
                    **found,
                )
            if not failure.may_pass:
                raise await self._refused(failure)
            if failure.pause_s is not None and failure.pause_s > LONGEST_ASKED_PAUSE_S:
                minutes = failure.pause_s / 60
                raise TeacherUnreachable(
                    f"{failure.message}; the server asks to wait {minutes:,.0f} minutes",
                    where=str(self._client.base_url),
                    hint="run the same command again after that: it goes on where it stopped",
                )
            if tries >= self._settings.max_tries or self._stopped.is_set():
                times = {1: "once", 2: "twice"}.get(tries, f"{tries} times")
                hint = "once the server answers again, run the same command: it goes on where it stopped"
                if failure.status == 200:
                    hint = "is this the address of an OpenAI-compatible API?  It mostly ends in /v1"
                raise TeacherUnreachable(
                    f"request {request.k} asked {times} without an answer; last: {failure.message}",
                    where=str(self._client.base_url),
                    hint=hint,
                )
            pause = _pause(tries) if failure.pause_s is None else failure.pause_s
            next_try = f"try {tries + 1} of {self._settings.max_tries} in {pause:.1f} s"
            self._on_retry(f"request {request.k}: {failure.message}; {next_try}")
            if await self._is_stopped_within(pause):
                raise TeacherUnreachable(f"request {request.k} given up: {failure.message}")

    @property
    def _too_late(self) -> _Failure:
        return _Failure(f"no answer within {self._settings.timeout_s:g} s", may_pass=True)

    def stop(self) -> None:
        """Try nothing again from now on; what is under way may still be answered."""
        self._stopped.set()

    async def _is_stopped_within(self, seconds: float) -> bool:
        try:
            await asyncio.wait_for(self._stopped.wait(), seconds)
        except asyncio.TimeoutError:
            return False
        return True

    async def _send(self, prompt: str, body: dict[str, Any]) -> tuple[bytes, str | None]:
        """The body of the answer as it came, and the server's name for the request."""
        extra = dict(self._settings.extra_body) or None
        model = body.pop("model")
        if self._settings.api == "chat":
            chat = self._client.chat.completions.with_raw_response
            raw = await chat.create(
                model=model, messages=[{"role": "user", "content": prompt}], extra_body=extra, **body
            )
        else:
            raw = await self._client.completions.with_raw_response.create(
                model=model, prompt=prompt, extra_body=extra, **body
            )
        return bytes(raw.content), raw.headers.get("x-request-id")

    def _read(self, answer: bytes, request_id: str | None) -> dict[str, Any] | None:
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
            "request_id": request_id or text_or_none(data.get("id")),
        }

    def _first_body(self, base_url: str) -> dict[str, Any]:
        settings = self._settings
        chat_at_openai = settings.api == "chat" and base_url.rstrip("/") == OPENAI_URL
        name = settings.max_tokens_name or ("max_completion_tokens" if chat_at_openai else "max_tokens")
        body: dict[str, Any] = {"model": settings.model, name: settings.max_tokens}
        for key in _OPTIONAL:
            value = getattr(settings, key)
            if value is not None and value != ():
                body[key] = list(value) if key == "stop" else value
        if settings.api == "completions":
            body.pop("reasoning_effort", None)
        return body

    def _without(self, error: openai.APIStatusError, sent: dict[str, Any]) -> bool:
        """Whether the server refused one of our parameters that can be left out or renamed; if so, do that."""
        for name, other in _TOKEN_NAMES.items():
            if name in sent and is_about(error, name):
                if name not in self._body:
                    return True  # another request found out meanwhile
                if other in self._left_out:
                    return False  # neither name is known
                self._body[other] = self._body.pop(name)
                self._left_out.append(name)
                self._on_note(f"the server does not take {name}: sending {other} instead from now on")
                return True
        for name in _OPTIONAL:
            if name in sent and is_about(error, name):
                if self._body.pop(name, None) is not None:
                    self._left_out.append(name)
                    self._on_note(f"the server does not take {name}: left out from now on")
                return True
        return False

    def _failure(self, error: openai.APIError) -> _Failure:
        if isinstance(error, openai.APITimeoutError):
            return self._too_late
        if isinstance(error, openai.APIConnectionError):
            cause = error.__cause__ or error
            words = (str(cause) or type(cause).__name__).rstrip(".")
            return _Failure(f"the connection failed: {words[:1].lower()}{words[1:]}", may_pass=True)
        if not isinstance(error, openai.APIStatusError):
            return _Failure(self._clean(error.message), may_pass=True)
        status = error.status_code
        out_of_quota = "insufficient_quota" in (error.code, error.type)
        may_pass = (status in (408, 409, 429) or status >= 500) and not out_of_quota
        words = self._clean(message_of(error))
        return _Failure(f"HTTP {status}: {words}", may_pass, seconds_to_wait(error.response.headers), status)

    async def _refused(self, failure: _Failure) -> TeacherError:
        hint = None
        if failure.status == 401:
            hint = f"check the key in {self._settings.api_key_env}"
        elif failure.status == 404 or f"{self._settings.model}" in re.split(r"[^\w./:-]+", failure.message):
            names = await self._model_names()
            hint = f"name a model with --model; the server knows: {', '.join(names)}" if names else "check --base-url"
        elif failure.status == 429:
            hint = "the account is out of credit; run the same command again once it is not"
        return TeacherRefused(failure.message, where=str(self._client.base_url), hint=hint)

    async def _model_names(self) -> list[str]:
        try:
            return [model.id async for model in self._client.with_options(timeout=5).models.list()][:10]
        except (openai.OpenAIError, AttributeError, TypeError, ValueError):
            return []  # only a help for the message of another error

    def _clean(self, message: str) -> str:
        hidden = message.replace(self._api_key, "***") if len(self._api_key) > len(NO_KEY) else message
        return " ".join(hidden.split())[:300]


def _pause(tries: int) -> float:
    """Seconds before the next try: doubling, with a quarter of jitter so that requests do not come back as one."""
    return float(min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2 ** (tries - 1)) * (1 - random.random() / 4))

"""The body of a request, in the words that a server and model understand: negotiated, not hard-coded.

A parameter that the server refuses is left out or renamed once, aloud, and remembered; so is the length of the model's
context, once an error has told it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal
from urllib.parse import urlsplit

import openai

from alpaca_cli.generate.answer import is_about, is_too_long, lengths_of
from alpaca_cli.generate.prompt import Request
from alpaca_cli.recipe.generate import TeacherSettings

OPENAI_URL = "https://api.openai.com/v1"
FEWEST_TOKENS = 256  # less room than this for an answer gives no list of tasks; fewer seeds do
# Left out, one at a time, when a server refuses them: the task does not hang on any of them.
_OPTIONAL = ("reasoning_effort", "temperature", "top_p", "stop")
_TOKEN_NAMES = {"max_completion_tokens": "max_tokens", "max_tokens": "max_completion_tokens"}
# The least effort that a model takes is asked for: its own default would bill thinking for nothing.
_MORE_EFFORT = {"none": "minimal", "minimal": "low"}
_MARGIN = 16


class Body:
    """Makes the body of a request for one server and model.  `on_note` hears, in one line each, what was changed."""

    def __init__(
        self,
        settings: TeacherSettings,
        base_url: str,
        *,
        left_out: Sequence[str] = (),
        on_note: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._settings = settings
        self._on_note = on_note
        self._fields = _first_fields(settings, base_url)
        self._context: int | None = None
        self._tokens_per_byte = 1 / 3
        self._cap = settings.max_tokens
        self.left_out: list[str] = []
        for name in left_out:  # what an earlier process of the run found out
            self._leave_out(name)

    def of(self, request: Request) -> dict[str, Any]:
        """The whole JSON body of a request."""
        fields = dict(self._fields)
        fields[self._token_name] = self.max_tokens(request)
        if self._settings.api == "chat":
            return {**fields, "messages": [{"role": "user", "content": request.text}]}
        return {**fields, "prompt": request.text}

    def max_tokens(self, request: Request) -> int:
        """Most new tokens that a request asks for."""
        most = self._cap
        if self._context is not None:
            most = min(most, self._context - self._length(request))
        return max(most, min(FEWEST_TOKENS, self._settings.max_tokens))

    def react(
        self, error: openai.APIStatusError, request: Request, sent: dict[str, Any]
    ) -> Literal["changed", "too_long"] | None:
        """What a refusal of `request`, whose body was `sent`, changes: what is sent from now on; or nothing, since it
        is too long as it is; None if neither."""
        if self.adapt(error, sent):
            return "changed"
        can_shorten = self.shorten(error, request, sent)
        if can_shorten is None:
            return None
        return "changed" if can_shorten else "too_long"

    def adapt(self, error: openai.APIStatusError, sent: dict[str, Any]) -> bool:
        """Whether the server refused one of our parameters that can be left out or renamed; if so, do that."""
        for name, other in _TOKEN_NAMES.items():
            if name in sent and is_about(error, name):
                if name not in self._fields:
                    return True  # another request found out meanwhile
                if other in self.left_out:
                    return False  # neither name is known
                self._leave_out(name)
                self._on_note(f"the server does not take {name}: sending {other} instead from now on")
                return True
        for name in (*_OPTIONAL, *self._settings.extra_body):
            if name in sent and is_about(error, name):
                if name == "reasoning_effort" and sent[name] in _MORE_EFFORT and error.code == "unsupported_value":
                    if sent[name] == self._fields.get(name):
                        self._leave_out(f"{name}={sent[name]}")
                        more = self._fields[name]
                        self._on_note(f"the server does not take {name} {sent[name]}: sending {more}, which bills more")
                elif name in self._fields:
                    self._leave_out(name)
                    self._on_note(f"the server does not take {name}: left out from now on")
                return True
        return False

    def shorten(self, error: openai.APIStatusError, request: Request, sent: dict[str, Any]) -> bool | None:
        """Whether the context was too short and fewer new tokens may do; None if that is not what the error says."""
        if not is_too_long(error):
            return None
        before = int(sent[self._token_name if self._token_name in sent else _TOKEN_NAMES[self._token_name]])
        if self.max_tokens(request) < before:
            return True  # another request found out meanwhile
        context, prompt = lengths_of(error)
        if context is not None:
            self._context = context
            if prompt is not None:
                self._tokens_per_byte = max(prompt, 1) / max(len(request.text.encode("utf-8")), 1)
            room = context - self._length(request)
        if context is None or room >= before:  # the numbers cannot be what they seem
            self._context = None
            room = self._cap = before // 2
        if room < FEWEST_TOKENS:
            self._cap = self._settings.max_tokens  # it is this prompt that is too long: others may have their room
            return False
        self._on_note(f"the model's context is too short: asking for {room:,} new tokens instead of {before:,}")
        return True

    @property
    def _token_name(self) -> str:
        return next(name for name in _TOKEN_NAMES if name in self._fields)

    def _length(self, request: Request) -> int:
        """Tokens of a prompt, as far as is known: a little more rather than less."""
        return int(len(request.text.encode("utf-8")) * self._tokens_per_byte * 1.05) + _MARGIN

    def _leave_out(self, name: str) -> None:
        key, _, refused = name.partition("=")
        value = self._fields.pop(key, None)
        if refused in _MORE_EFFORT:
            self._fields[key] = _MORE_EFFORT[refused]
        if name in _TOKEN_NAMES:
            self._fields[_TOKEN_NAMES[name]] = value
        self.left_out.append(name)


def max_tokens_of(body: Mapping[str, Any]) -> int:
    """Most new tokens that a body asks for."""
    return int(next(body[name] for name in _TOKEN_NAMES if name in body))


def _first_fields(settings: TeacherSettings, base_url: str) -> dict[str, Any]:
    at_openai = urlsplit(base_url).hostname == urlsplit(OPENAI_URL).hostname
    name = settings.max_tokens_name or (
        "max_completion_tokens" if settings.api == "chat" and at_openai else "max_tokens"
    )
    fields: dict[str, Any] = {"model": settings.model, name: settings.max_tokens}
    for key in _OPTIONAL:
        value = getattr(settings, key)
        if value is not None and value != () and not (key == "reasoning_effort" and settings.api == "completions"):
            fields[key] = list(value) if key == "stop" else value
    if settings.tier == "flex":
        fields["service_tier"] = "flex"
    elif at_openai:
        fields["service_tier"] = "default"  # else the project's own setting counts, which may cost double
    return {**fields, **settings.extra_body}

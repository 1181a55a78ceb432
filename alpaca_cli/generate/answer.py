"""What servers answer, read with mistrust: texts in parts, usage that is none, errors in many words."""

from __future__ import annotations

import json
import re
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from typing import Any, TypeGuard

import openai

_UNKNOWN = re.compile(
    r"unsupported|unexpected|unrecogni[sz]ed|unknown|extra|not (?:supported|permitted|allowed)|does not support",
    re.IGNORECASE,
)

_TOO_LONG = re.compile(r"context (?:length|window|size)|too many tokens|maximum.{0,30}tokens", re.IGNORECASE)
_CONTEXT = re.compile(
    r"(?:maximum context length|context (?:length|window|size))\D{0,40}?(\d[\d,]*)|(\d[\d,]*)[- ]tokens? context",
    re.IGNORECASE,
)
# Of a prompt of "at least" so many tokens a server has stopped counting.
_PROMPT = re.compile(
    r"(?<!at least )(?<![\d,])(?:(\d[\d,]*)(?: tokens?)? (?:in|from|of) (?:the|your) (?:messages|prompt|input)"
    r"|(?:input|prompt|request) \((\d[\d,]*) tokens|(\d[\d,]*) input tokens)",
    re.IGNORECASE,
)

_PARTS = {
    "prompt_tokens": ("cached_tokens", "cache_write_tokens"),
    "completion_tokens": ("reasoning_tokens",),
}


def is_about(error: openai.APIStatusError, name: str) -> bool:
    """Whether a server refuses this parameter as such, rather than its value's consequences."""
    words = _words(error)
    if not re.search(rf"\b{re.escape(name)}\b", f"{error.param or ''} {words}"):
        return False
    if error.code in ("unsupported_parameter", "unsupported_value", "unknown_parameter"):
        return error.param in (name, None)
    return _UNKNOWN.search(words) is not None


def is_too_long(error: openai.APIStatusError) -> bool:
    """Whether a server says that prompt and new tokens do not fit into the model's context."""
    return (
        error.code == "context_length_exceeded" or _TOO_LONG.search(f"{error.code or ''} {_words(error)}") is not None
    )


def lengths_of(error: openai.APIStatusError) -> tuple[int | None, int | None]:
    """Tokens of the model's context and of the prompt, as far as an error about them tells.

    llama.cpp's own server tells them as numbers; the others, and libraries in front of it, in words.
    """
    body = error.body if isinstance(error.body, dict) else {}
    context, prompt = body.get("n_ctx"), body.get("n_prompt_tokens")
    return (
        context if _is_count(context) else _number(_CONTEXT, _words(error)),
        prompt if _is_count(prompt) else _number(_PROMPT, _words(error)),
    )


def _number(pattern: re.Pattern[str], words: str) -> int | None:
    found = pattern.search(words)
    return int(next(digits for digits in found.groups() if digits).replace(",", "")) if found else None


def text_of(choice: dict[str, Any]) -> str | None:
    """The text of a choice of either API, some of which send it in parts; None if there is none to be found."""
    message = choice.get("message")
    text = message.get("content") if isinstance(message, dict) else choice.get("text")
    if isinstance(text, list) and all(isinstance(part, dict) and isinstance(part.get("text"), str) for part in text):
        return "".join(part["text"] for part in text)
    if text is None and isinstance(message, dict):
        return ""  # refused by a filter, or all spent on reasoning
    return text_or_none(text)


def message_of(error: openai.APIStatusError) -> str:
    """The server's own words, and its code if there is one."""
    code = f" ({error.code})" if error.code and isinstance(error.body, dict) else ""
    return f"{_words(error)}{code}"


def _words(error: openai.APIStatusError) -> str:
    """The server's own words, wherever they stand; the SDK's message has those of some dresses only."""
    body = error.body
    if isinstance(body, dict):
        inner = body.get("error", body)
        inner = inner.get("message", inner.get("detail", inner)) if isinstance(inner, dict) else inner
        return inner if isinstance(inner, str) else json.dumps(inner)
    return str(body or error.message)


def is_spoken(error: openai.APIStatusError) -> bool:
    """Whether the API itself said so, in a JSON object: a proxy speaks otherwise, and so does a crash."""
    try:
        return isinstance(json.loads(error.response.content), dict)
    except (ValueError, RecursionError):
        return False


def seconds_to_wait(headers: Any) -> float | None:
    """Seconds that the server asks to wait, from `retry-after-ms` or `retry-after` (seconds or a date)."""
    try:
        if value := headers.get("retry-after-ms"):
            return max(0.0, float(value) / 1000)
        if value := headers.get("retry-after"):
            try:
                return max(0.0, float(value))
            except ValueError:
                return max(0.0, (parsedate_to_datetime(value) - datetime.now(timezone.utc)).total_seconds())
    except (ValueError, TypeError):
        pass
    return None


def usage_of(usage: object) -> dict[str, int] | None:
    """prompt_tokens and completion_tokens, those that are whole numbers from 0, and of these cached_tokens,
    cache_write_tokens and reasoning_tokens where the server counts some; None if it counts nothing."""
    if not isinstance(usage, dict):
        return None
    counts = {key: usage.get(key) for key in ("prompt_tokens", "completion_tokens")}
    for whole, parts in _PARTS.items():
        details = usage.get(f"{whole}_details")
        counts |= {part: details.get(part) or None for part in parts} if isinstance(details, dict) else {}
    found = {key: value for key, value in counts.items() if _is_count(value)}
    if not found.get("prompt_tokens", 1):  # no prompt is empty: this server does not count
        return None
    return found if found.keys() & _PARTS.keys() else None


def _is_count(value: object) -> TypeGuard[int]:
    return type(value) is int and value >= 0


def text_or_none(value: object) -> str | None:
    """`value` if it is a text."""
    return value if isinstance(value, str) else None


def excerpt(answer: bytes) -> str:
    """The beginning of an answer, for a message: one line of at most 80 characters, quoted."""
    text = " ".join(answer[:400].decode("utf-8", "replace").split())
    return repr(text[:80]) if text else "an empty body"

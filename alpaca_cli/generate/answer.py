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

_PARTS = {
    "prompt_tokens": ("cached_tokens", "cache_write_tokens"),
    "completion_tokens": ("reasoning_tokens",),
}


def is_about(error: openai.APIStatusError, name: str) -> bool:
    """Whether a server refuses this parameter as such, rather than its value's consequences."""
    if not re.search(rf"\b{name}\b", f"{error.param or ''} {error.message}"):
        return False
    if error.code in ("unsupported_parameter", "unsupported_value", "unknown_parameter"):
        return error.param in (name, None)
    return _UNKNOWN.search(error.message) is not None


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
    """The server's own words, without the SDK's rendering of the whole body."""
    body = error.body
    if isinstance(body, dict):
        inner = body.get("error", body)
        inner = inner.get("message", inner.get("detail", inner)) if isinstance(inner, dict) else inner
        code = f" ({error.code})" if error.code else ""
        return f"{inner if isinstance(inner, str) else json.dumps(inner)}{code}"
    return str(body or error.message)


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

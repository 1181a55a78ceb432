"""What became of a try that gave no answer: errors told apart by status, code and words.

fatal      asking again will not help: key, permission, model, quota
rejected   the server says that this request is malformed: fatal from a server that has answered none of its kind
too_long   prompt and new tokens do not fit into the model's context, and fewer new tokens will not do
changed    the server refused a parameter; it is left out or renamed from now on, and the request is asked again
busy       too many requests, or the server is overloaded: slow down
passing    connection, timeout, 5xx, an answer that is none: may pass by itself
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import openai

from alpaca_cli.generate.answer import is_spoken, message_of, seconds_to_wait

Kind = Literal["fatal", "rejected", "too_long", "changed", "busy", "passing"]

_FATAL = (401, 402, 403, 404, 405, 410)
# Out of money, by whatever status: it does not come back by itself.
_NO_QUOTA = ("insufficient_quota", "billing_hard_limit_reached", "billing_not_active", "account_deactivated")
# Nothing had been sent when these were raised, so nothing was paid: names of the HTTP library, which we do not import.
_NOT_SENT = ("ConnectError", "ConnectTimeout", "PoolTimeout", "ProxyError", "UnsupportedProtocol", "LocalProtocolError")


@dataclass(frozen=True)
class Failure:
    """A try that gave nothing, in words, and what to make of it."""

    message: str
    kind: Kind
    may_be_paid: bool = False
    """Whether the server may have done the work and charge for it."""
    pause_s: float | None = None
    """How long the server asks to wait, in seconds."""
    status: int | None = None
    """HTTP status; 200 for an answer that is not a completion, None if there was no answer."""
    is_spoken: bool = True
    """Whether the API itself said so, in JSON; a proxy in front of it answers in HTML."""
    timed_out: bool = False
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)


def timed_out(seconds: float) -> Failure:
    """A try whose whole answer did not come within `seconds`."""
    return Failure(f"no answer within {seconds:g} s", "passing", may_be_paid=True, timed_out=True)


def failure_of(error: openai.APIError, *, timeout_s: float) -> Failure:
    """What an error of the SDK means.  Its message is the server's own words, and may hold what was sent."""
    if isinstance(error, openai.APITimeoutError):
        return timed_out(timeout_s)
    if isinstance(error, openai.APIConnectionError):
        cause = error.__cause__ or error
        words = _words(cause).rstrip(".")
        may_be_paid = type(cause).__name__ not in _NOT_SENT
        return Failure(f"the connection failed: {words[:1].lower()}{words[1:]}", "passing", may_be_paid=may_be_paid)
    if not isinstance(error, openai.APIStatusError):
        return Failure(error.message, "passing", may_be_paid=True)
    status = error.status_code
    kind: Kind = "passing"
    if status in _FATAL or any(each in _NO_QUOTA for each in (error.code, error.type)):
        kind = "fatal"
    elif status in (429, 503, 529):
        kind = "busy"
    elif 400 <= status < 500 and status not in (408, 409, 425):
        kind = "rejected"
    return Failure(
        f"HTTP {status}: {message_of(error)}",
        kind,
        may_be_paid=status >= 500 or status == 408,
        pause_s=seconds_to_wait(error.response.headers),
        status=status,
        is_spoken=is_spoken(error),
        headers=error.response.headers,
    )


def _words(error: BaseException) -> str:
    """The first words in a chain of errors, of which libraries leave some without: the operating system has them."""
    link: BaseException | None = error
    while link is not None and not str(link):
        link = link.__cause__ or link.__context__
    if isinstance(link, OSError) and link.strerror:
        return link.strerror
    return str(link or type(error).__name__)

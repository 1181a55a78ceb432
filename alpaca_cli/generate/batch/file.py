"""The files of a batch, JSON Lines in OpenAI's form: a request a line, and a result a line in any order.

A line's name, its `custom_id`, is the request's number with the beginning of its prompt's SHA-256, so that a result
says by itself which request it answers, and that it is the same one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, cast

import openai

from alpaca_cli.data.jsonl import dumps, kind_of, parse_json
from alpaca_cli.errors import DataError
from alpaca_cli.generate.body import Body
from alpaca_cli.generate.prompt import Request, RequestMaker

MOST_REQUESTS, MOST_BYTES = 50_000, 200_000_000  # of one batch at OpenAI
URLS = {"chat": "/v1/chat/completions", "completions": "/v1/completions"}
UNDONE = ("batch_expired", "batch_cancelled")
"""Codes of a request that a batch ended without having asked."""
_ID = re.compile(r"(0|[1-9]\d{0,8})-([0-9a-f]{16})", re.ASCII)
_TEXTS = ("messages", "prompt")


def custom_id(request: Request) -> str:
    """The name of a request's line."""
    return f"{request.k}-{request.prompt_sha256[:16]}"


def request_of(name: str, maker: RequestMaker) -> Request | None:
    """The request that a name stands for, with as few seed tasks as it was asked with; None if it is none of ours."""
    found = _ID.fullmatch(name)
    if found is None:
        return None
    variants = (maker.request(int(found[1]), count) for count in range(maker.num_seeds, 0, -1))
    return next((request for request in variants if custom_id(request) == name), None)


def line_of(request: Request, body: Body, api: Literal["chat", "completions"]) -> bytes:
    """The line that asks a request."""
    fields = body.of(request)
    fields.pop("service_tier", None)  # a batch is a tier of its own
    row = {"custom_id": custom_id(request), "method": "POST", "url": URLS[api], "body": fields}
    return f"{dumps(row)}\n".encode()


def asked(lines: Iterable[bytes], path: Path) -> dict[str, dict[str, Any]]:
    """By name, the body of each line that asks a request, without its text.  Raises DataError with `path:line`."""
    found = {}
    for number, line in enumerate(lines, 1):
        row = parse_json(line.decode("utf-8", "replace"), path, first_line=number)
        try:
            name, body = row["custom_id"], row["body"]
            found[name] = {key: value for key, value in body.items() if key not in _TEXTS}
        except (TypeError, KeyError, AttributeError):
            raise DataError("not a line of a batch", where=f"{path}:{number}") from None
    return found


@dataclass(frozen=True)
class Row:
    """One result: of which request, the HTTP status and body of its answer, or the error of a request without one."""

    custom_id: str
    status: int | None
    body: object = None
    request_id: str | None = None
    code: str | None = None
    message: str | None = None

    @property
    def error(self) -> openai.APIStatusError:
        """What the SDK would have raised for the same answer to a single request."""
        body = self.body
        if not isinstance(body, Mapping):
            body = {"message": self.message or "no body", "code": self.code}
        inner = body.get("error", body)
        words = inner.get("message") if isinstance(inner, Mapping) else inner
        content = dumps(self.body).encode()
        return openai.APIStatusError(str(words), response=cast(Any, _Answered(self.status or 0, content)), body=inner)


@dataclass(frozen=True)
class _Answered:
    """As much of an HTTP response as the SDK's error looks at."""

    status_code: int
    content: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    request: None = None


def results(lines: Iterable[bytes], path: Path) -> Iterator[Row | DataError]:
    """Each line of an output or error file that is not blank, or what is wrong with it, with `path:line`.

    What `vllm run-batch` writes is read as well.
    """
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                yield _row(_value(line.decode("utf-8", "replace"), path, number), f"{path}:{number}")
            except DataError as error:
                yield error


def _value(line: str, path: Path, number: int) -> object:
    """Read as mildly as the answer to a single request is: it is paid."""
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return parse_json(line, path, first_line=number)  # raises, and says where


def _row(row: object, where: str) -> Row:
    if not isinstance(row, dict):
        raise DataError(f"expected an object, found {kind_of(row)}", where=where)
    name, response, error = row.get("custom_id"), row.get("response"), row.get("error")
    if not isinstance(name, str):
        found = kind_of(name) if "custom_id" in row else "nothing"
        raise DataError(f"custom_id: expected a string, found {found}", where=where)
    if response is None and error is None:
        hint = "expected the results of a batch, not its requests" if "method" in row else None
        raise DataError("expected a response or an error, found neither", where=where, hint=hint)
    if not isinstance(response, dict | None):
        raise DataError(f"response: expected an object or null, found {kind_of(response)}", where=where)
    code, message = _told(error)
    if response is None:
        return Row(name, None, code=code, message=message)
    body, status, request_id = response.get("body"), response.get("status_code", 200), response.get("request_id")
    if type(status) is not int:
        raise DataError(f"response.status_code: expected a whole number, found {kind_of(status)}", where=where)
    request_id = request_id if isinstance(request_id, str) else None
    return Row(name, status, body, request_id, code, message)


def _told(error: object) -> tuple[str | None, str | None]:
    """Code and words of a row's error, which some servers nest, and some give as bare text."""
    if isinstance(error, dict) and isinstance(error.get("error"), dict):
        error = error["error"]
    if isinstance(error, dict):
        code, message = error.get("code"), error.get("message")
        return None if code is None else str(code), message if isinstance(message, str) else dumps(error)
    return None, None if error is None else str(error)

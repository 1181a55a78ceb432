"""The bodies in which files are uploaded: multipart/form-data, read strictly and without a copy of what it holds."""

from __future__ import annotations

import re
from dataclasses import dataclass

from alpaca_cli.rehearsal.protocol import ApiError

_BOUNDARY = re.compile(
    r'\s*multipart/form-data\s*;(?:.*;)?\s*boundary=(?:"([^"]{1,70})"|([^\s";]{1,70}))', re.IGNORECASE
)
_NAME = re.compile(rb'(?:^|;)[ \t]*name="([^"]*)"')
_FILENAME = re.compile(rb'(?:^|;)[ \t]*filename="([^"]*)"')
_END_OF_HEAD = b"\r\n\r\n"


@dataclass(frozen=True)
class Part:
    """One field of a form; `filename` is None for a plain value.  `content` looks into the body it came in."""

    content: memoryview
    filename: str | None


def parse(content_type: str, body: bytes | bytearray) -> dict[str, Part]:
    """The fields of a form by name, of which the last counts.  Raises ApiError for anything malformed."""
    found = _BOUNDARY.match(content_type)
    if found is None:
        raise _malformed("Content-Type must be multipart/form-data with a boundary")
    mark = b"--" + (found[1] or found[2]).encode("latin-1", "replace")
    view = memoryview(body)
    if not body.startswith(mark):
        raise _malformed("it must begin with its boundary")
    parts: dict[str, Part] = {}
    at = len(mark)
    while body[at : at + 2] != b"--":
        if body[at : at + 2] != b"\r\n":
            raise _malformed("a boundary must end its line")
        begin = at + 2
        end = body.find(b"\r\n" + mark, begin)
        end_of_head = body.find(_END_OF_HEAD, begin, end)
        if end < 0 or end_of_head < 0:
            raise _malformed("a part has no end")
        name, filename = _names(bytes(body[begin:end_of_head]))
        parts[name] = Part(view[end_of_head + len(_END_OF_HEAD) : end], filename)
        at = end + 2 + len(mark)
    return parts


def _names(head: bytes) -> tuple[str, str | None]:
    for line in head.split(b"\r\n"):
        key, _, value = line.partition(b":")
        if key.strip().lower() == b"content-disposition":
            name, filename = _NAME.search(value), _FILENAME.search(value)
            if name is not None:
                return name[1].decode("utf-8", "replace"), filename and filename[1].decode("utf-8", "replace")
    raise _malformed("a part has no name")


def _malformed(what: str) -> ApiError:
    return ApiError(400, f"the body is no form: {what}", code="invalid_multipart_form")

"""JSON and JSON Lines with line numbers: what is wrong is told by line and column, all at once.

`dumps` is the one way this project writes a line: order kept, no ASCII escapes but for lone surrogates, which a
teacher may send and UTF-8 cannot hold.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from io import BytesIO
from pathlib import Path
from typing import IO, Any

from alpaca_cli.data.files import decode, write_atomically
from alpaca_cli.errors import DataError

LONE_SURROGATE = re.compile(r"[\ud800-\udfff]")


def dumps(value: object, *, indent: int | None = None) -> str:
    """JSON text that can always be written as UTF-8."""
    text = json.dumps(value, ensure_ascii=False, indent=indent)
    return LONE_SURROGATE.sub(lambda half: f"\\u{ord(half[0]):04x}", text)


def parse_json(text: str, path: Path, *, first_line: int = 1) -> Any:
    """The value of a JSON text that begins on `first_line` of its file.  Raises DataError with `path:line:col`."""
    try:
        if text.startswith("\ufeff"):
            raise json.JSONDecodeError("Unexpected UTF-8 BOM (decode using utf-8-sig)", text, 0)
        return DECODER.decode(text)
    except json.JSONDecodeError as error:
        where = f"{path}:{first_line + error.lineno - 1}:{error.colno}"
        words = error.msg.removesuffix(" at").removesuffix(" starting")
        raise DataError(f"invalid JSON: {words[:1].lower()}{words[1:]}", where=where) from None
    except (ValueError, RecursionError) as error:
        message = "nested too deeply" if isinstance(error, RecursionError) else str(error)
        if "set_int_max_str_digits" in message:
            message = "a number of thousands of digits"
        raise DataError(f"invalid JSON: {message}", where=f"{path}:{first_line}") from None


def iter_lines(raw: bytes | IO[bytes], path: Path) -> Iterator[tuple[int, str]]:
    """(line number from 1, text) of each line that is not blank.  Splits at newlines only, as JSON Lines demands.

    Of a stream one line is held at a time.  Raises DataError at the first byte that is not UTF-8.
    """
    for number, line in enumerate(BytesIO(raw) if isinstance(raw, bytes) else raw, 1):
        text = decode(line.removesuffix(b"\n"), path, first_line=number)
        if text.strip():
            yield number, text


def write_jsonl(path: Path, values: Iterable[object]) -> None:
    """One JSON value a line, whole or not at all."""
    with write_atomically(path) as stream:
        for value in values:
            stream.write((dumps(value) + "\n").encode("utf-8"))


def write_json(path: Path, value: object, *, indent: int = 2) -> None:
    """One JSON value with a final newline, whole or not at all."""
    with write_atomically(path) as stream:
        stream.write((dumps(value, indent=indent) + "\n").encode("utf-8"))


def kind_of(value: object) -> str:
    """The JSON name of a value's type with its article, for messages: expected a string, found `a number`."""
    if value is None:
        return "null"
    return next((name for type_, name in _JSON_NAMES if isinstance(value, type_)), type(value).__name__)


_JSON_NAMES: tuple[tuple[type, str], ...] = (
    (bool, "a boolean"),  # before int, of which it is a subclass
    (int, "a number"),
    (float, "a number"),
    (str, "a string"),
    (list, "a list"),
    (dict, "an object"),
)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The object of these pairs.  Raises ValueError if a key comes twice, of which Python would keep the last."""
    found = dict(pairs)
    if len(found) != len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"{next(key for key in keys if keys.count(key) > 1)!r} given twice in one object")
    return found


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


DECODER = json.JSONDecoder(parse_constant=_refuse_constant, object_pairs_hook=_once)
"""Made once: it costs more than to read a line."""

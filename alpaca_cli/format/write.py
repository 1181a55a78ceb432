"""Write examples in any format; no row is written that would not come back the same, byte for byte."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path

from alpaca_cli.data.example import Example
from alpaca_cli.data.files import read_bytes, refuse_existing, write_atomically
from alpaca_cli.data.jsonl import dumps
from alpaca_cli.errors import AlpacaError, DataError, Problem, UsageError
from alpaca_cli.format.form import FIELDS, Form, PromptCompletion, Text, form_of
from alpaca_cli.format.names import FORMAT_NAMES
from alpaca_cli.format.parquet import table_bytes
from alpaca_cli.format.row import BadRow
from alpaca_cli.format.template import Template

_FIELD_NAMES = ("instruction", "input", "output")


def check_format(name: str) -> None:
    """Raises UsageError, with the nearest name, if `name` is not that of a format."""
    if name not in FORMAT_NAMES:
        close = get_close_matches(name, FORMAT_NAMES, n=1)
        hint = f"did you mean {close[0]}?" if close else f"choose one of: {', '.join(FORMAT_NAMES)}"
        raise UsageError(f"no such format: {name}", hint=hint)


def write_dataset(
    path: Path,
    examples: Sequence[Example],
    format: str,
    *,
    template: Template | None = None,
    places: Sequence[str] | None = None,
    force: bool = False,
) -> int:
    """Write one file, whole or not at all, and return its size in bytes.

    `places` say where each example came from, for messages; `template` (the shipped one if None) makes
    prompt-completion and text.
    Raises UsageError if the format is unknown, or the file exists without `force` or cannot be written; DataError
    that lists every example which the format cannot hold, or if there is no example.
    """
    check_format(format)
    refuse_existing(path, force=force)
    if not examples:
        raise DataError("no example to write", where=str(path))
    if refused := unwritable(examples, format, template=template, places=places):
        raise DataError.of([problem for problems in refused.values() for problem in problems])
    return write_parts([(path, examples)], format, template=template)


def unwritable(
    examples: Sequence[Example], format: str, *, template: Template | None = None, places: Sequence[str] | None = None
) -> dict[int, list[Problem]]:
    """What keeps examples from being written, by index: each one is put in the format's words and read back.

    Cost: about 15 us an example.
    """
    form = form_of(format, template)
    # What a template of one's own makes is for training; only what the shipped one makes must be read again.
    reads_back = template is None or not isinstance(form, PromptCompletion | Text)
    refused = {}
    for index, example in enumerate(examples):
        if problems := _problems(example, form, format, reads_back=reads_back):
            where = places[index] if places is not None else f"examples[{index}]"
            refused[index] = [replace(problem, where=where) for problem in problems]
    return refused


def write_parts(
    parts: Sequence[tuple[Path, Sequence[Example]]], format: str, *, template: Template | None = None
) -> int:
    """Write every part or none, overwriting what is there; return the bytes of all together.

    The examples must have passed `unwritable`.  All data are on the disk before the first file gets its name, and the
    first part gets it last: a machine that dies in between leaves whole files, and the first only with all others.
    Raises UsageError if a file cannot be written.
    """
    written = 0
    before = {path: read_bytes(path) if path.exists() else None for path, _ in parts[1:]}
    try:
        with ExitStack() as stack:
            for path, examples in parts:
                stream = stack.enter_context(write_atomically(path))
                for chunk in _chunks(examples, format, template):
                    written += stream.write(chunk)
                stream.flush()
                os.fsync(stream.fileno())
    except BaseException:
        for path, raw in before.items():
            with suppress(OSError, AlpacaError):  # what went wrong first is what is told
                _put_back(path, raw)
        raise
    return written


def _put_back(path: Path, raw: bytes | None) -> None:
    if raw is None:
        path.unlink(missing_ok=True)
    elif path.read_bytes() != raw:
        with write_atomically(path) as stream:
            stream.write(raw)


def _problems(example: Example, form: Form, format: str, *, reads_back: bool) -> list[Problem]:
    """Why this example would not come back the same from a file of this format."""
    try:
        FIELDS.parse(example.as_dict())
    except BadRow as bad:
        return list(bad.problems)
    if format == "parquet":
        return [problem for name in _FIELD_NAMES if (problem := _surrogate_problem(name, getattr(example, name)))]
    if not reads_back:
        return []
    try:
        back: Example | None = form.parse(json.loads(dumps(form.build(example))))
    except BadRow:
        back = None
    if back == example:
        return []
    values = {name: getattr(example, name) for name in _FIELD_NAMES}
    if halves := [name for name, value in values.items() if json.loads(dumps(value)) != value]:
        message = "two surrogate halves side by side, which JSON reads as one character"
        return [Problem(f"{name}: {message}") for name in halves]
    names = [name for name, value in values.items() if back is None or getattr(back, name) != value]
    return [
        Problem(
            f"{' and '.join(names)} cannot be told apart when read back from {format}",
            hint="write alpaca, jsonl or parquet, which hold every example",
        )
    ]


def _surrogate_problem(name: str, value: str) -> Problem | None:
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:
        found = f"a lone surrogate (U+{ord(value[error.start]):04X}) at character {error.start + 1}"
        return Problem(f"{name}: {found}, which parquet cannot hold", hint="write jsonl, which escapes it")
    return None


def _chunks(examples: Sequence[Example], format: str, template: Template | None) -> Iterator[bytes]:
    """The bytes of the file, piece by piece."""
    if format == "parquet":
        yield table_bytes(examples)
    elif format == "alpaca":
        for index, example in enumerate(examples):
            yield (",\n" if index else "[\n").encode() + _stanford(example).encode("utf-8")
        yield b"\n]"
    else:
        form = form_of(format, template)
        for example in examples:
            yield f"{dumps(form.build(example))}\n".encode()


def _stanford(example: Example) -> str:
    """The lines of one example in a JSON list indented by 4, as Stanford's file has them, but for its ASCII escapes.

    Text stays readable in every language; only a text that UTF-8 cannot hold is escaped, and that text alone.
    Source: stanford_alpaca utils.py, jdump (which leaves `ensure_ascii` on).
    """
    lines = ",\n".join(f'        "{name}": {dumps(value)}' for name, value in example.as_dict().items())
    return f"    {{\n{lines}\n    }}"

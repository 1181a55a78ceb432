"""Read a dataset in any form, which is found out from the file itself; what is wrong with it is told all at once."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

from alpaca_cli.data.example import Example
from alpaca_cli.data.files import decode, read_bytes
from alpaca_cli.data.jsonl import iter_lines, kind_of, parse_json
from alpaca_cli.errors import DataError, Problem
from alpaca_cli.format.dataset import Dataset
from alpaca_cli.format.form import FIELDS, KEYS_OF, Form, form_of
from alpaca_cli.format.parquet import MAGIC, table_rows
from alpaca_cli.format.row import MEANINGFUL, BadRow, count_of, refused_keys, shown
from alpaca_cli.format.template import Template

_Placed = tuple[str, Any]  # where a row stood, and its value: a Problem if it is not JSON

_FORMAT_OF = {"list": "alpaca", "lines": "jsonl", "parquet": "parquet"}  # for rows with the fields of an example
_MOST_NAMES = 8  # keys in a message
_PACKED = ((b"\x1f\x8b", "gzip", "gunzip"), (b"PK\x03\x04", "zip", "unzip"), (b"\x28\xb5\x2f\xfd", "zstd", "zstd -d"))


def read_dataset(path: Path, *, template: Template | None = None, skip_bad: bool = False) -> Dataset:
    """The examples of a file in any of the formats.

    The container is known by its first bytes (parquet, JSON list, JSON Lines), the form by the keys of the first row
    that has those of one; every other row must be of that form.  `template` (the shipped one if None) turns
    prompt-completion and text back into examples.  With `skip_bad`, rows that are no example of that form are left
    out and told in `problems`.  Cost: the file and its rows in memory; about 1 s for 52,000 rows.
    Raises DataError that lists every bad row, or if nothing is left; UsageError if the file cannot be read.
    """
    raw = read_bytes(path, what="dataset")
    container, rows = _rows(raw, path)
    if not rows:
        raise DataError("no rows in this file", where=str(path), hint="a dataset holds at least one example")
    dataset = _parse(path, raw, rows, _form(rows, template), container)
    if dataset.problems and not skip_bad:
        raise DataError.of(with_way_out(dataset.problems))
    if not dataset.examples:
        nothing = Problem(f"no example is left: every row is bad ({len(rows):,})", str(path))
        raise DataError.of([nothing, *dataset.problems])
    return dataset


def with_way_out(problems: Sequence[Problem]) -> list[Problem]:
    """The problems of rows that could be left out; the last one says how, if it has nothing better to say."""
    last = problems[-1]
    return [*problems[:-1], replace(last, hint=last.hint or "mend these rows, or leave them out with --skip-bad")]


def _rows(raw: bytes, path: Path) -> tuple[str, list[_Placed]]:
    """The container's name, and every row of it with its place."""
    if raw.startswith(MAGIC):
        wanted = {*MEANINGFUL, *FIELDS.optional, *chain(*KEYS_OF.values())}
        return "parquet", [(f"{path}[{i}]", row) for i, row in enumerate(table_rows(raw, path, wanted=wanted))]
    for magic, name, command in _PACKED:
        if raw.startswith(magic):
            raise DataError(f"expected a dataset, found a {name} file", where=str(path), hint=f"unpack it: {command}")
    first = raw.removeprefix(b"\xef\xbb\xbf").lstrip()[:1]
    if first == b"[":
        return "list", [(f"{path}[{i}]", row) for i, row in enumerate(parse_json(decode(raw, path), path))]
    if first in (b"{", b""):
        return "lines", list(_lines(raw, path))
    text = decode(raw, path)
    begin = text.lstrip()
    line = text.count("\n", 0, len(text) - len(begin)) + 1
    found = shown(begin.split("\n", 1)[0].strip())
    raise DataError(
        f"expected a JSON list, JSON Lines or parquet, found a text that begins: {found}", where=f"{path}:{line}"
    )


def _lines(raw: bytes, path: Path) -> Iterator[_Placed]:
    for index, (number, line) in enumerate(iter_lines(raw, path)):
        try:
            yield f"{path}:{number}", parse_json(line, path, first_line=number)
        except DataError as error:
            if index == 0:
                _refuse_spread_object(decode(raw, path), path, number)
            yield f"{path}:{number}", error.problems[0]


def _refuse_spread_object(text: str, path: Path, line: int) -> None:
    """Raises DataError if the text begins with a JSON object that goes over several lines, as pretty printers write."""
    start = len(text) - len(text.lstrip())
    try:
        value, end = json.JSONDecoder().raw_decode(text, start)
    except (ValueError, RecursionError):
        return
    last = line + text.count("\n", start, end)
    hint = _hint_to_unwrap(value) or "put each row on a line of its own, for example: jq -c . OLD > NEW"
    raise DataError(
        f"expected one JSON object a line, found one over lines {line} to {last}", where=f"{path}:{line}", hint=hint
    )


def _hint_to_unwrap(row: dict[str, Any]) -> str | None:
    """What to do about one object that holds all rows under some key."""
    for key, value in row.items():
        if isinstance(value, list) and value and isinstance(value[0], dict) and key.isidentifier():
            return f"take the rows out of it, for example: jq .{key} OLD > NEW"
    return None


def _form(rows: list[_Placed], template: Template | None) -> Form:
    """The form of the first row that has all keys of one.  Raises DataError if there is none."""
    objects = [(place, row) for place, row in rows if isinstance(row, dict)]
    for _, row in objects:
        for name, keys in KEYS_OF.items():
            if all(key in row for key in keys):
                return form_of(name, template)
    if not objects:
        raise DataError.of([_not_an_object(place, row) for place, row in rows])
    place, row = objects[0]
    if not row:
        raise DataError("expected the keys of an example, found an empty object", where=place)
    known = ", or ".join(" and ".join(keys) for keys in KEYS_OF.values())
    hint = (_hint_to_unwrap(row) if len(rows) == 1 else None) or "rename the keys to instruction, input and output"
    raise DataError(f"no form has the keys {_names(row)}: expected {known}", where=place, hint=hint)


def _parse(path: Path, raw: bytes, rows: list[_Placed], form: Form, container: str) -> Dataset:
    examples: list[Example] = []
    places: list[str] = []
    numbers: list[int] = []
    problems: list[Problem] = []
    left_out: Counter[str] = Counter()
    whole = 0
    for number, (place, row) in enumerate(rows):
        try:
            examples.append(_example(row, form))
        except BadRow as bad:
            problems += [problem if problem.where else replace(problem, where=place) for problem in bad.problems]
            continue
        places.append(place)
        numbers.append(number)
        left_out.update(form.others(row))
        whole += form.takes_whole(row)
    notes = list(_notes(form, container, left_out, whole))
    format_ = _FORMAT_OF.get(container, form.name) if form is FIELDS or container == "parquet" else form.name
    return Dataset(
        path, raw, examples, places, numbers, format_, len(rows) - len(examples), tuple(problems), whole, tuple(notes)
    )


def _example(row: Any, form: Form) -> Example:
    """The example in one row.  Raises BadRow."""
    if not isinstance(row, dict):
        raise BadRow([_not_an_object(None, row)])
    if not any(key in row for key in form.keys):
        expected = " and ".join(form.keys)
        raise BadRow([Problem(f"expected the keys {expected}, as the other rows have, found {_names(row)}")])
    if problems := refused_keys(row, row.keys() - {*form.keys, *form.optional}):
        raise BadRow(problems)
    return form.parse(row)


def _notes(form: Form, container: str, left_out: Counter[str], whole: int) -> Iterator[str]:
    """What the user should know of the rows that were read."""
    if left_out:
        counts = (f"{shown(name)} ({count_of(rows, 'row')})" for name, rows in sorted(left_out.items()))
        yield f"keys left out: {', '.join(counts)}"
    if whole:
        yield (
            f"{count_of(whole, 'prompt')} not made by this template, taken whole as the instruction: "
            "written as prompt-completion or text, the template is put around it"
        )
    if form is not FIELDS and container == "parquet":
        yield f"columns of the form {form.name}: written as parquet they are instruction, input and output"
    if form is not FIELDS and container == "list":
        yield f"a JSON list of {form.name} rows: written as {form.name} they stand one a line"


def _not_an_object(place: str | None, row: Any) -> Problem:
    return row if isinstance(row, Problem) else Problem(f"expected an object, found {kind_of(row)}", place)


def _names(row: dict[str, Any]) -> str:
    names = [shown(name) for name in row]
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    return f"{', '.join(names[:_MOST_NAMES])}{more}" if names else "none"

"""Read a dataset in any form, which is found out from the file itself; what is wrong with it is told all at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alpaca_cli.data.example import Example
from alpaca_cli.data.files import read_bytes
from alpaca_cli.data.jsonl import kind_of
from alpaca_cli.errors import AlpacaError, DataError, Problem
from alpaca_cli.format.container import Container, container_of, hint_to_unwrap
from alpaca_cli.format.dataset import Dataset
from alpaca_cli.format.form import FIELDS, KEYS_OF, Form, form_of
from alpaca_cli.format.row import BadRow, count_of, refused_keys, shown

if TYPE_CHECKING:
    from alpaca_cli.format.template import Template

MOST_PROBLEMS = 1_000
"""That are told one by one where a dataset is too large to hold all of its problems; the others are counted."""

_FORMAT_OF = {"list": "alpaca", "lines": "jsonl", "parquet": "parquet"}  # for rows with the fields of an example
_MOST_NAMES = 8  # keys in a message


class Tally:
    """What one pass over rows has found; of the problems at most `most`, if given, are kept."""

    def __init__(self, most: int | None = None) -> None:
        self._most = most
        self.rows = 0
        """Bad ones included."""
        self.skipped = 0
        """Rows that are no example; each has one problem or more."""
        self.problems: list[Problem] = []
        """What is wrong with them, in order."""
        self.untold = 0
        """Problems that were not kept."""
        self.left_out: Counter[str] = Counter()
        """Keys that an example has no place for, with the number of rows that have them."""
        self.whole = 0
        """How many prompts this template had not made, so that each was taken whole as the instruction."""

    def examples(self, container: Container, form: Form) -> Iterator[tuple[int, int, Example]]:
        """A file's good rows: the number of each, counted from 0 over all its rows, its spot, and its example."""
        for number, (spot, row) in enumerate(container.rows()):
            self.rows += 1
            try:
                example = _example(row, form)
            except BadRow as bad:
                self.skip(bad, container.place(spot))
                continue
            if others := form.others(row):
                self.left_out.update(others)
            self.whole += form.takes_whole(row)
            yield number, spot, example

    def skip(self, bad: BadRow, place: str) -> None:
        """Count a bad row, and keep what is wrong with it."""
        self.skipped += 1
        for problem in bad.problems:
            if self._most is None or len(self.problems) < self._most:
                self.problems.append(problem if problem.where else replace(problem, where=place))
            else:
                self.untold += 1

    def told(self) -> list[Problem]:
        """The problems, and how many more there are."""
        return [*self.problems, Problem(f"and {self.untold:,} more")] if self.untold else self.problems


def read_dataset(path: Path, *, template: Template | None = None, skip_bad: bool = False) -> Dataset:
    """The examples of a file in any of the formats.

    The container is known by its first bytes (parquet, JSON list, JSON Lines), the form by the keys of the first row
    that has those of one; every other row must be of that form.  `template` (the shipped one if None) turns
    prompt-completion and text back into examples.  With `skip_bad`, rows that are no example of that form are left
    out and told in `problems`.  Cost: the file and its examples in memory; about 0.5 s for 52,000 rows.
    Raises DataError that lists every bad row, or if nothing is left; UsageError if the file cannot be read.
    """
    raw = read_bytes(path, what="dataset")
    container = container_of(lambda: BytesIO(raw), path)
    form = find_form(container, template)
    if form is None:
        raise DataError("no rows in this file", where=str(path), hint="a dataset holds at least one example")
    tally = Tally()
    numbers, places, examples = [], [], []
    for number, spot, example in tally.examples(container, form):
        numbers.append(number)
        places.append(container.place(spot))
        examples.append(example)
    if tally.problems and not skip_bad:
        raise DataError.of(with_way_out(tally.problems))
    if not examples:
        raise nothing_left(tally, path)
    return Dataset(
        path=path,
        examples=examples,
        places=places,
        numbers=numbers,
        format=format_name(container, form),
        skipped=tally.skipped,
        problems=tuple(tally.problems),
        whole=tally.whole,
        notes=notes([(container, form)], tally),
    )


def with_way_out(problems: Sequence[Problem]) -> list[Problem]:
    """The problems of rows that could be left out; the last one says how, if it has nothing better to say."""
    last = problems[-1]
    return [*problems[:-1], replace(last, hint=last.hint or "mend these rows, or leave them out with --skip-bad")]


def nothing_left(tally: Tally, path: Path) -> AlpacaError:
    """The error of a dataset of which every row is bad."""
    nothing = Problem(f"no example is left: every row is bad ({tally.skipped:,})", str(path))
    return DataError.of([nothing, *tally.told()])


def find_form(container: Container, template: Template | None) -> Form | None:
    """The form of the first row that has all keys of one; None if there is no row.

    Raises DataError if there are rows and none has, or the file cannot be read.
    """
    first: tuple[int, dict[str, Any]] | None = None
    no_objects = Tally(MOST_PROBLEMS)
    count = 0
    for spot, row in container.rows():
        count += 1
        if not isinstance(row, dict):
            no_objects.skip(_not_an_object(row), container.place(spot))
            continue
        for name, keys in KEYS_OF.items():
            if all(key in row for key in keys):
                return form_of(name, template)
        first = first or (spot, row)
    if not count:
        return None
    if first is None:
        raise DataError.of(no_objects.told())
    spot, row = first
    if not row:
        raise DataError("expected the keys of an example, found an empty object", where=container.place(spot))
    known = ", or ".join(" and ".join(keys) for keys in KEYS_OF.values())
    hint = (hint_to_unwrap(row) if count == 1 else None) or "rename the keys to instruction, input and output"
    message = f"no form has the keys {_names(row)}: expected {known}"
    raise DataError(message, where=container.place(spot), hint=hint)


def format_name(container: Container, form: Form) -> str:
    """The one of FORMAT_NAMES in which a file of the same kind is written."""
    return _FORMAT_OF[container.name] if form is FIELDS or container.name == "parquet" else form.name


def _example(row: Any, form: Form) -> Example:
    """The example in one row.  Raises BadRow."""
    if not isinstance(row, dict):
        raise _not_an_object(row)
    if row.keys().isdisjoint(form.keys):
        expected = " and ".join(form.keys)
        raise BadRow([Problem(f"expected the keys {expected}, as the other rows have, found {_names(row)}")])
    if not row.keys() <= form.known and (problems := refused_keys(row, row.keys() - form.known)):
        raise BadRow(problems)
    return form.parse(row)


def notes(files: Collection[tuple[Container, Form]], tally: Tally) -> tuple[str, ...]:
    """What the user should know of the rows that were read of these files, a sentence each."""
    found = []
    if tally.left_out:
        counts = (f"{shown(name)} ({count_of(rows, 'row')})" for name, rows in sorted(tally.left_out.items()))
        found.append(f"keys left out: {', '.join(counts)}")
    if tally.whole:
        found.append(
            f"{count_of(tally.whole, 'prompt')} not made by this template, taken whole as the instruction: "
            "written as prompt-completion or text, the template is put around it"
        )
    kinds = sorted({(container.name, form.name) for container, form in files if form is not FIELDS})
    for container, form in kinds:
        if container == "parquet":
            found.append(f"columns of the form {form}: written as parquet they are instruction, input and output")
        if container == "list":
            found.append(f"a JSON list of {form} rows: written as {form} they stand one a line")
    return tuple(found)


def _not_an_object(row: Any) -> BadRow:
    return BadRow([row if isinstance(row, Problem) else Problem(f"expected an object, found {kind_of(row)}")])


def _names(row: dict[str, Any]) -> str:
    names = [shown(name) for name in row]
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    return f"{', '.join(names[:_MOST_NAMES])}{more}" if names else "none"

"""From any form of a dataset to any other, checked, and split if asked: what `alpaca format` does."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from alpaca_cli.data.files import refuse_existing
from alpaca_cli.errors import DataError, Problem, UsageError
from alpaca_cli.format.read import read_dataset, with_way_out
from alpaca_cli.format.split import check_fraction, split
from alpaca_cli.format.template import Template
from alpaca_cli.format.write import check_format, unwritable, write_parts


@dataclass(frozen=True)
class ConvertReport:
    """What was read, what was written where; `read` = `written` + `validation` + `skipped`."""

    source_format: str
    format: str
    read: int
    """Rows of the source, bad ones included."""
    written: int
    """Rows in `out`."""
    validation: int
    """Rows in `validation_out`; 0 without a split."""
    skipped: int
    """Rows left out, each with at least one of `problems`."""
    problems: tuple[Problem, ...]
    notes: tuple[str, ...]
    bytes: int
    """Of all files written together."""
    out: Path
    validation_out: Path | None


def convert(
    source: Path,
    to: str,
    out: Path,
    *,
    template: Template | None = None,
    val_fraction: float | None = None,
    seed: int = 0,
    skip_bad: bool = False,
    force: bool = False,
) -> ConvertReport:
    """Read `source`, write `out` in the format `to`, and a validation part beside it if `val_fraction` is given.

    Both files are written, or neither; `out` may be `source` if `force` is given, for all is read before a byte is
    written.  With `skip_bad`, rows that are no example or that the format cannot hold are left out and reported.
    Raises UsageError before any work for a wrong format or fraction, or an output that exists without `force`;
    DataError that lists every bad row.
    """
    check_format(to)
    refuse_existing(out, force=force)
    val_out = None
    if val_fraction is not None:
        check_fraction(val_fraction)
        val_out = validation_path(out)
        refuse_existing(val_out, force=force)
        if val_out.exists() and source.exists() and val_out.samefile(source):
            message = "the validation part would overwrite the file that is read"
            raise UsageError(message, where=str(val_out), hint="choose another name for the output")
    dataset = read_dataset(source, template=template, skip_bad=skip_bad)
    refused = unwritable(dataset.examples, to, template=template, places=dataset.places)
    problems = [problem for found in refused.values() for problem in found]
    if problems and not skip_bad:
        raise DataError.of(with_way_out(problems))
    kept = [example for index, example in enumerate(dataset.examples) if index not in refused]
    if not kept:
        raise DataError.of([Problem(f"no example is left that {to} can hold", str(source)), *problems])
    parts = [(out, kept)]
    if val_fraction is not None and val_out is not None:
        training, validation = split(kept, val_fraction, seed)
        parts = [(out, training), (val_out, validation)]
    size = write_parts(parts, to, template=template)
    return ConvertReport(
        source_format=dataset.format,
        format=to,
        read=len(dataset.examples) + dataset.skipped,
        written=len(parts[0][1]),
        validation=len(parts[1][1]) if len(parts) > 1 else 0,
        skipped=dataset.skipped + len(refused),
        problems=(*dataset.problems, *problems),
        notes=(*dataset.notes, *_own_template(to, template)),
        bytes=size,
        out=out,
        validation_out=val_out,
    )


def _own_template(to: str, template: Template | None) -> list[str]:
    if template is None or to not in ("prompt-completion", "text"):
        return []
    return ["a template of your own: rows were not checked to read back as they were"]


def validation_path(out: Path) -> Path:
    """Where the validation part of `out` goes: `data.json` to `data.val.json`."""
    return out.with_name(f"{out.stem}.val{out.suffix}")

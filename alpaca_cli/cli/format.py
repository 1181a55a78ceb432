"""`alpaca format`: flags in, one call, words out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from alpaca_cli.cli import options, screen
from alpaca_cli.errors import UsageError

if TYPE_CHECKING:
    from alpaca_cli.format.convert import ConvertReport


def format(
    data: options.Data,
    to: Annotated[
        str,
        typer.Option(
            "--to",
            "-t",
            metavar="FORMAT",
            help="alpaca, jsonl, messages, sharegpt, prompt-completion, text or parquet.",
            autocompletion=options.complete_format,
            show_default=False,
        ),
    ],
    out: options.Out,
    template: Annotated[
        str | None,
        typer.Option(
            metavar="FILE", help="Template for text and prompt-completion; not given: Alpaca's.", show_default=False
        ),
    ] = None,
    val_fraction: Annotated[
        float | None,
        typer.Option(
            metavar="SHARE", help="Put this share of the rows into OUT with .val before its ending.", show_default=False
        ),
    ] = None,
    seed: Annotated[int, typer.Option(metavar="INT", help="Seed of the split.")] = 0,
    skip_bad: options.SkipBad = False,
    force: options.Force = False,
    json: options.Json = False,
) -> None:
    """Check a dataset, convert it, split it.

    The format that it is in is found by itself.  Every malformed row is told, and nothing is written if there is one.

    Example: alpaca format data.json --to messages --out train.jsonl --val-fraction 0.02
    """
    from alpaca_cli.data.files import refuse_reading_and_writing
    from alpaca_cli.data.shipped import find
    from alpaca_cli.format.convert import convert
    from alpaca_cli.format.template import load_template

    template_path = find(template, "prompts") if template else None
    if template_path is not None:
        if to not in ("prompt-completion", "text"):
            raise UsageError(f"--template is for text and prompt-completion, not for {to}", hint="leave it out")
        refuse_reading_and_writing([out], [template_path])
    result = convert(
        data,
        to,
        out,
        template=load_template(template_path) if template_path else None,
        val_fraction=val_fraction,
        seed=seed,
        skip_bad=skip_bad,
        force=force,
    )
    summarise(result)
    if json:
        screen.emit_json(
            {
                "out": str(result.out),
                "validation_out": str(result.validation_out) if result.validation_out else None,
                "source_format": result.source_format,
                "format": result.format,
                "read": result.read,
                "written": result.written,
                "validation": result.validation,
                "skipped": result.skipped,
                "problems": [{"where": each.where, "message": each.message} for each in result.problems],
                "notes": list(result.notes),
                "bytes": result.bytes,
            }
        )
    else:
        screen.emit(str(result.out))


def summarise(result: ConvertReport) -> None:
    """What was read and written, in words."""
    screen.skipped(result.problems, result.skipped)
    for text in result.notes:
        screen.note(text)
    screen.say(
        f"format: {result.read:,} rows of {result.source_format}, {result.bytes / 1e6:,.1f} MB of {result.format}"
    )
    screen.say(f"  written   {result.written:,} rows in {result.out}")
    if result.validation_out is not None:
        screen.say(f"  held out  {result.validation:,} rows in {result.validation_out}")

"""`alpaca dedup`: flags in, one call, words out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from alpaca_cli.cli import options, screen

if TYPE_CHECKING:
    from alpaca_cli.dedup.file import DedupReport


def dedup(
    data: options.Data,
    out: options.Out,
    threshold: Annotated[
        float,
        typer.Option(metavar="F", help="Drop a row whose ROUGE-L F to a kept one is over this."),
    ] = 0.7,
    against: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE", help="Dataset whose rows count as kept already; may be given again.", show_default=False
        ),
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="JSONL file that names, for each dropped row, the row it repeats.", show_default=False
        ),
    ] = None,
    tokenizer: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="rouge (a-z and 0-9, as rouge_score) or unicode (any script).",
            autocompletion=options.complete_tokenizer,
        ),
    ] = "rouge",
    skip_bad: options.SkipBad = False,
    force: options.Force = False,
    json: options.Json = False,
) -> None:
    """Drop near-duplicates from a dataset.

    Keeps, in file order, the rows whose instruction is new: by exact ROUGE-L against every row kept before.

    Example: alpaca dedup data.json --out new.json --report dropped.jsonl
    """
    from alpaca_cli.dedup.file import dedup_file

    with screen.Ticker() as ticker:
        result = dedup_file(
            data,
            out,
            threshold=threshold,
            against=against or [],
            report=report,
            tokenizer=tokenizer,
            skip_bad=skip_bad,
            force=force,
            on_progress=lambda done, rows: ticker.show(f"dedup: {done:,} of {rows:,} rows ({done / rows:.0%})"),
        )
    summarise(result)
    if json:
        screen.emit_json(
            {
                "out": str(result.out),
                "format": result.format,
                "rows": result.rows,
                "kept": result.kept,
                "dropped": result.dropped,
                "dropped_for_against": result.dropped_for_against,
                "wordless": result.wordless,
                "whole": result.whole,
                "skipped": result.skipped,
                "report": str(result.report) if result.report else None,
            }
        )
    else:
        screen.emit(str(result.out))


def summarise(result: DedupReport) -> None:
    """What was kept and dropped, in words."""
    screen.skipped(result.problems, result.skipped)
    if result.wordless:
        count = f"{result.wordless:,} of {result.rows:,} instructions have"
        screen.note(
            f"{count} no word that the tokenizer sees, and were kept; for text beyond ASCII: --tokenizer unicode"
        )
    if result.whole:
        screen.note(
            f"{result.whole:,} of {result.rows:,} prompts are not of Alpaca's template, and were compared whole"
        )
    screen.say(f"dedup: kept {result.kept:,} of {result.rows:,} rows, dropped {result.dropped:,}")
    if result.dropped_for_against:
        screen.say(f"  against   {result.dropped_for_against:,} of the dropped repeat a row of --against")
    screen.say(f"  kept      {result.out} ({result.format})")
    if result.report is not None:
        screen.say(f"  report    {result.report}")

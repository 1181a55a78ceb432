"""`alpaca dedup`: flags in, one call, words out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from alpaca_cli.cli import options, screen

if TYPE_CHECKING:
    from alpaca_cli.dedup.file import DedupReport


def dedup(
    data: Annotated[
        str,
        typer.Argument(
            metavar="DATA",
            help="Dataset in any format that `alpaca format` knows: a file, a folder of shards, or a quoted glob.",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(
            "--out", "-o", metavar="PATH", help="File to write, or a folder for a file a shard.", show_default=False
        ),
    ],
    threshold: Annotated[
        float,
        typer.Option(metavar="F", help="Drop a row whose ROUGE-L F to a kept one is over this."),
    ] = 0.7,
    field: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="What is compared: instruction, input, output or instruction+input.",
            autocompletion=options.complete_field,
        ),
    ] = "instruction",
    against: Annotated[
        list[str] | None,
        typer.Option(
            metavar="DATA", help="Dataset whose rows count as kept already; may be given again.", show_default=False
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
    workers: Annotated[
        int | None, typer.Option(metavar="N", help="Threads that compare.", show_default="all cores")
    ] = None,
    memory: Annotated[
        str | None,
        typer.Option(
            metavar="SIZE", help="Compare on disk what needs more, like 8GB.", show_default="half of what is free"
        ),
    ] = None,
    spill: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER", help="Compare on disk, there; the same command goes on after a stop.", show_default=False
        ),
    ] = None,
    engine: Annotated[
        str, typer.Option(metavar="NAME", help="local, or ray: a Ray cluster.", autocompletion=options.complete_engine)
    ] = "local",
    ray_address: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS", help="Of the cluster: auto, or HOST:6379; else RAY_ADDRESS.", show_default=False
        ),
    ] = None,
    skip_bad: options.SkipBad = False,
    force: options.Force = False,
    json: options.Json = False,
) -> None:
    """Drop near-duplicates from a dataset.

    Keeps, in file order, the rows whose instruction is new: by exact ROUGE-L against every row kept before.

    Example: alpaca dedup data.json --out new.json --report dropped.jsonl
    """
    from alpaca_cli.dedup.file import dedup_file
    from alpaca_cli.dedup.machine import num_bytes
    from alpaca_cli.errors import UsageError

    if engine not in options.ENGINES:
        raise UsageError(f"no such engine: {engine}", hint=f"choose {' or '.join(options.ENGINES)}")
    if engine == "ray" and (spill or memory or workers):
        raise UsageError("--engine ray takes no --spill, --memory or --workers", hint="Ray has settings of its own")
    if engine != "ray" and ray_address:
        raise UsageError("--ray-address is for --engine ray")
    ray_engine = None
    if engine == "ray":
        from alpaca_cli.dedup.cluster.launch import prepare_ray

        address = prepare_ray(ray_address)  # before ray is imported
        from alpaca_cli.dedup.cluster.engine import RayEngine

        ray_engine = RayEngine(address)
    try:
        with screen.Ticker() as ticker:
            result = dedup_file(
                data,
                out,
                threshold=threshold,
                field=field,
                against=against or [],
                report=report,
                tokenizer=tokenizer,
                workers=workers,
                memory=None if memory is None else num_bytes(memory),
                spill=spill,
                engine=ray_engine,
                skip_bad=skip_bad,
                force=force,
                on_progress=lambda what, done, rows: ticker.show(_progress(what, done, rows)),
                on_note=screen.note,
            )
    except KeyboardInterrupt:
        screen.say("dedup: interrupted; run the same command again")
        raise typer.Exit(130) from None
    except MemoryError:
        hint = "compare on disk, with what memory there is: --spill FOLDER --memory SIZE"
        raise UsageError("memory ran out", where=data, hint=hint) from None
    summarise(result, tokenizer)
    if json:
        screen.emit_json(
            {
                "out": str(result.out),
                "format": result.format,
                "shards": result.shards,
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


def summarise(result: DedupReport, tokenizer: str) -> None:
    """What was kept and dropped, in words: a funnel."""
    screen.skipped(result.problems, result.skipped)
    if result.wordless and tokenizer == "rouge":
        count = f"{result.wordless:,} of {result.rows:,} texts have"
        screen.note(
            f"{count} no word that the tokenizer sees, and were kept; for text beyond ASCII: --tokenizer unicode"
        )
    if result.whole:
        screen.note(
            f"{result.whole:,} of {result.rows:,} prompts are not of Alpaca's template, and were compared whole"
        )
    screen.say(f"dedup: kept {result.kept:,} of {result.rows:,} rows, dropped {result.dropped:,}")
    files = f" in {result.shards:,} files" if result.shards > 1 else ""
    bad = f", beside {result.skipped:,} malformed" if result.skipped else ""
    screen.say(f"  read      {result.rows:,} rows{files}{bad}")
    if result.dropped_for_against:
        screen.say(f"  against   {result.dropped_for_against:,} repeat a row of --against")
    screen.say(f"  repeats   {result.dropped - result.dropped_for_against:,} repeat a row kept before them")
    if result.num_counted is not None:
        screen.say(f"  pairs     {result.num_pairs:,}, of which {result.num_counted:,} had to be compared word by word")
    screen.say(f"  kept      {result.out} ({result.format})")
    if result.report is not None:
        screen.say(f"  report    {result.report}")


def _progress(what: str, done: int, rows: int) -> str:
    if not rows:
        return f"dedup: {what}: {done:,} rows"
    return f"dedup: {what}: {done:,} of {rows:,} rows ({done / rows:.0%})"

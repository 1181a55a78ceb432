"""`alpaca diff`: flags in, one call, words out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from alpaca_cli.cli import options, screen

if TYPE_CHECKING:
    from alpaca_cli.diff.make import Made
    from alpaca_cli.diff.recover import Recovered

app = typer.Typer(
    help="Publish what changed against base weights, and give the tuned model back, bit for bit.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Workers = Annotated[int | None, typer.Option(metavar="N", min=1, help="Threads.", show_default="all cores")]


@app.command("make")
def make(
    base: Annotated[Path, typer.Option(metavar="DIR", help="The base: a model folder.", show_default=False)],
    tuned: Annotated[Path, typer.Option(metavar="DIR", help="The tuned model's folder.", show_default=False)],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="A new folder.", show_default=False)],
    allow_whole: Annotated[
        bool, typer.Option("--allow-whole", help="Also publish whole what has no counterpart in the base.")
    ] = False,
    workers: Workers = None,
    json: options.Json = False,
) -> None:
    """Write what turns the base into the tuned model.

    Example: alpaca diff make --base llama-7b --tuned runs/7b/model --out my-model-diff
    """
    from alpaca_cli.diff.make import make_exact

    with screen.Ticker() as ticker:
        made = make_exact(
            base,
            tuned,
            out,
            workers=workers,
            allow_whole=allow_whole,
            on_progress=lambda what, done, total: ticker.show(f"{what}: {done:,} of {total:,} bytes"),
            on_note=screen.note,
        )
    say_made(made)
    if json:
        screen.emit_json({"out": str(made.path), "bytes": made.num_bytes, "digest": made.digest})
    else:
        screen.emit(str(made.path))


def say_made(made: Made) -> None:
    """What was made, in words."""
    share = made.num_bytes / max(1, made.manifest.tuned.num_bytes)
    screen.say(f"diff: {made.num_bytes:,} bytes, {share:.1%} of the tuned weights")


@app.command("recover")
def recover(
    base: Annotated[Path, typer.Option(metavar="DIR", help="The base: a model folder.", show_default=False)],
    diff: Annotated[Path, typer.Option(metavar="DIR", help="The diff's folder.", show_default=False)],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="A new folder.", show_default=False)],
    workers: Workers = None,
    json: options.Json = False,
) -> None:
    """Give the tuned model back.

    Example: alpaca diff recover --base llama-7b --diff my-model-diff --out my-model
    """
    from alpaca_cli.diff.recover import recover_exact

    with screen.Ticker() as ticker:
        recovered = recover_exact(
            base,
            diff,
            out,
            workers=workers,
            on_progress=lambda what, done, total: ticker.show(f"{what}: {done:,} of {total:,} bytes"),
            on_note=screen.note,
        )
    say_recovered(recovered)
    if json:
        screen.emit_json({"out": str(recovered.path), "digest": recovered.digest})
    else:
        screen.emit(str(recovered.path))


def say_recovered(recovered: Recovered) -> None:
    """What was recovered, in words."""
    count = len(recovered.manifest.tensors)
    screen.say(f"recover: {count:,} tensors, each proved by its SHA-256: the tuned model bit for bit")

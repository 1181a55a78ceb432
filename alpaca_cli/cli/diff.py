"""`alpaca diff`: flags in, one call, words out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from alpaca_cli.cli import diff_view, options, screen
from alpaca_cli.errors import UsageError

if TYPE_CHECKING:
    from alpaca_cli.diff.recover import Recovered
    from alpaca_cli.diff.verify import Verified

app = typer.Typer(
    help="Publish what changed against base weights, and give the tuned model back, bit for bit.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Base = Annotated[
    Path, typer.Option(metavar="DIR", help="Base model, in Hugging Face layout, as published.", show_default=False)
]
Out = Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="A new folder.", show_default=False)]
Diff = Annotated[Path, typer.Argument(metavar="DIFF", help="The diff's folder.", show_default=False)]
Workers = Annotated[int | None, typer.Option(metavar="N", min=1, help="Threads.", show_default="all cores, up to 16")]


@app.command("make")
def make(
    base: Base,
    tuned: Annotated[Path, typer.Option(metavar="DIR", help="The tuned model's folder.", show_default=False)],
    out: Out,
    allow_whole: Annotated[
        bool, typer.Option("--allow-whole", help="Also publish, as it is, much that the base lacks.")
    ] = False,
    workers: Workers = None,
    json: options.Json = False,
) -> None:
    """Write what turns a base into a tuned model.

    Out comes a folder to publish: an exact diff, from which whoever has the very same base gets the model bit for bit.

    Example: alpaca diff make --base llama-7b --tuned runs/7b/model --out alpaca-7b-diff
    """
    from alpaca_cli.diff.make import make_exact
    from alpaca_cli.diff.summary import summary_of

    notes = _Notes()
    with (
        _interrupted("diff make: interrupted, and nothing is left; the same command starts over"),
        diff_view.Meter() as meter,
    ):
        made = make_exact(
            base, tuned, out, workers=workers, allow_whole=allow_whole, on_progress=meter.show, on_note=notes
        )
    summary = summary_of(made.path, made.manifest, made.digest, None)
    diff_view.say_made(summary, base, meter.seconds, {})
    if json:
        told = {"left_out": list(made.left_out), "notes": notes.told, "seconds": round(meter.seconds, 3)}
        screen.emit_json({"out": str(made.path), **diff_view.facts_json(summary), **told})
    else:
        screen.emit(str(made.path))


@app.command("recover")
def recover(
    base: Base,
    diff: Annotated[Path, typer.Option(metavar="DIR", help="The diff's folder.", show_default=False)],
    out: Out,
    workers: Workers = None,
    json: options.Json = False,
) -> None:
    """Give the tuned model back.

    Base, diff and result are proved by their checksums; nothing else ever gets the name of --out.  After a stop the
    same command goes on.

    Example: alpaca diff recover --base llama-7b --diff alpaca-7b-diff --out alpaca-7b
    """
    from alpaca_cli.diff.recover import recover_exact

    notes = _Notes()
    with (
        _interrupted("diff recover: interrupted; the same command goes on with the file it was at"),
        diff_view.Meter() as meter,
    ):
        recovered = recover_exact(base, diff, out, workers=workers, on_progress=meter.show, on_note=notes)
    _say_recovered(recovered, meter.seconds)
    if json:
        manifest = recovered.manifest
        screen.emit_json(
            {
                "out": str(recovered.path),
                "kind": manifest.kind,
                "is_exact": True,
                "digest": recovered.digest,
                "tensors": len(manifest.tensors),
                "bytes": manifest.tuned.num_bytes,
                "weights": [file.name for file in manifest.weights],
                "kept": recovered.num_kept,
                "files": [file.name for file in manifest.files],
                "notes": notes.told,
                "seconds": round(meter.seconds, 3),
            }
        )
    else:
        screen.emit(str(recovered.path))


@app.command("verify")
def verify(
    diff: Diff,
    base: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Also recover from this base, keeping nothing.", show_default=False),
    ] = None,
    tuned: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Also compare with this tuned model.", show_default=False),
    ] = None,
    workers: Workers = None,
    json: options.Json = False,
) -> None:
    """Prove that a diff is whole.

    With a base, also that the tuned model comes out of both; with a tuned model, also that it is this one.  Nothing is
    written.

    Example: alpaca diff verify alpaca-7b-diff --base llama-7b
    """
    from alpaca_cli.diff.verify import verify_exact

    with _interrupted("diff verify: interrupted; the same command starts over"), diff_view.Meter() as meter:
        verified = verify_exact(diff, base=base, tuned=tuned, workers=workers, on_progress=meter.show)
    _say_verified(verified)
    if json:
        screen.emit_json(
            {
                "diff": str(verified.path),
                "kind": verified.manifest.kind,
                "digest": verified.digest,
                "base": verified.base and str(verified.base),
                "tuned": verified.tuned and str(verified.tuned),
                "seconds": round(meter.seconds, 3),
            }
        )
    else:
        screen.emit(str(verified.path))


@app.command("show")
def show(
    diff: Diff,
    figure: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Draw it too: a .png, .svg or .pdf file.", show_default=False),
    ] = None,
    force: options.Force = False,
    json: options.Json = False,
) -> None:
    """Tell what changed, layer by layer.

    From the diff alone: neither base nor tuned model is needed, and no weight is read.

    Example: alpaca diff show alpaca-7b-diff --figure changed.png
    """
    from alpaca_cli.diff.summary import read_summary

    if figure is not None:
        from alpaca_cli.data.files import refuse_existing
        from alpaca_cli.diff.figure import figure_format

        figure_format(figure)
        refuse_existing(figure, force=force)
    elif force:
        raise UsageError("--force is for --figure: nothing else is written")
    summary = read_summary(diff)
    if json:
        screen.emit_json({**diff_view.as_json(summary), "figure": figure and str(figure)})
    else:
        screen.emit(diff_view.shown(summary, is_folded=screen.emits_to_terminal()))
    if figure is not None:
        from alpaca_cli.diff.figure import draw

        draw(summary, figure)
        screen.say(f"figure: {figure}")


class _Notes:
    """Says what work has to tell, and keeps it for --json."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def __call__(self, text: str) -> None:
        self.told.append(text)
        screen.note(text)


@contextmanager
def _interrupted(words: str) -> Iterator[None]:
    """After Ctrl-C, `words` and exit code 130."""
    try:
        yield
    except KeyboardInterrupt:
        screen.say(words)
        raise typer.Exit(130) from None


def _say_recovered(recovered: Recovered, seconds: float) -> None:
    manifest = recovered.manifest
    count, files = len(manifest.tensors), len(manifest.weights)
    kept = f", {recovered.num_kept:,} of them there from before" if recovered.num_kept else ""
    screen.say(f"diff recover: {manifest.tuned.name}, bit for bit: each of {count:,} tensors has its SHA-256")
    diff_view.say_rows(
        {
            "model": f"{recovered.path}, {screen.size(manifest.tuned.num_bytes)} in {files:,} of its files{kept}",
            "digest": f"{recovered.digest} (of the diff)",
            "took": diff_view.took(manifest.tuned.num_bytes, seconds),
        }
    )


def _say_verified(verified: Verified) -> None:
    manifest = verified.manifest
    screen.say(f"diff verify: this diff of {manifest.tuned.name} is whole, every byte as it was made")
    diff_view.say_rows({"digest": verified.digest})
    if verified.base is not None:
        what = "the base that it was made from, which gives the tuned model bit for bit"
        diff_view.say_rows({"base": f"{verified.base} is {what}"})
    if verified.tuned is not None:
        diff_view.say_rows({"tuned": f"{verified.tuned} is the tuned model, bit for bit"})

"""`alpaca diff`: flags in, one call, words out."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from alpaca_cli.cli import diff_view, options, screen
from alpaca_cli.errors import UsageError

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
    kind: Annotated[
        str,
        typer.Option(
            metavar="KIND",
            help="exact: small, bit for bit; additive: tuned - base, as stanford_alpaca and FastChat take it.",
            autocompletion=options.complete_diff_kind,
        ),
    ] = "exact",
    dtype: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Numbers of an additive diff: fp32 (its default), bf16 or fp16.",
            autocompletion=options.complete_diff_dtype,
            show_default=False,
        ),
    ] = None,
    allow_whole: Annotated[
        bool, typer.Option("--allow-whole", help="Also publish, as it is, much that the base lacks.")
    ] = False,
    workers: Workers = None,
    json: options.Json = False,
) -> None:
    """Write what turns a base into a tuned model.

    Out comes a folder to publish: an exact diff, from which whoever has the very same base gets the model bit for bit.

    Example: alpaca diff make --base llama-7b --tuned alpaca-7b --out my-diff
    """
    from alpaca_cli.diff.additive.additive import make_additive
    from alpaca_cli.diff.make import make_exact
    from alpaca_cli.diff.summary import read_summary

    _choose("--kind", kind, options.DIFF_KINDS)
    _choose("--dtype", dtype, options.DIFF_DTYPES)
    if kind == "exact" and dtype is not None:
        hint = "an exact diff gives every number back in the type that it had; for the other kind: --kind additive"
        raise UsageError("--dtype is for additive diffs", hint=hint)
    notes = _Notes()
    rows: dict[str, str] = {}
    told: dict[str, object] = {}
    with (
        _interrupted("diff make: interrupted, and nothing is left; the same command starts over"),
        diff_view.Meter() as meter,
    ):
        if kind == "exact":
            exact = make_exact(
                base, tuned, out, workers=workers, allow_whole=allow_whole, on_progress=meter.show, on_note=notes
            )
            told = {"left_out": exact.left_out}
        else:
            made = make_additive(
                base,
                tuned,
                out,
                dtype=options.DIFF_DTYPES[dtype or "fp32"],
                workers=workers,
                allow_whole=allow_whole,
                on_progress=meter.show,
                on_note=notes,
            )
            rows = {"gives": diff_view.likeness(made.num_unequal), "sum": diff_view.sums_text(made.sums)}
            told = {
                "left_out": made.left_out, "unequal": made.num_unequal, "sum": diff_view.sums_json(made.sums)
            }  # fmt: skip
    summary = read_summary(out)
    diff_view.say_made(summary, base, meter.seconds, rows)
    if json:
        told |= {"notes": notes.told, "seconds": round(meter.seconds, 3)}
        screen.emit_json({"out": str(out), **diff_view.facts_json(summary), **told})
    else:
        screen.emit(str(out))


@app.command("recover")
def recover(
    base: Base,
    diff: Annotated[Path, typer.Option(metavar="DIR", help="The diff's folder, of any kind.", show_default=False)],
    out: Out,
    dtype: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Additive only: write fp32, bf16 or fp16 instead of the tuned model's (or diff's) own type.",
            autocompletion=options.complete_diff_dtype,
            show_default=False,
        ),
    ] = None,
    new_rows: Annotated[
        str | None,
        typer.Option(
            "--new-rows",
            metavar="NAME",
            help="Additive only: what rows that the base lacks were told from, its mean row (stanford_alpaca) or zero"
            " (FastChat, LLaVA).",
            autocompletion=options.complete_new_rows,
            show_default=False,
        ),
    ] = None,
    expect_sum: Annotated[
        float | None,
        typer.Option(
            "--expect-sum",
            metavar="X",
            help="Additive only: what all parameters add up to; 50637.1836 for Alpaca 7B.",
            show_default=False,
        ),
    ] = None,
    workers: Workers = None,
    json: options.Json = False,
) -> None:
    """Give the tuned model back.

    From what `alpaca diff make` wrote, or from an additive diff of others.  Base, diff and result are proved by the
    checksums of the former; what fails never gets the name of --out.  After a stop the same command goes on.

    Example: alpaca diff recover --base llama-7b --diff my-diff --out alpaca-7b
    """
    from alpaca_cli.diff.additive.additive import recover_additive
    from alpaca_cli.diff.kind import find_kind
    from alpaca_cli.diff.recover import recover_exact

    _choose("--dtype", dtype, options.DIFF_DTYPES)
    _choose("--new-rows", new_rows, options.NEW_ROWS)
    if expect_sum is not None and not math.isfinite(expect_sum):
        raise UsageError(f"expected a number, found {expect_sum}", where="--expect-sum")
    kind = find_kind(diff)
    given = {"--dtype": dtype, "--new-rows": new_rows, "--expect-sum": expect_sum}
    unfit = [flag for flag, value in given.items() if value is not None]
    if kind == "exact" and unfit:
        hint = "this one is exact: it gives the tuned model bit for bit, and proves it; leave the option out"
        raise UsageError(f"{unfit[0]} is for additive diffs", where=str(diff), hint=hint)
    goes_on = "goes on with the file it was at" if kind == "exact" else "starts over"
    notes = _Notes()
    with _interrupted(f"diff recover: interrupted; the same command {goes_on}"), diff_view.Meter() as meter:
        if kind == "exact":
            exact = recover_exact(base, diff, out, workers=workers, on_progress=meter.show, on_note=notes)
        else:
            added = recover_additive(
                base,
                diff,
                out,
                dtype=None if dtype is None else options.DIFF_DTYPES[dtype],
                new_rows=new_rows,  # type: ignore[arg-type]
                expect_sum=expect_sum,
                workers=workers,
                on_progress=meter.show,
                on_note=notes,
            )
    if kind == "exact":
        diff_view.say_recovered(exact, meter.seconds)
        told = diff_view.recovered_json(exact)
    else:
        diff_view.say_added(added, meter.seconds)
        told = diff_view.added_json(added)
    if json:
        screen.emit_json({**told, "notes": notes.told, "seconds": round(meter.seconds, 3)})
    else:
        screen.emit(str(out))


@app.command("verify")
def verify(
    diff: Diff,
    base: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Also prove this base; an exact diff is recovered from it, keeping nothing.",
            show_default=False,
        ),
    ] = None,
    tuned: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Also compare with this tuned model.", show_default=False),
    ] = None,
    workers: Workers = None,
    json: options.Json = False,
) -> None:
    """Prove that a diff is whole.

    With a base, also that it is the right one, from which an exact diff gives the tuned model; with a tuned model, also
    that it is this one.  Nothing is written.

    Example: alpaca diff verify my-diff --base llama-7b
    """
    from alpaca_cli.diff.kind import find_kind
    from alpaca_cli.diff.verify import verify_additive, verify_exact

    work = verify_exact if find_kind(diff) == "exact" else verify_additive
    with _interrupted("diff verify: interrupted; the same command starts over"), diff_view.Meter() as meter:
        verified = work(diff, base=base, tuned=tuned, workers=workers, on_progress=meter.show)
    diff_view.say_verified(verified)
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

    Example: alpaca diff show my-diff --figure changed.png
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


def _choose(flag: str, value: str | None, choices: Collection[str]) -> None:
    """Raises UsageError if `value` is given and none of `choices`."""
    if value is not None and value not in choices:
        raise UsageError(
            f"no such {flag.removeprefix('--')}: {value}", where=flag, hint=f"choose {' or '.join(choices)}"
        )

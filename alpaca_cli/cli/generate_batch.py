"""`alpaca generate --batch-export` and `--batch-import`: batches that are answered elsewhere, on the screen."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from alpaca_cli.cli import generate_view, screen
from alpaca_cli.cli.generate_plan import counted
from alpaca_cli.errors import UsageError

if TYPE_CHECKING:
    from alpaca_cli.generate.address import Address
    from alpaca_cli.generate.openrun import Result
    from alpaca_cli.recipe.generate import GenerateRecipe


def check_flags(*, batch: bool, export: Path | None, results: Path | None, force: bool) -> None:
    """Raises UsageError for flags that do not go together."""
    if force and export is None:
        raise UsageError("--force overwrites the file of --batch-export, and nothing else here")
    if export is not None and (batch or results is not None):
        raise UsageError("--batch-export asks nothing and takes nothing", hint="give it alone")
    if results is not None and batch:
        raise UsageError("--batch-import asks nothing", hint="leave out --batch, and give it when this is done")


def export_batch(recipe: GenerateRecipe, out: Path, file: Path, *, beside: Path, name: str, force: bool) -> int:
    """Write the next requests of a run to a file; gives their number."""
    from alpaca_cli.generate.about import Origin
    from alpaca_cli.generate.batch.exchange import export_batch as write

    recipe, at = _placed(recipe)
    with generate_view.View(f"generate: the next requests of {out}, into {file}", recipe, out, {}) as view:
        origin = Origin(generate_view.command_line({}), name)
        count = write(recipe, out, file, at=at, listener=view, origin=origin, beside=beside, force=force)
    screen.say(f"wrote {counted(count, 'request')}, for example for: vllm run-batch -i {file} -o RESULTS --model MODEL")
    screen.say("then the same command with --batch-import RESULTS in place of --batch-export")
    return count


def import_batch(recipe: GenerateRecipe, out: Path, file: Path, *, beside: Path, name: str) -> Result:
    """Take the results of a batch from a file."""
    from alpaca_cli.generate.about import Origin
    from alpaca_cli.generate.batch.exchange import import_batch as take

    recipe, at = _placed(recipe)
    with generate_view.View(f"generate: results from {file}, into {out}", recipe, out, {}) as view:
        origin = Origin(generate_view.command_line({}), name)
        result, gathered = take(recipe, out, file, at=at, listener=view, origin=origin, beside=beside)
    screen.say(
        f"took {counted(len(gathered.new), 'answer')}; {gathered.num_known:,} known already, "
        f"{len(gathered.failures):,} failed, {gathered.num_undone:,} not asked, {gathered.num_foreign:,} of another run"
    )
    if gathered.failures:
        screen.note(f"the last failure: {next(reversed(gathered.failures.values())).message}")
    generate_view.summarise(result, recipe)
    if not result.report["is_complete"]:
        screen.say("not complete: write the next requests with --batch-export, or leave it out to ask a server")
    return result


def _placed(recipe: GenerateRecipe) -> tuple[GenerateRecipe, list[Address]]:
    """The recipe with the address that its requests are written for, which need not be there, nor a key for it."""
    from os import environ

    from alpaca_cli.generate.plan import addresses_without_keys, located

    if recipe.teacher.kind == "rehearsal" or recipe.teachers:
        found = "the rehearsal teacher" if recipe.teacher.kind == "rehearsal" else "several servers"
        raise UsageError(f"expected one teacher to write a batch for, found {found}", hint="name one with --model")
    at = addresses_without_keys(recipe, environ)
    return located(recipe, at), at

"""`alpaca generate`: flags in, one call, words out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from alpaca_cli.cli import generate_batch, generate_plan, generate_view, options, screen
from alpaca_cli.errors import UsageError

if TYPE_CHECKING:
    from alpaca_cli.generate.openrun import Result
    from alpaca_cli.recipe.generate import GenerateRecipe

DEFAULT_RECIPE = "generate"


def generate(
    num: Annotated[
        int | None,
        typer.Option(
            "--num", "-n", min=1, metavar="NUM", help="How many accepted examples to end with.", show_default=False
        ),
    ] = None,
    recipe: Annotated[
        str | None,
        typer.Option(
            "--recipe",
            "-r",
            metavar="RECIPE",
            help=f"Recipe, by path or shipped name (default: {DEFAULT_RECIPE}).",
            autocompletion=options.complete_generate_recipe,
            show_default=False,
        ),
    ] = None,
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="DIR", help="Run folder; a run in it is taken up again.")
    ] = Path("runs/generate"),
    teacher: Annotated[
        str | None,
        typer.Option(
            metavar="KIND",
            help="openai (any compatible server) or rehearsal (built in, offline, no intelligence).",
            autocompletion=options.complete_teacher,
            show_default=False,
        ),
    ] = None,
    base_url: Annotated[
        str | None,
        typer.Option(
            metavar="URL", help="Where the teacher's API begins, e.g. http://localhost:8000/v1.", show_default=False
        ),
    ] = None,
    model: Annotated[
        str | None, typer.Option(metavar="NAME", help="The teacher's name for its model.", show_default=False)
    ] = None,
    seeds: Annotated[
        str | None, typer.Option(metavar="FILE", help="Seed tasks, in self-instruct's JSONL.", show_default=False)
    ] = None,
    prompt: Annotated[
        str | None, typer.Option(metavar="FILE", help="Text that asks for tasks.", show_default=False)
    ] = None,
    seed: Annotated[
        int | None, typer.Option(metavar="INT", help="Seed of the random choices.", show_default=False)
    ] = None,
    max_cost: Annotated[
        float | None,
        typer.Option(metavar="USD", help="Most that the whole run may cost; never exceeded.", show_default=False),
    ] = None,
    max_requests: Annotated[
        int | None, typer.Option(min=1, metavar="INT", help="Most requests of the whole run.", show_default=False)
    ] = None,
    tier: Annotated[
        str | None,
        typer.Option(metavar="TIER", help="standard, or flex: half the price, slower.", show_default=False),
    ] = None,
    price_in: Annotated[
        float | None,
        typer.Option(metavar="USD", help="Price of 1,000,000 prompt tokens, if not listed.", show_default=False),
    ] = None,
    price_out: Annotated[
        float | None,
        typer.Option(metavar="USD", help="Price of 1,000,000 new tokens, if not listed.", show_default=False),
    ] = None,
    batch: Annotated[
        bool, typer.Option("--batch", help="Ask by the Batch API: mostly half the price, answers within a day.")
    ] = False,
    batch_export: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Write the next batch of requests to FILE and ask nothing; vllm run-batch reads it.",
            show_default=False,
        ),
    ] = None,
    batch_import: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Take the results of such a batch from FILE.", show_default=False),
    ] = None,
    force: options.Force = False,
    license_: Annotated[
        str | None,
        typer.Option("--license", metavar="ID", help="Licence of the dataset, for its card.", show_default=False),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show prompt, requests, tokens, cost and time expected; ask nothing.")
    ] = False,
    refilter: Annotated[
        bool, typer.Option("--refilter", help="Judge the answers of the run in DIR by other rules, at no cost.")
    ] = False,
    set_: options.Set = None,
    json: options.Json = False,
) -> None:
    """Make a dataset: ask a teacher for new tasks.

    Ends when NUM of them are accepted.  After a stop of any kind the same command goes on where it was; what was paid
    is never asked again.

    Example: alpaca generate --num 200 --teacher rehearsal --out runs/first
    """
    from alpaca_cli import yamlfile
    from alpaca_cli.data.shipped import find
    from alpaca_cli.recipe.generate import GenerateRecipe
    from alpaca_cli.recipe.load import check, find_recipe

    flags = {
        "--num": ("num", num),
        "--seed": ("seed", seed),
        "--seeds": ("seeds", str(find(seeds, "prompts").absolute()) if seeds else None),
        "--prompt": ("prompt.file", str(find(prompt, "prompts").absolute()) if prompt else None),
        "--teacher": ("teacher.kind", teacher),
        "--base-url": ("teacher.base_url", base_url),
        "--model": ("teacher.model", model),
        "--tier": ("teacher.tier", tier),
        "--price-in": ("teacher.price.input", price_in),
        "--price-out": ("teacher.price.output", price_out),
        "--max-cost": ("max_cost", max_cost),
        "--max-requests": ("max_requests", max_requests),
        "--batch": ("batch", batch or None),
        "--license": ("license", license_),
    }
    given = {flag: (key, value) for flag, (key, value) in flags.items() if value is not None}
    if refilter:
        _refilter(out, recipe, set_ or [], given, dry_run=dry_run, json=json)
        return
    path = find_recipe(recipe or DEFAULT_RECIPE)
    document = yamlfile.read(path)
    document.override(set_ or [])
    if teacher == "rehearsal" and (base_url or model):
        flag = "--base-url" if base_url else "--model"
        raise UsageError(f"--teacher rehearsal and {flag} name two teachers", hint="leave one of them out")
    if teacher == "rehearsal":
        document.put(("teacher",), _rehearsal_settings(document.data.get("teacher")), source="--teacher")
    for flag, (key, value) in given.items():
        document.put(tuple(key.split(".")), value, source=flag)
    checked = check(document, GenerateRecipe)
    if checked.num is None:
        raise UsageError("how many examples?", where="--num", hint="for example: alpaca generate --num 1000")
    generate_batch.check_flags(batch=batch, export=batch_export, results=batch_import, force=force)
    if checked.teacher.kind == "rehearsal":
        settings = checked.teacher.model_copy(update={"model": "rehearsal", "base_url": None})
        checked = checked.model_copy(update={"teacher": settings})
    if dry_run:
        _plan(checked, out, beside=path.parent, json=json)
        return
    name = recipe or DEFAULT_RECIPE
    if batch_export is not None:
        count = generate_batch.export_batch(checked, out, batch_export, beside=path.parent, name=name, force=force)
        if json:
            screen.emit_json({"folder": str(out), "file": str(batch_export), "requests": count})
        else:
            screen.emit(str(batch_export))
        return
    if batch_import is not None:
        result = generate_batch.import_batch(checked, out, batch_import, beside=path.parent, name=name)
    else:
        result = run(checked, out, beside=path.parent, recipe_name=name)
    if json:
        numbers = generate_view.numbers(result)
        screen.emit_json({"folder": str(result.folder), "dataset": str(result.dataset), **numbers})
    else:
        screen.emit(str(result.dataset))


def run(recipe: GenerateRecipe, out: Path, *, beside: Path, recipe_name: str) -> Result:
    """Run a recipe with the screen as listener; the rehearsal teacher is started where it is asked for."""
    from contextlib import ExitStack
    from dataclasses import replace
    from os import environ

    from alpaca_cli.generate.about import Origin
    from alpaca_cli.generate.address import addresses
    from alpaca_cli.generate.plan import addresses_without_keys
    from alpaca_cli.generate.run import generate as generate_run

    with ExitStack() as stack:
        if recipe.teacher.kind == "rehearsal":
            from alpaca_cli.rehearsal.server import RehearsalServer

            server = stack.enter_context(RehearsalServer())
            at = [replace(each, base_url=server.base_url) for each in addresses_without_keys(recipe, environ)]
        else:
            at = addresses(recipe, environ)
        keys = {each.api_key: each.settings.api_key_env for each in at}
        title = f"generate: {generate_plan.source(recipe, at)}, into {out}"
        view = stack.enter_context(generate_view.View(title, recipe, out, keys))
        origin = Origin(generate_view.command_line(keys), recipe_name)
        try:
            result = generate_run(recipe, out, at=at, listener=view, beside=beside, origin=origin)
        except BaseException as error:
            view.stopped(error)
            raise
    generate_view.summarise(result, recipe)
    return result


def _plan(recipe: GenerateRecipe, out: Path, *, beside: Path, json: bool) -> None:
    """Show what a run would do, and do nothing."""
    from os import environ

    from alpaca_cli.generate.plan import addresses_without_keys, plan

    at = addresses_without_keys(recipe, environ)
    planned = plan(recipe, out, at=at, beside=beside)
    for warning in planned.warnings:
        screen.note(warning)
    if json:
        screen.emit_json({"folder": str(out), **planned.as_dict()})
    else:
        screen.emit(generate_plan.plan_text(planned, f"{generate_plan.source(recipe, at)}, into {out}"))


def _refilter(
    out: Path,
    recipe: str | None,
    assignments: list[str],
    flags: Mapping[str, tuple[str, object]],
    *,
    dry_run: bool,
    json: bool,
) -> None:
    """Judge a run's completions by other rules, and show what that changes."""
    from os import environ

    from alpaca_cli.generate.about import Origin
    from alpaca_cli.generate.refilter import refilter
    from alpaca_cli.recipe.load import find_recipe

    rules_of = find_recipe(recipe) if recipe else None
    origin = Origin(generate_view.command_line({}), recipe or DEFAULT_RECIPE)
    found = refilter(
        out,
        assignments=assignments,
        rules_of=rules_of,
        flags=flags,
        origin=origin,
        environment=environ,
        dry_run=dry_run,
    )
    if json:
        screen.emit_json(found.as_dict())
    elif dry_run:
        screen.emit(generate_plan.refiltered_text(found))
    else:
        screen.say(generate_plan.refiltered_text(found))
        screen.emit(str(found.dataset))
    for note in found.notes:
        screen.note(note)


def _rehearsal_settings(settings: object) -> dict[str, object]:
    """The recipe's teacher, turned into the rehearsal: its address, model and reasoning are another teacher's."""
    kept = dict(settings) if isinstance(settings, dict) else {}
    for key in ("base_url", "model", "reasoning_effort", "extra_body"):
        kept.pop(key, None)
    return {**kept, "kind": "rehearsal", "model": "rehearsal"}

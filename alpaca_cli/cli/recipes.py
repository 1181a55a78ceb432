"""`alpaca recipes list | show | validate`: flags in, one call, words out."""

from __future__ import annotations

from typing import Annotated

import typer

from alpaca_cli.cli import options, screen

app = typer.Typer(
    help="List, show and check recipes.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
Name = Annotated[
    str,
    typer.Argument(
        metavar="RECIPE", help="Path or shipped name.", autocompletion=options.complete_recipe, show_default=False
    ),
]


@app.command("list")
def list_recipes(json: options.Json = False) -> None:
    """List the shipped recipes.

    Example: alpaca recipes list
    """
    from alpaca_cli.data.shipped import recipe_names, shipped_dir

    rows = []
    for name in recipe_names():
        path = shipped_dir("recipes") / f"{name}.yaml"
        rows.append({"name": name, "path": str(path), "about": _about(path.read_text(encoding="utf-8"))})
    if json:
        screen.emit_json(rows)
    else:
        width = max(len(row["name"]) for row in rows)
        for row in rows:
            screen.emit(f"{row['name']:{width}}  {row['about']}")


@app.command("show")
def show(recipe: Name, resolved: Annotated[bool, typer.Option(help="With every default written out.")] = False) -> None:
    """Print a recipe, to start your own from.

    Example: alpaca recipes show generate > mine.yaml
    """
    from alpaca_cli import yamlfile
    from alpaca_cli.data.files import read_text
    from alpaca_cli.recipe.load import find_recipe, load_any

    path = find_recipe(recipe)
    screen.emit((yamlfile.dump(load_any(path)) if resolved else read_text(path, what="recipe")).rstrip("\n"))


@app.command("validate")
def validate(recipe: Name, set_: options.Set = None, json: options.Json = False) -> None:
    """Check a recipe and the files it names.

    Mistakes in the recipe are told all at once, with line and column; then those in the files.

    Example: alpaca recipes validate mine.yaml
    """
    from alpaca_cli.generate.inputs import load_inputs
    from alpaca_cli.recipe.generate import GenerateRecipe
    from alpaca_cli.recipe.load import find_recipe, load_any

    path = find_recipe(recipe)
    checked = load_any(path, set_ or [])
    if isinstance(checked, GenerateRecipe):
        load_inputs(checked, beside=path.parent)
    elif checked.model.path and checked.data.path:  # else flags name them
        from alpaca_cli.finetune.run import with_paths

        with_paths(checked, beside=path.parent)
    if json:
        screen.emit_json({"path": str(path), "kind": checked.kind, "is_valid": True})
    else:
        screen.say(f"{path}: a valid recipe for alpaca {checked.kind}")


@app.command("accelerate-config")
def accelerate_config(recipe: Name, set_: options.Set = None) -> None:
    """Print the file with which `accelerate launch` starts a fine-tuning recipe.

    `alpaca finetune` writes its own; this is for those who launch themselves.

    Example: alpaca recipes accelerate-config 7b_fsdp > accelerate.yaml
    """
    from alpaca_cli.finetune.launch.place import Place
    from alpaca_cli.finetune.launch.spawn import accelerate_yaml
    from alpaca_cli.finetune.plan.gpus import seen_gpus
    from alpaca_cli.recipe.finetune import FinetuneRecipe
    from alpaca_cli.recipe.load import find_recipe, load

    checked = load(find_recipe(recipe), FinetuneRecipe, set_ or [])
    parallel = checked.parallel
    if parallel.processes is None and parallel.device != "cpu":
        parallel = parallel.model_copy(update={"processes": len(seen_gpus()) or None})
    place, command = Place(), "accelerate launch --config_file accelerate.yaml"
    if parallel.nodes > 1:
        place = Place(nodes=parallel.nodes, host="NODE0", port=29500)
        command += " --main_process_ip NODE0 --machine_rank K"
    screen.emit(f"# {command} -m alpaca_cli finetune {recipe}")
    screen.emit(accelerate_yaml(checked.model_copy(update={"parallel": parallel}), place).rstrip("\n"))


def _about(text: str) -> str:
    """The first line of the comment with which a recipe begins."""
    first = text.splitlines()[0] if text else ""
    return first.lstrip("# ").rstrip(".")

"""`alpaca finetune`: flags in, one call, words out."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from alpaca_cli.cli import finetune_view, options, screen
from alpaca_cli.cli.generate_view import command_line
from alpaca_cli.errors import AlpacaError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from alpaca_cli.finetune.launch.place import Place
    from alpaca_cli.finetune.metrics import Record
    from alpaca_cli.finetune.run import Prepared
    from alpaca_cli.recipe.finetune import FinetuneRecipe
    from alpaca_cli.yamlfile import Document

POLL_EVERY_S = 0.2


def finetune(
    recipe: Annotated[
        str,
        typer.Argument(
            metavar="RECIPE",
            help="Path or shipped name.",
            autocompletion=options.complete_finetune_recipe,
            show_default=False,
        ),
    ],
    model: Annotated[
        Path | None,
        typer.Option("--model", "-m", metavar="DIR", help="Base model, in Hugging Face layout.", show_default=False),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            "--data", "-d", metavar="FILE", help="Dataset in any format of `alpaca format`.", show_default=False
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            metavar="DIR",
            help="Run folder; a run in it is taken up again (default: runs/RECIPE).",
            show_default=False,
        ),
    ] = None,
    plan: Annotated[
        bool, typer.Option("--plan", help="Show memory, steps, tokens, time and disk; start nothing.")
    ] = False,
    gpu: Annotated[
        str | None,
        typer.Option(metavar="NAME:N", help="Plan for such GPUs on each node, e.g. a100-80g:4.", show_default=False),
    ] = None,
    processes: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Processes on each node (default: one a GPU).", show_default=False),
    ] = None,
    nodes: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="How many machines take part.", show_default=False)
    ] = None,
    node_rank: Annotated[
        int | None, typer.Option(min=0, metavar="K", help="Which of them this is, from 0.", show_default=False)
    ] = None,
    rdzv: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="Where they meet: on node 0.", show_default=False)
    ] = None,
    set_: options.Set = None,
    json: options.Json = False,
) -> None:
    """Fine-tune a model on a dataset: plan, launch, train, export.

    After a stop of any kind the same command goes on from the last checkpoint.  Under torchrun, accelerate launch or
    srun it takes its place among the processes that they start.

    Example: alpaca finetune 7b_fsdp --model llama-7b --data alpaca_data.json --plan
    """
    import os

    from alpaca_cli import yamlfile
    from alpaca_cli.finetune.launch.place import find_place, given_place
    from alpaca_cli.finetune.launch.tracker_names import check_trackers
    from alpaca_cli.finetune.run import with_paths
    from alpaca_cli.recipe.finetune import FinetuneRecipe
    from alpaca_cli.recipe.load import check, find_recipe

    place = given_place(nodes, node_rank, rdzv) or find_place(os.environ)
    path = find_recipe(recipe)
    document = yamlfile.read(path)
    document.override(set_ or [])
    for flag, keys, value in (
        ("--model", ("model", "path"), model and str(model.expanduser().absolute())),
        ("--data", ("data", "path"), data and str(data.expanduser().absolute())),
        ("--processes", ("parallel", "processes"), processes),
        ("--nodes", ("parallel", "nodes"), nodes),
    ):
        if value is not None:
            document.put(keys, value, source=flag)
    _put_place(document, place)
    checked = check(document, FinetuneRecipe)
    if gpu is not None and not plan:
        raise UsageError("a run takes the GPUs that are here", where="--gpu", hint="add --plan to plan for others")
    if checked.parallel.nodes > 1 and place.nodes == 1 and not plan:
        hint = "say --nodes, --node-rank and --rdzv on each, start it with srun, or --set parallel.nodes=1"
        raise UsageError(f"this recipe is for {checked.parallel.nodes} nodes, here is one", hint=hint)
    check_trackers(checked.log.trackers)
    checked = with_paths(checked, beside=path.parent)
    out = out if out is not None else Path("runs") / path.stem
    if plan:
        _plan(checked, out, gpu, json=json)
        return
    command = command_line({}) if sys.argv[1:2] == ["finetune"] else _command(recipe, model, data, out)
    train(checked, out, place, command, json=json)


def _command(recipe: str, model: Path | None, data: Path | None, out: Path) -> str:
    """The command line for another command's use of this one."""
    flags = {"--model": model, "--data": data, "--out": out}
    words = [word for flag, value in flags.items() if value is not None for word in (flag, str(value))]
    return shlex.join(["alpaca", "finetune", recipe, *words])


def train(recipe: FinetuneRecipe, out: Path, place: Place, command: str, *, json: bool = False) -> None:
    """Do what a recipe with absolute paths says, with the screen as listener; stdout gets the model's folder.

    `command`: the line that goes on where this one stops.
    """
    import atexit
    import json as json_module
    import os

    from alpaca_cli.data.files import read_text
    from alpaca_cli.finetune.metrics import NAME, read_metrics
    from alpaca_cli.finetune.run import REPORT

    is_first = place.rank == 0 and place.node == 0
    with finetune_view.View(command) as view:
        prepared = _prepared(recipe, out, place, view)
        if prepared.is_complete:
            if is_first:
                screen.say(f"this run is complete: {out}")
        elif place.is_rank:
            _train_here(prepared, place, view)
            atexit.register(os._exit, 0)  # as in finetune_worker
        else:
            _train_there(prepared, place, view)
    if not is_first:
        return
    finetune_view.summarise(out, read_metrics(prepared.folder / NAME))
    if json:
        report = json_module.loads(read_text(prepared.folder / REPORT, what="report"))
        screen.emit_json(finetune_view.result(out, report))
    else:
        screen.emit(str(out / "model"))


def finetune_worker(run: Annotated[Path, typer.Argument(metavar="RUN", help="Run folder, prepared.")]) -> None:
    """Be one process of a run; `alpaca finetune` starts it.

    Example: alpaca finetune-worker runs/7b_fsdp
    """
    import os

    from alpaca_cli.finetune.launch.place import find_place
    from alpaca_cli.finetune.launch.watch import redirect

    place = find_place(os.environ)
    redirect(run, place.rank)
    code = 1
    try:
        _work(run, place)
        code = 0
    except AlpacaError as error:
        screen.fail(error.problems)
        code = error.exit_code
    finally:
        os._exit(code)  # at once: threads of collectives may wait for peers, or abort, while an interpreter ends


def _plan(recipe: FinetuneRecipe, out: Path, gpu: str | None, *, json: bool) -> None:
    from alpaca_cli.cli import finetune_plan
    from alpaca_cli.finetune.plan.gpus import named_gpus
    from alpaca_cli.finetune.run import plan_of, read_inputs

    with finetune_view.View() as view:
        inputs = read_inputs(recipe, view.tokenizing)
    planned = plan_of(inputs, out=out, gpus=None if gpu is None else named_gpus(gpu))
    if not json:
        screen.emit(finetune_plan.plan_text(planned))
    elif not planned.problems:
        screen.emit_json(planned.as_json())
    for note in planned.notes:
        screen.note(note)
    planned.refuse()


def _prepared(recipe: FinetuneRecipe, out: Path, place: Place, view: finetune_view.View) -> Prepared:
    """The run folder made ready: by the first process that comes, the others find it."""
    from contextlib import nullcontext

    from filelock import FileLock

    from alpaca_cli.cli import finetune_plan
    from alpaca_cli.finetune.run import RECIPE, REPORT, hold, make_folder, plan_of, prepare, read_inputs

    is_first = place.rank == 0 and place.node == 0
    is_alone = not place.is_rank and place.nodes == 1
    make_folder(out.absolute().parent)
    with nullcontext() if is_alone else FileLock(out.absolute().with_name(f".{out.name}.lock")):
        inputs = read_inputs(recipe, view.tokenizing)
        planned = plan_of(inputs, out=out, gpus=None)
        if is_first and not (out / REPORT).exists():
            finetune_plan.show(planned)
        with hold(out) if is_first and (out / RECIPE).exists() else nullcontext():  # what a run at work was told stays
            prepared = prepare(inputs, planned, out, is_first=is_first, checks=place.local_rank == 0)
    if is_first and not prepared.is_complete:
        for note in prepared.notes:
            screen.note(note)
    return prepared


def _train_there(prepared: Prepared, place: Place, view: finetune_view.View) -> None:
    """Train in processes of their own.  Raises KeyboardInterrupt if they stop before the end."""
    import time
    from contextlib import nullcontext

    from alpaca_cli.finetune.launch.follow import Follower
    from alpaca_cli.finetune.launch.interrupt import Interrupts
    from alpaca_cli.finetune.launch.spawn import spawn
    from alpaca_cli.finetune.metrics import NAME
    from alpaca_cli.finetune.run import hold

    folder = prepared.folder
    with hold(folder) if place.node == 0 else nullcontext(), Interrupts() as interrupts:
        follower = Follower(folder / NAME)
        workers = spawn(folder, prepared.recipe, place)
        num_seen = 0
        while (code := workers.poll()) is None:
            if interrupts.count > num_seen:
                num_seen = interrupts.count
                if num_seen > 1:
                    workers.kill()
                    break
                workers.stop()
                view.stopping()
            for record in follower.new():
                view.record(record)
            view.tick()
            time.sleep(POLL_EVERY_S)
        for record in follower.new():
            view.record(record)
        left = workers.left()
        if left == "done":
            return
        was_asked = num_seen > 1 or (left == "stopped" and (num_seen == 1 or code == 0))
        if not was_asked:
            raise workers.failure()
    view.stopped()
    raise KeyboardInterrupt


def _train_here(prepared: Prepared, place: Place, view: finetune_view.View) -> None:
    """Train as one of the processes that somebody else started.  The first one shows how it goes."""
    import os
    from contextlib import nullcontext

    from alpaca_cli.finetune.launch.heartbeat import refuse_company
    from alpaca_cli.finetune.launch.watch import redirect
    from alpaca_cli.finetune.run import hold

    folder = prepared.folder
    place.export(os.environ)
    refuse_company(folder, [place.rank])
    if place.rank:
        redirect(folder, place.rank)

    def show(record: Record) -> None:
        view.record(record)
        view.tick()

    with hold(folder) if place.rank == 0 else nullcontext():
        is_done = _work(folder, place, show if place.rank == 0 else None)
    if not is_done:
        if place.rank == 0:
            view.stopped()
        raise KeyboardInterrupt


def _work(run: Path, place: Place, listener: Callable[[Record], None] | None = None) -> bool:
    """Be one rank of a run.  A failure is written down for those who wait, and raised as an error with its log named.

    False if it was asked to stop before the end.
    """
    import traceback

    from alpaca_cli import yamlfile
    from alpaca_cli.finetune.launch.failure import failure_error, reporting
    from alpaca_cli.finetune.launch.watch import Watch
    from alpaca_cli.finetune.run import RECIPE
    from alpaca_cli.recipe.finetune import FinetuneRecipe

    try:
        with reporting(run, place.rank):
            timeout_s = yamlfile.read(run / RECIPE).check(FinetuneRecipe).hang_timeout_s
            with Watch(run, place.rank, timeout_s) as watch:
                from alpaca_cli.finetune.worker import work

                is_done = work(run, place, watch, listener)
                watch.leave(is_done=is_done)
                return is_done
    except AlpacaError:
        raise
    except Exception as error:
        screen.say(traceback.format_exc().rstrip())
        raise failure_error(run, place.rank) or error from error


def _put_place(document: Document, place: Place) -> None:
    """What the place says of nodes and processes goes before the recipe."""
    source = {"none": "--nodes", "torchrun": "torchrun", "accelerate": "accelerate launch", "slurm": "srun"}
    if place.is_rank or place.nodes > 1:
        document.put(("parallel", "nodes"), place.nodes, source=source[place.starter])
    if place.is_rank:
        document.put(("parallel", "processes"), place.local_world, source=source[place.starter])

"""`alpaca generate`: flags in, one call, words out."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from alpaca_cli.cli import options, screen
from alpaca_cli.errors import UsageError

if TYPE_CHECKING:
    from alpaca_cli.generate.progress import Progress
    from alpaca_cli.generate.run import Result
    from alpaca_cli.recipe import GenerateRecipe

RATE_OVER_S = 30.0
TROUBLE_EVERY_S = 5.0


def generate(
    num: Annotated[
        int | None,
        typer.Option(
            "--num", "-n", min=1, metavar="NUM", help="How many accepted examples to end with.", show_default=False
        ),
    ] = None,
    recipe: Annotated[
        str,
        typer.Option(
            "--recipe",
            "-r",
            metavar="RECIPE",
            help="Recipe, by path or shipped name.",
            autocompletion=options.complete_recipe,
        ),
    ] = "generate",
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
    from alpaca_cli.recipe import check, find_recipe

    path = find_recipe(recipe)
    document = yamlfile.read(path)
    document.override(set_ or [])
    if teacher == "rehearsal" and (base_url or model):
        flag = "--base-url" if base_url else "--model"
        raise UsageError(f"--teacher rehearsal and {flag} name two teachers", hint="leave one of them out")
    if teacher == "rehearsal":
        document.put(("teacher",), _rehearsal_settings(document.data.get("teacher")), source="--teacher")
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
    for flag, (key, value) in flags.items():
        if value is not None:
            document.put(tuple(key.split(".")), value, source=flag)
    checked = check(document)
    if checked.num is None:
        raise UsageError("how many examples?", where="--num", hint="for example: alpaca generate --num 1000")
    if force and batch_export is None:
        raise UsageError("--force overwrites the file of --batch-export, and nothing else here")
    if batch_export is not None and (batch or batch_import is not None):
        raise UsageError("--batch-export asks nothing and takes nothing", hint="give it alone")
    if batch_import is not None and batch:
        raise UsageError("--batch-import asks nothing", hint="leave out --batch, and give it when this is done")
    if batch_export is not None:
        count = export_batch(checked, out, batch_export, beside=path.parent, force=force)
        if json:
            screen.emit_json({"folder": str(out), "file": str(batch_export), "requests": count})
        else:
            screen.emit(str(batch_export))
        return
    if batch_import is not None:
        result = import_batch(checked, out, batch_import, beside=path.parent)
    else:
        result = run(checked, out, beside=path.parent)
    if json:
        screen.emit_json({"folder": str(result.folder), "dataset": str(result.dataset), **_numbers(result)})
    else:
        screen.emit(str(result.dataset))


def run(recipe: GenerateRecipe, out: Path, *, beside: Path) -> Result:
    """Run a recipe with the screen as listener; the rehearsal teacher is started where it is asked for."""
    from contextlib import ExitStack
    from os import environ

    from alpaca_cli.generate.address import FREE, Address, addresses, price_of
    from alpaca_cli.generate.run import generate as generate_run
    from alpaca_cli.generate.teacher import NO_KEY

    with ExitStack() as stack:
        if recipe.teacher.kind == "rehearsal":
            from alpaca_cli.rehearsal.server import RehearsalServer

            teacher = recipe.teacher.model_copy(update={"model": "rehearsal", "base_url": None})
            recipe = recipe.model_copy(update={"teacher": teacher})
            server = stack.enter_context(RehearsalServer())
            price = price_of(teacher.price) if teacher.price else FREE
            at = [Address(teacher, server.base_url, NO_KEY, price)]
            who = "the rehearsal teacher (built in, offline, without intelligence)"
        else:
            at = addresses(recipe, environ)
            who = " and ".join(f"{each.settings.model} at {each.base_url}" for each in at)
        view = stack.enter_context(_View(f"generate: {_count(recipe.num or 0, 'example')} from {who}, into {out}"))
        try:
            result = generate_run(recipe, out, at=at, listener=view, beside=beside)
        except BaseException:
            view.stopped(out)
            raise
    _summarise(result)
    return result


def export_batch(recipe: GenerateRecipe, out: Path, file: Path, *, beside: Path, force: bool) -> int:
    """Write the next requests of a run to a file, with the screen as listener; gives their number."""
    from alpaca_cli.generate.exchange import export_batch as write

    with _View(f"generate: the next requests of {out}, into {file}") as view:
        count = write(_placed(recipe), out, file, listener=view, beside=beside, force=force)
    screen.say(f"wrote {_count(count, 'request')}, for example for: vllm run-batch -i {file} -o RESULTS --model MODEL")
    screen.say("then the same command with --batch-import RESULTS in place of --batch-export")
    return count


def import_batch(recipe: GenerateRecipe, out: Path, file: Path, *, beside: Path) -> Result:
    """Take the results of a batch from a file, with the screen as listener."""
    from alpaca_cli.generate.exchange import import_batch as take

    with _View(f"generate: results from {file}, into {out}") as view:
        result, gathered = take(_placed(recipe), out, file, listener=view, beside=beside)
    screen.say(
        f"took {_count(len(gathered.new), 'answer')}; {gathered.num_known:,} known already, "
        f"{len(gathered.failures):,} failed, {gathered.num_undone:,} not asked, {gathered.num_foreign:,} of another run"
    )
    if gathered.failures:
        screen.note(f"the last failure: {next(reversed(gathered.failures.values())).message}")
    _summarise(result)
    if not result.report["is_complete"]:
        screen.say("not complete: write the next requests with --batch-export, or leave it out to ask a server")
    return result


def _placed(recipe: GenerateRecipe) -> GenerateRecipe:
    """The recipe with the address that its requests are written for, which need not be there, nor a key for it."""
    from os import environ

    from alpaca_cli.generate.body import OPENAI_URL

    if recipe.teacher.kind == "rehearsal" or recipe.teachers:
        found = "the rehearsal teacher" if recipe.teacher.kind == "rehearsal" else "several servers"
        raise UsageError(f"expected one teacher to write a batch for, found {found}", hint="name one with --model")
    base_url = recipe.teacher.base_url or environ.get("OPENAI_BASE_URL") or OPENAI_URL
    return recipe.model_copy(update={"teacher": recipe.teacher.model_copy(update={"base_url": base_url})})


class _View:
    """The live view of a run: what the loop tells, on the screen."""

    def __init__(self, title: str) -> None:
        self._title: str | None = title
        self._ticker = screen.Ticker()
        self._last: Progress | None = None
        self._num_retries = 0
        self._told = (0, -TROUBLE_EVERY_S)  # retries that were told, and when
        self._marks: list[tuple[float, int]] = [(0.0, 0)]  # seconds and examples kept by this process, of late

    def __enter__(self) -> _View:
        self._ticker.__enter__()
        return self

    def __exit__(self, *details: object) -> None:
        self._ticker.__exit__(*details)

    def note(self, text: str) -> None:
        screen.note(text)

    def retry(self, text: str) -> None:
        """One line of trouble at a time: sixteen requests fail as one when a server goes away."""
        self._num_retries += 1
        told, when = self._told
        if time.monotonic() - when >= TROUBLE_EVERY_S:
            more = self._num_retries - told - 1
            screen.note(text + (f" (and {_count(more, 'retry', 'retries')} before it)" if more else ""))
            self._told = (self._num_retries, time.monotonic())

    def _begin(self) -> None:
        """Say what is done, once it is sure to be done."""
        if self._title is not None:
            screen.say(self._title)
            self._title = None

    def replaying(self, done: int, count: int) -> None:
        self._begin()
        self._ticker.show(f"reading the journal: {done:,} of {_count(count, 'completion')}")

    def waiting(self, text: str) -> None:
        self._ticker.show(text)

    def progress(self, progress: Progress) -> None:
        self._begin()
        self._last = progress
        self._marks.append((progress.seconds, progress.kept - progress.num_kept_before))
        while len(self._marks) > 2 and self._marks[1][0] < progress.seconds - RATE_OVER_S:
            del self._marks[0]
        per_second = self._per_second()
        self._ticker.show(_line(progress, per_second), _block(progress, per_second, self._num_retries))

    def _per_second(self) -> float:
        """Examples kept a second, of late: novelty gets rarer, so the mean of the whole run would promise too much."""
        (began, before), (now, kept) = self._marks[0], self._marks[-1]
        return (kept - before) / (now - began) if now - began > 1 else 0.0

    def stopped(self, out: Path) -> None:
        """What there is, when the run ends before its end."""
        self._ticker.__exit__()
        if self._last is not None and self._last.num_completions:
            screen.say(f"stopped: {_line(self._last, 0.0)}")
            screen.say(f"the answers are in {out / 'journal.jsonl'}; the same command goes on from here")


def _rehearsal_settings(settings: object) -> dict[str, object]:
    """The recipe's teacher, turned into the rehearsal: its address, model and reasoning are another teacher's."""
    kept = dict(settings) if isinstance(settings, dict) else {}
    for key in ("base_url", "model", "reasoning_effort", "extra_body"):
        kept.pop(key, None)
    return {**kept, "kind": "rehearsal", "model": "rehearsal"}


def _line(progress: Progress, per_second: float) -> str:
    parts = [
        f"kept {progress.kept:,} of {progress.num:,} ({progress.kept / progress.num:.0%})",
        f"{_count(progress.num_completions, 'completion')}",
        f"{progress.prompt_tokens + progress.completion_tokens:,} tokens",
    ]
    if per_second:
        parts.append(_left(progress, per_second))
    return ", ".join(parts)


def _block(progress: Progress, per_second: float, num_retries: int) -> list[str]:
    rate = f"{per_second * 60:,.0f} examples a minute, {_left(progress, per_second)}" if per_second else "beginning"
    refused = ", ".join(f"{name} {count:,}" for name, count in progress.reasons.most_common(5))
    retries = f", {_count(num_retries, 'retry', 'retries')}" if num_retries else ""
    share = progress.kept / progress.num
    return [
        f"  kept     {progress.kept:,} of {progress.num:,}  {screen.bar(share)}  {share:.0%}",
        f"  speed    {rate}",
        f"  asked    {_count(progress.num_completions, 'completion')}, {progress.num_under_way} under way{retries}",
        f"  tokens   {progress.prompt_tokens:,} in, {progress.completion_tokens:,} out",
        f"  refused  {refused or 'none'}",
    ]


def _left(progress: Progress, per_second: float) -> str:
    return f"{screen.duration((progress.num - progress.kept) / per_second)} left"


def _summarise(result: Result) -> None:
    numbers = _numbers(result)
    refused = numbers["refused"]
    assert isinstance(refused, dict)
    words = ", ".join(f"{name} {count:,}" for name, count in sorted(refused.items(), key=lambda pair: -pair[1]))
    now = "all now" if result.num_asked == result.num_completions else f"{result.num_asked:,} of them now"
    screen.say(f"  kept      {numbers['kept']:,} examples, {numbers['with_input']:,} with an input")
    screen.say(f"  refused   {sum(refused.values()):,} of {numbers['tasks']:,} tasks: {words or 'none'}")
    screen.say(f"  asked     {_count(result.num_completions, 'completion')}, {now if result.num_asked else 'none now'}")
    if result.num_over:
        screen.say(f"  over      {_count(result.num_over, 'completion')} kept in the journal for a larger --num")
    if numbers["completions_without_usage"]:
        screen.say(
            f"  uncounted tokens of {numbers['completions_without_usage']:,} completions: the server did not count"
        )
    screen.say(f"  dataset   {result.dataset}")


def _numbers(result: Result) -> dict[str, object]:
    return {
        **result.report,
        "completions_paid": result.num_completions,
        "completions_over": result.num_over,
        "completions_asked_now": result.num_asked,
    }


def _count(number: int, one: str, many: str | None = None) -> str:
    return f"{number:,} {one if number == 1 else many or one + 's'}"

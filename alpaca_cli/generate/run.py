"""A run of `alpaca generate` from its recipe to its files; taken up again where it stopped."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from alpaca_cli.data.journal import Journal
from alpaca_cli.errors import AlpacaError, IntegrityError, UsageError
from alpaca_cli.generate.inputs import load_inputs
from alpaca_cli.generate.loop import Listener, Loop
from alpaca_cli.generate.prompt import RequestMaker
from alpaca_cli.generate.replay import Replay
from alpaca_cli.generate.runfolder import RunFolder, opened, report
from alpaca_cli.generate.teacher import NO_KEY, OPENAI_URL, Teacher
from alpaca_cli.recipe import GenerateRecipe, TeacherSettings


@dataclass(frozen=True)
class Address:
    """Where the teacher is, and the key that it wants."""

    base_url: str
    api_key: str

    def __repr__(self) -> str:
        return f"Address({self.base_url!r})"  # never the key


@dataclass(frozen=True)
class Result:
    """What a run has come to; `report` is what `report.json` holds."""

    folder: Path
    dataset: Path
    report: dict[str, Any]
    num_completions: int
    """Paid in all, as the journal has them."""
    num_over: int
    """Of these, how many came after the last one needed; they stay in the journal for a larger --num."""
    num_asked: int
    """Completions that this process asked for."""


def address(teacher: TeacherSettings, environment: Mapping[str, str]) -> Address:
    """Where an openai teacher is: the recipe or flag, else OPENAI_BASE_URL, else OpenAI; a key only where needed.

    Raises UsageError, before anything is asked, if no way to a teacher is given.
    """
    base_url = teacher.base_url or environment.get("OPENAI_BASE_URL") or OPENAI_URL
    _check_url(base_url)
    api_key = environment.get(teacher.api_key_env, "").strip()
    if not (api_key.isascii() and api_key.isprintable()):
        raise UsageError("expected a key of printable ASCII characters", where=teacher.api_key_env)
    if not api_key:
        if base_url.rstrip("/") == OPENAI_URL:
            raise UsageError(
                f"no teacher: {teacher.api_key_env} is not set and no --base-url is given",
                hint=f"set {teacher.api_key_env} to use OpenAI, or --base-url and --model to use another server, "
                "or --teacher rehearsal to try everything offline and for free",
            )
        api_key = NO_KEY
    return Address(base_url, api_key)


def _check_url(base_url: str) -> None:
    """Raises UsageError if this is no address to send requests to; a password in it is never shown."""
    try:
        parts = urlsplit(base_url)
        is_good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        has_secret = bool(parts.username or parts.password)
    except ValueError:
        is_good = has_secret = False
    if has_secret:
        hint = "put the key into an environment variable and name it in teacher.api_key_env"
        raise UsageError("expected an address without a name or password in it", where="base_url", hint=hint)
    if not is_good:
        raise UsageError(
            "expected an address that begins with http:// or https://",
            where=f"base_url {base_url!r}",
            hint="for example: --base-url http://localhost:8000/v1",
        )


def generate(recipe: GenerateRecipe, folder: Path, *, at: Address, listener: Listener, beside: Path = Path()) -> Result:
    """Run until `recipe.num` examples are accepted, or go on with the run in `folder`, or do nothing if it is done.

    `beside` is the folder from which the recipe's own paths are seen.  The derived files are written however the run
    ends, short of a kill.  Raises UsageError, DataError, TeacherError, IntegrityError; KeyboardInterrupt on Ctrl-C.
    """
    num = recipe.num
    if num is None:
        raise UsageError("how many examples?", hint="give --num, for example: alpaca generate --num 1000")
    if recipe.teacher.kind == "openai":
        resolved = recipe.teacher.model_copy(update={"base_url": at.base_url})
        recipe = recipe.model_copy(update={"teacher": resolved})
    inputs = load_inputs(recipe, beside=beside)
    maker = inputs.request_maker(recipe)
    with opened(folder, recipe, inputs) as run, Journal(run.journal_path) as journal:
        for note in run.notes:
            listener.note(note)
        if journal.torn_bytes:
            listener.note(f"the journal's last line was torn by a crash: {journal.torn_bytes} bytes cut off")
        _check_journal(journal, maker)
        num_before = len(journal.completions)
        if (done := run.report_if_complete(num, journal.completions)) is not None:
            return _result(run, done, journal, num_before)
        replay = Replay(recipe, inputs.seed_tasks, num)
        for k in sorted(journal.completions):
            replay.offer(journal.completions[k])
            listener.replaying(len(replay.used), num_before)
        try:
            if not replay.is_done:
                asyncio.run(_ask(recipe, at, maker, replay, journal, listener))
        except BaseException:
            try:
                _write_outputs(run, replay, journal)
            except AlpacaError as error:  # what went wrong first is what is told as the error
                listener.note(f"the next run will make the dataset: {error}")
            raise
        _write_outputs(run, replay, journal)
        return _result(run, report(replay), journal, num_before)


async def _ask(
    recipe: GenerateRecipe, at: Address, maker: RequestMaker, replay: Replay, journal: Journal, listener: Listener
) -> None:
    settings = recipe.teacher
    hears = {"on_note": listener.note, "on_retry": listener.retry}
    async with Teacher(settings, base_url=at.base_url, api_key=at.api_key, **hears) as teacher:
        await Loop(recipe, teacher=teacher, maker=maker, replay=replay, journal=journal, listener=listener).run()


def _result(run: RunFolder, report: dict[str, Any], journal: Journal, num_before: int) -> Result:
    num = len(journal.completions)
    return Result(run.path, run.dataset_path, report, num, num - int(report["completions"]), num - num_before)


def _write_outputs(run: RunFolder, replay: Replay, journal: Journal) -> None:
    journal.sync()  # what a report counts must be there after a power failure too
    run.write_outputs(replay)


def _check_journal(journal: Journal, maker: RequestMaker) -> None:
    """Each completion must answer the request that this recipe makes under its number."""
    for k, completion in journal.completions.items():
        if completion.prompt_sha256 != maker.request(k).prompt_sha256:
            raise IntegrityError(
                f"the answer to request {k} was asked with another prompt than this run's",
                where=str(journal.path),
                hint="the folder was changed by hand, or begun by another version; choose another --out",
            )

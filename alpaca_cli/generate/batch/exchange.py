"""Batches by hand: the requests to a file that is answered elsewhere, and the results of such a file back.

`vllm run-batch` reads the one and writes the other, and so does whoever speaks OpenAI's Batch API.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from alpaca_cli.data.files import read_bytes, refuse_existing, sha256, write_atomically
from alpaca_cli.errors import DataError, UsageError
from alpaca_cli.generate.about import Origin
from alpaca_cli.generate.address import Address
from alpaca_cli.generate.batch.file import results
from alpaca_cli.generate.batch.folder import BatchFolder
from alpaca_cli.generate.batch.harvest import Gathered, Harvest
from alpaca_cli.generate.batch.wave import wanted, write_input
from alpaca_cli.generate.body import Body
from alpaca_cli.generate.openrun import OpenRun, Result, open_run, with_stored_limits
from alpaca_cli.generate.progress import Listener
from alpaca_cli.generate.replay import Replay
from alpaca_cli.recipe.generate import GenerateRecipe


@dataclass(frozen=True)
class _Taken:
    """A run taken up, for a batch by hand."""

    run: OpenRun
    batches: BatchFolder
    replay: Replay
    body: Body
    harvest: Harvest


def export_batch(
    recipe: GenerateRecipe,
    folder: Path,
    file: Path,
    *,
    at: Sequence[Address],
    listener: Listener,
    origin: Origin,
    beside: Path = Path(),
    force: bool = False,
) -> int:
    """Write the requests that the run in `folder` needs next to `file`; gives their number.  Nothing is asked.

    `at` is the address that they are written for, as in the recipe.

    Raises UsageError if the file exists without `force`, or if there is nothing to ask; DataError, IntegrityError.
    """
    refuse_existing(file, force=force)
    with _taken_up(recipe, folder, at, beside, listener, origin) as taken:
        if taken.replay.is_done:
            raise UsageError(
                f"nothing to ask: the run has its {taken.replay.num:,} examples",
                where=str(folder),
                hint="raise --num for more, or leave out --batch-export to write the dataset",
            )
        requests = wanted(recipe, taken.replay, taken.run.journal.completions, taken.harvest)
        return write_input(file, requests, recipe, taken.body).num_requests


def import_batch(
    recipe: GenerateRecipe,
    folder: Path,
    file: Path,
    *,
    at: Sequence[Address],
    listener: Listener,
    origin: Origin,
    beside: Path = Path(),
) -> tuple[Result, Gathered]:
    """Take the results in `file` into the run in `folder`, where a copy of it is kept, and make the dataset.

    Raises DataError that lists every line that is no result, after which nothing is taken; UsageError, IntegrityError.
    """
    raw = read_bytes(file, what="file of results")
    rows = list(results(raw.split(b"\n"), file))
    problems = [row.problems[0] for row in rows if isinstance(row, DataError)]
    if problems or not rows:
        raise DataError.of(problems) if problems else DataError("no results in it", where=str(file))
    with _taken_up(recipe, folder, at, beside, listener, origin) as taken:
        log, run, ledger = taken.batches.log, taken.run, taken.run.ledger
        wave = next((each for each in log.waves if each.status is None and each.sha256 == sha256(raw)), None)
        if wave is None:
            with write_atomically(taken.batches.path(log.next_number, "output")) as stream:
                stream.write(raw)
            wave = log.begin("imported", num_requests=len(rows), sha256=sha256(raw))
        if wave.step == "imported":  # asked and paid elsewhere; before the answers, as each request is
            ledger.settle(ledger.send(Decimal(0), num_requests=len(rows), name=f"import {wave.wave}"), Decimal(0))
            ledger.sync()
        gathered = taken.batches.take(wave, taken.harvest)
        if wave.step == "imported":
            run.journal.sync()
            log.record(wave, "taken")
        if gathered.num_foreign == len(rows):
            raise DataError(
                f"none of its {len(rows):,} results answers a request of this run",
                where=str(file),
                hint="give --out the folder, and the recipe and flags, with which its requests were exported",
            )
        for completion in [*sorted(gathered.new, key=lambda each: each.k), *taken.harvest.to_leave()]:
            if completion.k not in run.journal.completions:
                listener.note(f"request {completion.k} left aside: it failed in {completion.tries} batches")
                run.journal.append(completion)
            taken.replay.offer(completion)
        return run.make(taken.replay), gathered


@contextmanager
def _taken_up(
    recipe: GenerateRecipe, folder: Path, at: Sequence[Address], beside: Path, listener: Listener, origin: Origin
) -> Iterator[_Taken]:
    """The run in a folder, new or taken up, up to its last completion.

    Raises UsageError if a batch of it is at a server: its requests would be asked twice.
    """
    recipe = with_stored_limits(recipe, folder, listener)
    with (
        open_run(recipe, folder, at=at, origin=origin, listener=listener, beside=beside) as run,
        BatchFolder(run.folder.path) as batches,
    ):
        body = Body(recipe.teacher, recipe.teacher.base_url or "", on_note=listener.note)
        harvest = Harvest(run.maker, body, recipe.teacher, run.journal)
        batches.fold(harvest)
        out = batches.out
        if out is not None and out.step == "imported":  # by a process that was killed
            batches.take(out, harvest)
            batches.log.record(out, "taken")
        elif out is not None:
            raise UsageError(
                f"batch {out.wave} of this run is not taken yet",
                where=str(folder),
                hint="take it first: run the same command with --batch in place of the file",
            )
        yield _Taken(run, batches, run.replay(), body, harvest)

"""The engine of a Ray cluster: reads here what must be known before, and lets the cluster find."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np

from alpaca_cli.dedup.cluster.flow import dedup_on_ray
from alpaca_cli.dedup.cluster.settle import DROPPED, KEPT
from alpaca_cli.dedup.job import Found, Job, Source
from alpaca_cli.errors import IntegrityError, UsageError
from alpaca_cli.format.container import BATCH_ROWS
from alpaca_cli.format.field import field_text
from alpaca_cli.format.read import Tally
from alpaca_cli.format.sharded import Shard


@dataclass(frozen=True)
class RayEngine:
    """Compares on the cluster at `address`; see `dedup_on_ray`."""

    address: str | None

    @contextmanager
    def __call__(self, job: Job) -> Iterator[Found]:
        """All rows are read here first: what is bad in them is told before the cluster has anything to do."""
        against, data = [name for source in job.against for name in _names(source)], _names(job.data)
        done = 0
        for source in job.sources:
            for texts in source.texts():
                done += len(texts)
                job.on_progress("reading", done, 0)
        outcome = dedup_on_ray(
            data,
            partial(texts_of, field=job.data.field),
            threshold=job.threshold,
            tokenizer=job.tokenizer,
            against=against,
            report=job.report,
            address=self.address,
            on_stage=lambda what: job.on_progress(f"on Ray, {what}", done, 0),
        )
        here = [rows for source in job.sources for rows in source.rows]
        for name, there, rows in zip([*against, *data], np.diff(outcome.starts).tolist(), here, strict=True):
            if there != rows:
                hint = "see that all machines have the same files, and that nothing writes to them"
                raise IntegrityError(
                    f"the cluster read {there:,} rows, and this machine {rows:,}", where=name, hint=hint
                )
        begin = int(outcome.starts[len(against)])
        dropped = np.flatnonzero(outcome.status == DROPPED)
        repeats = []
        if outcome.nearest is not None and outcome.scores is not None:
            repeats.append((dropped, outcome.nearest[dropped], outcome.scores[dropped]))
        yield Found(
            kept=outcome.status[begin:] == KEPT,
            dropped_for_against=outcome.dropped_for_against,
            wordless=outcome.wordless,
            num_counted=None,
            repeats=repeats,
        )


def texts_of(name: str, *, field: str) -> Iterator[list[str]]:
    """The texts that are compared of a shard, a batch at a time; bad rows are left out."""
    shard = Shard(Path(name))
    if shard.form is None:
        return
    examples = Tally(0).examples(shard.container, shard.form)
    while batch := [field_text(example, field) for *_, example in islice(examples, BATCH_ROWS)]:
        yield batch


def _names(source: Source) -> list[str]:
    for path in source.paths:
        if not path.is_file():
            raise UsageError("expected a file, which all machines can read", where=str(path))
    return [str(path.resolve()) for path in source.paths]

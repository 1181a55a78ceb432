"""Near-duplicate removal from a dataset to a dataset: what `alpaca dedup` does."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from alpaca_cli.data.files import refuse_existing, refuse_reading_and_writing, write_atomically
from alpaca_cli.dedup import kernel
from alpaca_cli.dedup.job import Engine, Job, OnProgress, Source
from alpaca_cli.dedup.local import LocalEngine
from alpaca_cli.dedup.machine import free_memory, num_cores
from alpaca_cli.dedup.report import write_report
from alpaca_cli.dedup.rouge import TOKENIZERS, TokenizerName
from alpaca_cli.errors import Problem, UsageError
from alpaca_cli.format.field import check_field
from alpaca_cli.format.select import check_out, refuse_among, write_kept
from alpaca_cli.format.sharded import ShardedDataset


@dataclass(frozen=True)
class DedupReport:
    """What was read, kept and dropped; rows = kept + dropped, bad rows not counted."""

    rows: int
    kept: int
    dropped: int
    dropped_for_against: int
    """Of the dropped, how many repeat a row of `against`."""
    num_pairs: int
    """Of a row and one before it, those of `against` before all."""
    num_counted: int | None
    """Pairs of rows whose longest common subsequence was counted, if it is known; the others a bound passed over."""
    wordless: int
    """Of the rows, how many have no word that the tokenizer sees: they are like no other, and always kept."""
    whole: int
    """Of the rows, how many were compared by their whole prompt, for want of an instruction of their own."""
    skipped: int
    """Malformed rows left out."""
    problems: tuple[Problem, ...]
    format: str
    shards: int
    out: Path
    report: Path | None


def dedup_file(
    source: str | Path,
    out: Path,
    *,
    threshold: float = 0.7,
    against: Sequence[str | Path] = (),
    report: Path | None = None,
    tokenizer: str = "rouge",
    field: str = "instruction",
    workers: int | None = None,
    spill: Path | None = None,
    memory: int | None = None,
    engine: Engine | None = None,
    skip_bad: bool = False,
    force: bool = False,
    on_progress: OnProgress = lambda *_: None,
    on_note: Callable[[str], None] = lambda _: None,
) -> DedupReport:
    """Write to `out` the rows of `source`, as they stand, whose text repeats that of no row kept before it.

    `source`, and each of `against`, is a file, a folder of shards or a glob.  `report` gets a line for each dropped
    row: which row it repeats, and the score.  Without an `engine`, this machine compares: rows that may not fit into
    `memory` bytes (half of what is free if None), and all if a folder `spill` is named, block by block on disk, and a
    run that was stopped goes on.  The result is the same whatever the engine, and whatever the number of `workers`
    (as many as there are cores if None).
    Raises UsageError and DataError before anything is written.
    """
    name = _checked(threshold, tokenizer, field, workers)
    if report is not None:
        refuse_existing(report, force=force)
    data = Source(ShardedDataset(source, skip_bad=skip_bad), field)
    others = [Source(ShardedDataset(each, skip_bad=skip_bad), field) for each in against]
    written = check_out(data.dataset, out, force=force)
    if report is not None:
        if report.resolve() in (path.resolve() for path in written):
            raise UsageError("--out and --report are the same file", where=str(report))
        refuse_reading_and_writing([report], data.paths)
        written.append(report)
    for other in others:
        refuse_reading_and_writing(written, other.paths)
    for path in written:
        refuse_among(data.dataset, path)
    job = Job(data, others, threshold, name, skip_bad, report is not None, workers or num_cores(), on_progress)
    if kernel.LIBRARY is None:
        on_note(
            "comparing is slower here: the compiled kernel is missing, or older than this code"
            " (with a C compiler, install alpaca again from its source)"
        )
    if engine is None:
        memory = free_memory() // 2 if memory is None else memory
        engine = LocalEngine(memory, spill, out.with_name(out.name + ".spill"), on_note)
        for output in filter(None, (out, report)):
            engine.refuse_nested(output)
    with engine(job) as found, ExitStack() as both:
        if report is not None:  # it gets its name after the rows, and neither does if one cannot be written
            stream = both.enter_context(write_atomically(report))
            write_report(stream, job.sources, found.repeats, report.parent)
            stream.flush()
            os.fsync(stream.fileno())
        on_progress("writing", len(found.kept), len(found.kept))
        write_kept(data.dataset, data.masks(found.kept), out)
    return DedupReport(
        rows=len(found.kept),
        kept=int(found.kept.sum()),
        dropped=int((~found.kept).sum()),
        dropped_for_against=found.dropped_for_against,
        num_pairs=_num_pairs(len(found.kept), sum(sum(other.rows) for other in others)),
        num_counted=found.num_counted,
        wordless=found.wordless,
        whole=data.dataset.tally.whole,
        skipped=sum(each.dataset.tally.skipped for each in job.sources),
        problems=tuple(problem for each in job.sources for problem in each.dataset.tally.told()),
        format=data.dataset.format,
        shards=len(data.dataset.shards),
        out=out,
        report=report,
    )


def _num_pairs(rows: int, against: int) -> int:
    return rows * (rows - 1) // 2 + rows * against


def _checked(threshold: float, tokenizer: str, field: str, workers: int | None) -> TokenizerName:
    """The tokenizer by its name.  Raises UsageError if a value cannot be."""
    check_field(field)
    name = next((name for name in TOKENIZERS if name == tokenizer), None)
    if name is None:
        raise UsageError(f"no such tokenizer: {tokenizer}", hint=f"choose {' or '.join(TOKENIZERS)}")
    if not 0 < threshold <= 1:
        raise UsageError(f"--threshold: expected over 0 and up to 1, found {threshold:g}", hint="Alpaca's own is 0.7")
    if workers is not None and workers < 1:
        raise UsageError(f"--workers: expected 1 or more, found {workers}")
    return name

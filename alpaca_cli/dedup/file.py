"""Near-duplicate removal from a dataset file to a dataset file: what `alpaca dedup` does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from alpaca_cli.data.files import refuse_existing, refuse_reading_and_writing, write_atomically
from alpaca_cli.data.jsonl import dumps
from alpaca_cli.dedup.greedy import Repeat, find_repeats
from alpaca_cli.dedup.rouge import TOKENIZERS, TokenizerName
from alpaca_cli.errors import Problem, UsageError
from alpaca_cli.format.dataset import Dataset
from alpaca_cli.format.read import read_dataset
from alpaca_cli.format.select import copy_rows


@dataclass(frozen=True)
class DedupReport:
    """What was read, kept and dropped; rows = kept + dropped, bad rows not counted."""

    rows: int
    kept: int
    dropped: int
    dropped_for_against: int
    """Of the dropped, how many repeat a row of `against`."""
    wordless: int
    """Of the rows, how many have no word that the tokenizer sees: they are like no other, and always kept."""
    whole: int
    """Of the rows, how many were compared by their whole prompt, for want of an instruction of their own."""
    skipped: int
    """Malformed rows left out."""
    problems: tuple[Problem, ...]
    format: str
    out: Path
    report: Path | None


def dedup_file(
    source: Path,
    out: Path,
    *,
    threshold: float = 0.7,
    against: Sequence[Path] = (),
    report: Path | None = None,
    tokenizer: str = "rouge",
    skip_bad: bool = False,
    force: bool = False,
    on_progress: Callable[[int, int], None] = lambda *_: None,
) -> DedupReport:
    """Write to `out` the rows of `source`, as they stand, whose instruction repeats no row kept before it.

    `on_progress` hears of rows done and rows in all.  `report` gets a line for each dropped row: which row it repeats,
    and the score.  Raises UsageError and DataError before anything is written.
    """
    name = next((name for name in get_args(TokenizerName) if name == tokenizer), None)
    if name is None:
        raise UsageError(f"no such tokenizer: {tokenizer}", hint="choose rouge or unicode")
    if not 0 < threshold <= 1:
        raise UsageError(f"--threshold: expected over 0 and up to 1, found {threshold:g}", hint="Alpaca's own is 0.7")
    for path in filter(None, (out, report)):
        refuse_existing(path, force=force)
    if report is not None and report.resolve() == out.resolve():
        raise UsageError("--out and --report are the same file", where=str(out))
    refuse_reading_and_writing(filter(None, [report]), [source])
    refuse_reading_and_writing(filter(None, [out, report]), against)
    dataset = read_dataset(source, skip_bad=skip_bad)
    kept_already = [read_dataset(path, skip_bad=skip_bad) for path in against]
    repeats = find_repeats(
        [example.instruction for example in dataset.examples],
        threshold=threshold,
        against=[example.instruction for other in kept_already for example in other.examples],
        tokenizer=name,
        on_progress=lambda done: on_progress(done, len(dataset.examples)),
    )
    kept = [index for index, repeat in enumerate(repeats) if repeat is None]
    dropped = [(index, repeat) for index, repeat in enumerate(repeats) if repeat is not None]
    with ExitStack() as both:  # the report gets its name after the rows, and neither does if one cannot be written
        if report is not None:
            stream = both.enter_context(write_atomically(report))
            for index, repeat in dropped:
                stream.write((dumps(_row(dataset, kept_already, index, repeat)) + "\n").encode("utf-8"))
            stream.flush()
        copy_rows(dataset, kept, out)
    return DedupReport(
        rows=len(repeats),
        kept=len(kept),
        dropped=len(dropped),
        dropped_for_against=sum(repeat.source < 0 for _, repeat in dropped),
        wordless=sum(not TOKENIZERS[name](example.instruction) for example in dataset.examples),
        whole=dataset.whole,
        skipped=sum(each.skipped for each in (dataset, *kept_already)),
        problems=tuple(problem for each in (dataset, *kept_already) for problem in each.problems),
        format=dataset.format,
        out=out,
        report=report,
    )


def _row(dataset: Dataset, against: Sequence[Dataset], index: int, repeat: Repeat) -> dict[str, object]:
    """A line of the report."""
    if repeat.source >= 0:
        place, example = dataset.places[repeat.source], dataset.examples[repeat.source]
    else:
        number = -1 - repeat.source
        for other in against:
            if number < len(other.examples):
                break
            number -= len(other.examples)
        place, example = other.places[number], other.examples[number]
    return {
        "row": dataset.numbers[index],
        "place": dataset.places[index],
        "instruction": dataset.examples[index].instruction,
        "repeats_place": place,
        "repeats": example.instruction,
        "score": repeat.score,
    }

"""Near-duplicate removal from a dataset to a dataset: what `alpaca dedup` does."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from alpaca_cli.data.files import refuse_existing, refuse_reading_and_writing, write_atomically
from alpaca_cli.dedup import kernel
from alpaca_cli.dedup.blocks import MemoryBlocks
from alpaca_cli.dedup.join import Blocks, OnProgress, decide, explain
from alpaca_cli.dedup.machine import free_memory, num_cores
from alpaca_cli.dedup.report import write_report
from alpaca_cli.dedup.rouge import TOKENIZERS, TokenizerName
from alpaca_cli.dedup.spill import DiskBlocks, spilled
from alpaca_cli.errors import Problem, UsageError
from alpaca_cli.format.field import check_field, field_text
from alpaca_cli.format.select import check_out, write_kept
from alpaca_cli.format.sharded import Shard, ShardedDataset

Mask = npt.NDArray[np.bool_]

MEMORY_A_BYTE = 4
"""What comparing in memory takes, at most, for each byte of the text that is compared."""
TABLE_BYTES = 4
"""Of text for each byte of a parquet file, which is compressed; a guess."""


@dataclass(frozen=True)
class DedupReport:
    """What was read, kept and dropped; rows = kept + dropped, bad rows not counted."""

    rows: int
    kept: int
    dropped: int
    dropped_for_against: int
    """Of the dropped, how many repeat a row of `against`."""
    num_counted: int
    """Pairs of rows whose longest common subsequence was counted; the others were passed over by a bound."""
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


@dataclass
class _Read:
    """What was seen of a dataset's rows on the way into blocks."""

    dataset: ShardedDataset
    rows: list[int] = dataclasses.field(default_factory=list)
    """Good ones of each shard."""
    bad: list[list[int]] = dataclasses.field(default_factory=list)
    """Of each shard the numbers of its bad rows, those behind the last good one left out."""

    def texts(self, field: str) -> Iterator[list[str]]:
        """The texts that are compared, a batch at a time."""
        self.rows, self.bad = [0] * len(self.dataset.shards), [[] for _ in self.dataset.shards]
        for batch in self.dataset.batches():
            expected = self.rows[batch.shard] + len(self.bad[batch.shard])
            if int(batch.numbers[-1]) >= expected + len(batch.numbers):
                good = set(batch.numbers.tolist())
                self.bad[batch.shard] += [number for number in range(expected, max(good)) if number not in good]
            self.rows[batch.shard] += len(batch.numbers)
            yield [field_text(example, field) for example in batch.examples]

    def masks(self, kept: Mask) -> list[Mask]:
        """For each shard whether each of its rows is kept, bad ones included, given which of the good ones are."""
        masks, begin = [], 0
        for shard, rows, bad in zip(self.dataset.shards, self.rows, self.bad, strict=True):
            mask = np.zeros(shard.rows, dtype=np.bool_)
            mask[np.delete(np.arange(rows + len(bad)), bad)] = kept[begin : begin + rows]
            masks.append(mask)
            begin += rows
        return masks


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
    skip_bad: bool = False,
    force: bool = False,
    on_progress: OnProgress = lambda *_: None,
    on_note: Callable[[str], None] = lambda _: None,
) -> DedupReport:
    """Write to `out` the rows of `source`, as they stand, whose text repeats that of no row kept before it.

    `source`, and each of `against`, is a file, a folder of shards or a glob.  `report` gets a line for each dropped
    row: which row it repeats, and the score.  Rows that may not fit into `memory` bytes (half of what is free if None),
    and all if a folder `spill` is named, are compared block by block on disk, and a run that was stopped goes on.  The
    result is the same, and whatever the number of `workers` (as many as there are cores if None).
    Raises UsageError and DataError before anything is written.
    """
    name = _checked(threshold, tokenizer, field, workers)
    if report is not None:
        refuse_existing(report, force=force)
        if report.resolve() == out.resolve():
            raise UsageError("--out and --report are the same file", where=str(out))
    read = _Read(ShardedDataset(source, skip_bad=skip_bad))
    reads = [*(_Read(ShardedDataset(each, skip_bad=skip_bad)) for each in against), read]
    check_out(read.dataset, out, force=force)
    paths = [[shard.path for shard in each.dataset.shards] for each in reads]
    refuse_reading_and_writing(filter(None, [report]), paths[-1])
    for others in paths[:-1]:
        refuse_reading_and_writing(filter(None, [out, report]), others)
    memory = free_memory() // 2 if memory is None else memory
    if (
        spill is None
        and MEMORY_A_BYTE * sum(_num_bytes(shard) for each in reads for shard in each.dataset.shards) > memory
    ):
        spill = out.with_name(out.name + ".spill")
        on_note(f"these rows may need more than {memory / 1e9:.1f} GB: they are compared on disk, in {spill}")
    if kernel.LIBRARY is None:
        on_note(
            "comparing is slower here: the compiled kernel is missing, or older than this code"
            " (install a C compiler, then alpaca-cli again)"
        )
    with ExitStack() as open_:
        blocks: MemoryBlocks | DiskBlocks = MemoryBlocks(name)
        limit = 1 << 62
        if spill is not None:
            plan = {"threshold": threshold, "tokenizer": name, "field": field, "skip_bad": skip_bad,
                    "against": [_stamps(each) for each in paths[:-1]], "data": _stamps(paths[-1])}  # fmt: skip
            blocks = open_.enter_context(spilled(spill, plan, name, memory=memory // 4))
            limit = memory // 2
        _fill(blocks, reads, field, on_progress)
        workers = workers or num_cores()
        num_counted = decide(blocks, threshold, memory=limit, workers=workers, on_progress=on_progress)
        kept, dropped_for_against = _decided(blocks)
        with ExitStack() as both:  # the report gets its name after the rows, and neither does if one cannot be written
            if report is not None:
                stream = both.enter_context(write_atomically(report))
                found = explain(blocks, threshold, memory=limit, workers=workers, on_progress=on_progress)
                write_report(stream, [each.dataset for each in reads], field, blocks.begins, found)
                stream.flush()
            on_progress("writing", len(kept), len(kept))
            write_kept(read.dataset, read.masks(kept), out)
        wordless = sum(blocks.num_wordless(block) for block in range(blocks.num_against, len(blocks.begins) - 1))
        blocks.delete()
    return DedupReport(
        rows=len(kept),
        kept=int(kept.sum()),
        dropped=int((~kept).sum()),
        dropped_for_against=dropped_for_against,
        num_counted=num_counted,
        wordless=wordless,
        whole=read.dataset.tally.whole,
        skipped=sum(each.dataset.tally.skipped for each in reads),
        problems=tuple(problem for each in reads for problem in each.dataset.tally.told()),
        format=read.dataset.format,
        shards=len(read.dataset.shards),
        out=out,
        report=report,
    )


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


def _fill(blocks: MemoryBlocks | DiskBlocks, reads: Sequence[_Read], field: str, on_progress: OnProgress) -> None:
    """Read all rows into blocks, but for those that are in them since an earlier try."""
    there, done = blocks.num_rows, 0
    for read in reads:
        for texts in read.texts(field):
            new = texts[max(0, there - done) :]
            if new:
                blocks.append(new, against=read is not reads[-1])
            done += len(texts)
            on_progress("reading", done, 0)
    blocks.close()


def _decided(blocks: Blocks) -> tuple[Mask, int]:
    """Which rows are kept, and how many of the others repeat a row of `against`."""
    kept, num_against = [np.zeros(0, dtype=np.bool_)], 0
    for block in range(blocks.num_against, len(blocks.begins) - 1):
        found = blocks.get("kept", block)
        assert found is not None
        kept.append(found.astype(np.bool_))
        against = np.zeros(len(found), dtype=np.bool_)
        for name in blocks.names(block):
            if name.startswith("against-"):
                against |= blocks.get(name, block) == 1
        num_against += int(against.sum())
    return np.concatenate(kept), num_against


def _num_bytes(shard: Shard) -> int:
    """Of text, at most."""
    size = shard.path.stat().st_size
    return size * TABLE_BYTES if shard.container.name == "parquet" else size


def _stamps(paths: Sequence[Path]) -> list[list[str | int]]:
    """By which files are known again."""
    return [[str(path.resolve()), path.stat().st_size, path.stat().st_mtime_ns] for path in paths]

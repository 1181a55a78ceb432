"""The engine of one machine: in memory, or on disk where that is not enough."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from alpaca_cli.dedup.blocks import MemoryBlocks
from alpaca_cli.dedup.job import Found, Job, Mask, Repeats
from alpaca_cli.dedup.join import Blocks, decide, explain
from alpaca_cli.dedup.spill import DiskBlocks, is_stopped, spilled
from alpaca_cli.errors import DataError, UsageError
from alpaca_cli.format.sharded import Shard

MEMORY_A_BYTE = 4
"""What comparing in memory takes, about, for each byte of a file; of words of one letter, twice as much."""
TABLE_BYTES = 4
"""Of text for each byte of a parquet file, which is compressed; a guess."""


@dataclass(frozen=True)
class LocalEngine:
    """Compares in about `memory` bytes: in memory if that is enough, else, or if `spill` is given, in that folder."""

    memory: int
    spill: Path | None
    default_spill: Path
    """Where to spill if no folder is given."""
    on_note: Callable[[str], None]

    def refuse_nested(self, output: Path) -> None:
        """Raises UsageError if an output lies in the folder that is removed in the end, or the other way round."""
        folder, path = (self.spill or self.default_spill).resolve(), output.resolve()
        if folder == path or folder in path.parents or path in folder.parents:
            hint = "name a folder beside it"
            raise UsageError(f"--spill: expected a folder apart from {path}", where=str(folder), hint=hint)

    @contextmanager
    def __call__(self, job: Job) -> Iterator[Found]:
        """The folder goes when the block ends well; after anything else the same job goes on with it."""
        spill = self.spill
        if spill is None and is_stopped(self.default_spill):
            spill = self.default_spill
            self.on_note(f"a run that was stopped goes on in {spill}")
        elif spill is None and MEMORY_A_BYTE * _num_bytes(job) > self.memory:
            spill = self.default_spill
            self.on_note(f"these rows may need more than {self.memory / 1e6:,.0f} MB: compared on disk, in {spill}")
        with ExitStack() as open_:
            blocks: MemoryBlocks | DiskBlocks = MemoryBlocks(job.tokenizer)
            memory = 1 << 62
            if spill is not None:
                blocks = open_.enter_context(spilled(spill, _plan(job), job.tokenizer, memory=self.memory // 4))
                memory = self.memory // 2
            is_new = blocks.num_rows == 0
            try:
                _fill(blocks, job)
            except DataError:  # the same command would come to the same
                blocks.delete()
                raise
            num_counted = decide(blocks, job.threshold, memory=memory, workers=job.workers, on_progress=job.on_progress)
            kept, dropped_for_against = _decided(blocks)
            wordless = sum(map(blocks.num_wordless, range(blocks.num_against, len(blocks.begins) - 1)))
            repeats = _repeats(blocks, job, memory) if job.report else ()
            yield Found(kept, dropped_for_against, wordless, num_counted if is_new else None, repeats)
            blocks.delete()


def _fill(blocks: MemoryBlocks | DiskBlocks, job: Job) -> None:
    """Read all rows into blocks, but for those that are in them since an earlier try."""
    there, done = blocks.num_rows, 0
    for source in job.sources:
        for texts in source.texts():
            new = texts[max(0, there - done) :]
            if new:
                blocks.append(new, against=source is not job.data)
            done += len(texts)
            job.on_progress("reading", done, 0)
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


def _repeats(blocks: Blocks, job: Job, memory: int) -> Repeats:
    found = explain(blocks, job.threshold, memory=memory, workers=job.workers, on_progress=job.on_progress)
    for block, places, numbers, scores in found:
        yield blocks.begins[block] + places, numbers, scores


def _num_bytes(job: Job) -> int:
    return sum(_text_bytes(shard) for source in job.sources for shard in source.dataset.shards)


def _text_bytes(shard: Shard) -> int:
    return shard.num_bytes * (TABLE_BYTES if shard.container.name == "parquet" else 1)


def _plan(job: Job) -> dict[str, Any]:
    """By which a run is known again that was stopped."""
    return {
        "threshold": job.threshold,
        "tokenizer": job.tokenizer,
        "field": job.data.field,
        "skip_bad": job.skip_bad,
        "against": [_stamps(source.paths) for source in job.against],
        "data": _stamps(job.data.paths),
    }


def _stamps(paths: list[Path]) -> list[list[str | int]]:
    return [[str(path.resolve()), path.stat().st_size, path.stat().st_mtime_ns] for path in paths]

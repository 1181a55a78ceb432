"""Which rows of a run are kept, and which kept row each of the others repeats.

Greedy, in order, as self-instruct accepts its tasks: a row is dropped when its F with an earlier row that was kept is
strictly over the threshold.  Not connected components, which would also drop a row whose only similar neighbour was
dropped itself.

The rows come in blocks.  An index takes in the kept rows of block after block until it is as large as it may be; then
every row behind is held against it, and it makes way for the next.  So what is in memory at once is one index and one
block, and of a run that was stopped, what it had found out stands: with `kept` and `near` any cut into indexes gives
the same.

Source: stanford_alpaca generate_instruction.py L184-197 (`max(rouge_scores) > 0.7`: continue).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from alpaca_cli.dedup.index import Index
from alpaca_cli.dedup.job import Mask, OnProgress
from alpaca_cli.dedup.rows import Rows

AT_ONCE = 4096  # rows held against the index as it stands, before they are held against each other


class Blocks(Protocol):
    """The rows of a run in order, a block at a time: first `num_against` blocks that are kept whatever they repeat.

    `begins[i]` is the number of the first row of block i, counted through all blocks; the last entry is their end.
    What is found out is put beside a block under a name, and is there again when a run goes on.
    """

    begins: npt.NDArray[np.int64]

    @property
    def num_against(self) -> int:
        """Blocks that are kept whatever they repeat."""

    def rows(self, block: int) -> Rows:
        """The words of a block's rows."""

    def get(self, name: str, block: int) -> npt.NDArray[Any] | None:
        """What was put there."""

    def put(self, name: str, block: int, found: npt.NDArray[Any]) -> None:
        """Whole or not at all."""

    def names(self, block: int) -> list[str]:
        """All names under which something was put beside a block."""

    def num_wordless(self, block: int) -> int:
        """Rows of a block without a word."""


@dataclass(frozen=True)
class Segment:
    """Some blocks whose kept rows are in one index."""

    index: Index
    first: int
    last: int
    numbers: npt.NDArray[np.int64]
    """Of the rows of the index, through all blocks; ascending."""

    @property
    def name(self) -> str:
        """By which what was found out with it is known."""
        return f"{self.first}-{self.last}"


def decide(
    blocks: Blocks, threshold: float, *, memory: int, workers: int, on_progress: OnProgress = lambda *_: None
) -> int:
    """Put `kept` beside each block, and `against` beside those whose rows were held against the first `num_against`.

    `memory` is the size in bytes from which an index makes way for the next.  Returns how many pairs were counted.
    """
    num_counted = 0
    if all("kept" in blocks.names(block) for block in range(len(blocks.begins) - 1)):
        return num_counted  # a run that goes on; a block's `kept` is put there when all else is known of it
    for segment in _segments(blocks, threshold, memory, workers, on_progress):
        kind = "against" if segment.first < blocks.num_against else "near"
        for block in range(max(segment.last, blocks.num_against), len(blocks.begins) - 1):
            name = f"{kind}-{segment.name}"
            if blocks.get(name, block) is None and blocks.get("kept", block) is None:
                rows, near = blocks.rows(block), _near(blocks, block)
                todo = np.flatnonzero(~near)
                near[:] = False
                near[todo] = segment.index.has_near(rows.take(todo), workers=workers)
                blocks.put(name, block, near)
                on_progress("holding rows against those kept", int(blocks.begins[block + 1]), int(blocks.begins[-1]))
        num_counted += segment.index.num_counted
        del segment  # or the next index would grow beside it
    return num_counted


def explain(
    blocks: Blocks, threshold: float, *, memory: int, workers: int, on_progress: OnProgress = lambda *_: None
) -> Iterator[tuple[int, npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.float64]]]:
    """Of each block behind those of `against`, when all are decided: the rows that were dropped, and what they repeat.

    Yields (block, places in it, numbers of the kept rows through all blocks, F): the most similar of the kept rows
    before it, and the first of equals.
    """
    for segment in _segments(blocks, threshold, memory, workers, on_progress):
        for block in range(max(segment.first, blocks.num_against), len(blocks.begins) - 1):
            if blocks.get(f"numbers-{segment.name}", block) is None:
                dropped = _dropped(blocks, block)
                before = np.searchsorted(segment.numbers, blocks.begins[block] + dropped)
                rows = blocks.rows(block).take(dropped)
                places, scores = segment.index.nearest(rows, before=before.astype(np.int64), workers=workers)
                found = (
                    np.where(places < 0, -1, segment.numbers[np.maximum(places, 0)]) if len(segment.numbers) else places
                )
                blocks.put(f"scores-{segment.name}", block, scores)
                blocks.put(f"numbers-{segment.name}", block, found)
                on_progress("finding what they repeat", int(blocks.begins[block + 1]), int(blocks.begins[-1]))
        del segment  # as in `decide`
    for block in range(blocks.num_against, len(blocks.begins) - 1):
        dropped = _dropped(blocks, block)
        numbers, scores = np.full(len(dropped), -1, dtype=np.int64), np.zeros(len(dropped))
        for name in blocks.names(block):
            if name.startswith("numbers-"):
                others = blocks.get(name, block)
                other_scores = blocks.get(name.replace("numbers", "scores"), block)
                assert others is not None
                assert other_scores is not None
                better = (other_scores > scores) | ((other_scores == scores) & (others >= 0) & (others < numbers))
                numbers, scores = np.where(better, others, numbers), np.where(better, other_scores, scores)
        yield block, dropped, numbers, scores


def _segments(
    blocks: Blocks, threshold: float, memory: int, workers: int, on_progress: OnProgress
) -> Iterator[Segment]:
    """Indexes of the kept rows, which are decided where they were not; rows of `against` have indexes of their own."""
    block, num_blocks = 0, len(blocks.begins) - 1
    while block < num_blocks:
        index, first, numbers = Index(threshold), block, []
        end = blocks.num_against if block < blocks.num_against else num_blocks
        while block < end and (block == first or index.num_bytes < memory):
            numbers.append(blocks.begins[block] + np.flatnonzero(_fill(index, blocks, block, workers)))
            block += 1
            on_progress("comparing rows", int(blocks.begins[block]), int(blocks.begins[-1]))
        yield Segment(index, first, block, np.concatenate(numbers))


def _fill(index: Index, blocks: Blocks, block: int, workers: int) -> Mask:
    """Which rows of a block are kept, and put them into the index.  All indexes before were held against the block."""
    rows = blocks.rows(block)
    kept = blocks.get("kept", block)
    if kept is None and block < blocks.num_against:
        kept = np.ones(len(rows), dtype=np.bool_)
        blocks.put("kept", block, kept)
    if kept is not None:
        index.add(rows.take(np.flatnonzero(kept)))
        return kept.astype(np.bool_)
    found = np.zeros(len(rows), dtype=np.bool_)
    todo = np.flatnonzero(~_near(blocks, block))
    for begin in range(0, len(todo), AT_ONCE):
        some = todo[begin : begin + AT_ONCE]
        found[some] = index.admit(rows.take(some), workers=workers)
    blocks.put("kept", block, found)
    return found


def _near(blocks: Blocks, block: int) -> Mask:
    """Which rows of a block are known to repeat a kept row of another."""
    near = np.zeros(int(blocks.begins[block + 1] - blocks.begins[block]), dtype=np.bool_)
    for name in blocks.names(block):
        if name.startswith(("near-", "against-")):
            found = blocks.get(name, block)
            assert found is not None
            near |= found.astype(np.bool_)
    return near


def _dropped(blocks: Blocks, block: int) -> npt.NDArray[np.int64]:
    kept = blocks.get("kept", block)
    assert kept is not None
    return np.flatnonzero(kept == 0)

"""Which rows are kept and what the others repeat, in memory and on disk, against a slow loop over rouge_score."""

from __future__ import annotations

import tempfile
import weakref
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alpaca_cli.dedup import join
from alpaca_cli.dedup.blocks import MemoryBlocks
from alpaca_cli.dedup.index import Index
from alpaca_cli.dedup.job import Mask
from alpaca_cli.dedup.join import decide, explain
from alpaca_cli.dedup.rows import Rows
from alpaca_cli.dedup.spill import DiskBlocks
from slow_dedup import SCORER, TEXTS, THRESHOLDS, Fate, slow

pytestmark = pytest.mark.usefixtures("each_way")


def fates(
    blocks: MemoryBlocks | DiskBlocks,
    texts: Sequence[str],
    threshold: float,
    against: Sequence[str],
    *,
    at_once: int = 3,
    memory: int = 1,
    workers: int = 1,
) -> list[Fate]:
    """What becomes of each text."""
    for begin in range(0, len(against), at_once):
        blocks.append(list(against[begin : begin + at_once]), against=True)
    for begin in range(0, len(texts), at_once):
        blocks.append(list(texts[begin : begin + at_once]))
    blocks.close()
    decide(blocks, threshold, memory=memory, workers=workers)
    found: list[Fate] = [None] * len(texts)
    for block, places, numbers, scores in explain(blocks, threshold, memory=memory, workers=workers):
        for place, number, score in zip(places.tolist(), numbers.tolist(), scores.tolist(), strict=True):
            row = int(blocks.begins[block]) + place - len(against)
            found[row] = (number - len(against) if number >= len(against) else -1 - number, score)
    return found


@settings(deadline=None)
@given(
    texts=TEXTS,
    against=TEXTS,
    threshold=THRESHOLDS,
    at_once=st.integers(1, 9),
    memory=st.sampled_from([1, 1 << 60]),
    workers=st.integers(1, 2),
)
def test_in_memory_every_row_fares_as_in_a_slow_loop(
    texts: list[str], against: list[str], threshold: float, at_once: int, memory: int, workers: int
) -> None:
    blocks = MemoryBlocks("rouge")
    found = fates(blocks, texts, threshold, against, at_once=at_once, memory=memory, workers=workers)
    assert found == slow(texts, threshold, against)


@settings(deadline=None, max_examples=15)
@given(
    texts=TEXTS,
    against=TEXTS,
    threshold=THRESHOLDS,
    block=st.sampled_from([1, 800, 5000]),
    memory=st.sampled_from([1, 1 << 60]),
)
def test_on_disk_every_row_fares_as_in_a_slow_loop(
    texts: list[str], against: list[str], threshold: float, block: int, memory: int
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        blocks = DiskBlocks(Path(folder), "rouge", memory=block)
        assert fates(blocks, texts, threshold, against, memory=memory) == slow(texts, threshold, against)


def fates_of(texts: list[str], threshold: float = 0.7) -> list[Fate]:
    return fates(MemoryBlocks("rouge"), texts, threshold, [])


def test_a_text_whose_only_neighbour_was_dropped_is_kept() -> None:
    first, second, third = "a b c d e", "a b c d x", "a b c x y"
    near = SCORER.score(first, second)["rougeL"].fmeasure
    assert near > 0.7
    assert fates_of([first, second, third]) == [None, (0, near), None]
    assert fates_of([second, third]) == [None, (0, near)]


def test_what_is_dropped_repeats_the_most_similar_and_the_first_of_equals() -> None:
    near = SCORER.score("a b c x", "a b c x y")["rougeL"].fmeasure
    assert fates_of(["a b c d", "a b c x", "a b c x y", "a b c y"], 0.75) == [None, None, (1, near), None]
    assert fates_of(["a b c d", "a b c x", "a b c y"]) == [None, (0, 0.75), (0, 0.75)]


def test_ties_are_kept() -> None:
    assert fates_of(["a b c d", "a b c x"], 0.75) == [None, None]
    assert fates_of(["a b c d", "a b c x"], 0.7499) == [None, (0, 0.75)]
    assert fates_of(["a b", "a b", "A, B!"], 1.0) == [None, None, None]


def test_texts_without_words_repeat_nothing() -> None:
    assert fates_of(["", "", "…", "写诗", "写诗"]) == [None] * 5


def test_one_index_at_a_time_is_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    alive, most = weakref.WeakSet[Index](), 0

    class Counted(Index):
        def __init__(self, threshold: float) -> None:
            super().__init__(threshold)
            alive.add(self)

        def add(self, rows: Rows) -> None:
            nonlocal most
            most = max(most, len(alive))
            super().add(rows)

        def admit(self, rows: Rows, *, workers: int = 1) -> Mask:
            nonlocal most
            most = max(most, len(alive))
            return super().admit(rows, workers=workers)

    monkeypatch.setattr(join, "Index", Counted)
    texts = [f"{word}{number} {word} x y" for number in range(6) for word in ("red", "blue")]
    assert fates(MemoryBlocks("rouge"), texts, 0.9, [], memory=1) == [None] * 12
    assert most == 1


def test_progress_says_what_is_done_and_of_how_many_rows() -> None:
    blocks, heard = MemoryBlocks("rouge"), list[tuple[str, int, int]]()
    for number in range(4):
        blocks.append([f"a b c {number}", f"d e f {number}"])
    blocks.close()
    decide(blocks, 0.7, memory=1, workers=1, on_progress=lambda *words: heard.append(words))
    assert [done for what, done, rows in heard if what == "comparing rows"] == [2, 4, 6, 8]
    assert {rows for _, _, rows in heard} == {8}

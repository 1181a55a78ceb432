"""The index, compiled and plain, against rouge_score over all pairs."""

from __future__ import annotations

import ctypes
import random
from array import array
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rouge_score.rouge_scorer import _score_lcs

from alpaca_cli.dedup import kernel
from alpaca_cli.dedup.encode import Encoder, ranked
from alpaca_cli.dedup.index import CHUNK, Index, parts_of
from alpaca_cli.dedup.rows import Rows
from slow_dedup import TEXTS, THRESHOLDS, TOKENIZER, slow

COMPILED = kernel.LIBRARY


pytestmark = pytest.mark.usefixtures("each_way")


def test_the_kernel_was_compiled() -> None:
    """Where there is a compiler; otherwise half of these tests would pass for nothing."""
    assert isinstance(COMPILED, ctypes.CDLL)


def test_a_library_of_other_sources_is_not_called(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert COMPILED is not None
    assert isinstance(kernel.load(Path(COMPILED._name)), ctypes.CDLL)
    monkeypatch.setattr(kernel, "VERSION", kernel.VERSION + 1)
    assert kernel.load(Path(COMPILED._name)) is None
    assert kernel.load(tmp_path / "none.so") is None
    (tmp_path / "text.so").write_text("no library")
    assert kernel.load(tmp_path / "text.so") is None


def encoded(texts: list[str]) -> Rows:
    encoder = Encoder("rouge")
    return encoder.number(texts).coded(ranked(encoder.vocabulary.counts()))


def scores(texts: list[str]) -> npt.NDArray[np.float64]:
    """F of all pairs by rouge_score."""
    words = [TOKENIZER.tokenize(text) for text in texts]
    table = np.zeros((len(texts), len(texts)))
    for i, a in enumerate(words):
        for j, b in enumerate(words[: i + 1]):
            table[i, j] = table[j, i] = _score_lcs(a, b).fmeasure if a and b else 0.0
    return table


@settings(deadline=None)
@given(texts=TEXTS, threshold=THRESHOLDS)
def test_near_nearest_and_has_near_are_those_of_rouge_score(texts: list[str], threshold: float) -> None:
    rows, table = encoded(texts), scores(texts)
    index = Index(threshold)
    index.add(rows)
    assert len(index) == len(texts)

    near = table > threshold
    np.testing.assert_array_equal(index.has_near(rows), near.any(axis=1))
    starts, numbers = index.near(rows, limit=len(texts) + 1)
    assert [numbers[starts[i] : starts[i + 1]].tolist() for i in range(len(texts))] == [
        np.flatnonzero(row).tolist() for row in near
    ]
    best = [int(row.argmax()) if row.max() > threshold else -1 for row in table]
    numbers, found = index.nearest(rows)
    assert numbers.tolist() == best
    assert found.tolist() == [table[i, j] if j >= 0 else 0.0 for i, j in enumerate(best)]


@settings(deadline=None)
@given(texts=TEXTS, threshold=THRESHOLDS, data=st.data())
def test_only_rows_before_are_found_and_the_lowest_of_them(
    texts: list[str], threshold: float, data: st.DataObject
) -> None:
    rows, near = encoded(texts), scores(texts) > threshold
    before = np.array([data.draw(st.integers(0, len(texts))) for _ in texts], dtype=np.int64)
    limit = data.draw(st.integers(1, 3))
    index = Index(threshold)
    index.add(rows)

    wanted = [np.flatnonzero(row[:end]).tolist() for row, end in zip(near, before, strict=True)]
    starts, numbers = index.near(rows, limit=limit, before=before)
    assert [numbers[starts[i] : starts[i + 1]].tolist() for i in range(len(texts))] == [row[:limit] for row in wanted]
    assert index.has_near(rows, before=before).tolist() == [bool(row) for row in wanted]


@settings(deadline=None)
@given(texts=TEXTS, threshold=THRESHOLDS, num_parts=st.integers(2, 7))
def test_the_parts_find_together_what_the_whole_finds(texts: list[str], threshold: float, num_parts: int) -> None:
    rows, near = encoded(texts), scores(texts) > threshold
    places, parts = parts_of(rows, threshold, num_parts)
    assert sorted({*zip(places.tolist(), parts.tolist(), strict=True)}) == list(
        zip(places.tolist(), parts.tolist(), strict=True)
    )
    found = np.zeros_like(near)
    for part in range(num_parts):
        own = places[parts == part]
        index = Index(threshold, part=part, parts=num_parts)
        index.add(rows.take(own))
        starts, numbers = index.near(rows.take(own), limit=len(texts) + 1)
        found[np.repeat(own, np.diff(starts)), own[numbers]] = True
    np.testing.assert_array_equal(found, near)


@settings(deadline=None)
@given(texts=TEXTS, threshold=THRESHOLDS, num_parts=st.integers(1, 7), data=st.data())
def test_machines_with_and_without_a_compiler_find_the_same_together(
    texts: list[str], threshold: float, num_parts: int, data: st.DataObject
) -> None:
    rows, near = encoded(texts), scores(texts) > threshold
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kernel, "LIBRARY", None)
        plain_places, plain_parts = parts_of(rows, threshold, num_parts)
        patch.setattr(kernel, "LIBRARY", COMPILED)
        places, parts = parts_of(rows, threshold, num_parts)
        assert places.tolist() == plain_places.tolist()
        assert parts.tolist() == plain_parts.tolist()

        found = np.zeros_like(near)
        for part in range(num_parts):
            patch.setattr(kernel, "LIBRARY", data.draw(st.sampled_from([COMPILED, None])))
            own = places[parts == part]
            index = Index(threshold, part=part, parts=num_parts)
            index.add(rows.take(own))
            starts, numbers = index.near(rows.take(own), limit=len(texts) + 1)
            found[np.repeat(own, np.diff(starts)), own[numbers]] = True
        np.testing.assert_array_equal(found, near)


@settings(deadline=None)
@given(texts=TEXTS, threshold=THRESHOLDS, workers=st.integers(1, 3), at_once=st.integers(1, 5))
def test_what_is_admitted_is_near_nothing_admitted_before(
    texts: list[str], threshold: float, workers: int, at_once: int
) -> None:
    rows, near = encoded(texts), scores(texts) > threshold
    index, admitted = Index(threshold), list[bool]()
    for begin in range(0, len(texts), at_once):
        admitted += index.admit(rows.slice(begin, min(begin + at_once, len(texts))), workers=workers).tolist()
    expected = list[bool]()
    for i in range(len(texts)):
        expected.append(not any(near[i, j] for j in range(i) if expected[j]))
    assert admitted == expected
    assert len(index) == sum(expected)


def test_rows_of_hundreds_of_words_and_of_more_than_a_posting_can_say() -> None:
    rng = random.Random(5)
    long = [rng.choice("abcdefgh") * rng.randint(1, 3) for _ in range(600)]
    texts = [" ".join(long), " ".join(long[::2]), " ".join([*long[:400], *long[480:]]), " ".join(reversed(long))]
    rows, table = encoded(texts), scores(texts)
    for threshold in (0.3, 0.6, 0.66, 0.7, 0.9):
        index = Index(threshold)
        index.add(rows)
        starts, numbers = index.near(rows, limit=9)
        assert [numbers[starts[i] : starts[i + 1]].tolist() for i in range(4)] == [
            np.flatnonzero(row > threshold).tolist() for row in table
        ]
    huge = np.arange(70_000, dtype=np.uint64)
    rows = Rows.of([[*huge, 1, 2, 3], huge[:66_000], huge[:40_000], [5]])
    index = Index(0.7)
    index.add(rows)
    assert index.nearest(rows, before=np.arange(4))[0].tolist() == [-1, 0, 1, -1]


def test_many_rows_under_a_word_at_thresholds_of_almost_nothing() -> None:
    rows = Rows.of([[1, 100 + row, 200 + row] for row in range(100)])
    for threshold in (1e-9, 1e-19, 1e-300, 5e-324):
        index = Index(threshold)
        index.add(rows)
        assert index.near(Rows.of([[7, 1]]), limit=200)[1].tolist() == list(range(100))


def test_any_number_of_workers_finds_the_same() -> None:
    rng = random.Random(2)
    texts = [" ".join(rng.choices("abcdefghijklmnop", k=rng.randint(3, 12))) for _ in range(2 * CHUNK + 7)]
    rows = encoded(texts)
    asked: dict[int, list[npt.NDArray[np.generic]]] = {}
    for workers in (1, 2, 5):
        index = Index(0.6)
        asked[workers] = [index.admit(rows, workers=workers), index.has_near(rows, workers=workers)]
        asked[workers] += [*index.nearest(rows, workers=workers), *index.near(rows, limit=2, workers=workers)]
    for found in (asked[2], asked[5]):
        assert all(np.array_equal(mine, first) for mine, first in zip(found, asked[1], strict=True))


def test_the_order_of_words_and_their_codes_do_not_matter() -> None:
    rng = random.Random(3)
    texts = [" ".join(rng.choices("abcdefghij", k=rng.randint(2, 9))) for _ in range(200)]
    plain = encoded(texts)
    orders: list[Callable[[npt.NDArray[np.uint64]], npt.NDArray[np.uint64]]] = [
        lambda codes: codes,
        lambda codes: np.uint64(2**64 - 1) - codes,
        lambda codes: codes * np.uint64(0x9E3779B97F4A7C15),
    ]
    found = []
    for order in orders:
        index = Index(0.65)
        found.append(index.admit(Rows(order(plain.codes), plain.starts)).tolist())
    assert found[0] == found[1] == found[2]


def test_an_empty_index_and_no_rows() -> None:
    none, some = Rows.of([]), Rows.of([[1, 2], []])
    index = Index(0.7)
    assert index.has_near(some).tolist() == [False, False]
    assert index.admit(none).tolist() == []
    assert index.nearest(none)[0].tolist() == []
    assert index.admit(some).tolist() == [True, True]
    assert index.admit(some).tolist() == [False, True]
    assert parts_of(Rows.of([[], [1]]), 0.7, 3)[0].tolist() == [1]
    assert index.num_bytes > 0


@settings(deadline=None)
@given(texts=TEXTS, threshold=THRESHOLDS)
def test_rows_admitted_one_by_one_fare_as_in_a_slow_loop(texts: list[str], threshold: float) -> None:
    rows, index, kept = encoded(texts), Index(threshold), list[int]()
    for i, fate in enumerate(slow(texts, threshold)):
        found = index.admit_one(array("Q", rows.codes[rows.starts[i] : rows.starts[i + 1]].tolist()))
        assert (found and (kept[found[0]], found[1])) == fate
        if fate is None:
            kept.append(i)
    assert len(index) == len(kept)

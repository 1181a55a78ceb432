"""The scores of texts with all before them: the compiled way and the plain one, against the textbook's table."""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alpaca_cli.dedup import kernel
from alpaca_cli.dedup import scores as scores_module
from alpaca_cli.dedup.scores import MOST_WORDS, Nearest, Scores

WAYS = ["plain", *(["compiled"] if kernel.LIBRARY is not None else [])]
TEXTS = st.lists(st.lists(st.integers(0, 5), max_size=12), max_size=40)


def scores(texts: Sequence[Sequence[int]]) -> Scores:
    codes = np.array([code for text in texts for code in text], dtype=np.uint32)
    return Scores(codes, np.cumsum([0, *map(len, texts)]))


def slow_f(a: Sequence[int], b: Sequence[int]) -> float:
    above = [0] * (len(b) + 1)
    for word in a:
        row = [0]
        for place, other in enumerate(b):
            row.append(above[place] + 1 if word == other else max(above[place + 1], row[place]))
        above = row
    if not above[-1]:
        return 0.0
    precision, recall = above[-1] / len(a), above[-1] / len(b)
    return 2 * precision * recall / (precision + recall)


def slow_scores(texts: Sequence[Sequence[int]]) -> list[list[float]]:
    return [[slow_f(text, other) for other in texts[:number]] for number, text in enumerate(texts)]


def slow_nearest(expected: Sequence[float], count: int) -> Nearest:
    order = sorted(range(len(expected)), key=lambda number: (-expected[number], number))[:count]
    mean = float(np.array(expected).mean()) if expected else 0.0
    return Nearest(order, [expected[number] for number in order], mean)


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "plain":
        monkeypatch.setattr(kernel, "LIBRARY", None)
    return str(request.param)


@pytest.mark.parametrize("way", WAYS)
@settings(deadline=None, max_examples=60)
@given(TEXTS, st.integers(0, 12), st.integers(1, 9), st.integers(1, 6), st.integers(1, 4), st.data())
def test_scores_and_nearest_are_those_of_a_slow_computation(
    way: str, texts: list[list[int]], count: int, block: int, words: int, column: int, data: st.DataObject
) -> None:
    """However the texts are cut into blocks and groups, and wherever one begins."""
    begin = data.draw(st.integers(0, len(texts)))
    end = data.draw(st.integers(begin, len(texts)))
    expected = slow_scores(texts)[begin:end]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scores_module, "TEXTS_AT_ONCE", block)
        patch.setattr(scores_module, "_WORDS_OF_A_GROUP", words)
        patch.setattr(scores_module, "_COLUMN", column)
        if way == "plain":
            patch.setattr(kernel, "LIBRARY", None)
        found = scores(texts)
        assert [each.tolist() for each in found.each(begin, end)] == expected
        assert list(found.nearest(begin, end, count)) == [slow_nearest(each, count) for each in expected]


def test_texts_at_the_edges_of_machine_words_are_exact(way: str) -> None:
    lengths = [0, 1, 15, 16, 17, 31, 32, 33, MOST_WORDS - 1, MOST_WORDS, MOST_WORDS + 1, 130]
    rng = random.Random(0)
    texts = [[rng.randrange(kinds) for _ in range(length)] for length in lengths for kinds in (1, 3, 300)]
    texts += [list(range(length)) for length in lengths]
    rng.shuffle(texts)
    found, expected = scores(texts), slow_scores(texts)
    assert [each.tolist() for each in found.each(0, len(texts))] == expected
    assert list(found.nearest(0, len(texts), 10)) == [slow_nearest(each, 10) for each in expected]


@pytest.mark.parametrize("words", [253, 254, 255, 300])
def test_a_text_of_more_words_than_a_byte_holds_is_exact(way: str, words: int) -> None:
    texts = [[0, 1, 2], list(range(words)), list(range(1, words)), [70000], list(range(words))[::-1], [5, 70000, 6]]
    assert [each.tolist() for each in scores(texts).each(0, len(texts))] == slow_scores(texts)


def test_counts_beyond_a_byte_are_exact(way: str) -> None:
    texts = [[1] * 255, [1] * 256, [1] * 300, [1, 2] * 300]
    assert [each.tolist() for each in scores(texts).each(0, len(texts))] == slow_scores(texts)


def test_the_mean_is_added_up_as_numpy_does_to_the_last_bit(way: str) -> None:
    """Up to sizes that it halves more than once, with odd rests."""
    rng = random.Random(1)
    texts = [[rng.randrange(30) for _ in range(rng.randrange(1, 20))] for _ in range(1500)]
    found = scores(texts)
    means = [nearest.mean for nearest in found.nearest(0, len(texts), 3)]
    assert means == [0.0, *(float(each.mean()) for each in found.each(1, len(texts)))]
    assert len(set(means)) > 1400


@pytest.mark.skipif(kernel.LIBRARY is None, reason="nothing was compiled")
def test_both_ways_agree_on_a_thousand_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = random.Random(2)
    texts = [[int(rng.random() ** 3 * 500) for _ in range(rng.randrange(0, 70))] for _ in range(1000)]
    first = list(scores(texts).nearest(0, len(texts), 10))
    monkeypatch.setattr(kernel, "LIBRARY", None)
    assert list(scores(texts).nearest(0, len(texts), 10)) == first
    assert sum(each.scores[0] > 0.3 for each in first[1:]) > 100


def test_an_iterator_that_is_left_early_ends_its_threads(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scores_module, "TEXTS_AT_ONCE", 4)
    reading = scores([[1, 2], [2, 3], [1, 3]] * 20).nearest(0, 60, 2)
    assert next(reading) == Nearest([], [], 0.0)
    assert next(reading) == Nearest([0], [0.5], 0.5)
    reading.close()  # type: ignore[attr-defined]
    assert next(reading, None) is None


def test_no_texts_have_no_scores(way: str) -> None:
    found = scores([])
    assert (list(found.each(0, 0)), list(found.nearest(0, 0, 10))) == ([], [])
    assert list(scores([[], []]).nearest(0, 2, 10)) == [Nearest([], [], 0.0), Nearest([0], [0.0], 0.0)]

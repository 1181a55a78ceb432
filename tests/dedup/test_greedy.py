"""Greedy near-duplicate removal against a slow loop over rouge_score."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st
from rouge_score import rouge_scorer

from alpaca_cli.dedup.greedy import PROGRESS_TEXTS, Repeat, find_repeats

SCORER = rouge_scorer.RougeScorer(["rougeL"], use_stemmer=False)
TEXTS = st.lists(st.lists(st.sampled_from(["red", "blue", "sun", "moon"]), max_size=7).map(" ".join), max_size=14)


def slow(texts: list[str], threshold: float, against: list[str]) -> list[Repeat | None]:
    """What is found, by a loop over all that is kept."""
    kept = [(-1 - number, text) for number, text in enumerate(against)]
    found: list[Repeat | None] = []
    for index, text in enumerate(texts):
        scores = [SCORER.score(other, text)["rougeL"].fmeasure for _, other in kept]
        best = max(scores, default=0.0)
        if best > threshold:
            found.append(Repeat(kept[scores.index(best)][0], best))
        else:
            found.append(None)
            kept.append((index, text))
    return found


@settings(deadline=None)
@given(texts=TEXTS, against=TEXTS, threshold=st.sampled_from([0.1, 0.5, 0.6, 0.7, 0.8, 1.0]))
def test_every_text_fares_as_in_a_slow_loop(texts: list[str], against: list[str], threshold: float) -> None:
    assert find_repeats(texts, threshold=threshold, against=against) == slow(texts, threshold, against)


def test_a_text_whose_only_neighbour_was_dropped_is_kept() -> None:
    first, second, third = "a b c d e", "a b c d x", "a b c x y"
    near = SCORER.score(first, second)["rougeL"].fmeasure
    assert near > 0.7
    assert find_repeats([first, second, third]) == [None, Repeat(0, near), None]
    assert find_repeats([second, third]) == [None, Repeat(0, near)]


def test_what_is_dropped_repeats_the_most_similar_and_the_first_of_equals() -> None:
    near = SCORER.score("a b c x", "a b c x y")["rougeL"].fmeasure
    texts = ["a b c d", "a b c x", "a b c x y", "a b c y"]
    assert find_repeats(texts, threshold=0.75) == [None, None, Repeat(1, near), None]
    assert find_repeats(["a b c d", "a b c x", "a b c y"], threshold=0.7) == [None, Repeat(0, 0.75), Repeat(0, 0.75)]


def test_ties_are_kept() -> None:
    assert find_repeats(["a b c d", "a b c x"], threshold=0.75) == [None, None]
    assert find_repeats(["a b c d", "a b c x"], threshold=0.7499) == [None, Repeat(0, 0.75)]
    assert find_repeats(["a b", "a b", "A, B!"], threshold=1.0) == [None, None, None]


def test_texts_without_words_repeat_nothing() -> None:
    assert find_repeats(["", "", "…", "写诗", "写诗"]) == [None] * 5
    assert find_repeats(["写诗", "写诗"], tokenizer="unicode") == [None, Repeat(0, 1.0)]


def test_texts_kept_already_are_counted_down_from_minus_one() -> None:
    found = find_repeats(["x y z", "a b c", "d e f"], against=["a b c", "d e f", "a b c"])
    assert found == [None, Repeat(-1, 1.0), Repeat(-2, 1.0)]


def test_nothing_among_nothing() -> None:
    assert find_repeats([]) == find_repeats([], against=["a"]) == []


def test_many_texts_fare_as_in_a_slow_loop() -> None:
    rng = random.Random(7)
    words = [f"w{number}" for number in range(9)]
    texts = [" ".join(rng.choices(words, k=rng.randrange(3, 6))) for _ in range(600)]
    against = [" ".join(rng.choices(words, k=4)) for _ in range(20)]
    found = find_repeats(texts, against=against)
    assert found == slow(texts, 0.7, against)
    assert any(repeat and repeat.source < 0 for repeat in found)
    assert any(repeat and 0 <= repeat.source < index - 300 for index, repeat in enumerate(found))


def test_a_repeat_is_found_however_far_back() -> None:
    texts = [f"text number{index} of word{index} kind{index}" for index in range(3000)]
    texts[-1], texts[900] = texts[0], texts[899]
    found = find_repeats(texts)
    assert {index: repeat for index, repeat in enumerate(found) if repeat} == {
        900: Repeat(899, 1.0),
        2999: Repeat(0, 1.0),
    }


def test_progress_is_told_now_and_at_the_end() -> None:
    heard: list[int] = []
    find_repeats(["a"] * (PROGRESS_TEXTS + 3), on_progress=heard.append)
    assert heard == [PROGRESS_TEXTS, PROGRESS_TEXTS + 3]

"""The pool against a double loop over a textbook table of common subsequences."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alpaca_cli.dedup import kernel, plain
from alpaca_cli.dedup.pool import Match, Neighbours, Pool
from alpaca_cli.dedup.rouge import TOKENIZERS

WORDS = st.lists(st.sampled_from(["a", "b", "c", "dd", "eee", "f1"]), max_size=40)
LONG = st.tuples(WORDS, st.integers(1, 8)).map(lambda part: (part[0] * part[1])[:200])
THRESHOLDS = st.sampled_from([0.01, 0.3, 0.5, 0.6, 2 / 3, 0.7, 0.75, 0.8, 1.0])
TEXTS = st.one_of(st.just(""), st.just("a"), WORDS.map(" ".join), LONG.map(" ".join), st.text(max_size=20))


def slow_lcs(a: Sequence[str], b: Sequence[str]) -> int:
    """The length of the longest common subsequence, by the table of every textbook."""
    table = [[0] * (len(b) + 1) for _ in range(len(a) + 1)]
    for i, left in enumerate(a):
        for j, right in enumerate(b):
            table[i + 1][j + 1] = table[i][j] + 1 if left == right else max(table[i][j + 1], table[i + 1][j])
    return table[-1][-1]


def slow_words(text: str) -> list[str]:
    """The words of a text by their definition: runs of a-z and 0-9 of the lower-cased text."""
    return "".join(
        letter if letter in "abcdefghijklmnopqrstuvwxyz0123456789" else " " for letter in text.lower()
    ).split()


def slow_f(a: str, b: str) -> float:
    """ROUGE-L F of two texts by its definition."""
    ours, theirs = slow_words(a), slow_words(b)
    lcs = slow_lcs(ours, theirs)
    if not lcs:
        return 0.0
    precision, recall = lcs / len(ours), lcs / len(theirs)
    return 2 * precision * recall / (precision + recall)


def filled(*texts: str) -> Pool:
    pool = Pool()
    pool.extend(texts)
    return pool


def scores(pool: Pool) -> list[list[float]]:
    """Of each text against those before it."""
    return [each.tolist() for each in pool.scores(0, len(pool))]


def slow_scores(texts: Sequence[str]) -> list[list[float]]:
    return [[slow_f(text, other) for other in texts[:number]] for number, text in enumerate(texts)]


@settings(deadline=None)
@given(st.lists(TEXTS, max_size=6), st.lists(TEXTS, max_size=5), THRESHOLDS)
def test_a_pool_that_grows_judges_as_a_double_loop(seeds: list[str], news: list[str], threshold: float) -> None:
    pool, kept = filled(*seeds), list(seeds)
    for text in news:
        expected = [slow_f(text, other) for other in kept]
        best = max(expected, default=0.0)
        match = pool.admit(text, threshold)
        if best > threshold:
            assert match == Match(expected.index(best), best)
        else:
            assert match is None
            kept.append(text)
        assert len(pool) == len(kept)
    assert scores(pool) == slow_scores(kept)


NEAR = st.lists(st.sampled_from("abcdefghijklmnop"), min_size=1, max_size=14)


@settings(deadline=None, max_examples=200)
@given(
    NEAR, st.lists(st.tuples(st.integers(0, 14), st.sampled_from(["", "a", "b", "x", "b c"])), max_size=40), THRESHOLDS
)
def test_no_repeat_is_missed_among_texts_that_differ_in_a_word_or_two(
    words: list[str], edits: list[tuple[int, str]], threshold: float
) -> None:
    texts = [" ".join([*words[:place], word, *words[place + 1 :]]) for place, word in edits]
    pool, kept = filled(), list[str]()
    for text in texts:
        expected = [slow_f(text, other) for other in kept]
        best = max(expected, default=0.0)
        found = pool.admit(text, threshold)
        assert found == (Match(expected.index(best), best) if best > threshold else None)
        if found is None:
            kept.append(text)
    assert len(pool) == len(kept)


@settings(deadline=None)
@given(st.lists(TEXTS, max_size=12), st.data())
def test_any_run_of_texts_can_be_scored_at_any_time(texts: list[str], data: st.DataObject) -> None:
    begin = data.draw(st.integers(0, len(texts)))
    end = data.draw(st.integers(begin, len(texts)))
    pool = filled(*texts)
    expected = slow_scores(texts)[begin:end]
    assert [each.tolist() for each in pool.scores(begin, end)] == expected
    pool.extend(["b a", "later texts change nothing"])
    assert [each.tolist() for each in pool.scores(begin, end)] == expected


@settings(deadline=None)
@given(st.lists(TEXTS, max_size=14), st.integers(1, 12))
def test_the_nearest_and_the_mean_are_those_of_a_slow_computation(texts: list[str], count: int) -> None:
    found = list(filled(*texts).neighbours(0, len(texts), count))
    for neighbours, expected in zip(found, slow_scores(texts), strict=True):
        order = sorted(range(len(expected)), key=lambda number: (-expected[number], number))[:count]
        assert neighbours.nearest == tuple(Match(number, expected[number]) for number in order)
        assert neighbours.mean == pytest.approx(sum(expected) / len(expected) if expected else 0.0, abs=1e-12)


@settings(deadline=None)
@given(st.lists(TEXTS, max_size=8), st.integers(1, 5), THRESHOLDS)
def test_words_beyond_the_code_points_are_compared_all_the_same(
    texts: list[str], code_points: int, threshold: float
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kernel, "LIBRARY", None)
        patch.setattr(plain, "_CODE_POINTS", code_points)
        pool, kept = filled(), list[str]()
        for text in texts:
            expected = [slow_f(text, other) for other in kept]
            best = max(expected, default=0.0)
            match = pool.admit(text, threshold)
            assert match == (Match(expected.index(best), best) if best > threshold else None)
            if match is None:
                kept.append(text)
        assert scores(pool) == slow_scores(kept)


@pytest.mark.parametrize("words", [1, 3, 253, 254, 255, 256, 300])
def test_texts_of_many_words_are_scored_alone_and_exactly(words: int) -> None:
    """254 words fit bytes beside the end of a text and all other words; a text of more is compared as it is."""
    long = [f"w{number}" for number in range(words)]
    texts = ["w0 w1 w2", " ".join(long), " ".join(long[1:]), "new", " ".join(reversed(long)), " ".join(long[::2])]
    assert scores(filled(*texts)) == slow_scores(texts)


def test_a_vocabulary_larger_than_unicode_is_no_limit() -> None:
    """0x110000 different words are in the pool before the last texts come; some stand for half a character."""
    texts = [" ".join(f"{word:x}" for word in range(begin, begin + 0x1000)) for begin in range(0, 0x110000, 0x1000)]
    pool = filled(*texts)
    news = ["the words zzza zzzb come after d7ff d800 dfff", "zzzb zzza new", "10ffff zzzb", "the new words"]
    for text in news:
        assert pool.admit(text, 0.7) is None
    for index, found in enumerate(pool.scores(len(texts), len(pool))):
        for number in (0x0D, 0x10F):
            assert found[number] == slow_f(news[index], texts[number])
        assert found[len(texts) :].tolist() == [slow_f(news[index], other) for other in news[:index]]
    repeated = pool.admit("the words zzza zzzb come after d7ff d800", 0.7)
    assert repeated == Match(len(texts), slow_f(news[0], "the words zzza zzzb come after d7ff d800"))


def test_texts_of_more_than_a_machine_word_are_exact() -> None:
    words = [f"w{number}" for number in range(200)]
    for length in (63, 64, 65, 127, 128, 129, 200):
        text, other = " ".join(words[:length]), " ".join(words[1:length:2])
        assert scores(filled(other, text, text)) == slow_scores([other, text, text])
        assert filled(text).admit(text, 0.7) == Match(0, 1.0)


def test_counts_beyond_a_byte_are_exact() -> None:
    texts = ["a " * 255, "a " * 256, "a " * 300, "a b " * 300]
    assert scores(filled(*texts)) == slow_scores(texts)


def test_an_empty_pool_has_no_scores() -> None:
    pool = Pool()
    assert (len(pool), scores(pool), list(pool.neighbours(0, 0, 10))) == (0, [], [])
    pool.extend([])
    for text in ("", "a b", "", "…"):  # texts without words are like no other
        assert pool.admit(text, 0.7) is None
    assert scores(pool) == [[], [0.0], [0.0, 0.0], [0.0, 0.0, 0.0]]
    assert next(pool.neighbours(0, 1, 10)) == Neighbours((), 0.0)


def test_a_repeat_is_found_among_thousands() -> None:
    texts = [f"a{number} b{number} common" for number in range(3000)]
    pool = filled(*texts)
    assert pool.admit("a2999 b2999 common", 0.7) == Match(2999, 1.0)
    assert pool.admit("b1700 common", 0.7) == Match(1700, 0.8)
    assert pool.admit("a1 b2 common", 0.7) is None
    (found,) = pool.neighbours(3000, 3001, 3)
    third = slow_f("a1 b2 common", texts[0])
    assert [match.number for match in found.nearest] == [1, 2, 0]
    assert [match.score for match in found.nearest] == [slow_f("a1 b2 common", texts[1])] * 2 + [third]


def test_the_most_similar_text_is_named_and_the_first_of_equals() -> None:
    pool = filled("a b c d", "a b c x", "a b c y", "a b c x")
    assert pool.admit("a b c z", 0.7) == Match(0, 0.75)
    assert pool.admit("a b c x z", 0.7) == Match(1, slow_f("a b c x z", "a b c x"))


def test_a_tokenizer_decides_what_a_word_is() -> None:
    texts = ["写一首关于春天的诗", "写一首关于秋天的诗"]
    found = {}
    for name in TOKENIZERS:
        pool = Pool(name)
        pool.extend(texts)
        found[name] = scores(pool)
    assert found == {"rouge": [[], [0.0]], "unicode": [[], [pytest.approx(8 / 9)]]}

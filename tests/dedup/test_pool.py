"""The pool against a double loop over a textbook table of common subsequences."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alpaca_cli.dedup import pool as pool_module
from alpaca_cli.dedup.pool import Match, Pool

WORDS = st.lists(st.sampled_from(["a", "b", "c", "dd", "eee", "f1"]), max_size=40)
LONG = st.tuples(WORDS, st.integers(1, 8)).map(lambda part: (part[0] * part[1])[:200])
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


@settings(deadline=None)
@given(st.lists(TEXTS, max_size=6), st.lists(TEXTS, max_size=5), st.sampled_from([0.3, 0.5, 0.6, 0.7, 1.0]))
def test_a_pool_that_grows_scores_as_a_double_loop(seeds: list[str], news: list[str], threshold: float) -> None:
    pool, kept = filled(*seeds), list(seeds)
    block = pool.block(news)
    for index, text in enumerate(news):
        expected = [slow_f(text, other) for other in kept]
        assert block.scores(index).tolist() == expected
        best = max(expected, default=0.0)
        match = block.repeats(index, threshold)
        if best > threshold:
            assert match == Match(expected.index(best), best)
        else:
            assert match is None
            block.admit(index)
            kept.append(text)
    assert len(pool) == len(kept)
    assert pool.lengths.tolist() == [len(slow_words(text)) for text in kept]


@settings(deadline=None)
@given(st.lists(TEXTS, min_size=1, max_size=4), st.lists(TEXTS, min_size=1, max_size=4), st.integers(1, 5))
def test_words_beyond_the_code_points_are_compared_all_the_same(
    seeds: list[str], news: list[str], code_points: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pool_module, "_CODE_POINTS", code_points)
        pool = filled(*seeds)
        block = pool.block(news)
        for index, text in enumerate(news):
            assert block.scores(index).tolist() == [slow_f(text, other) for other in seeds + news[:index]]
            block.admit(index)


def test_a_vocabulary_larger_than_unicode_is_no_limit() -> None:
    """0x110000 different words are in the pool before the last texts come; some stand for half a character."""
    texts = [" ".join(f"{word:x}" for word in range(begin, begin + 0x1000)) for begin in range(0, 0x110000, 0x1000)]
    pool = filled(*texts)
    news = ["the words zzza zzzb come after d7ff d800 dfff", "zzzb zzza new", "10ffff zzzb", "the new words"]
    block = pool.block(news)
    for index, text in enumerate(news):
        scores = block.scores(index)
        for number in (0x0D, 0x10F):
            assert scores[number] == slow_f(text, texts[number])
        assert scores[len(texts) :].tolist() == [slow_f(text, other) for other in news[:index]]
        block.admit(index)


def test_texts_of_more_than_a_machine_word_are_exact() -> None:
    words = [f"w{number}" for number in range(200)]
    for length in (63, 64, 65, 127, 128, 129, 200):
        text, other = " ".join(words[:length]), " ".join(words[1:length:2])
        assert filled(other).block([text]).scores(0).tolist() == [slow_f(text, other)]
        assert filled(text).block([text]).scores(0).tolist() == [1.0]


def test_an_empty_pool_and_an_empty_block_have_no_scores() -> None:
    pool = Pool()
    assert len(pool) == len(pool.lengths) == 0
    block = pool.block(["a b", ""])
    assert block.scores(0).shape == (0,)
    assert block.repeats(0, 0.7) is None
    pool.block([])
    block.admit(0)
    assert block.scores(1).tolist() == [0.0]


def test_a_pool_outgrows_its_first_room() -> None:
    texts = [f"a{number} b{number} common" for number in range(3000)]
    pool = filled(*texts)
    assert len(pool) == 3000
    assert np.flatnonzero(pool.block(["a2999 b2999 common"]).scores(0) > 0.7).tolist() == [2999]


def test_the_most_similar_text_is_named_and_the_first_of_equals() -> None:
    pool = filled("a b c d", "a b c x", "a b c y", "a b c x")
    assert pool.block(["a b c z"]).repeats(0, 0.7) == Match(0, 0.75)
    assert pool.block(["a b c x z"]).repeats(0, 0.7) == Match(1, slow_f("a b c x z", "a b c x"))


def test_a_tokenizer_decides_what_a_word_is() -> None:
    rouge, unicode = Pool("rouge"), Pool("unicode")
    for pool in (rouge, unicode):
        pool.extend(["写一首关于春天的诗"])
    assert rouge.block(["写一首关于秋天的诗"]).scores(0).tolist() == [0.0]
    assert unicode.block(["写一首关于秋天的诗"]).scores(0).tolist() == [pytest.approx(8 / 9)]

"""ROUGE-L against rouge_score itself, bit for bit, and the two tokenizers."""

from __future__ import annotations

import random
import re
import unicodedata

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rouge_score import rouge_scorer, tokenizers

from alpaca_cli.data.example import parse_seed_tasks
from alpaca_cli.data.shipped import shipped_dir
from alpaca_cli.dedup.pool import Pool
from alpaca_cli.dedup.rouge import TOKENIZERS, f_measure, rouge_l, rouge_words, unicode_words

SCORER = rouge_scorer.RougeScorer(["rougeL"], use_stemmer=False)
SEEDS = shipped_dir("prompts") / "seed_tasks.jsonl"


def oracle(a: str, b: str) -> float:
    return float(SCORER.score(a, b)["rougeL"].fmeasure)


def texts() -> list[str]:
    """The seed tasks' instructions, and the beginnings of their outputs."""
    examples = [task.example for task in parse_seed_tasks(SEEDS.read_bytes(), SEEDS)]
    return [example.instruction for example in examples] + [example.output[:150] for example in examples]


def edited(text: str, rng: random.Random) -> str:
    """A text with some words lost, doubled, replaced, swapped or shouted, as near-duplicates have them."""
    words = text.split()
    for _ in range(rng.randrange(0, 8)):
        if not words:
            break
        place = rng.randrange(len(words))
        edit = rng.randrange(5)
        if edit == 0:
            del words[place]
        elif edit == 1:
            words.insert(place, rng.choice(words))
        elif edit == 2:
            words[place] = rng.choice(["the", "a bird", "Größe", "don't", "3.5", "-", "naïve"])
        elif edit == 3:
            other = rng.randrange(len(words))
            words[place], words[other] = words[other], words[place]
        else:
            words[place] = words[place].upper()
    return " ".join(words)


def test_20000_random_pairs_score_as_rouge_score_scores_them() -> None:
    rng = random.Random(7)
    all_texts = texts()
    queries = [edited(rng.choice(all_texts), rng) for _ in range(200)]
    pooled = [[edited(rng.choice([query, rng.choice(all_texts)]), rng) for _ in range(100)] for query in queries]
    for query, others in zip(queries, pooled, strict=True):
        expected = [oracle(query, other) for other in others]
        pool = Pool()
        pool.extend([*others, query])
        assert next(pool.scores(100, 101)).tolist() == expected
        assert [rouge_l(rouge_words(query), rouge_words(other)) for other in others] == expected


def tied(numerator: int, denominator: int, longest: int) -> list[tuple[int, int, int]]:
    """Every (L, m, n) with m, n <= longest and 2 L / (m + n) = numerator / denominator exactly."""
    return [
        (numerator * (m + n) // (2 * denominator), m, n)
        for m in range(1, longest + 1)
        for n in range(1, longest + 1)
        if numerator * (m + n) % (2 * denominator) == 0 and numerator * (m + n) // (2 * denominator) <= min(m, n)
    ]


def pair(lcs: int, m: int, n: int) -> tuple[str, str]:
    """Two texts of m and n words whose longest common subsequence is `lcs` words."""
    common = [f"c{number}" for number in range(lcs)]
    ours, theirs = common.copy(), common.copy()
    for number in range(m - lcs):
        ours.insert(2 * number % (len(ours) + 1), f"a{number}")
    for number in range(n - lcs):
        theirs.insert(3 * number % (len(theirs) + 1), f"b{number}")
    return " ".join(ours), " ".join(theirs)


@pytest.mark.parametrize(
    ("numerator", "denominator", "longest", "ways"), [(7, 10, 120, 342), (1, 2, 30, 165), (3, 5, 40, 98)]
)
def test_ties_are_decided_as_rouge_score_decides_them(
    numerator: int, denominator: int, longest: int, ways: int
) -> None:
    threshold = numerator / denominator
    ties = tied(numerator, denominator, longest)
    above = 0
    assert len(ties) == ways
    for lcs, m, n in ties:
        a, b = pair(lcs, m, n)
        expected = oracle(a, b)
        pool = Pool()
        pool.extend([b])
        match = pool.admit(a, threshold)
        pool.extend([a])
        assert next(pool.scores(1, 2)).tolist() == [expected] == [rouge_l(a.split(), b.split())]
        assert (match is not None) == (expected > threshold)
        assert match is None or match.score == expected
        above += expected > threshold
    if threshold == 0.7:
        assert 0 < above < len(ties), "no tie would be decided otherwise by an exact formula"


def test_scores_are_symmetric_and_bounded() -> None:
    assert rouge_l([], []) == rouge_l([], ["a"]) == rouge_l(["a"], []) == rouge_l(["a"], ["b"]) == 0.0
    assert rouge_l(["a"], ["a"]) == rouge_l("abc", "abc") == 1.0
    assert rouge_l("xaybzc", "abc") == rouge_l("abc", "xaybzc") == 2 / 3


@settings(deadline=None)
@given(st.lists(st.sampled_from("abcd"), max_size=30), st.lists(st.sampled_from("abcd"), max_size=30))
def test_short_texts_score_as_rouge_score_scores_them(a: list[str], b: list[str]) -> None:
    expected = oracle(" ".join(a), " ".join(b))
    assert rouge_l(a, b) == rouge_l(b, a) == expected
    assert 0.0 <= expected <= 1.0


@given(st.text())
def test_the_rouge_tokenizer_is_that_of_rouge_score(text: str) -> None:
    assert rouge_words(text) == tokenizers.DefaultTokenizer(use_stemmer=False).tokenize(text)


def test_f_broadcasts_and_is_zero_without_a_common_word() -> None:
    lcs = np.array([[0, 1], [2, 3]], dtype=np.int32)
    scores = f_measure(lcs, np.array([[4], [4]]), np.array([0, 3]))
    assert scores.shape == (2, 2)
    assert scores[0].tolist() == [0.0, 2 * 1 / 4 * (1 / 3) / (1 / 4 + 1 / 3)]
    assert scores.dtype == np.float64


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("写一首诗!", ["写", "一", "首", "诗"]),
        ("用Python写3首诗", ["用", "python", "写", "3", "首", "诗"]),
        ("สวัสดี ครับ", ["ส", "ว", "ั", "ส", "ด", "ี", "ค", "ร", "ั", "บ"]),
        ("ひらがなとカタカナ", list("ひらがなとカタカナ")),
        ("Größe, STRASSE und Straße", ["grösse", "strasse", "und", "strasse"]),
        ("Déjà-vu: l'été", ["déjà", "vu", "l", "été"]),
        ("한국어 문장", ["한국어", "문장"]),
        ("Привет, Мир", ["привет", "мир"]),
        ("हिन्दी में लिखो", ["हिन्दी", "में", "लिखो"]),
        ("مُحَمَّد كتب", ["مُحَمَّد", "كتب"]),
        ("snake_case x²", ["snake", "case", "x²"]),
        ("🙏 - … !", []),
        ("", []),
    ],
)
def test_the_unicode_tokenizer_finds_the_words_of_any_script(text: str, words: list[str]) -> None:
    assert unicode_words(text) == [unicodedata.normalize("NFC", word) for word in words]


def test_accents_are_the_same_word_however_they_are_coded() -> None:
    text = "Un café près de la forêt"
    assert unicode_words(unicodedata.normalize("NFD", text)) == unicode_words(text)
    assert unicode_words(text) == ["un", "café", "près", "de", "la", "forêt"]


@settings(deadline=None)
@given(st.text(st.characters(max_codepoint=127)))
def test_both_tokenizers_agree_on_ascii(text: str) -> None:
    assert unicode_words(text) == rouge_words(text)


@settings(deadline=None)
@given(st.text())
def test_unicode_words_hold_every_letter_and_digit_in_order(text: str) -> None:
    folded = unicodedata.normalize("NFC", text.casefold())
    letters = [letter for letter in folded if re.match(r"[^\W_]", letter)]
    assert [letter for word in unicode_words(text) for letter in word if re.match(r"[^\W_]", letter)] == letters


def test_the_tokenizers_have_names() -> None:
    assert {"rouge": rouge_words, "unicode": unicode_words} == TOKENIZERS

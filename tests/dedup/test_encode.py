"""Texts to codes: the words of rouge_score, and hashes that are proved to tell words apart."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alpaca_cli.dedup import plain
from alpaca_cli.dedup.encode import RANK_BITS, Encoder, agree, bucket_counts, bucket_ranks, hash_words, hashed, ranked
from alpaca_cli.dedup.rouge import unicode_words
from alpaca_cli.dedup.rows import Words
from slow_dedup import TOKENIZER

# Letters whose lower case is another, longer, or ASCII (Kelvin sign, dotted I); what ends lines; halves of surrogates.
ANY_TEXT = st.text(st.one_of(st.sampled_from("aZ9 \n\r\0_-'İKſẞΣ\u2028\u0085é写\ud800"), st.characters()), max_size=40)


pytestmark = pytest.mark.usefixtures("each_way")


def words_of(encoder: Encoder, texts: list[str]) -> list[list[str]]:
    numbered = encoder.number(texts)
    spelled = [word.decode("utf-8", "surrogatepass") for word in encoder.vocabulary.words()]
    starts = numbered.starts.tolist()
    numbers = numbered.numbers.tolist()
    assert len(starts) == len(texts) + 1
    return [[spelled[number] for number in numbers[starts[i] : starts[i + 1]]] for i in range(len(texts))]


@settings(deadline=None)
@given(batches=st.lists(st.lists(ANY_TEXT, max_size=5), max_size=4))
def test_words_are_those_of_rouge_score(batches: list[list[str]]) -> None:
    encoder, count = Encoder("rouge"), Counter[str]()
    for texts in batches:
        expected = [TOKENIZER.tokenize(text) for text in texts]
        assert words_of(encoder, texts) == expected
        for words in expected:
            count.update(words)
    spelled = [word.decode() for word in encoder.vocabulary.words()]
    assert dict(zip(spelled, encoder.vocabulary.counts().tolist(), strict=True)) == count


@settings(deadline=None)
@given(texts=st.lists(ANY_TEXT, max_size=5))
def test_words_of_any_script_are_those_of_the_unicode_tokenizer(texts: list[str]) -> None:
    assert words_of(Encoder("unicode"), texts) == [unicode_words(text) for text in texts]


def test_many_words_keep_their_numbers() -> None:
    encoder = Encoder("rouge")
    texts = [f"w{number} w{number + 1}" for number in range(20_000)]
    assert words_of(encoder, texts) == [text.split() for text in texts]
    assert len(encoder.vocabulary) == 20_001


def test_the_rarest_word_has_the_smallest_code() -> None:
    codes = ranked(np.array([5, 1, 1, 9], dtype=np.uint64))
    assert codes.tolist() == [2, 1, 0, 3]


def test_hashes_differ_by_salt_and_are_the_same_compiled_and_plain() -> None:
    encoder = Encoder("rouge")
    encoder.number(["a b ab ba abcdefgh abcdefghi hgfedcba 0 00 000 a0 " + "x" * 100])
    words = encoder.vocabulary.words()
    for salt in (0, 1, 2**64 - 1):
        hashes = hash_words(words, salt)
        assert hashes.tolist() == plain.hash_words(words, salt).tolist()
        assert len(set(hashes.tolist())) == len(words)
    assert not set(hash_words(words, 0).tolist()) & set(hash_words(words, 1).tolist())


def test_words_agree_unless_two_share_a_hash() -> None:
    words = Words.join([spell("sun", "moon", "star"), spell("moon", "sun")])
    assert agree(words, np.array([1, 2, 3, 2, 1], dtype=np.uint64))
    assert not agree(words, np.array([1, 2, 3, 1, 2], dtype=np.uint64))
    assert not agree(words, np.array([1, 2, 1, 2, 1], dtype=np.uint64))
    assert not agree(spell("ab", "abc"), np.array([7, 7], dtype=np.uint64))
    assert agree(spell(), np.zeros(0, dtype=np.uint64))


def spell(*words: str) -> Words:
    raw = [word.encode() for word in words]
    starts = np.concatenate([[0], np.cumsum([len(word) for word in raw], dtype=np.int64)]).astype(np.int64)
    return Words(np.frombuffer(b"".join(raw), dtype=np.uint8), starts)


def test_codes_of_hashes_are_all_different_and_in_order_of_their_buckets() -> None:
    rng = np.random.default_rng(0)
    hashes = np.unique(rng.integers(0, 2**64, 5000, dtype=np.uint64, endpoint=False))
    counts = rng.integers(1, 1000, len(hashes)).astype(np.uint64)
    buckets = bucket_counts(hashes, counts)
    assert buckets.sum() == counts.sum()
    codes = hashed(hashes, bucket_ranks(buckets))
    assert len(np.unique(codes)) == len(hashes)
    own = buckets[hashes >> np.uint64(64 - RANK_BITS)]
    assert (np.diff(own[np.argsort(codes)]) >= 0).all()

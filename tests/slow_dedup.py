"""The oracle of deduplication: a loop over rouge_score, pair by pair."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from hypothesis import strategies as st
from rouge_score import rouge_scorer, tokenizers

from alpaca_cli.dedup.rouge import rouge_l, rouge_words

SCORER = rouge_scorer.RougeScorer(["rougeL"], use_stemmer=False)
TOKENIZER = tokenizers.DefaultTokenizer(use_stemmer=False)

Fate = tuple[int, float] | None
"""Of a row: the number of the kept row that it repeats, and F; None if it is kept.  Rows of `against` are -1, -2 ..."""

# Few words, often repeated, of all lengths: empty, one word, and longer than a machine word has bits.
TEXTS = st.lists(
    st.one_of(
        st.lists(st.sampled_from(["red", "blue", "sun", "moon"]), max_size=7),
        st.lists(st.sampled_from(["red", "blue", "sun", "moon", "sea", "sky"]), min_size=1, max_size=4),
        st.lists(st.sampled_from("abcdefghijklmnopqrstuvwxyz"), min_size=10, max_size=30),
        st.tuples(st.sampled_from(["sun moon", "red"]), st.sampled_from([1, 2, 9, 31, 32, 33, 64, 65])).map(
            lambda some: [some[0]] * some[1]
        ),
    ).map(" ".join),
    max_size=12,
)
THRESHOLDS = st.one_of(
    st.sampled_from([0.1, 0.5, 0.6, 2 / 3, 0.7, 0.75, 0.8, 0.9, 1.0]),
    st.floats(0, 1, exclude_min=True, allow_nan=False),
)


def by_rouge_score(one: str, other: str) -> float:
    """F of two texts."""
    return float(SCORER.score(one, other)["rougeL"].fmeasure)


def slow(
    texts: Sequence[str],
    threshold: float,
    against: Sequence[str] = (),
    score: Callable[[str, str], float] = by_rouge_score,
) -> list[Fate]:
    """What becomes of each text."""
    kept = [(-1 - number, text) for number, text in enumerate(against)]
    fates: list[Fate] = []
    for number, text in enumerate(texts):
        scores = [score(other, text) for _, other in kept]
        best = max(scores, default=0.0)
        if best > threshold:
            fates.append((kept[scores.index(best)][0], best))
        else:
            fates.append(None)
            kept.append((number, text))
    return fates


def statuses(
    texts: Sequence[str], threshold: float, num_against: int = 0
) -> tuple[list[bool], list[tuple[int, float]]]:
    """The same for hundreds of texts, by `rouge_l`, as the cluster says it: numbered through all texts.

    Whether each is kept, the first `num_against` whatever they are; and the most similar earlier kept one and F, or
    -1 and 0.0.
    """
    words = {text: rouge_words(text) for text in texts}
    fates: list[Fate] = [None] * num_against
    fates += slow(
        texts[num_against:], threshold, texts[:num_against], lambda one, other: rouge_l(words[one], words[other])
    )
    nearest = [
        (-1, 0.0) if fate is None else (fate[0] + num_against if fate[0] >= 0 else -1 - fate[0], fate[1])
        for fate in fates
    ]
    return [fate is None for fate in fates], nearest

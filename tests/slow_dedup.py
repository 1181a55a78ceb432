"""The oracle of deduplication: a loop over rouge_score, pair by pair."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import strategies as st
from rouge_score import rouge_scorer, tokenizers

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


def slow(texts: Sequence[str], threshold: float, against: Sequence[str] = ()) -> list[Fate]:
    """What becomes of each text."""
    kept = [(-1 - number, text) for number, text in enumerate(against)]
    fates: list[Fate] = []
    for number, text in enumerate(texts):
        scores = [SCORER.score(other, text)["rougeL"].fmeasure for _, other in kept]
        best = max(scores, default=0.0)
        if best > threshold:
            fates.append((kept[scores.index(best)][0], best))
        else:
            fates.append(None)
            kept.append((number, text))
    return fates

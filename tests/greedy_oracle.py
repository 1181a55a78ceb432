"""Near-duplicate removal as it is told to a child: every row against every row kept before it."""

from __future__ import annotations

from collections.abc import Sequence

from alpaca_cli.dedup.rouge import TOKENIZERS, TokenizerName, rouge_l


def greedy(
    texts: Sequence[str], threshold: float, num_against: int = 0, tokenizer: TokenizerName = "rouge"
) -> tuple[list[bool], list[tuple[int, float]]]:
    """Whether each text is kept, the first `num_against` whatever they are; and the most similar earlier kept one.

    (-1, 0.0) for kept ones.
    """
    rows = [TOKENIZERS[tokenizer](text) for text in texts]
    kept: list[bool] = []
    nearest: list[tuple[int, float]] = []
    for number, row in enumerate(rows):
        best = (-1, 0.0)
        for other in range(number if number >= num_against else 0):
            score = rouge_l(rows[other], row) if kept[other] else 0.0
            if score > threshold and score > best[1]:
                best = (other, score)
        kept.append(best[0] < 0)
        nearest.append(best)
    return kept, nearest

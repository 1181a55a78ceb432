"""How many steps a run has, and how many tokens: counted from the lengths of its examples, without torch."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from alpaca_cli.finetune.tokens.token_set import TokenSet, split
from alpaca_cli.recipe.finetune import BatchSettings, FinetuneRecipe, TrainSettings

ORIGINAL_BATCH = 4  # examples that the original pads to the longest of them
SPREAD = 4  # standard deviations: hardly a step in 30,000 has more tokens


@dataclass(frozen=True)
class Steps:
    """What a run goes through.  Tokens are of the whole run where nothing else is said."""

    num_examples: int
    """Trained on."""
    num_held_out: int
    num_seen: int
    """Examples, each as often as it is seen."""
    num_steps: int
    num_warmup: int
    real_tokens: int
    supervised_tokens: int
    longest: int
    """Tokens of the longest example."""
    step_examples: int
    step_tokens: int
    """Computed in a long step, by all processes, if no preamble is shared."""
    step_supervised: int
    """Supervised in a long step."""
    preamble_tokens: int
    """Of each example, on average, that it shares with others."""
    preambles: int
    """Tokens of all preambles, which a micro-batch computes once."""
    original_share: float
    """Of the positions that the original computes, padded as it does, how many are real tokens."""

    def computed_tokens(self, *, is_shared: bool, packs_per_step: int) -> int:
        """Positions that go through the network: the last token of an example predicts nothing."""
        if not is_shared:
            return self.real_tokens - self.num_seen
        once = self.preambles * packs_per_step * self.num_steps
        return self.real_tokens - self.num_seen * (1 + self.preamble_tokens) + once


def count(tokens: TokenSet, recipe: FinetuneRecipe) -> Steps:
    """The steps of a recipe on its tokens.  Raises DataError if there are too few examples to hold some out."""
    examples, held_out = split(tokens, recipe.data.val_fraction, recipe.batch.seed)
    lengths = np.diff(tokens.starts)[examples]
    supervised = lengths - tokens.prompt_lengths[examples]
    shared = np.array([*map(len, tokens.preambles), 0])[tokens.preamble_of[examples]]  # -1 is the last
    num_seen, num_steps = count_steps(len(examples), recipe.batch, recipe.train)
    per_step = min(recipe.batch.examples_per_step, num_seen)
    return Steps(
        num_examples=len(examples),
        num_held_out=len(held_out),
        num_seen=num_seen,
        num_steps=num_steps,
        num_warmup=ceil(num_steps * recipe.train.warmup),
        real_tokens=round(float(lengths.mean()) * num_seen),
        supervised_tokens=round(float(supervised.mean()) * num_seen),
        longest=int(np.diff(tokens.starts).max()),
        step_examples=per_step,
        step_tokens=_of_long_step(lengths - 1, per_step),
        step_supervised=_of_long_step(supervised, per_step),
        preamble_tokens=round(float(shared.mean())),
        preambles=sum(map(len, tokens.preambles)),
        original_share=float(lengths.sum() / _padded(lengths)),
    )


def count_steps(num_examples: int, batch: BatchSettings, train: TrainSettings) -> tuple[int, int]:
    """How many examples a run sees, each as often as it is seen, and in how many steps."""
    seen = ceil(num_examples * train.epochs - 1e-9)
    steps = ceil(seen / batch.examples_per_step)
    if train.max_steps is not None and train.max_steps < steps:
        return min(seen, train.max_steps * batch.examples_per_step), train.max_steps
    return seen, steps


def _of_long_step(numbers: NDArray[np.integer[Any]], per_step: int) -> int:
    """The sum over `per_step` of the examples, by chance rather many."""
    likely = per_step * float(numbers.mean()) + SPREAD * sqrt(per_step) * float(numbers.std())
    return min(ceil(likely), per_step * int(numbers.max()))


def _padded(lengths: NDArray[np.integer[Any]]) -> int:
    """Positions of batches of the original's size, in the order of the file, padded to the longest of each."""
    starts = np.arange(0, len(lengths), ORIGINAL_BATCH)
    sizes = np.diff([*starts, len(lengths)])
    return int((np.maximum.reduceat(lengths, starts) * sizes).sum())

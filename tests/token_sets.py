"""Token sets made by chance, and the loss of a model on them by the plainest way: one example after another."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch.nn.functional import cross_entropy

from alpaca_cli.finetune.step.batches import Batches
from alpaca_cli.finetune.tokens.token_set import TokenFacts, TokenSet
from alpaca_cli.recipe.finetune import BatchSettings, TrainSettings

VOCAB = 300


def token_set(
    count: int, seed: int = 0, *, longest: int = 40, preambles: tuple[int, ...] = (7, 11), vocab: int = VOCAB
) -> TokenSet:
    """`count` examples of 2 to 2 * `longest` own tokens, each after one of the preambles of these lengths, or none."""
    chance = np.random.default_rng(seed)
    beginnings = tuple(chance.integers(3, vocab, size).astype(np.int32) for size in preambles)
    examples, prompts, kinds = [], [], []
    for _ in range(count):
        kind = int(chance.integers(-1, len(beginnings)))
        before = beginnings[kind] if kind >= 0 else np.empty(0, np.int32)
        own, answer = (chance.integers(3, vocab, int(chance.integers(1, longest + 1))) for _ in range(2))
        examples.append(np.concatenate([before, own, answer]))
        prompts.append(len(before) + len(own))
        kinds.append(kind)
    lengths = [len(each) for each in examples]
    facts = TokenFacts(
        num_rows=count,
        num_examples=count,
        real_tokens=sum(lengths),
        supervised_tokens=sum(lengths) - sum(prompts),
        num_bad=0,
        num_truncated=0,
        num_dropped_overlong=0,
        num_unsupervised=0,
        num_shifted=0,
        longest=max(lengths),
        notes=(),
        key=f"{seed:064x}",
    )
    return TokenSet(
        ids=np.concatenate(examples).astype(np.int32),
        starts=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        prompt_lengths=np.array(prompts, np.int32),
        preamble_of=np.array(kinds, np.int8),
        preambles=beginnings,
        facts=facts,
    )


def batches(tokens: TokenSet, **options: Any) -> Batches:
    """The steps of one process over `tokens`; what is not told is one epoch, one process, no limit."""
    told: dict[str, Any] = {
        "rank": 0,
        "world": 1,
        "budget": 1 << 30,
        "shared_preamble": True,
        "per_step": 16,
        "epochs": 1,
    }
    told |= options
    per_step, epochs, seed = told.pop("per_step"), told.pop("epochs"), told.pop("seed", 42)
    order, max_steps = told.pop("order", "shuffled"), told.pop("max_steps", None)
    return Batches(
        tokens,
        told.pop("examples", np.arange(len(tokens))),
        BatchSettings(examples_per_step=per_step, seed=seed, order=order),
        TrainSettings(epochs=epochs, max_steps=max_steps),
        **told,
    )


def example(tokens: TokenSet, number: int) -> tuple[torch.Tensor, int]:
    """The ids of an example, and how many of them are prompt."""
    whole = np.asarray(tokens.ids[tokens.starts[number] : tokens.starts[number + 1]], np.int64)
    return torch.from_numpy(whole), int(tokens.prompt_lengths[number])


def plain_loss(model: Any, tokens: TokenSet, chosen: list[int]) -> torch.Tensor:
    """The mean cross entropy over all supervised tokens of the chosen examples, right-padded to one rectangle."""
    pairs = [example(tokens, number) for number in chosen]
    longest = max(len(ids) for ids, _ in pairs)
    ids = torch.zeros(len(pairs), longest, dtype=torch.int64)
    labels = torch.full((len(pairs), longest), -100)
    mask = torch.zeros(len(pairs), longest, dtype=torch.int64)
    for row, (whole, prompt) in enumerate(pairs):
        ids[row, : len(whole)], mask[row, : len(whole)] = whole, 1
        labels[row, prompt : len(whole)] = whole[prompt:]
    logits = model(input_ids=ids, attention_mask=mask, use_cache=False).logits
    return cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten(), ignore_index=-100)

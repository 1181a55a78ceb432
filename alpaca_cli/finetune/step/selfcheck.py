"""Our packed way to the loss against the model's own, on a few examples, before anything is trained."""

from __future__ import annotations

from math import isfinite

import torch

from alpaca_cli.errors import TrainingError
from alpaca_cli.finetune.step.assembly import Assembly
from alpaca_cli.finetune.step.batches import ALONE, Batches
from alpaca_cli.finetune.step.learner import place
from alpaca_cli.finetune.step.shard import give_back

AGREEMENT = {"fp32": 1e-4, "bf16": 5e-2}  # how far the two may differ, relative, by the numbers that are computed in


def check_loss(assembly: Assembly, batches: Batches, device: torch.device, compute: str) -> None:
    """Raise TrainingError if the two losses differ by more than rounding.

    They do for an architecture that does more than we know (scaled or capped logits), and for a kernel that does not do
    what it should.  UsageError comes from attention that is not known.  All processes compute the same, so all of them
    raise.
    """
    learner = assembly.learner
    by_length = batches.by_length()
    chosen = by_length[:2]
    packed = batches.together(chosen)
    learner.eval()
    with torch.no_grad():
        ours = float(learner(place(packed, device, is_varlen=assembly.is_varlen)))
        theirs = sum(float(learner(place(batches.pack([each], [ALONE]), device), plain=True)) for each in chosen)
        # For what attention refuses of long examples only: now, and not when the first of them comes.
        learner(place(batches.pack(by_length[-1:], [ALONE]), device, is_varlen=assembly.is_varlen))
    learner.train()
    give_back(learner)
    if not isfinite(theirs):
        hint = "its weights hold numbers that are not finite: look at the download, or at what converted it"
        raise TrainingError(f"the base model's loss is {theirs:g}", where=type(learner.causal).__name__, hint=hint)
    if not abs(ours - theirs) <= AGREEMENT[compute] * abs(theirs):
        message = f"the packed loss is {ours:.6g}, but the model's own {theirs:.6g}"
        hint = "this architecture does something that alpaca does not know; try --set memory.shared_preamble=off"
        raise TrainingError(message, where=type(learner.causal).__name__, hint=hint)

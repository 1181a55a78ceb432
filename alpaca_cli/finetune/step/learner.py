"""A causal language model and its loss on a pack, as one module, so that sharding wraps both.

Shapes: T tokens of a pack, S supervised positions, C hidden size, V vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn.functional import cross_entropy as plain_cross_entropy
from transformers import PreTrainedModel

from alpaca_cli.errors import UsageError
from alpaca_cli.finetune.step.attention import Layout, lay_out
from alpaca_cli.finetune.step.batches import Pack
from alpaca_cli.finetune.step.loss import cross_entropy


@dataclass(frozen=True)
class Placed:
    """A pack on a device."""

    ids: torch.Tensor
    """[1, T]."""
    positions: torch.Tensor
    """[1, T]."""
    rows: torch.Tensor
    """[S]."""
    targets: torch.Tensor
    """[S]."""
    layout: Layout


def place(pack: Pack, device: torch.device, *, is_varlen: bool = False) -> Placed:
    """A pack moved to a device, laid out for variable-length attention or for the other way."""
    pinned = device.type == "cuda"
    moved = []
    for numbers in (pack.ids, pack.positions, pack.rows, pack.targets):
        tensor = torch.from_numpy(numbers)
        moved.append((tensor.pin_memory() if pinned else tensor).to(device, non_blocking=True))
    ids, positions, rows, targets = moved
    return Placed(ids[None], positions[None], rows, targets, lay_out(pack, device, is_varlen=is_varlen))


class Learner(nn.Module):
    """The loss of `causal` on packs."""

    def __init__(self, causal: PreTrainedModel, *, loss_chunk: int) -> None:
        super().__init__()
        self.causal = causal
        self._loss_chunk = loss_chunk
        head = causal.get_output_embeddings()
        if not isinstance(head, nn.Linear) or head.bias is not None:
            message = f"{type(causal).__name__}: expected an output layer that is one matrix without a bias"
            raise UsageError(message, hint="this architecture cannot be fine-tuned with alpaca")
        self._heads: list[nn.Linear] = [head]  # in a list, so that the module is not registered a second time

    def forward(self, batch: Placed, divisor: int = 1, *, plain: bool = False) -> torch.Tensor:
        """The cross entropy summed over the supervised positions of a pack, over `divisor`; a scalar, fp32.

        `plain`: by the model's own whole forward pass, for a pack of one example without a shared preamble: slow, and
        what the fast way is checked against.
        """
        if plain:
            logits = self.causal(input_ids=batch.ids, position_ids=batch.positions, use_cache=False).logits
            summed = plain_cross_entropy(logits[0, batch.rows].float(), batch.targets, reduction="sum")
            return summed / divisor
        body = self.causal.base_model
        output = body(input_ids=batch.ids, position_ids=batch.positions, use_cache=False, layout=batch.layout)
        hidden = output.last_hidden_state[0]
        if not len(batch.rows):  # nothing to learn here, but every weight takes part in the exchange of gradients
            return hidden.float().sum() * 0.0 + self._heads[0].weight.float().sum() * 0.0
        return cross_entropy(
            hidden[batch.rows], self._heads[0].weight, batch.targets, divisor=divisor, chunk=self._loss_chunk
        )

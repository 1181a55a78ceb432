"""Cross entropy at supervised positions only, a chunk of logits at a time, in fp32.

Shapes: S supervised positions, C hidden size, V vocabulary.
"""

from __future__ import annotations

from typing import Any

import torch


class _ChunkedCrossEntropy(torch.autograd.Function):
    """The gradients are made on the way forward, so that no chunk's logits outlive it and none is computed twice."""

    @staticmethod
    def forward(
        ctx: Any, hidden: torch.Tensor, weight: torch.Tensor, targets: torch.Tensor, divisor: int, chunk: int
    ) -> torch.Tensor:
        needs_hidden, needs_weight = ctx.needs_input_grad[:2]
        grad_hidden = torch.empty_like(hidden) if needs_hidden else None
        exact = torch.promote_types(hidden.dtype, torch.float32)
        # Sums over chunks are fp32, as within one matrix product.
        grad_weight = torch.zeros_like(weight, dtype=exact) if needs_weight else None
        total = hidden.new_zeros((), dtype=exact)
        for begin in range(0, len(hidden), chunk):
            part, wanted = hidden[begin : begin + chunk], targets[begin : begin + chunk, None]
            logits = (part @ weight.t()).to(exact)
            peak = logits.logsumexp(1, keepdim=True)
            total += (peak - logits.gather(1, wanted)).sum()
            if grad_hidden is None and grad_weight is None:
                continue
            grad = logits.sub_(peak).exp_()  # softmax
            grad.scatter_add_(1, wanted, grad.new_full((len(part), 1), -1.0))
            grad = (grad / divisor).to(hidden.dtype)
            if grad_hidden is not None:
                grad_hidden[begin : begin + chunk] = grad @ weight
            if grad_weight is not None:
                grad_weight += grad.t() @ part
        ctx.made = grad_hidden, None if grad_weight is None else grad_weight.to(weight.dtype)
        return total / divisor

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, torch.Tensor | None, None, None, None]:
        scale = grads[0]
        made = [None if each is None else each.mul_(scale) for each in ctx.made]
        return made[0], made[1], None, None, None


def cross_entropy(
    hidden: torch.Tensor, weight: torch.Tensor, targets: torch.Tensor, *, divisor: int, chunk: int
) -> torch.Tensor:
    """The summed cross entropy of `targets` [S] under softmax(`hidden` [S, C] @ `weight` [V, C].T), over `divisor`.

    fp32 whatever the inputs are (fp64 for fp64); memory for `chunk` x V logits, and for `weight`'s gradient in fp32.
    """
    loss: torch.Tensor = _ChunkedCrossEntropy.apply(hidden, weight, targets, divisor, chunk)
    return loss

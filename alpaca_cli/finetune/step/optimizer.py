"""AdamW on this process's shards, with fp32 weights, or with bf16 ones that are rounded stochastically.

Source: Loshchilov and Hutter 2019, algorithm 2, as torch.optim.AdamW does it (bias-corrected, decoupled decay).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from math import ceil, cos, pi, sqrt

import torch
from torch.distributed.device_mesh import DeviceMesh
from torch.optim.adamw import adamw

from alpaca_cli.finetune.step.shard import DTYPES, local
from alpaca_cli.recipe.finetune import PrecisionSettings, TrainSettings

BLOCK = 1 << 24  # numbers that are widened to fp32 at once when weights or moments are bf16


class AdamW:
    """The optimizer of the parameters that it is given; its state is one tensor per moment and parameter."""

    def __init__(
        self,
        parameters: Iterable[tuple[str, torch.nn.Parameter]],
        train: TrainSettings,
        precision: PrecisionSettings,
        *,
        seed: int,
        mesh: DeviceMesh,
    ) -> None:
        self._train, self._seed = train, seed
        self._named = dict(parameters)
        self._group = mesh["shard"].get_group()
        self._place = mesh.get_local_rank("shard")
        kind = DTYPES[precision.moments]
        self._first = {name: torch.zeros_like(each, dtype=kind) for name, each in self._named.items()}
        self._second = {name: torch.zeros_like(each, dtype=kind) for name, each in self._named.items()}
        self._is_exact = precision.moments == "fp32" and precision.weights == "fp32"

    def state(self) -> Iterator[tuple[str, torch.Tensor]]:
        """The moments, by name, for a checkpoint: the tensors themselves, not copies."""
        for name in self._named:
            yield f"first_moment.{name}", self._first[name]
            yield f"second_moment.{name}", self._second[name]

    def forget_gradients(self) -> None:
        """Before the first micro-batch of a step."""
        for parameter in self._named.values():
            parameter.grad = None

    def clip(self) -> torch.Tensor:
        """The norm of the whole gradient, over all processes, a scalar; it is scaled down to `grad_clip` if it is over.

        As torch.nn.utils.clip_grad_norm_, whose 1e-6 is added to the norm.
        """
        gradients = [local(each.grad) for each in self._named.values() if each.grad is not None]
        gradients = [each for each in gradients if each.numel()]
        device = local(next(iter(self._named.values()))).device
        total = torch.zeros((), dtype=torch.float32, device=device)
        if gradients:
            norms = torch._foreach_norm(gradients, 2, dtype=torch.float32)
            total = torch.stack(norms).square().sum()
        torch.distributed.all_reduce(total, group=self._group)
        norm = total.sqrt()
        if self._train.grad_clip is not None and gradients:
            factor = (self._train.grad_clip / (norm + 1e-6)).clamp(max=1.0)
            torch._foreach_mul_(gradients, factor)
        return norm

    @torch.no_grad()
    def step(self, number: int, lr: float) -> None:
        """Change the weights, in step `number` (from 1)."""
        if not self._is_exact:
            self._step_rounded(number, lr)
            return
        for decays in (True, False):
            named = [name for name, each in self._named.items() if (each.dim() > 1) == decays and self._is_here(name)]
            if named:
                self._step_exact(named, number, lr, self._train.weight_decay if decays else 0.0)

    def _is_here(self, name: str) -> bool:
        return self._named[name].grad is not None and local(self._named[name]).numel() > 0

    def _step_exact(self, named: list[str], number: int, lr: float, decay: float) -> None:
        weights = [local(self._named[name]) for name in named]
        steps = [torch.tensor(float(number - 1), device=weights[0].device) for _ in named]  # it counts them up itself
        adamw(
            weights,
            [local(self._gradient(name)) for name in named],
            [local(self._first[name]) for name in named],
            [local(self._second[name]) for name in named],
            [],
            steps,
            fused=True,
            amsgrad=False,
            beta1=self._train.beta1,
            beta2=self._train.beta2,
            lr=lr,
            weight_decay=decay,
            eps=self._train.eps,
            maximize=False,
        )

    def _step_rounded(self, number: int, lr: float) -> None:
        """In fp32 a block at a time; what is kept in bf16 is rounded up or down with the odds of what is cut off.

        So that a change far smaller than half a step of bf16 is not lost but made now and then, and right on average.
        """
        train = self._train
        for index, name in enumerate(self._named):
            if not self._is_here(name):
                continue
            decay = train.weight_decay if self._named[name].dim() > 1 else 0.0
            tensors = [local(each).view(-1) for each in (self._named[name], self._first[name], self._second[name])]
            gradient = local(self._gradient(name)).reshape(-1)
            # Drawn anew from (seed, step, parameter, shard), so that a run taken up again draws the same.
            key = ((self._seed * 1_000_003 + number) * 1_000_003 + index) * 65_537 + self._place
            source = torch.Generator(gradient.device).manual_seed(key % (1 << 63))
            for begin in range(0, len(gradient), BLOCK):
                part = slice(begin, begin + BLOCK)
                weight, first, second = (each[part].float() for each in tensors)
                grad = gradient[part].float()
                first.lerp_(grad, 1 - train.beta1)
                second.mul_(train.beta2).addcmul_(grad, grad, value=1 - train.beta2)
                scale = sqrt(1 - train.beta2**number)
                change = first / (second.sqrt().div_(scale).add_(train.eps))
                weight.mul_(1 - lr * decay).sub_(change, alpha=lr / (1 - train.beta1**number))
                for kept, exact in zip(tensors, (weight, first, second), strict=True):
                    kept[part].copy_(round_stochastically(exact, source) if kept.dtype == torch.bfloat16 else exact)

    def _gradient(self, name: str) -> torch.Tensor:
        gradient = self._named[name].grad
        assert gradient is not None
        return gradient


def round_stochastically(exact: torch.Tensor, source: torch.Generator) -> torch.Tensor:
    """fp32 to bf16, each up or down with odds such that the mean is exact; infinities and NaN stay what they are.

    bf16 is the upper half of fp32's bits: a random number of 16 bits is added to the lower half, which is then cut off.
    """
    bits = exact.view(torch.int32)
    noise = torch.randint(0, 1 << 16, bits.shape, generator=source, device=bits.device, dtype=torch.int32)
    rounded = ((bits + noise) & -65536).view(torch.float32)
    return torch.where(exact.isfinite(), rounded, exact).to(torch.bfloat16)


def learning_rate(step: int, num_steps: int, train: TrainSettings) -> float:
    """Of step `step`, from 0: a rise from 0 over the warm-up, then the schedule's fall to 0 after the last step.

    Source: transformers' get_cosine_schedule_with_warmup, with ceil(warmup * num_steps) steps of warm-up.
    """
    warmup = warmup_steps(num_steps, train)
    if step < warmup:
        return train.lr * step / max(1, warmup)
    progress = (step - warmup) / max(1, num_steps - warmup)
    if train.schedule == "constant":
        return train.lr
    if train.schedule == "linear":
        return train.lr * max(0.0, 1 - progress)
    return train.lr * max(0.0, 0.5 * (1 + cos(pi * progress)))


def warmup_steps(num_steps: int, train: TrainSettings) -> int:
    """Steps of warm-up, rounded up."""
    return ceil(num_steps * train.warmup)

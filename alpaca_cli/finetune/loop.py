"""The training loop: steps, looks at the held-out examples, checkpoints, and when to stop.

Every step ends with one look at its loss and gradient norm, before the weights are changed: one that went wrong
changes nothing.
"""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.distributed as dist

from alpaca_cli.errors import TrainingError
from alpaca_cli.finetune.metrics import Metrics
from alpaca_cli.finetune.step.assembly import Assembly
from alpaca_cli.finetune.step.batches import Batches, Pack, Step
from alpaca_cli.finetune.step.learner import Placed, place
from alpaca_cli.finetune.step.optimizer import AdamW, learning_rate
from alpaca_cli.finetune.step.shard import give_back
from alpaca_cli.recipe.finetune import FinetuneRecipe


@dataclass(frozen=True)
class Surroundings:
    """Where a loop runs and whom it tells; `beat` says that this process is alive."""

    rank: int
    device: torch.device
    metrics: Metrics
    beat: Callable[[int, str], None]
    should_stop: Callable[[], bool]
    flops_per_token: float
    peak_flops: float | None
    """Of all processes' devices together; None: not known."""


class Loop:
    """The steps of one run, from whichever it stands at."""

    def __init__(
        self,
        assembly: Assembly,
        optimizer: AdamW,
        batches: Batches,
        held_out: tuple[Step, ...],
        recipe: FinetuneRecipe,
        around: Surroundings,
    ) -> None:
        self._learner, self._root, self._is_varlen = assembly.learner, assembly.root, assembly.is_varlen
        self._optimizer, self._batches = optimizer, batches
        self._held_out, self._recipe, self._around = held_out, recipe, around
        self.step = 0
        """Steps that are done."""

    @property
    def num_steps(self) -> int:
        """Steps of the whole run."""
        return self._batches.num_steps

    def run(self, save: Callable[[int], None]) -> bool:
        """Train to the end; `save` is called where a checkpoint is due.  False if the run was asked to stop before.

        Raises TrainingError, after a checkpoint of the last good step, if a loss is not finite or is zero.
        """
        every, around = self._recipe.train.evaluate_every, self._around
        saved = self.step
        if self.step == 0:
            self.evaluate()
        around.metrics.phase("training")
        while self.step < self.num_steps:
            try:
                is_asked = self._one_step()
            except TrainingError:
                if self.step > saved:
                    save(self.step)
                raise
            if every and self.step % every == 0 and self.step < self.num_steps:
                self.evaluate()
                around.metrics.phase("training")
            is_due = self.step % self._recipe.checkpoint.every == 0 or self.step == self.num_steps
            if is_due or is_asked:
                save(self.step)
                saved = self.step
            if is_asked and self.step < self.num_steps:
                return False
        self.evaluate()
        return True

    def evaluate(self) -> None:
        """Tell the mean loss over the held-out examples, if there are any."""
        if not self._held_out:
            return
        self._around.metrics.phase("evaluating")
        total, count = torch.zeros((), dtype=torch.float64), 0
        self._learner.eval()
        with torch.no_grad():
            for step in self._held_out:
                for pack in step.packs:
                    total += self._learner(self._place(pack)).double().cpu()
                    self._around.beat(self.step, "evaluating")
                count += step.supervised_tokens
        self._learner.train()
        give_back(self._learner)
        (summed,) = self._sum(float(total))
        self._around.metrics.write("eval", step=self.step, loss=summed / count, supervised_tokens=count)

    def _one_step(self) -> bool:
        """One optimizer step; true if any process was asked to stop."""
        began, around, number = time.monotonic(), self._around, self.step
        step = self._batches.step(number)
        # Drawn from (seed, step, rank) alone, so that a run taken up again drops the same.
        torch.manual_seed((self._recipe.batch.seed * 1_000_003 + number) * 65_537 + around.rank)
        self._optimizer.forget_gradients()
        share = torch.zeros((), dtype=torch.float32, device=around.device)
        for index, pack in enumerate(step.packs):
            around.beat(number + 1, "training")
            self._root.set_is_last_backward(index == len(step.packs) - 1)
            loss = self._learner(self._place(pack), step.supervised_tokens)
            loss.backward()
            share += loss.detach()
        norm = self._optimizer.clip()
        mean_loss, num_asked = self._sum(float(share), float(around.should_stop()))
        self._check(mean_loss, float(norm), step)
        lr = learning_rate(number, self.num_steps, self._recipe.train)
        self._optimizer.step(number + 1, lr)
        self.step += 1
        self._tell(step, mean_loss, float(norm), lr, time.monotonic() - began)
        return num_asked > 0

    def _place(self, pack: Pack) -> Placed:
        return place(pack, self._around.device, is_varlen=self._is_varlen)

    def _sum(self, *values: float) -> list[float]:
        """Sums over all processes; float64 on a CPU or GPU."""
        summed = torch.tensor(values, dtype=torch.float64, device=self._around.device)
        dist.all_reduce(summed)
        return [float(value) for value in summed]

    def _check(self, loss: float, norm: float, step: Step) -> None:
        where, weights = f"step {self.step + 1} of {self.num_steps}", f"weights are those after step {self.step}"
        if step.supervised_tokens == 0:
            raise TrainingError("no token of this step carries loss", where=where, hint="look at the dataset's outputs")
        if loss == 0.0:
            hint = f"every supervised token is predicted with certainty, or the outputs are all the same; {weights}"
            raise TrainingError("the loss is exactly 0", where=where, hint=hint)
        if not (abs(loss) < float("inf") and abs(norm) < float("inf")):
            found = f"the loss is {loss:g} and the gradient's norm {norm:g}"
            hint = f"lower train.lr, or look at the base model's weights; {weights}"
            raise TrainingError(f"expected finite numbers, but {found}", where=where, hint=hint)

    def _tell(self, step: Step, loss: float, norm: float, lr: float, seconds: float) -> None:
        around = self._around
        flops = step.real_tokens * around.flops_per_token
        around.metrics.write(
            "step",
            step=self.step,
            num_steps=self.num_steps,
            epoch=round(self._batches.epoch(self.step - 1), 4),
            loss=loss,
            lr=lr,
            grad_norm=norm,
            examples=step.num_examples,
            real_tokens=step.real_tokens,
            computed_tokens=step.computed_tokens,
            supervised_tokens=step.supervised_tokens,
            seconds=seconds,
            memory_bytes=peak_memory(around.device),
            mfu=None if around.peak_flops is None else flops / seconds / around.peak_flops,
        )


def peak_memory(device: torch.device) -> int:
    """The most bytes that this process has held: on its GPU, or of resident memory on a CPU."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit

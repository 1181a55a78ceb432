"""One process of a run: the model is built, sharded and filled, a checkpoint is found, then it trains and exports."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch.distributed.fsdp import FSDPModule
from transformers import PreTrainedModel

from alpaca_cli import yamlfile
from alpaca_cli.errors import TrainingError, UsageError
from alpaca_cli.finetune import lora
from alpaca_cli.finetune.basemodel import BaseModel, load_weights
from alpaca_cli.finetune.batches import ALONE, Batches, Step
from alpaca_cli.finetune.checkpoint import Checkpoints
from alpaca_cli.finetune.export import Weight, export
from alpaca_cli.finetune.gpus import seen_gpus
from alpaca_cli.finetune.learner import Learner, place
from alpaca_cli.finetune.loop import Loop, Surroundings
from alpaca_cli.finetune.metrics import Metrics, Record
from alpaca_cli.finetune.optimizer import AdamW
from alpaca_cli.finetune.place import Place
from alpaca_cli.finetune.run import RECIPE, TOKENIZER, Inputs, read_inputs
from alpaca_cli.finetune.shard import (
    DTYPES,
    allocate,
    blocks_of,
    build,
    checkpoint_activations,
    has_dropout,
    load_config,
    make_mesh,
    shard,
    trained,
)
from alpaca_cli.finetune.tokens import split
from alpaca_cli.finetune.watch import Watch
from alpaca_cli.recipe.finetune import FinetuneRecipe

JOINING_S = 1800  # how long a process waits for the others to come, whatever the network
AGREEMENT = {"fp32": 1e-4, "bf16": 5e-2}  # how far two ways to one loss may differ, relative


def work(run: Path, where: Place, watch: Watch, listener: Callable[[Record], None] | None = None) -> bool:
    """Do this process's part of a run.  False if it was asked to stop before the end; a checkpoint is left then.

    Raises whatever goes wrong here; what other processes meet, they raise themselves.
    """
    recipe = yamlfile.read(run / RECIPE).check(FinetuneRecipe)
    metrics = Metrics(run, is_writing=where.rank == 0, listener=listener)
    metrics.phase("loading")
    watch.beat(0, "loading")
    device = _join(recipe, where)
    try:
        return _Work(run, recipe, where, watch, metrics, device).run()
    finally:
        dist.destroy_process_group()


def _join(recipe: FinetuneRecipe, where: Place) -> torch.device:
    """Meet the other processes; returns the device of this one."""
    on_gpu = recipe.parallel.device == "cuda"
    if on_gpu:
        torch.cuda.set_device(where.local_rank)
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = recipe.precision.tf32
    device = torch.device("cuda", where.local_rank) if on_gpu else torch.device("cpu")
    dist.init_process_group(
        "cpu:gloo,cuda:nccl" if on_gpu else "gloo",
        rank=where.rank,
        world_size=where.world,
        timeout=timedelta(seconds=recipe.hang_timeout_s),
        device_id=device if on_gpu else None,
    )
    return device


class _Work:
    """The parts of a run, in the order in which they are made."""

    def __init__(
        self, run: Path, recipe: FinetuneRecipe, where: Place, watch: Watch, metrics: Metrics, device: torch.device
    ) -> None:
        self._run, self._recipe, self._where, self._watch = run, recipe, where, watch
        self._metrics, self._device = metrics, device
        self._began = time.time()
        self._inputs = read_inputs(recipe)
        shared = recipe.memory.shared_preamble
        config = load_config(Path(recipe.model.path or ""))
        self._drops = has_dropout(config) or (recipe.method == "lora" and recipe.lora.dropout > 0)
        # With dropout the examples of a micro-batch would share what is dropped from the preamble.
        self._shared = shared == "on" or (shared == "auto" and device.type == "cpu" and not self._drops)
        self._causal, self._root, self._learner = self._model(config)
        self._optimizer = AdamW(
            trained(self._learner), recipe.train, recipe.precision, seed=recipe.batch.seed, mesh=self._mesh
        )
        examples, held_out = split(self._inputs.tokens, recipe.data.val_fraction, recipe.batch.seed)
        self._batches = self._batches_of(self._inputs, examples)
        self._held_out = tuple(self._look_at(held_out))
        self._checkpoints = Checkpoints(run / "checkpoints", keep=recipe.checkpoint.keep)
        self._loop = Loop(
            self._learner,
            self._root,
            self._optimizer,
            self._batches,
            self._held_out,
            recipe,
            Surroundings(
                rank=where.rank,
                world=where.world,
                device=device,
                metrics=metrics,
                beat=watch.beat,
                should_stop=watch.should_stop,
                drops=self._drops,
                flops_per_token=(4 if recipe.method == "lora" else 6) * self._num_parameters,
                peak_flops=self._peak_flops(),
            ),
        )

    def run(self) -> bool:
        """From the newest checkpoint, or the beginning, to the exported model."""
        if (found := self._checkpoints.latest()) is not None:
            if found.facts.get("tokens") != self._inputs.tokens.facts.key:
                hint = "give the dataset of that run, or another --out"
                raise UsageError("the dataset is not the one that this run began with", where=str(self._run), hint=hint)
            self._checkpoints.load(found, self._state())
            self._loop.step = found.step
            self._metrics.cut(found.step)
        else:
            self._metrics.cut(-1)
            self._check_loss()
            if self._recipe.checkpoint.probe:
                self._metrics.phase("probing")
                self._save(0)
                self._checkpoints.wait()
                self._export(self._run / ".probe")
        if not self._loop.run(self._save):
            self._checkpoints.wait()
            self._metrics.phase("stopped")
            return False
        self._metrics.phase("saving")
        self._checkpoints.wait()
        self._metrics.phase("exporting")
        self._export(self._run / "model")
        if self._where.rank == 0:
            self._report()
        dist.barrier()
        self._metrics.phase("done")
        return True

    def _model(self, config: Any) -> tuple[PreTrainedModel, FSDPModule, Learner]:
        recipe = self._recipe
        base = BaseModel(Path(recipe.model.path or ""))
        causal, num_new = build(config, self._inputs.tokenizer.num_tokens if recipe.model.pad_token == "add" else 0)
        self._num_parameters = causal.num_parameters()
        if recipe.precision.weights == "bf16_sr" or (recipe.method == "lora" and recipe.precision.compute == "bf16"):
            causal.to(torch.bfloat16)
        if recipe.method == "lora":
            lora.add_adapters(causal, recipe.lora)
        blocks = blocks_of(causal)
        checkpoint_activations(causal, recipe.memory.activation_checkpointing)
        if recipe.compile == "layers":
            for block in blocks:
                block.compile(dynamic=True)
        learner = Learner(causal, loss_chunk=recipe.memory.loss_chunk)
        self._mesh = make_mesh(self._device, self._where.world, recipe.parallel.replicate)
        root = shard(learner, blocks, self._mesh, recipe)
        allocate(learner, torch.device("cpu") if recipe.memory.offload == "cpu" else self._device)
        load_weights(causal, base, num_new=num_new)
        if recipe.method == "lora":
            lora.reset_adapters(causal, seed=recipe.batch.seed)
        return causal, root, learner

    def _batches_of(self, inputs: Inputs, examples: Any) -> Batches:
        budget = self._recipe.batch.tokens_per_microbatch
        return Batches(
            inputs.tokens,
            examples,
            self._recipe.batch,
            self._recipe.train,
            rank=self._where.rank,
            world=self._where.world,
            budget=budget if budget is not None else self._recipe.data.max_tokens,
            shared_preamble=self._shared,
        )

    def _look_at(self, held_out: Any) -> Iterator[Step]:
        per_step = self._recipe.batch.examples_per_step
        for begin in range(0, len(held_out), per_step):
            yield self._batches.lay_out(held_out[begin : begin + per_step].tolist())

    def _peak_flops(self) -> float | None:
        if self._device.type != "cuda":
            return None
        peaks = [gpu.peak_flops for gpu in seen_gpus()]
        return peaks[0] * self._where.world if peaks and peaks[0] else None

    def _check_loss(self) -> None:
        """Compare our packed way to the loss with the model's own on one example, before anything is trained.

        Raises TrainingError if they differ: an architecture that does more than we know (scaled or capped logits, a
        window of attention), or a kernel that does not do what it should.
        """
        self._metrics.phase("checking")
        tokens, count = self._inputs.tokens, len(self._inputs.tokens)
        lengths = tokens.starts[1:] - tokens.starts[:-1]
        chosen = sorted({0, int(lengths.argmin()), count // 2})[:2]
        packed = Batches(
            tokens,
            self._batches.examples,
            self._recipe.batch,
            self._recipe.train,
            rank=0,
            world=1,
            budget=1 << 40,
            shared_preamble=self._shared,
        ).lay_out(chosen)
        self._learner.eval()
        with torch.no_grad():
            ours = float(self._learner(place(packed.packs[0], self._device)))
            theirs = 0.0
            for example in chosen:
                alone = self._batches.pack([example], [ALONE])
                theirs += float(self._learner(place(alone, self._device), plain=True))
        self._learner.train()
        if not abs(ours - theirs) <= AGREEMENT[self._recipe.precision.compute] * abs(theirs):
            message = f"the packed loss is {ours:.6g}, the model's own {theirs:.6g}"
            hint = "this architecture does something that alpaca does not know; try --set memory.shared_preamble=off"
            raise TrainingError(message, where=type(self._causal).__name__, hint=hint)

    def _state(self) -> dict[str, torch.Tensor]:
        weights = {f"weight.{name}": parameter.data for name, parameter in trained(self._learner)}
        return weights | dict(self._optimizer.state())

    def _save(self, step: int) -> None:
        self._watch.beat(step, "saving")
        self._checkpoints.save(step, self._state(), {"tokens": self._inputs.tokens.facts.key})
        self._metrics.write("checkpoint", step=step, path=f"checkpoints/step-{step:06d}")

    def _export(self, folder: Path) -> None:
        self._watch.beat(self._loop.step, "exporting")
        tokenizer = self._inputs.tokenizer
        config = self._causal.config
        ids = {"bos_token_id": tokenizer.bos_id, "eos_token_id": tokenizer.eos_id, "pad_token_id": tokenizer.pad_id}
        export(
            self._weights(),
            folder,
            dtype=DTYPES[self._recipe.export.dtype],
            max_shard_bytes=int(self._recipe.export.max_shard_gb * 1e9),
            config=config.to_dict() | ids | {"use_cache": True},
            generation_config=ids,
            tokenizer=self._run / TOKENIZER,
            readme=self._card(),
        )

    def _weights(self) -> list[Weight]:
        if self._recipe.method == "lora":
            return lora.merged_weights(self._causal)
        return [
            Weight(name, tuple(parameter.shape), lambda each=parameter: whole(each))  # type: ignore[misc]
            for name, parameter in self._causal.named_parameters()
        ]

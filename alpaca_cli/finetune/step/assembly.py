"""The model of a run as one process holds it: built, frozen or not, checkpointed, compiled, sharded and filled."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import FSDPModule
from transformers import PreTrainedModel

from alpaca_cli.finetune.save.export import Weight
from alpaca_cli.finetune.step import lora
from alpaca_cli.finetune.step.basemodel import BaseModel, load_weights
from alpaca_cli.finetune.step.learner import Learner
from alpaca_cli.finetune.step.shard import (
    allocate,
    blocks_of,
    build,
    checkpoint_activations,
    drops_attention,
    load_config,
    make_mesh,
    shard,
    whole,
)
from alpaca_cli.recipe.finetune import FinetuneRecipe


@dataclass(frozen=True)
class Assembly:
    """A sharded model with its base's weights."""

    causal: PreTrainedModel
    learner: Learner
    root: FSDPModule
    """The learner again, as what is sharded."""
    mesh: DeviceMesh
    num_parameters: int
    """Of the model, adapters not counted."""
    is_varlen: bool
    """Whether packs are laid out for variable-length attention, which is for bf16 on a GPU and drops nothing."""
    is_lora: bool

    def weights(self) -> list[Weight]:
        """The tensors of the model that comes out."""
        if self.is_lora:
            return lora.merged_weights(self.causal)
        return [
            Weight(name, tuple(parameter.shape), lambda each=parameter: whole(each))  # type: ignore[misc]
            for name, parameter in self.causal.named_parameters()
        ]


def assemble(recipe: FinetuneRecipe, num_tokens: int, device: torch.device, world: int) -> Assembly:
    """The model of a settled recipe over `world` processes, with a row for each of the tokenizer's `num_tokens`.

    Raises UsageError or DataError if the base cannot be trained.
    """
    folder = Path(recipe.model.path or "")
    config = load_config(folder)
    is_lora = recipe.method == "lora"
    is_varlen = device.type == "cuda" and recipe.precision.compute == "bf16" and not drops_attention(config)
    causal, num_new = build(config, num_tokens)
    if recipe.precision.weights == "bf16_sr" or (is_lora and recipe.precision.compute == "bf16"):
        causal.to(torch.bfloat16)
    causal.tie_weights()  # what was built without memory is not yet
    num_parameters = causal.num_parameters()
    if is_lora:
        lora.add_adapters(causal, recipe.lora)
    blocks = blocks_of(causal)
    if recipe.compile == "layers":
        for block in blocks:
            block.forward = torch.compile(block.forward, dynamic=True)
    checkpoint_activations(blocks, recipe.memory.activation_checkpointing)
    learner = Learner(causal, loss_chunk=recipe.memory.loss_chunk)
    mesh = make_mesh(device, world, recipe.parallel.replicate)
    root = shard(learner, blocks, mesh, recipe)
    allocate(learner, torch.device("cpu") if recipe.memory.offload == "cpu" else device, device)
    causal.tie_weights()
    load_weights(causal, BaseModel(folder), num_new=num_new)
    if is_lora:
        lora.reset_adapters(causal, seed=recipe.batch.seed)
    return Assembly(causal, learner, root, mesh, num_parameters, is_varlen, is_lora)

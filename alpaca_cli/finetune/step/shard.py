"""The model, built empty, sharded, then filled from disk: no process ever holds more of it than its shard.

Sharding is PyTorch's FSDP2 on every device, also for one process, so that there is one path.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch
from accelerate import init_empty_weights
from torch import nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import CPUOffloadPolicy, FSDPModule, MixedPrecisionPolicy, OffloadPolicy, fully_shard
from torch.distributed.tensor import DTensor
from torch.utils.checkpoint import CheckpointPolicy, checkpoint, create_selective_checkpoint_contexts
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedConfig, PreTrainedModel

from alpaca_cli.errors import UsageError
from alpaca_cli.finetune.step import attention
from alpaca_cli.recipe.finetune import FinetuneRecipe

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
# What selective checkpointing keeps: results that cost matrix products; all else is computed again.
_KEPT = {
    torch.ops.aten.mm.default,
    torch.ops.aten.addmm.default,
    torch.ops.aten._scaled_dot_product_flash_attention.default,
    torch.ops.aten._scaled_dot_product_efficient_attention.default,
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu.default,
}


def load_config(folder: Path) -> PreTrainedConfig:
    """The configuration of a model folder, from disk alone.  Raises UsageError if transformers cannot read it."""
    try:
        return AutoConfig.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, KeyError) as error:
        raise UsageError(f"cannot read this model's config.json: {_line(error)}", where=str(folder)) from error


def build(config: PreTrainedConfig, num_tokens: int) -> tuple[PreTrainedModel, int]:
    """The causal language model of a configuration, with our attention, its weights without memory.

    It has rows for `num_tokens` tokens at least: a matrix with more (padded, as OPT's) never shrinks.  Also returns how
    many rows that is more than the configuration says.
    """
    text = config.get_text_config()
    num_new = max(0, num_tokens - text.vocab_size)
    text.vocab_size += num_new
    text.use_cache = False
    text.pad_token_id = None  # nothing is padded; and -1, which old LLaMA files say, would freeze the last token's row
    with init_empty_weights(include_buffers=False):
        try:
            model: PreTrainedModel = AutoModelForCausalLM.from_config(
                config, dtype=torch.float32, attn_implementation=attention.NAME
            )
        except ValueError as error:
            raise UsageError(f"no causal language model: {_line(error)}", where=config.model_type) from error
    if not model._supports_attention_backend:
        raise UsageError(
            f"{type(model).__name__}: transformers gives its attention no interface", hint="use another base"
        )
    return model.train(), num_new


def blocks_of(model: PreTrainedModel) -> list[nn.Module]:
    """The layers of a model, each of which is gathered, checkpointed and compiled by itself."""
    names = set(model._no_split_modules or ())
    blocks = [module for module in model.modules() if type(module).__name__ in names]
    if not blocks:
        raise UsageError(f"{type(model).__name__}: transformers does not say what its layers are")
    return blocks


def drops_attention(config: PreTrainedConfig) -> bool:
    """Whether training such a model drops attention weights at random."""
    rates = ("attention_dropout", "attn_pdrop", "attn_dropout", "attention_probs_dropout_prob")
    return any((getattr(config, rate, 0) or 0) > 0 for rate in rates)


def checkpoint_activations(blocks: list[nn.Module], mode: str) -> None:
    """Let the backward pass compute again what `mode` (none, selective, full) says."""
    if mode == "none":
        return
    options: dict[str, Any] = {"use_reentrant": False}
    if mode == "selective":
        kept: set[object] = {*_KEPT, torch.ops.torch_attn._varlen_attn.default}
        options["context_fn"] = partial(create_selective_checkpoint_contexts, partial(_keep, kept))
    for block in blocks:  # inside the hooks of sharding, which gather the weights for both passes
        block.forward = partial(checkpoint, block.forward, **options)


def _keep(
    kept: set[object], _context: object, operation: object, *_args: object, **_options: object
) -> CheckpointPolicy:
    return CheckpointPolicy.MUST_SAVE if operation in kept else CheckpointPolicy.PREFER_RECOMPUTE


def make_mesh(device: torch.device, world: int, replicate: int) -> DeviceMesh:
    """All processes in a row, or `replicate` rows of them, each with the whole model."""
    if replicate == 1:
        return init_device_mesh(device.type, (world,), mesh_dim_names=("shard",))
    return init_device_mesh(device.type, (replicate, world // replicate), mesh_dim_names=("replicate", "shard"))


def shard(learner: nn.Module, blocks: list[nn.Module], mesh: DeviceMesh, recipe: FinetuneRecipe) -> FSDPModule:
    """Shard each of `blocks`, then the rest, over the mesh; gradients are summed, not averaged, over it."""
    precision = recipe.precision
    policy = MixedPrecisionPolicy(
        param_dtype=None if precision.compute == "fp32" else DTYPES[precision.compute],
        reduce_dtype=DTYPES[precision.reduce],
    )
    offload = CPUOffloadPolicy() if recipe.memory.offload == "cpu" and mesh.device_type != "cpu" else OffloadPolicy()
    options: dict[str, Any] = {"mesh": mesh, "mp_policy": policy, "offload_policy": offload}
    for block in blocks:
        fully_shard(block, reshard_after_forward=recipe.memory.reshard, **options)
    root = fully_shard(learner, reshard_after_forward=False, **options)
    for module in learner.modules():
        if isinstance(module, FSDPModule):
            # The loss is divided by the count of the whole step, so gradients add up; gloo has no average anyway.
            module.set_gradient_divide_factor(1.0)
            module.set_force_sum_reduction_for_comms(True)
    return root


def allocate(learner: nn.Module, storage: torch.device, device: torch.device) -> None:
    """Give the shards memory in `storage`.  Buffers, which no file has, stay what the model's own code made them, and
    lie on `device`, where they are used."""
    made = [(module, dict(module._buffers)) for module in learner.modules()]
    learner.to_empty(device=storage)
    for module, buffers in made:
        for name, buffer in buffers.items():
            module._buffers[name] = None if buffer is None else buffer.to(device)


def fill(parameter: torch.Tensor, read: Callable[[tuple[slice, ...]], torch.Tensor]) -> None:
    """Copy into this process's shard of a parameter what `read` gives for its part of the whole tensor."""
    with torch.no_grad():
        local = parameter.to_local() if isinstance(parameter, DTensor) else parameter
        if local.numel():
            local.copy_(read(part_of(parameter)))


def part_of(parameter: torch.Tensor) -> tuple[slice, ...]:
    """Which part of the whole tensor this process holds."""
    if not isinstance(parameter, DTensor):
        return tuple(slice(0, size) for size in parameter.shape)
    from torch.distributed.tensor._utils import compute_local_shape_and_global_offset  # noqa: PLC0415  (private)

    shape, offset = compute_local_shape_and_global_offset(parameter.shape, parameter.device_mesh, parameter.placements)
    return tuple(slice(begin, begin + size) for begin, size in zip(offset, shape, strict=True))


def local(tensor: torch.Tensor) -> torch.Tensor:
    """This process's shard of a tensor."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def whole(tensor: torch.Tensor) -> torch.Tensor:
    """The whole tensor, on every process; all must ask for it."""
    tensor = tensor.detach()
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def give_back(learner: nn.Module) -> None:
    """Give gathered weights back where no backward pass did, so that every parameter is its shard again."""
    for module in learner.modules():
        if isinstance(module, FSDPModule):
            module.reshard()


def trained(learner: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    """The parameters that learn, by the names that the model gives them, without the learner's prefix."""
    for name, parameter in learner.named_parameters():
        if parameter.requires_grad:
            yield name.removeprefix("causal."), parameter


def _line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__

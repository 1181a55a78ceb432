"""Low-rank adapters beside frozen weights, and the model that they make together.

Source: Hu et al. 2021, section 4; peft puts the adapters in.
"""

from __future__ import annotations

from math import sqrt

import torch
from accelerate import init_empty_weights
from peft import LoraConfig, inject_adapter_in_model
from peft.tuners.lora import Linear as LoraLinear
from torch import nn
from transformers import PreTrainedModel

from alpaca_cli.errors import UsageError
from alpaca_cli.finetune.save.export import Weight
from alpaca_cli.finetune.step.shard import fill, whole
from alpaca_cli.recipe.finetune import LoraSettings

_ADAPTER = "default"


def add_adapters(model: PreTrainedModel, settings: LoraSettings) -> None:
    """Put adapters beside the linear layers of a model without memory, and freeze everything else.

    Raises UsageError if a target is no linear layer of the model.
    """
    head = model.get_output_embeddings()
    linear = {name for name, module in model.named_modules() if isinstance(module, nn.Linear) and module is not head}
    last = {name.rpartition(".")[2] for name in linear}
    if unknown := set(settings.targets) - last:
        known = f"linear layers of this model: {', '.join(sorted(last))}"
        raise UsageError(f"lora.targets: no layer named {', '.join(sorted(unknown))}", hint=known)
    config = LoraConfig(
        r=settings.rank,
        lora_alpha=settings.alpha,
        lora_dropout=settings.dropout,
        target_modules=sorted(settings.targets or last),
        bias="none",
    )
    with init_empty_weights(include_buffers=False):
        inject_adapter_in_model(config, model)
    for name, parameter in model.named_parameters():
        is_adapter = ".lora_" in name
        parameter.requires_grad_(is_adapter)
        if is_adapter:
            parameter.data = parameter.data.float()


def reset_adapters(model: PreTrainedModel, *, seed: int) -> None:
    """Give the adapters their first values: A uniform as in a linear layer, B zero; of any number of ranks."""
    for number, (name, parameter) in enumerate(model.named_parameters()):
        if ".lora_A." in name:
            source = torch.Generator().manual_seed(seed * 1_000_003 + number)
            bound = 1 / sqrt(parameter.shape[1])
            drawn = torch.empty(parameter.shape).uniform_(-bound, bound, generator=source)
            fill(parameter, drawn.__getitem__)
        elif ".lora_B." in name:
            fill(parameter, torch.zeros(parameter.shape).__getitem__)


def merged_weights(model: PreTrainedModel) -> list[Weight]:
    """The weights of the model without adapters, each adapter's update added to its layer's weight, in fp32."""
    layers = {name: module for name, module in model.named_modules() if isinstance(module, LoraLinear)}
    weights = []
    for name, parameter in model.named_parameters():
        if ".lora_" in name:
            continue
        owner = name.partition(".base_layer.")[0]
        layer = layers.get(owner) if name.endswith(".base_layer.weight") else None
        plain = name.replace(".base_layer.", ".")
        weights.append(
            Weight(plain, tuple(parameter.shape), lambda each=parameter, layer=layer: _merged(each, layer))  # type: ignore[misc]
        )
    return weights


def _merged(weight: torch.Tensor, layer: LoraLinear | None) -> torch.Tensor:
    base = whole(weight)
    if layer is None:
        return base
    down, up = (whole(part[_ADAPTER].weight).float() for part in (layer.lora_A, layer.lora_B))
    return base.float() + layer.scaling[_ADAPTER] * (up @ down)

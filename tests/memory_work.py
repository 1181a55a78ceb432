"""Processes that train a step of a small model and count every byte they hold; prints it beside the plan's as JSON."""

from __future__ import annotations

import gc
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch.profiler import ProfilerActivity, profile
from transformers import AutoConfig, AutoModelForCausalLM

sys.path.insert(0, str(Path(__file__).parent))
import ranks
from alpaca_cli.finetune.plan.architecture import read_architecture
from alpaca_cli.finetune.plan.memory import Load, device_memory
from alpaca_cli.finetune.step.assembly import assemble
from alpaca_cli.finetune.step.batches import Batches
from alpaca_cli.finetune.step.learner import place
from alpaca_cli.finetune.step.optimizer import AdamW
from alpaca_cli.finetune.step.shard import local, trained
from alpaca_cli.recipe.finetune import FinetuneRecipe
from token_sets import VOCAB, token_set

CPU = torch.device("cpu")
TOKENS = token_set(48, longest=90, preambles=(30, 40))
_WIDE = {
    "hidden_size": 128, "intermediate_size": 344, "num_hidden_layers": 4, "num_attention_heads": 4, "vocab_size": VOCAB,
    "num_key_value_heads": 4,
}  # fmt: skip
_GROUPED = _WIDE | {"hidden_size": 96, "num_attention_heads": 6, "num_key_value_heads": 2, "head_dim": 16}
_OPT = _WIDE | {"ffn_dim": 344, "word_embed_proj_dim": 128, "dropout": 0.0, "tie_word_embeddings": False}
_BF16 = {"compute": "bf16"}
_ROUNDED = {"compute": "bf16", "weights": "bf16_sr", "moments": "bf16"}
# Architecture, its shape, processes, micro-batches of a step, what the recipe says otherwise.
CASES: dict[str, tuple[str, dict[str, Any], int, int, dict[str, Any]]] = {
    "plain": ("llama", _WIDE, 1, 1, {}),
    "layers computed again": ("llama", _WIDE, 1, 1, {"memory": {"activation_checkpointing": "full"}}),
    "bf16, all but products computed again": (
        "llama", _WIDE, 1, 1, {"precision": _BF16, "memory": {"activation_checkpointing": "selective"}},
    ),
    "rounded weights": ("llama", _WIDE, 1, 1, {"precision": _ROUNDED}),
    "shared preamble, grouped heads": ("llama", _GROUPED, 1, 1, {"memory": {"shared_preamble": "on"}}),
    "several micro-batches, norms of queries": ("qwen3", _GROUPED, 1, 3, {}),
    "layer norms, relu": ("opt", _OPT, 1, 1, {}),
    "adapters": ("llama", _WIDE, 1, 1, {"method": "lora", "precision": _BF16}),
    "two processes": ("llama", _WIDE, 2, 1, {"precision": _BF16}),
    "two processes, layers kept whole": ("llama", _WIDE, 2, 1, {"precision": _BF16, "memory": {"reshard": False}}),
}  # fmt: skip


def recipe_of(base: Path, world: int, changes: dict[str, Any]) -> FinetuneRecipe:
    """A settled recipe."""
    told: dict[str, Any] = {
        "kind": "finetune",
        "model": {"path": str(base)},
        "batch": {"examples_per_step": 12},
        "precision": {"compute": "fp32"},
        "memory": {"activation_checkpointing": "none", "shared_preamble": "off", "loss_chunk": 256},
        "parallel": {"device": "cpu", "processes": world},
        "compile": "off",
    }
    for key, value in changes.items():
        told[key] = {**told[key], **value} if isinstance(value, dict) else value
    return FinetuneRecipe.model_validate(told)


def measure(folder: Path, names: list[str]) -> dict[str, tuple[int, int]]:
    """For each case, bytes of tensors that a step of this process holds at most, and as they are reckoned."""
    return {name: measure_one(folder / name, name) for name in names}


def measure_one(base: Path, name: str) -> tuple[int, int]:
    _, _, world, num_packs, changes = CASES[name]
    recipe = recipe_of(base, world, changes)
    assembly = assemble(recipe, VOCAB, CPU, world)
    optimizer = AdamW(trained(assembly.learner), recipe.train, recipe.precision, seed=1, mesh=assembly.mesh)
    is_shared = recipe.memory.shared_preamble == "on"
    batches = Batches(
        TOKENS, np.arange(len(TOKENS)), recipe.batch, recipe.train,
        rank=dist.get_rank(), world=world, budget=1 << 30, shared_preamble=is_shared,
    )  # fmt: skip
    pack = batches.step(0).packs[0]

    def step() -> None:
        optimizer.forget_gradients()
        for index in range(num_packs):
            assembly.root.set_is_last_backward(index == num_packs - 1)
            assembly.learner(place(pack, CPU), 100).backward()
        optimizer.clip()
        optimizer.step(1, 1e-3)

    step()  # the first sets things up
    optimizer.forget_gradients()
    gc.collect()
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as seen:
        step()
    events = [each for each in seen.profiler.kineto_results.events() if each.name() == "[memory]"]
    held = np.cumsum([each.nbytes() for each in sorted(events, key=lambda each: each.start_ns())]).max()
    states = (*assembly.learner.parameters(), *(tensor for _, tensor in optimizer.state()))
    copies = sum(pack.lengths[number] for number in pack.preambles if number >= 0)
    load = Load(len(pack.ids), len(pack.rows), copies, num_packs > 1)
    reckoned = device_memory(read_architecture(base), recipe, load, world=world)
    return int(held) + sum(local(each).nbytes for each in states), reckoned.tensors


def main() -> None:
    """Every case once."""
    torch.set_num_threads(1)
    found: dict[str, tuple[int, int]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, (model_type, shape, *_) in CASES.items():
            config = AutoConfig.for_model(model_type, **shape)
            AutoModelForCausalLM.from_config(config).save_pretrained(Path(folder) / name)
        for world in (1, 2):
            names = [name for name, case in CASES.items() if case[2] == world]
            found |= ranks.run(world, measure, Path(folder), names)[0]
    sys.stdout.write(f"\n{json.dumps(found)}\n")  # a line of its own: the profiler writes to stdout too


if __name__ == "__main__":
    main()

"""Several processes that train a tiny model by our step, in several ways; prints what each came to as JSON."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from transformers import LlamaConfig, LlamaForCausalLM

sys.path.insert(0, str(Path(__file__).parent))
import ranks
from alpaca_cli.finetune.step.assembly import assemble
from alpaca_cli.finetune.step.batches import Batches
from alpaca_cli.finetune.step.learner import place
from alpaca_cli.finetune.step.optimizer import AdamW, learning_rate
from alpaca_cli.finetune.step.shard import trained, whole
from alpaca_cli.recipe.finetune import FinetuneRecipe
from token_sets import VOCAB, token_set

TOKENS = token_set(48)
CPU = torch.device("cpu")
NUM_STEPS = 8


def make_base(folder: Path, *, is_tied: bool = False) -> None:
    """A tiny model on disk, one row smaller than the tokenizer."""
    torch.manual_seed(0)
    config = LlamaConfig(
        hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
        vocab_size=VOCAB, tie_word_embeddings=is_tied,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(folder)


def recipe_of(base: Path, **changes: Any) -> FinetuneRecipe:
    """A recipe of few steps on `base`."""
    told: dict[str, Any] = {
        "kind": "finetune",
        "model": {"path": str(base), "pad_token": "add"},
        "batch": {"examples_per_step": 12},
        "train": {"lr": 1e-2, "warmup": 0.1, "epochs": 2, "weight_decay": 0.1},
        "precision": {"compute": "fp32"},
        "lora": {"rank": 4},
    }
    return FinetuneRecipe.model_validate(told | changes)


def train(recipe: FinetuneRecipe) -> dict[str, Any]:
    """Losses and gradient norms of a few steps, and a checksum over the weights after them."""
    assembly = assemble(recipe, VOCAB + 1, CPU, dist.get_world_size())
    optimizer = AdamW(
        trained(assembly.learner), recipe.train, recipe.precision, seed=recipe.batch.seed, mesh=assembly.mesh
    )
    batches = Batches(
        TOKENS,
        np.arange(len(TOKENS)),
        recipe.batch,
        recipe.train,
        rank=dist.get_rank(),
        world=dist.get_world_size(),
        budget=300,
        shared_preamble=recipe.memory.shared_preamble == "on",
    )
    losses, norms = [], []
    for number in range(NUM_STEPS):
        step = batches.step(number)
        optimizer.forget_gradients()
        share = torch.zeros((), dtype=torch.float64)
        for pack in step.packs:
            loss = assembly.learner(place(pack, CPU), step.supervised_tokens)
            loss.backward()
            share += loss.detach()
        dist.all_reduce(share)
        norms.append(optimizer.clip().item())
        optimizer.step(number + 1, learning_rate(number, NUM_STEPS, recipe.train))
        losses.append(share.item())
    weights = [weight.gather().double() for weight in assembly.weights()]
    return {"losses": losses, "norms": norms, "checksum": sum((each * each.sign()).sum().item() for each in weights)}


def compare_adamw(recipe: FinetuneRecipe) -> float:
    """The largest difference to PyTorch's optimizer after some steps on made-up gradients."""
    assembly = assemble(recipe, VOCAB + 1, CPU, 1)
    named = dict(trained(assembly.learner))
    copies = {name: whole(each).clone().requires_grad_() for name, each in named.items()}
    ours = AdamW(named.items(), recipe.train, recipe.precision, seed=0, mesh=assembly.mesh)
    theirs = torch.optim.AdamW(
        [
            {"params": [each for each in copies.values() if each.dim() > 1], "weight_decay": 0.1},
            {"params": [each for each in copies.values() if each.dim() == 1], "weight_decay": 0.0},
        ]
    )
    torch.manual_seed(3)
    for number in range(5):
        for name, parameter in named.items():
            gradient = torch.randn(parameter.shape)
            copies[name].grad = gradient.clone()
            parameter.grad = (
                type(parameter.data)(gradient, parameter.data._spec, requires_grad=False)
                if hasattr(parameter.data, "_spec")
                else gradient
            )
        norm = torch.nn.utils.clip_grad_norm_(list(copies.values()), 1.0)
        assert torch.allclose(norm, ours.clip())
        for group in theirs.param_groups:
            group["lr"] = 0.01 * (number + 1)
        theirs.step()
        ours.step(number + 1, 0.01 * (number + 1))
    return max((whole(named[name]) - copies[name]).abs().max().item() for name in named)


def mean_row(recipe: FinetuneRecipe) -> float:
    """How far the row of the new token is from the mean of the others, in both embeddings."""
    assembly = assemble(recipe, VOCAB + 1, CPU, dist.get_world_size())
    tables = [assembly.causal.get_input_embeddings().weight, assembly.causal.get_output_embeddings().weight]
    full = [whole(table).double() for table in tables]
    assert [len(each) for each in full] == [VOCAB + 1] * 2
    return max((each[-1] - each[:-1].mean(0)).abs().max().item() for each in full)


def main() -> None:
    """Every way once."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as temporary:
        base = Path(temporary) / "base"
        make_base(base)
        on, bf16 = {"memory": {"shared_preamble": "on"}}, {"compute": "bf16"}
        ways = {
            "full": ((1, 2, 4), on),
            "again": ((2,), on),
            "lora": ((1, 2), {"method": "lora"}),
            "selective": ((2,), {"memory": {"activation_checkpointing": "selective", "shared_preamble": "on"}}),
            "checkpointed": ((2,), {"memory": {"activation_checkpointing": "full", "reshard": False}}),
            "replicated": ((4,), {"parallel": {"replicate": 2}}),
            "bf16": ((2,), {"precision": bf16}),
            "bf16_sr": ((2,), {"precision": bf16 | {"weights": "bf16_sr", "moments": "bf16"}}),
        }
        answers: dict[str, Any] = {}
        for way, (nums, changes) in ways.items():
            for num in nums:
                answers[f"{way} {num}"] = ranks.run(num, train, recipe_of(base, **changes))[0]
        make_base(Path(temporary) / "tied", is_tied=True)
        for num in (1, 2):
            answers[f"tied {num}"] = ranks.run(num, train, recipe_of(Path(temporary) / "tied"))[0]
        answers["adamw"] = ranks.run(1, compare_adamw, recipe_of(base))[0]
        answers["mean row"] = ranks.run(2, mean_row, recipe_of(base))[0]
        sys.stdout.write(json.dumps(answers) + "\n")


if __name__ == "__main__":
    main()

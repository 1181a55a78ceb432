"""How training with bf16 weights and stochastic rounding follows fp32, and what rounding to the nearest loses.

    python benchmarks/rounding.py [--figure FILE]

A tiny LLaMA is trained from scratch in fp32 on one kind of task, then fine-tuned from there on another with the
original's learning rate of 2e-5, three times: weights and moments in fp32; in bf16 rounded stochastically
(`precision.weights: bf16_sr`, `moments: bf16`); in bf16 rounded to the nearest.  Same batches, bf16 products.
"""

from __future__ import annotations

import argparse
import datetime
import os
import platform
import tempfile
from pathlib import Path

import torch
import torch.distributed as dist

from alpaca_cli.data.jsonl import dumps
from alpaca_cli.data.shipped import shipped_dir
from alpaca_cli.finetune.run import read_inputs
from alpaca_cli.finetune.step import optimizer as optimizer_module
from alpaca_cli.finetune.step.assembly import assemble
from alpaca_cli.finetune.step.batches import Batches
from alpaca_cli.finetune.step.learner import place
from alpaca_cli.finetune.step.optimizer import AdamW, learning_rate
from alpaca_cli.finetune.step.shard import trained
from alpaca_cli.finetune.tinymodel import make_tiny_model
from alpaca_cli.finetune.tokens.token_set import split
from alpaca_cli.format.template import alpaca_template
from alpaca_cli.recipe.finetune import FinetuneRecipe
from alpaca_cli.rehearsal.practice import practice

CPU = torch.device("cpu")


def train(recipe: FinetuneRecipe, num_steps: int, save_to: Path | None = None) -> list[float]:
    """The losses of some steps; the weights go to `save_to` as an ordinary model folder."""
    inputs = read_inputs(recipe)
    assembly = assemble(recipe, inputs.tokenizer.num_tokens, CPU, 1)
    optimizer = AdamW(trained(assembly.learner), recipe.train, recipe.precision, seed=0, mesh=assembly.mesh)
    examples, _ = split(inputs.tokens, 0, 0)
    batches = Batches(
        inputs.tokens, examples, recipe.batch, recipe.train, rank=0, world=1, budget=4096, shared_preamble=True
    )
    losses = []
    for number in range(num_steps):
        step = batches.step(number)
        optimizer.forget_gradients()
        total = 0.0
        for pack in step.packs:
            loss = assembly.learner(place(pack, CPU), step.supervised_tokens)
            loss.backward()
            total += loss.item()
        optimizer.clip()
        optimizer.step(number + 1, learning_rate(number, num_steps, recipe.train))
        losses.append(total)
    if save_to is not None:
        tensors = {weight.name: weight.gather().float() for weight in assembly.weights()}
        assembly.causal.save_pretrained(save_to, state_dict=tensors)
        for name in Path(recipe.model.path or "").iterdir():
            if name.suffix != ".safetensors" and not (save_to / name.name).exists():
                (save_to / name.name).write_bytes(name.read_bytes())
    return losses


def main() -> None:
    """All three, and a table of their mean losses over tenths of the run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--figure", type=Path)
    parser.add_argument("--steps", type=int, default=600)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        os.environ["ALPACA_CACHE"] = str(folder / "cache")
        dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=0, world_size=1)
        first, second = (practice([family], 3000, 1) for family in ("message_topic", "iso_date"))
        template = alpaca_template()
        data = {name: folder / f"{name}.jsonl" for name in ("first", "second")}
        for name, made in (("first", first), ("second", second)):
            data[name].write_text("".join(dumps(each.as_dict()) + "\n" for each in made.train), encoding="utf-8")
        texts = [template.render(each) + each.output for made in (first, second) for each in made.train]
        count = make_tiny_model(iter(texts), folder / "base")

        def recipe(base: str, name: str, lr: float, **precision: str) -> FinetuneRecipe:
            return FinetuneRecipe.model_validate(
                {
                    "kind": "finetune",
                    "model": {"path": str(folder / base)},
                    "data": {"path": str(data[name]), "template": str(shipped_dir("prompts") / "alpaca.yaml")},
                    "batch": {"examples_per_step": 32},
                    "train": {"epochs": 100, "lr": lr, "schedule": "constant"},
                    "precision": {"compute": "bf16", **precision},
                }
            )

        train(recipe("base", "first", 3e-3), 150, folder / "pretrained")
        curves = {"fp32": train(recipe("pretrained", "second", 2e-5), arguments.steps)}
        rounded = {"weights": "bf16_sr", "moments": "bf16"}
        curves["bf16, stochastic"] = train(recipe("pretrained", "second", 2e-5, **rounded), arguments.steps)
        optimizer_module.round_stochastically = lambda exact, _source: exact.to(torch.bfloat16)
        curves["bf16, to the nearest"] = train(recipe("pretrained", "second", 2e-5, **rounded), arguments.steps)
        print(f"{datetime.date.today()}: {count:,} parameters, {arguments.steps} steps of 32, lr 2e-5, ", end="")
        print(f"torch {torch.__version__}, Python {platform.python_version()}\n")
        print("| steps | " + " | ".join(curves) + " |\n|---|" + "---|" * len(curves))
        tenth = arguments.steps // 10
        for begin in range(0, 10 * tenth, tenth):
            means = (sum(curve[begin : begin + tenth]) / tenth for curve in curves.values())
            print(f"| {begin + 1}-{begin + tenth} | " + " | ".join(f"{mean:.4f}" for mean in means) + " |")
        if arguments.figure is not None:
            from matplotlib.figure import Figure

            figure = Figure(figsize=(7, 4), layout="constrained")
            axes = figure.add_subplot(xlabel="step", ylabel="loss")
            for name, curve in curves.items():
                axes.plot([sum(curve[k : k + 10]) / 10 for k in range(len(curve) - 9)], label=name, linewidth=1)
            axes.legend()
            figure.savefig(arguments.figure, dpi=120)
        dist.destroy_process_group()


if __name__ == "__main__":
    main()

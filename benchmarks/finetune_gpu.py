"""How fast `alpaca finetune` is on the GPU of this machine, how much memory it takes, and what the plan said before.

    python benchmarks/finetune_gpu.py --data alpaca_data.json [--recipe 7b_single_gpu] [--steps 40] [--grid]
    python benchmarks/finetune_gpu.py --data alpaca_data.json --tiny      the same with a tiny model, on a CPU

A LLaMA-7B with random weights, which no rate depends on, in one process: the assembly, batches, optimizer and loop of
the command, without its checkpoints and its export.  Random tokens in examples as long as those of `--data`, a token
for each `--chars` characters (4.1: LLaMA's tokenizer on Stanford's data), with the preambles of the Alpaca template.

Each way is a process of its own: what the recipe's plan chooses, then each change by itself that `WAYS` lists;
with `--grid`, all of recomputing x compile x shared preamble x bf16_sr.  Medians over the steps but the first 10,
in which kernels are compiled and memory finds its place.  MFU: 6 FLOPs for each parameter and real token, of the
dense bf16 peak; attention and recomputing are not counted.  The last column is the time that the whole job, 52,002
examples three times, takes at that rate.
"""

from __future__ import annotations

import argparse
import datetime
import itertools
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
import torch.distributed as dist

from alpaca_cli.data.example import Example
from alpaca_cli.finetune.loop import Loop, Surroundings, peak_memory
from alpaca_cli.finetune.metrics import NAME, Metrics, read_metrics
from alpaca_cli.finetune.plan.architecture import describe
from alpaca_cli.finetune.plan.gpus import seen_gpus
from alpaca_cli.finetune.plan.plan import make_plan
from alpaca_cli.finetune.step import assembly
from alpaca_cli.finetune.step.batches import Batches
from alpaca_cli.finetune.step.optimizer import AdamW
from alpaca_cli.finetune.step.shard import local, trained
from alpaca_cli.finetune.tokens.token_set import TokenFacts, TokenSet
from alpaca_cli.format.template import alpaca_template
from alpaca_cli.recipe.finetune import FinetuneRecipe
from alpaca_cli.recipe.load import find_recipe, load

LLAMA_7B = {
    "model_type": "llama", "vocab_size": 32_001, "hidden_size": 4096, "intermediate_size": 11_008,
    "num_hidden_layers": 32, "num_attention_heads": 32, "max_position_embeddings": 2048, "dtype": "float16",
    "tie_word_embeddings": False,
}  # fmt: skip
TINY = {**LLAMA_7B, "vocab_size": 512, "hidden_size": 64, "intermediate_size": 160, "num_hidden_layers": 2}
TINY |= {"num_attention_heads": 2}
WHOLE_JOB = 3 * 52_002
WARM_UP = 10
MARK = "measured: "
CHOICES: dict[str, tuple[tuple[str, ...], ...]] = {
    "recomputing": tuple((f"memory.activation_checkpointing={way}",) for way in ("none", "selective", "full")),
    "compile": (('compile="off"',), ("compile=layers",)),
    "preamble": (('memory.shared_preamble="off"',), ('memory.shared_preamble="on"',)),
    "weights": (("precision.weights=fp32",), ("precision.weights=bf16_sr", "precision.moments=bf16")),
}
WAYS = [(), *itertools.chain(*CHOICES.values()), ("precision.moments=bf16",), ("precision.reduce=bf16",)]
"""Changes to the recipe, one way each."""


def token_set(data: Path, chars: float, max_tokens: int, vocab: int) -> TokenSet:
    """Random tokens with the lengths of a dataset's examples."""
    chance = np.random.default_rng(0)
    template = alpaca_template()

    def tokens(text: str) -> int:
        return max(1, round(len(text) / chars))

    beginnings = [template.with_input.partition("{")[0], template.without_input.partition("{")[0]]
    preambles = [chance.integers(3, vocab, tokens(text)).astype(np.int32) for text in beginnings]
    ids, prompts, kinds = [], [], []
    for row in json.loads(data.read_text(encoding="utf-8")):
        example = Example(row["instruction"], row.get("input", ""), row["output"])
        kind = 0 if example.input else 1
        prompt = tokens(template.render(example)) + 1
        whole = chance.integers(3, vocab, min(max_tokens, prompt + tokens(example.output) + 1)).astype(np.int32)
        if prompt < len(whole):
            whole[: len(preambles[kind])] = preambles[kind]
            ids.append(whole)
            prompts.append(prompt)
            kinds.append(kind)
    lengths = np.array([len(each) for each in ids])
    facts = TokenFacts(
        num_rows=len(ids),
        num_examples=len(ids),
        real_tokens=int(lengths.sum()),
        supervised_tokens=int(lengths.sum() - sum(prompts)),
        num_truncated=int((lengths == max_tokens).sum()),
        num_dropped_overlong=0,
        num_unsupervised=0,
        num_bad=0,
        num_shifted=0,
        longest=int(lengths.max()),
        notes=(),
        key="0" * 64,
    )
    starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    prompt_lengths, preamble_of = np.array(prompts, np.int32), np.array(kinds, np.int8)
    return TokenSet(np.concatenate(ids), starts, prompt_lengths, preamble_of, tuple(preambles), facts)


def draw_weights(causal: torch.nn.Module, *_: object, **__: object) -> None:
    """Random weights in place of those of a base model; norms begin at 1."""
    for parameter in causal.parameters():
        here = local(parameter.data)
        if here.numel():
            here.normal_(std=0.02) if parameter.dim() > 1 else here.fill_(1.0)


def measure(arguments: argparse.Namespace, way: list[str], folder: Path) -> dict[str, Any]:
    """One way, in this process."""
    config = TINY if arguments.tiny else LLAMA_7B
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    sets = [f"train.max_steps={arguments.steps}", "train.epochs=1000", "data.val_fraction=0", "parallel.processes=1"]
    if arguments.tiny:
        sets += ["parallel.device=cpu", "batch.examples_per_step=16"]
    recipe = load(find_recipe(arguments.recipe), FinetuneRecipe, [*sets, f"model.path={folder}", *way])
    tokens = token_set(arguments.data, arguments.chars, recipe.data.max_tokens, config["vocab_size"])
    plan = make_plan(recipe, describe(config), tokens, gpus=None, out=folder)
    told: dict[str, Any] = {
        "recomputing": plan.settled.memory.activation_checkpointing,
        "compile": plan.settled.compile,
        "preamble": plan.settled.memory.shared_preamble,
        "weights": f"{plan.settled.precision.weights}, moments {plan.settled.precision.moments}",
        "planned_bytes": plan.memory.total,
        "room_bytes": plan.room,
        "fits": plan.fits,
    }
    return told | (run(plan.settled, tokens, folder, arguments.steps) if plan.fits else {})


def run(recipe: FinetuneRecipe, tokens: TokenSet, folder: Path, num_steps: int) -> dict[str, Any]:
    """The steps of a settled recipe."""
    on_gpu = recipe.parallel.device == "cuda"
    device = torch.device("cuda", 0) if on_gpu else torch.device("cpu")
    if on_gpu:
        torch.cuda.set_device(device)
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = recipe.precision.tf32
    store = dist.FileStore(str(folder / "store"), 1)
    dist.init_process_group("cpu:gloo,cuda:nccl" if on_gpu else "gloo", store=store, rank=0, world_size=1)
    began = time.monotonic()
    with patch.object(assembly, "load_weights", draw_weights), patch.object(assembly, "BaseModel"):
        made = assembly.assemble(recipe, 0, device, 1)
    optimizer = AdamW(trained(made.learner), recipe.train, recipe.precision, seed=recipe.batch.seed, mesh=made.mesh)
    batches = Batches(
        tokens, np.arange(len(tokens)), recipe.batch, recipe.train, rank=0, world=1,
        budget=recipe.batch.tokens_per_microbatch or recipe.data.max_tokens,
        shared_preamble=recipe.memory.shared_preamble == "on",
    )  # fmt: skip
    peaks = [gpu.peak_flops for gpu in seen_gpus()] if on_gpu else []
    around = Surroundings(
        rank=0,
        device=device,
        metrics=Metrics(folder, is_writing=True),
        beat=lambda *_: None,
        should_stop=lambda: False,
        flops_per_token=6 * made.num_parameters,
        peak_flops=peaks[0] if peaks and peaks[0] else None,
    )
    Loop(made, optimizer, batches, (), recipe, around).run(lambda _: None)
    records = [record for record in read_metrics(folder / NAME) if record["kind"] == "step"]
    seconds = time.monotonic() - began
    peak, reserved = peak_memory(device), torch.cuda.max_memory_reserved(device) if on_gpu else None
    dist.destroy_process_group()
    assert len(records) == num_steps
    warm = records[min(WARM_UP, num_steps // 2) :]
    step_s = statistics.median(record["seconds"] for record in warm)
    mean = {key: statistics.mean(record[key] for record in warm) for key in ("real_tokens", "computed_tokens")}
    return {
        "num_parameters": made.num_parameters,
        "micro_batches": len(batches.step(0).packs),
        "step_s": step_s,
        "first_step_s": records[0]["seconds"],
        "all_s": seconds,
        "examples_per_s": recipe.batch.examples_per_step / step_s,
        "real_tokens_per_s": mean["real_tokens"] / step_s,
        "computed_share": mean["computed_tokens"] / mean["real_tokens"],
        "mfu": statistics.median(record["mfu"] for record in warm) if warm[0]["mfu"] is not None else None,
        "peak_bytes": peak,
        "reserved_bytes": reserved,
        "losses": [records[0]["loss"], records[-1]["loss"]],
    }


def ways(*, is_grid: bool) -> Iterator[tuple[str, ...]]:
    """What to measure."""
    if is_grid:
        yield from (tuple(itertools.chain(*each)) for each in itertools.product(*CHOICES.values()))
    else:
        yield from WAYS


def show(way: tuple[str, ...], found: dict[str, Any]) -> None:
    """A row of the table."""
    gib = {key: found[key] / 2**30 if found.get(key) else None for key in ("planned_bytes", "peak_bytes")}
    cells = [" ".join(way) or "as planned", *(found[key] for key in ("recomputing", "compile", "preamble", "weights"))]
    if "step_s" not in found:
        why = "does not fit by the plan" if not found["fits"] else f"failed: {found.get('error', '')}"
        print(f"| {' | '.join(cells)} | {gib['planned_bytes']:.1f} | {why} |", flush=True)
        return
    mfu = f"{found['mfu']:.1%}" if found["mfu"] is not None else "-"
    cells += [
        f"{gib['planned_bytes']:.1f}", f"{gib['peak_bytes']:.1f}", f"{found['micro_batches']}",
        f"{found['step_s']:.3f}", f"{found['examples_per_s']:.1f}", f"{found['real_tokens_per_s']:,.0f}", mfu,
        f"{found['computed_share']:.1%}", f"{WHOLE_JOB / found['examples_per_s'] / 60:.1f}",
    ]  # fmt: skip
    print(f"| {' | '.join(cells)} |", flush=True)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="a dataset like Stanford's alpaca_data.json")
    parser.add_argument("--recipe", default="7b_single_gpu", help="path or shipped name")
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--chars", type=float, default=4.1, help="characters of a token")
    parser.add_argument("--grid", action="store_true", help="all combinations")
    parser.add_argument("--tiny", action="store_true", help="a tiny model on a CPU, to try the script")
    parser.add_argument("--only", type=int, nargs="+", metavar="N", help="these of the ways, from 0")
    parser.add_argument("--way", nargs="*", help=argparse.SUPPRESS)  # measured in this process
    arguments = parser.parse_args()
    if arguments.way is not None:
        with tempfile.TemporaryDirectory() as name:
            found = measure(arguments, arguments.way, Path(name))
        print(MARK + json.dumps(found), flush=True)
        os._exit(0)  # at once: threads of collectives may abort while an interpreter ends
    names = ", ".join(gpu.name for gpu in seen_gpus()) or "no GPU"
    versions = ", ".join(f"{name} {version(name)}" for name in ("torch", "transformers"))
    print(
        f"{datetime.date.today()}: {names}, Python {platform.python_version()}, {versions}, {arguments.steps} steps\n"
    )
    columns = "way, recomputing, compile, preamble, weights, GiB planned, GiB at most, micro-batches, s a step"
    columns += ", examples/s, real tokens/s, MFU, computed / real tokens, whole job min"
    print(f"| {columns.replace(', ', ' | ')} |\n{'|---' * len(columns.split(', '))}|", flush=True)
    for number, way in enumerate(ways(is_grid=arguments.grid)):
        if arguments.only and number not in arguments.only:
            continue
        done = subprocess.run([sys.executable, *sys.argv, "--way", *way], capture_output=True, text=True)
        lines = [line for line in done.stdout.splitlines() if line.startswith(MARK)]
        if lines:
            show(way, json.loads(lines[-1].removeprefix(MARK)))
        else:
            last = (done.stderr.strip().splitlines() or ["no word"])[-1]
            print(f"| {' '.join(way) or 'as planned'} | exit code {done.returncode}: {last[:200]} |", flush=True)


if __name__ == "__main__":
    main()

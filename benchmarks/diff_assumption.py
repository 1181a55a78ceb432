"""How far a fine-tuning at 2e-5 really moves weights: what `benchmarks/diff.py` assumes, checked on a small model.

    python benchmarks/diff_assumption.py --data alpaca_data.json [--pretraining 2000] [--steps 1219] [--folder DIR]

AdamW moves a weight by lr * m / sqrt(v) a step.  Where the gradient is mostly noise that is a random walk, and the
weight ends at a distance of c * sqrt(sum of lr^2) with c near 1, normally distributed.  Here a LLaMA of 1.3 million
random weights is first trained at 3e-3 on two fifths of the rows, exported in bf16, and from there fine-tuned by the
original's schedule (2e-5, cosine, warm-up 0.03), 8 examples a step: on the other rows, of which it knows far less than
a large model would, and on the first ones again, which it knows better; every run is `alpaca finetune` with fp32
weights.  What DIR holds already is not made again.  Told for each kind of tensor: c, the shape of the distribution, how
many bf16 values stay the same, and what the change costs: the entropy of the difference of the bf16 bit patterns as
integers, given the base's exponent, of the real pair; of the same base with normal changes as large; and of made up
weights of the size that those of large models have, with the real changes, and with what `diff_pairs.py` assumes.
"""

from __future__ import annotations

import argparse
import datetime
import json
import math
import os
import re
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import numpy.typing as npt
from diff_pairs import WEIGHT_RMS, bf16_bits, cost, from_bits
from safetensors.torch import load_file

from alpaca_cli.data.example import Example
from alpaca_cli.finetune.metrics import NAME, read_metrics
from alpaca_cli.finetune.tinymodel import make_tiny_model
from alpaca_cli.format.template import alpaca_template

KINDS = {"embeddings": "embed_tokens", "attention": "self_attn", "MLP": "mlp", "head": "lm_head", "norms": "norm"}
Floats = npt.NDArray[np.float32]


def put_rows(path: Path, examples: list[Example]) -> None:
    """A dataset that `alpaca finetune` reads."""
    path.write_text(json.dumps([example.as_dict() for example in examples]), encoding="utf-8")


def finetune(model: Path, data: Path, out: Path, *told: str) -> None:
    """A run on one thread, its model in OUT/model."""
    told = (*told, "train.epochs=1000", "data.val_fraction=0", "data.max_tokens=512", "train.warmup=0.03",
            "parallel.processes=1", "checkpoint.probe=false", "checkpoint.every=100000")  # fmt: skip
    command = [sys.executable, "-m", "alpaca_cli", "finetune", "tiny_cpu", "--model", str(model), "--data", str(data)]
    command += ["--out", str(out), *(word for each in told for word in ("--set", each))]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    if done.returncode:
        sys.exit(f"exit code {done.returncode}: {' '.join(command)}\n{done.stderr}")


def losses(run: Path) -> tuple[float, float]:
    """The mean loss of a run's first and last twenty steps."""
    told = [record["loss"] for record in read_metrics(run / NAME) if record["kind"] == "step"]
    return statistics.mean(told[:20]), statistics.mean(told[-20:])


def tensors(model: Path) -> dict[str, Floats]:
    """All of an exported model's, in fp32."""
    return {name: tensor.float().numpy() for name, tensor in load_file(model / "model.safetensors").items()}


def table(base: dict[str, Floats], tuned: dict[str, Floats], walk: float) -> None:
    """A row for each kind of tensor."""
    random = np.random.default_rng(0)
    print(
        f"\n| kind | weights | their rms | c | kurtosis | beyond 5 rms | same in bf16 | bits: real | normal, same c | "
        f"weights {WEIGHT_RMS}: real | normal, c = 1 |\n|---|---|---|---|---|---|---|---|---|---|---|"
    )
    for kind, pattern in {**KINDS, "all but norms": "embed_tokens|proj|lm_head"}.items():
        names = [name for name in base if re.search(pattern, name)]
        old, new = (np.concatenate([side[name].ravel() for name in names]) for side in (base, tuned))
        change = new - old
        rms = math.sqrt(np.square(change, dtype=np.float64).mean())
        kurtosis = np.power(change, 4, dtype=np.float64).mean() / rms**4
        old_bits, new_bits = bf16_bits(old), bf16_bits(new)
        like = from_bits(bf16_bits(random.standard_normal(len(old), np.float32) * np.float32(WEIGHT_RMS)))
        noise = random.standard_normal(len(old), np.float32)
        pairs = (
            (old_bits, new_bits),
            (old_bits, bf16_bits(old + noise * np.float32(rms))),
            (bf16_bits(like), bf16_bits(like + change)),
            (bf16_bits(like), bf16_bits(like + noise * np.float32(walk))),
        )
        bits = ["-"] * len(pairs) if kind == "norms" else [f"{cost(*pair):.2f}" for pair in pairs]
        print(
            f"| {kind} | {len(old):,} | {math.sqrt(np.square(old).mean()):.3f} | {rms / walk:.2f} | {kurtosis:.1f} | "
            f"{np.mean(np.abs(change) > 5 * rms):.3%} | {np.mean(old_bits == new_bits):.1%} | {' | '.join(bits)} |",
            flush=True,
        )


def main() -> None:
    """Train, fine-tune, compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="a dataset like Stanford's alpaca_data.json")
    parser.add_argument("--pretraining", type=int, default=2000, metavar="STEPS")
    parser.add_argument("--steps", type=int, default=1219, help="of a fine-tuning")
    parser.add_argument("--folder", type=Path, help="keep the models here")
    arguments = parser.parse_args()
    rows = json.loads(arguments.data.read_text(encoding="utf-8"))
    examples = [Example(row["instruction"], row.get("input", ""), row["output"]) for row in rows if row["output"]]
    template, cut = alpaca_template(), len(examples) * 2 // 5
    with tempfile.TemporaryDirectory() as name:
        folder = arguments.folder or Path(name)
        folder.mkdir(exist_ok=True)
        os.environ["ALPACA_CACHE"] = str(folder / "cache")
        put_rows(folder / "first.json", examples[:cut])
        put_rows(folder / "other.json", examples[cut:])
        model = folder / "pretraining" / "model"
        if not model.exists():
            make_tiny_model((template.render(each) + each.output for each in examples), folder / "random")
            told = ("train.lr=3e-3", f"train.max_steps={arguments.pretraining}", "batch.examples_per_step=16")
            finetune(folder / "random", folder / "first.json", model.parent, *told, "export.dtype=bf16")
        base = tensors(model)
        count = sum(tensor.size for tensor in base.values())
        print(f"{datetime.date.today()}: {count:,} weights, {cut:,} first rows, {len(examples) - cut:,} others")
        print("first training: loss {:.3f} -> {:.3f}".format(*losses(model.parent)), flush=True)
        for data in ("other", "first"):
            run = folder / data
            if not (run / "model").exists():
                told = ("train.lr=2e-5", f"train.max_steps={arguments.steps}", "batch.examples_per_step=8")
                finetune(model, folder / f"{data}.json", run, *told, "export.dtype=fp32")
            rates = [record["lr"] for record in read_metrics(run / NAME) if record["kind"] == "step"]
            walk = math.sqrt(sum(rate**2 for rate in rates))
            print(
                f"\nthe {data} rows, {len(rates):,} steps: loss {losses(run)[0]:.3f} -> {losses(run)[1]:.3f}; "
                f"sqrt(sum of lr^2) {walk:.3g}, sum of lr {sum(rates):.3g}"
            )
            table(base, tensors(run / "model"), walk)


if __name__ == "__main__":
    main()

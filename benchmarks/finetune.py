"""How fast a step of `alpaca finetune` is on this machine's CPU, beside those of others, in one run.

    python benchmarks/finetune.py [--data alpaca_data.json] [--steps 8] [--threads 1] [--trl FOLDER]

The same LLaMA with random weights, the same examples, fp32, one process of `--threads` threads, one after another; of
128 examples a step, the first step left out (it warms up).  Ours is the whole command, its rate from its own
metrics.jsonl.  Trainer is transformers' own as Stanford's train.py uses it: padded, four at once.  TRL's SFTTrainer
packs to 512 tokens; it is measured where `--trl` names a folder into which it was installed:

    pip install --no-deps --target FOLDER trl datasets dill multiprocess xxhash pandas python-dateutil pytz tzdata \\
        fsspec

Without `--data`, the rehearsal's tasks of all families, 2,000 of them.  Rates depend on the machine; their ratios less.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

from alpaca_cli.data.example import Example
from alpaca_cli.finetune.metrics import NAME, read_metrics
from alpaca_cli.finetune.tinymodel import make_tiny_model
from alpaca_cli.format.template import alpaca_template
from alpaca_cli.rehearsal.families.registry import FAMILIES
from alpaca_cli.rehearsal.practice import practice

NUM = 2_000
SIZES = {"tiny": (160, 2), "small": (256, 4)}
"""Hidden size and layers."""


def put_data(folder: Path, data: Path | None) -> list[Example]:
    """Rows for all, as Stanford's file has them."""
    if data is None:
        examples = list(practice([family.name for family in FAMILIES], NUM, 0).train)
    else:
        rows = json.loads(data.read_text(encoding="utf-8"))[:NUM]
        examples = [Example(row["instruction"], row.get("input", ""), row["output"]) for row in rows]
        examples = [example for example in examples if example.output]
    (folder / "data.json").write_text(json.dumps([example.as_dict() for example in examples]), encoding="utf-8")
    return examples


def put_model(folder: Path, size: str, examples: list[Example]) -> int:
    """A model with random weights and a tokenizer of 2,000 pieces; returns its number of parameters."""
    template = alpaca_template()
    make_tiny_model((template.render(example) + example.output for example in examples), folder / size)
    hidden, layers = SIZES[size]
    config = LlamaConfig(
        vocab_size=len(AutoTokenizer.from_pretrained(folder / size)),
        hidden_size=hidden,
        intermediate_size=hidden * 11 // 4,
        num_hidden_layers=layers,
        num_attention_heads=hidden // 32,
        bos_token_id=1,
        eos_token_id=2,
    )
    model = LlamaForCausalLM(config)
    model.save_pretrained(folder / size)
    return int(model.num_parameters())


def environment(threads: int, more: str | None = None) -> dict[str, str]:
    """For a process that computes."""
    paths = [str(Path(__file__).parent.parent), *([more] if more else []), os.environ.get("PYTHONPATH", "")]
    told = {"OMP_NUM_THREADS": str(threads), "PYTHONPATH": os.pathsep.join(filter(None, paths))}
    return {**os.environ, **told, "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}


def ours(folder: Path, size: str, steps: int, threads: int, preamble: str) -> dict[str, Any]:
    """The command."""
    out = folder / f"{size}.{preamble}"
    told = [
        "batch.examples_per_step=128", f"train.max_steps={steps}", "train.epochs=100", "train.lr=2e-5",
        "data.val_fraction=0", "data.max_tokens=512", "parallel.processes=1", "checkpoint.probe=false",
        f'memory.shared_preamble="{preamble}"',
    ]  # fmt: skip
    command = [sys.executable, "-m", "alpaca_cli", "finetune", "tiny_cpu", "--model", str(folder / size)]
    command += ["--data", str(folder / "data.json"), "--out", str(out)]
    command += [word for each in told for word in ("--set", each)]
    run(command, environment(threads))
    records = [record for record in read_metrics(out / NAME) if record["kind"] == "step"]
    return {
        "examples": 128,
        "positions": statistics.mean(record["computed_tokens"] for record in records),
        "real": statistics.mean(record["real_tokens"] for record in records),
        "seconds": [record["seconds"] for record in records],
    }


def rival(way: str, folder: Path, size: str, steps: int, threads: int, more: str | None = None) -> dict[str, Any]:
    """Another way, by its name."""
    script = str(Path(__file__).with_name("finetune_rivals.py"))
    command = [sys.executable, script, way, str(folder / size), str(folder / "data.json"), str(steps)]
    found: dict[str, Any] = json.loads(run(command, environment(threads, more)).splitlines()[-1])
    return found


def run(command: list[str], env: dict[str, str]) -> str:
    """Standard output of a command that ends well."""
    done = subprocess.run(command, capture_output=True, text=True, env=env)
    if done.returncode:
        sys.exit(f"exit code {done.returncode}: {' '.join(command)}\n{done.stderr}")
    return done.stdout


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="a dataset like Stanford's alpaca_data.json; its first 2,000 rows")
    parser.add_argument("--steps", type=int, default=8, help="of each way, the first left out")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument("--trl", metavar="FOLDER", help="where TRL was installed")
    arguments = parser.parse_args()
    versions = ", ".join(f"{name} {version(name)}" for name in ("torch", "transformers", "accelerate"))
    print(
        f"{datetime.date.today()}: {os.cpu_count()} cores, {arguments.threads} used, "
        f"Python {platform.python_version()}, {versions}"
    )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        examples = put_data(folder, arguments.data)
        for size in arguments.sizes:
            count = put_model(folder, size, examples)
            told = (folder, size, arguments.steps, arguments.threads)
            ways = {
                "ours": ours(*told, "on"),
                "ours, each preamble by itself": ours(*told, "off"),
                "Trainer, padded, 4 at once": rival("trainer", *told),
            }
            if arguments.trl:
                ways["TRL, packed to 512 tokens"] = rival("trl", *told, arguments.trl)
            print(f"\n## {size}: {count:,} parameters, {len(examples):,} examples\n")
            print(
                "| | s a step | examples/s | ours / it | positions a step | of them real tokens |\n"
                "|---|---|---|---|---|---|"
            )
            rates = {way: each["examples"] / statistics.median(each["seconds"][1:]) for way, each in ways.items()}
            for way, each in ways.items():
                # Ours leaves out the last token of each, which predicts nothing; and a shared preamble is one for many.
                real = min(1.0, each["real"] / each["positions"])
                print(
                    f"| {way} | {statistics.median(each['seconds'][1:]):.2f} | {rates[way]:.1f} | "
                    f"{rates['ours'] / rates[way]:.2f} | {each['positions']:,.0f} | {real:.1%} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()

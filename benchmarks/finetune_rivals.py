"""The steps of a fine-tuning as others do them, in a process of their own: `finetune.py` starts it.

    python benchmarks/finetune_rivals.py (trainer | trl) MODEL DATA STEPS

`trainer`: transformers' Trainer as in Stanford's train.py: micro-batches of 4, padded to the longest.  `trl`: TRL's
SFTTrainer with packing to 512 tokens, loss on the response alone; its step holds as many packs as 128 examples fill on
average, which is another recipe, so that only its rate compares.
Prints one JSON object: examples and positions a step, how many of these are real tokens, and seconds of each step.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, Trainer, TrainerCallback, TrainingArguments

from alpaca_cli.data.example import Example
from alpaca_cli.format.template import alpaca_template

PER_STEP, AT_ONCE, LONGEST = 128, 4, 512


class Clock(TrainerCallback):
    """Seconds of each step."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def on_step_begin(self, *_: Any, **__: Any) -> None:
        self._began = time.monotonic()

    def on_step_end(self, *_: Any, **__: Any) -> None:
        self.seconds.append(time.monotonic() - self._began)


def texts(data: Path) -> list[tuple[str, str]]:
    """Prompts and outputs."""
    template = alpaca_template()
    rows = [Example(row["instruction"], row.get("input", ""), row["output"]) for row in json.loads(data.read_text())]
    return [(template.render(row), row.output) for row in rows]


def arguments(steps: int, out: str, batch: int) -> dict[str, Any]:
    """Those that both trainers take."""
    return {
        "output_dir": out, "max_steps": steps, "per_device_train_batch_size": batch, "learning_rate": 2e-5,
        "lr_scheduler_type": "cosine", "weight_decay": 0.0, "logging_steps": 1, "save_strategy": "no",
        "report_to": "none", "use_cpu": True, "disable_tqdm": True,
    }  # fmt: skip


def trainer(model: Path, data: Path, steps: int, out: str) -> dict[str, Any]:
    """The original's way."""
    tokenizer = AutoTokenizer.from_pretrained(model)
    rows = []
    for prompt, output in texts(data):
        ids = torch.tensor(tokenizer(prompt + output + tokenizer.eos_token).input_ids[:LONGEST])
        labels = ids.clone()
        labels[: len(tokenizer(prompt).input_ids)] = -100
        if (labels != -100).any():
            rows.append({"input_ids": ids, "labels": labels})
    counted = {"positions": 0, "real": 0, "calls": 0}

    def padded(batch: list[dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
        ids, labels = (
            torch.nn.utils.rnn.pad_sequence([row[key] for row in batch], batch_first=True, padding_value=filling)
            for key, filling in (("input_ids", -1), ("labels", -100))
        )
        counted["positions"] += ids.numel()
        counted["real"] += int((ids >= 0).sum())
        counted["calls"] += 1
        return {"input_ids": ids.clamp(min=0), "labels": labels, "attention_mask": (ids >= 0).long()}

    told = arguments(steps, out, AT_ONCE) | {"gradient_accumulation_steps": PER_STEP // AT_ONCE}
    clock = Clock()
    causal = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32)
    Trainer(causal, TrainingArguments(**told), data_collator=padded, train_dataset=rows, callbacks=[clock]).train()
    per_step = counted["calls"] * AT_ONCE / PER_STEP
    return {
        "examples": PER_STEP,
        "positions": counted["positions"] / per_step,
        "real": counted["real"] / per_step,
        "seconds": clock.seconds,
    }


def trl(model: Path, data: Path, steps: int, out: str) -> dict[str, Any]:
    """TRL's packing, a pack at a time."""
    from datasets import Dataset, disable_progress_bars
    from trl import SFTConfig, SFTTrainer

    disable_progress_bars()
    tokenizer = AutoTokenizer.from_pretrained(model)
    pairs = texts(data)
    tokens = sum(min(LONGEST, len(tokenizer(prompt + output).input_ids) + 1) for prompt, output in pairs)
    packs = round(PER_STEP * tokens / len(pairs) / LONGEST)
    dataset = Dataset.from_list([{"prompt": prompt, "completion": output} for prompt, output in pairs])
    told = arguments(steps, out, 1) | {"gradient_accumulation_steps": packs}
    told |= {"packing": True, "max_length": LONGEST, "completion_only_loss": True, "gradient_checkpointing": False}
    told |= {"bf16": False}
    clock = Clock()
    causal = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32)
    found = SFTTrainer(
        causal, args=SFTConfig(**told), train_dataset=dataset, processing_class=tokenizer, callbacks=[clock]
    )
    found.train()
    lengths = [len(row["input_ids"]) for row in found.train_dataset]
    # What a pack holds, in examples of mean length: how many were begun in it, TRL does not tell.
    mean = sum(lengths) / len(lengths)
    return {
        "examples": packs * mean / (tokens / len(pairs)),
        "positions": packs * mean,
        "real": packs * mean,
        "seconds": clock.seconds,
    }


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        way = {"trainer": trainer, "trl": trl}[sys.argv[1]]
        print(json.dumps(way(Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4]), folder)))

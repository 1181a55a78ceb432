"""`alpaca finetune` on two processes against the original's way: a plain padded loop, and transformers' own Trainer.

Both oracles do what stanford_alpaca's train.py does: tokenize prompt and whole each by itself, mask the prompt, pad on
the right, AdamW, cosine, clipping.  Ours packs, shares the preamble and the model.  One difference of definition is
left aside: in 2023 the loss of a step was the mean of its micro-batches' means; since transformers 4.46 it is, as ours,
the mean over all supervised tokens of the step.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM, Trainer, TrainingArguments

from alpaca_cli.finetune.metrics import NAME, read_metrics
from alpaca_cli.finetune.tinymodel import make_tiny_model
from alpaca_cli.format.template import alpaca_template
from alpaca_cli.rehearsal.families.registry import FAMILIES
from alpaca_cli.rehearsal.practice import practice
from conftest import Outcome

Alpaca = Callable[..., Outcome]
Row = dict[str, torch.Tensor]

NUM, PER_STEP, EPOCHS, SEED = 64, 16, 5, 42
NUM_STEPS = NUM * EPOCHS // PER_STEP
LR, WARMUP, CLIP = 2e-4, 0.1, 1.0
IGNORED = -100


@dataclass(frozen=True)
class Base:
    """A small model with large weights, and a dataset of many kinds of task, some with an input and some without."""

    model: Path
    data: Path
    rows: list[Row]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Base:
    folder = tmp_path_factory.mktemp("base")
    template = alpaca_template()
    short = [family.name for family in FAMILIES[::8]]
    examples = practice(short, 1000, 0).train
    make_tiny_model((template.render(example) + example.output for example in examples), folder / "model")
    tokenizer = AutoTokenizer.from_pretrained(folder / "model")
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=32, intermediate_size=80, num_hidden_layers=2, num_attention_heads=4,
        bos_token_id=1, eos_token_id=2, initializer_range=0.1,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(folder / "model")
    examples = examples[:NUM]
    (folder / "data.json").write_text(json.dumps([example.as_dict() for example in examples]))
    assert 0 < sum(bool(example.input) for example in examples) < NUM
    rows = []
    for example in examples:
        prompt = template.render(example)
        whole = torch.tensor(tokenizer(prompt + example.output + tokenizer.eos_token).input_ids)[:512]
        labels = whole.clone()
        labels[: len(tokenizer(prompt).input_ids)] = IGNORED
        rows.append({"input_ids": whole, "labels": labels})
    return Base(folder / "model", folder / "data.json", rows)


class Order(torch.utils.data.Sampler[int]):
    """DistributedSampler's order, of one process: another permutation each epoch."""

    def __init__(self) -> None:
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return NUM

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(SEED + self.epoch)
        return iter(torch.randperm(NUM, generator=generator).tolist())


def padded(rows: list[Row]) -> Row:
    """A rectangle of rows, filled up on the right."""
    ids, labels = (
        torch.nn.utils.rnn.pad_sequence([row[key] for row in rows], batch_first=True, padding_value=filling)
        for key, filling in (("input_ids", -1), ("labels", IGNORED))
    )
    return {"input_ids": ids.clamp(min=0), "labels": labels, "attention_mask": (ids >= 0).long()}


def plain_curve(base: Base) -> list[dict[str, float]]:
    """Loss, learning rate and gradient norm of each step, written from the facts; every step in one rectangle."""
    model = AutoModelForCausalLM.from_pretrained(base.model)
    optimizer = torch.optim.AdamW(model.parameters(), lr=LR, betas=(0.9, 0.999), eps=1e-8, weight_decay=0)
    order, curve = Order(), []
    warm = math.ceil(WARMUP * NUM_STEPS)
    for number in range(NUM_STEPS):
        order.set_epoch(number * PER_STEP // NUM)
        first = number * PER_STEP % NUM
        batch = padded([base.rows[place] for place in list(order)[first : first + PER_STEP]])
        logits = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits[:, :-1]
        loss = torch.nn.functional.cross_entropy(
            logits.flatten(0, 1), batch["labels"][:, 1:].flatten(), ignore_index=IGNORED
        )
        optimizer.zero_grad()
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        done = max(0, number - warm) / (NUM_STEPS - warm)
        lr = LR * (number / warm if number < warm else (1 + math.cos(math.pi * done)) / 2)
        for group in optimizer.param_groups:
            group["lr"] = lr
        optimizer.step()
        curve.append({"loss": loss.item(), "lr": lr, "grad_norm": norm.item()})
    return curve


class Original(Trainer):
    """The Trainer with the order that it had in the original, where it ran under torchrun."""

    def _get_train_sampler(self, train_dataset: Any = None) -> Order:
        return Order()


def trainer_curve(base: Base, out: Path) -> list[dict[str, float]]:
    """The same as transformers' Trainer has it, in micro-batches of 4 as the original's."""
    arguments = TrainingArguments(
        str(out), num_train_epochs=EPOCHS, per_device_train_batch_size=4, gradient_accumulation_steps=PER_STEP // 4,
        learning_rate=LR, lr_scheduler_type="cosine", warmup_steps=WARMUP, weight_decay=0, max_grad_norm=CLIP,
        logging_steps=1, save_strategy="no", report_to="none", use_cpu=True, disable_tqdm=True, seed=SEED,
    )  # fmt: skip
    model = AutoModelForCausalLM.from_pretrained(base.model)
    trainer = Original(model, arguments, data_collator=padded, train_dataset=base.rows)
    trainer.train()
    steps = [record for record in trainer.state.log_history if "loss" in record]
    return [{"loss": each["loss"], "lr": each["learning_rate"], "grad_norm": each["grad_norm"]} for each in steps]


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_twenty_steps_are_those_of_the_padded_loop_and_of_the_trainer(
    base: Base, alpaca: Alpaca, tmp_path: Path
) -> None:
    told = {
        "train.epochs": EPOCHS, "train.lr": LR, "train.warmup": WARMUP, "batch.examples_per_step": PER_STEP,
        "train.beta2": 0.999, "data.val_fraction": 0, "data.max_tokens": 512,
        "checkpoint.probe": "false", "batch.tokens_per_microbatch": 400,
    }  # fmt: skip
    sets = [word for key, value in told.items() for word in ("--set", f"{key}={value}")]
    run = alpaca("finetune", "tiny_cpu", "--model", base.model, "--data", base.data, "--out", "ours", *sets)
    assert run.code == 0, run.err
    ours = [record for record in read_metrics(Path("ours") / NAME) if record["kind"] == "step"]
    plain, original = plain_curve(base), trainer_curve(base, tmp_path / "trainer")

    assert len(ours) == len(plain) == len(original) == NUM_STEPS
    assert plain[-1]["loss"] < plain[0]["loss"] - 0.05  # it learns, so that every step depends on those before
    assert max(step["grad_norm"] for step in plain) > CLIP > 0  # and clips
    assert ours[0]["computed_tokens"] < 0.9 * ours[0]["real_tokens"]  # the preamble is shared
    for oracle in (plain, original):
        for step, expected in zip(ours, oracle, strict=True):
            assert step["loss"] == pytest.approx(expected["loss"], abs=1e-5)
            assert step["grad_norm"] == pytest.approx(expected["grad_norm"], rel=1e-5)
    assert [step["lr"] for step in ours] == pytest.approx([step["lr"] for step in plain])
    trained = AutoModelForCausalLM.from_pretrained("ours/model")
    assert trained.dtype == torch.float32

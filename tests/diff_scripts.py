"""What the programs do by which others make and recover additive diffs, restated with transformers, and tiny models.

Source: stanford_alpaca, weight_diff.py and train.py; FastChat, apply_delta.py (two versions); LLaVA, apply_delta.py.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from tiny_base import make_base, make_data

PAD = "[PAD]"


def load(folder: Path, dtype: torch.dtype = torch.float32) -> Any:
    return AutoModelForCausalLM.from_pretrained(folder, dtype=dtype)


def add_padding(model: Any, tokenizer: Any) -> None:
    """One more row in both matrices, which holds the mean of the others."""
    number = tokenizer.add_special_tokens({"pad_token": PAD})
    model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    if number:
        for matrix in (model.get_input_embeddings().weight.data, model.get_output_embeddings().weight.data):
            matrix[-number:] = matrix[:-number].mean(dim=0, keepdim=True)


def load_base(folder: Path) -> Any:
    model, tokenizer = load(folder), AutoTokenizer.from_pretrained(folder)
    if tokenizer.pad_token is None:
        add_padding(model, tokenizer)
    return model


@torch.no_grad()
def stanford_make(base: Path, tuned: Path, out: Path) -> None:
    model, other = load(tuned), load_base(base).state_dict()
    for name, tensor in model.state_dict().items():
        tensor.sub_(other[name])
    model.save_pretrained(out)
    AutoTokenizer.from_pretrained(tuned).save_pretrained(out)


@torch.no_grad()
def stanford_recover(base: Path, diff: Path) -> tuple[Any, float]:
    """The model, and the sum that is compared with the published number."""
    model, other = load(diff), load_base(base).state_dict()
    state = model.state_dict()
    for name, tensor in state.items():
        tensor.add_(other[name])
    return model, float(sum(tensor.sum() for tensor in state.values()))


@torch.no_grad()
def fastchat_recover(base: Path, diff: Path, dtype: torch.dtype = torch.float16, *, zero_rows: int = 0) -> Any:
    """`zero_rows`: what versions before 0.2 gave the base."""
    model, delta = load(base, dtype), load(diff, dtype).state_dict()
    if zero_rows:
        model.resize_token_embeddings(model.config.vocab_size + zero_rows, mean_resizing=False)
        for matrix in (model.get_input_embeddings().weight.data, model.get_output_embeddings().weight.data):
            matrix[-zero_rows:] = 0
    for name, tensor in model.state_dict().items():
        tensor.add_(delta[name])
    return model


@torch.no_grad()
def llava_recover(base: Path, diff: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The base is added to the rows and tensors that it has; the others stay."""
    other, recovered = load(base, torch.float16).state_dict(), {}
    for name, tensor in diff.items():
        recovered[name] = tensor.clone()
        if name in other:
            recovered[name][: len(other[name])] += other[name]
    return recovered


def tiny_base(folder: Path, dtype: torch.dtype, **changes: Any) -> Path:
    """A base without padding token."""
    folder.mkdir(parents=True)
    make_base(folder, make_data(folder.parent / f"{folder.name}.json"), **changes)
    load(folder, dtype).save_pretrained(folder)
    return folder


@torch.no_grad()
def tiny_tuned(base: Path, folder: Path, dtype: torch.dtype, *, grow: bool = True, **options: Any) -> Path:
    """Its weights are moved as a fine-tune moves them, then rounded to `dtype`; some are zero or not moved."""
    model, tokenizer = load(base), AutoTokenizer.from_pretrained(base)
    if grow:
        add_padding(model, tokenizer)
    torch.manual_seed(1)
    for tensor in model.parameters():
        tensor.add_(torch.randn_like(tensor) * 1e-3 * (torch.rand_like(tensor) < 0.7))
    model.to(dtype).save_pretrained(folder, **options)
    tokenizer.save_pretrained(folder)
    return folder


def as_bin(folder: Path, *, num_shards: int = 1, more: Mapping[str, torch.Tensor] | None = None) -> Path:
    """Its weights as .bin files, with the tied matrix under both names, and `more` tensors."""
    model = AutoModelForCausalLM.from_pretrained(folder, dtype="auto")
    state = {**model.state_dict(), **(more or {})}
    for path in folder.glob("model*.safetensors*"):
        path.unlink()
    if num_shards == 1:
        torch.save(state, folder / "pytorch_model.bin")
        return folder
    names = list(state)
    weight_map = {}
    for number in range(num_shards):
        file = f"pytorch_model-{number + 1:05}-of-{num_shards:05}.bin"
        part = names[number::num_shards]
        torch.save({name: state[name] for name in part}, folder / file)
        weight_map.update(dict.fromkeys(part, file))
    index = {"metadata": {"total_size": 0}, "weight_map": weight_map}
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps(index))
    return folder

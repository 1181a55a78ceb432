"""Small models in folders, written without a library: a base, and a model tuned from it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from alpaca_cli.weights.safetensors import header_text

DTYPES = {1: "U8", 2: "BF16", 4: "F32", 8: "I64"}
"""What unsigned numbers of so many bytes stand for here."""
Tensors = Mapping[str, NDArray[np.unsignedinteger]]


@dataclass(frozen=True)
class SmallPair:
    """Two model folders, and the diff between them once it is made."""

    base: Path
    tuned: Path
    diff: Path


def base_tensors(layers: int = 3, width: int = 16, seed: int = 0) -> dict[str, NDArray[np.unsignedinteger]]:
    """Weights of a LLaMA's shape as bf16, and a buffer that old versions saved."""
    rng = np.random.default_rng(seed)

    def drawn(*shape: int) -> NDArray[np.unsignedinteger]:
        return (rng.normal(0, 0.02, shape).astype(np.float32).view(np.uint32) >> 16).astype(np.uint16)

    found = {"model.embed_tokens.weight": drawn(48, width)}
    for layer in range(layers):
        for name in ("q_proj", "k_proj", "v_proj", "o_proj"):
            found[f"model.layers.{layer}.self_attn.{name}.weight"] = drawn(width, width)
        found[f"model.layers.{layer}.mlp.down_proj.weight"] = drawn(width, 3 * width)
        found[f"model.layers.{layer}.input_layernorm.weight"] = drawn(width)
    return {**found, "model.norm.weight": drawn(width), "lm_head.weight": drawn(48, width)}


def tuned_tensors(base: Tensors, seed: int = 1) -> dict[str, NDArray[np.unsignedinteger]]:
    """The same a few steps of training later: some last bits differ; norms stay."""
    rng = np.random.default_rng(seed)
    return {
        name: values if values.ndim == 1 else values + rng.integers(-2, 3, values.shape).astype(values.dtype)
        for name, values in base.items()
    }


def write_file(path: Path, tensors: Tensors, dtypes: Mapping[str, str] | None = None) -> None:
    """A safetensors file."""
    kinds = {name: (dtypes or {}).get(name, DTYPES[values.itemsize]) for name, values in tensors.items()}
    text = header_text([(name, kinds[name], values.shape) for name, values in tensors.items()])
    body = b"".join(values.tobytes() for values in tensors.values())
    path.write_bytes(len(text).to_bytes(8, "little") + text + body)


def write_model(folder: Path, tensors: Tensors, shards: int = 2, dtypes: Mapping[str, str] | None = None) -> Path:
    """A model folder with so many files of weights, and a few others."""
    folder.mkdir(parents=True)
    (folder / "config.json").write_text('{"model_type": "llama"}\n')
    (folder / "tokenizer.json").write_text(json.dumps({"model": {"vocab": [str(n) for n in range(40)]}}))
    if shards == 1:
        write_file(folder / "model.safetensors", tensors, dtypes)
        return folder
    names, places = list(tensors), {}
    for number in range(shards):
        part = names[number * len(names) // shards : (number + 1) * len(names) // shards]
        file = f"model-{number + 1:05}-of-{shards:05}.safetensors"
        write_file(folder / file, {name: tensors[name] for name in part}, dtypes)
        places |= dict.fromkeys(part, file)
    index = {"metadata": {"total_size": sum(each.nbytes for each in tensors.values())}, "weight_map": places}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=2))
    return folder


def contents(folder: Path) -> dict[str, bytes | str | None]:
    """Everything below a folder: the bytes of files, where links lead, None for folders and the rest."""
    found: dict[str, bytes | str | None] = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink():
            found[name] = str(path.readlink())
        else:
            found[name] = path.read_bytes() if path.is_file() else None
    return found

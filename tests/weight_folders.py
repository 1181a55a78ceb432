"""Model folders with made-up weights, written and read here without what is tested."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import torch

BYTES = {
    "F64": 8, "F32": 4, "BF16": 2, "F16": 2, "F8_E4M3": 1, "F8_E5M2": 1,
    "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U64": 8, "U32": 4, "U16": 2, "U8": 1, "BOOL": 1, "C64": 8,
}  # fmt: skip
TORCH = {
    "F64": torch.float64, "F32": torch.float32, "BF16": torch.bfloat16, "F16": torch.float16,
    "F8_E4M3": torch.float8_e4m3fn, "F8_E5M2": torch.float8_e5m2,
    "I64": torch.int64, "I32": torch.int32, "I16": torch.int16, "I8": torch.int8, "U8": torch.uint8,
    "BOOL": torch.bool, "C64": torch.complex64,
}  # fmt: skip

Weights = Mapping[str, tuple[str, np.ndarray]]
"""For each name the dtype, and the values as bit patterns: unsigned numbers of its size."""


def patterns(dtype: str, values: Any) -> tuple[str, np.ndarray]:
    """A tensor, of bit patterns."""
    return dtype, np.asarray(values, dtype=f"<u{BYTES[dtype]}")


def anything(rng: np.random.Generator, dtype: str, shape: tuple[int, ...]) -> tuple[str, np.ndarray]:
    """A tensor of random bits, NaN with payloads and all; of truth values, 0 and 1."""
    top = 1 if dtype == "BOOL" else 2 ** (8 * BYTES[dtype]) - 1
    return dtype, rng.integers(0, top, shape, dtype=f"<u{BYTES[dtype]}", endpoint=True)


def floats(values: np.ndarray, dtype: str) -> tuple[str, np.ndarray]:
    """A tensor of these numbers, rounded by torch."""
    rounded = torch.from_numpy(np.asarray(values, np.float32)).to(TORCH[dtype])
    return dtype, as_patterns(rounded)


def trained(rng: np.random.Generator, dtype: str, shape: tuple[int, ...]) -> tuple[Any, Any]:
    """A tensor as it is before and after fine-tuning."""
    before = rng.standard_normal(shape, np.float32) * np.float32(0.02)
    after = before + rng.standard_normal(shape, np.float32) * np.float32(1e-4)
    return floats(before, dtype), floats(after, dtype)


def as_patterns(tensor: torch.Tensor) -> np.ndarray:
    """The bits of a tensor of torch's, of two or four bytes a value."""
    integers = tensor.detach().contiguous().view({2: torch.int16, 4: torch.int32}[tensor.element_size()])
    return integers.numpy().view(f"<u{tensor.element_size()}")


def as_torch(tensor: tuple[str, np.ndarray]) -> torch.Tensor:
    """The tensor with these bits."""
    dtype, values = tensor
    raw = torch.from_numpy(np.frombuffer(values.tobytes(), np.uint8).copy())
    return raw.view(TORCH[dtype]).reshape(values.shape)


def safetensors_head(
    tensors: Mapping[str, tuple[str, tuple[int, ...]]], metadata: Mapping[str, str] | None = None, padding: int = 0
) -> bytes:
    """The beginning of a file of weights in which tensors of these types and shapes follow one another."""
    header: dict[str, Any] = {} if metadata is None else {"__metadata__": dict(metadata)}
    end = 0
    for name, (dtype, shape) in tensors.items():
        begin, end = end, end + prod(shape) * BYTES[dtype]
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [begin, end]}
    text = json.dumps(header).encode() + b" " * padding
    return len(text).to_bytes(8, "little") + text


def safetensors_bytes(weights: Weights, metadata: Mapping[str, str] | None = None, padding: int = 0) -> bytes:
    """A file of weights, its tensors in this order."""
    head = safetensors_head({name: (dtype, each.shape) for name, (dtype, each) in weights.items()}, metadata, padding)
    return head + b"".join(values.tobytes() for _, values in weights.values())


def write_model(
    folder: Path, weights: Weights, kind: str = "safetensors", parts: Sequence[Sequence[str]] | None = None
) -> Path:
    """A model folder of a kind, "safetensors" or "bin", in one file, or in shards of which each has these names."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text('{"model_type": "llama"}\n')
    stem, suffix = ("model", "safetensors") if kind == "safetensors" else ("pytorch_model", "bin")
    places = {}
    for number, names in enumerate(parts or [list(weights)]):
        file = f"{stem}-{number + 1:05}-of-{len(parts):05}.{suffix}" if parts else f"{stem}.{suffix}"
        places.update(dict.fromkeys(names, file))
        part = {name: weights[name] for name in names}
        if kind == "safetensors":
            (folder / file).write_bytes(safetensors_bytes(part, {"format": "pt"}))
        else:
            torch.save({name: as_torch(tensor) for name, tensor in part.items()}, folder / file)
    if parts:
        index = {"metadata": {"total_size": sum(each.nbytes for _, each in weights.values())}, "weight_map": places}
        (folder / f"{stem}.{suffix}.index.json").write_text(json.dumps(index))
    return folder


def read_model(folder: Path) -> dict[str, tuple[str, tuple[int, ...], bytes]]:
    """What the safetensors files of a folder hold, found as a loader finds them."""
    index = folder / "model.safetensors.index.json"
    if (folder / "model.safetensors").exists():
        files = ["model.safetensors"]
    else:
        files = sorted(set(json.loads(index.read_text())["weight_map"].values()))
    found = {}
    for file in files:
        raw = (folder / file).read_bytes()
        begin = 8 + int.from_bytes(raw[:8], "little")
        header = json.loads(raw[8:begin])
        header.pop("__metadata__", None)
        for name, said in header.items():
            start, end = said["data_offsets"]
            assert name not in found
            found[name] = (said["dtype"], tuple(said["shape"]), raw[begin + start : begin + end])
    return found


def content(weights: Weights) -> dict[str, tuple[str, tuple[int, ...], bytes]]:
    """What `read_model` should give."""
    return {name: (dtype, values.shape, values.tobytes()) for name, (dtype, values) in weights.items()}


def tree(folder: Path) -> dict[str, bytes]:
    """Every file of a folder, hidden ones too."""
    return {str(each.relative_to(folder)): each.read_bytes() for each in folder.rglob("*") if each.is_file()}

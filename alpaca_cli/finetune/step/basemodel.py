"""The tensors of a base model on disk, read a part at a time: safetensors, or PyTorch's own files.

Source of the mean rows: stanford_alpaca train.py, smart_tokenizer_and_embedding_resize.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path

import torch
from safetensors import safe_open
from transformers import PreTrainedModel

from alpaca_cli.errors import DataError
from alpaca_cli.finetune.step.shard import fill
from alpaca_cli.weights.folder import list_files

_OTHER_NAMES = "complete the download; or, if the names are of another kind, load and save it once with transformers"
EDGE = 1 << 16  # bytes of each end of a file that its digest looks at
BLOCK = 4096  # rows of an embedding that are read at once for their mean


class BaseModel:
    """The tensors in a folder in Hugging Face layout, by name."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._files = {name: file for file in list_files(folder)[1] for name in _names(file)}

    def digest(self) -> str:
        """SHA-256 over names, sizes, beginnings and ends of the files: another model has another."""
        digest = sha256()
        for file in sorted(set(self._files.values())):
            size = file.stat().st_size
            digest.update(f"{file.name} {size} ".encode())
            with file.open("rb") as stream:
                digest.update(stream.read(EDGE))
                stream.seek(max(0, size - EDGE))
                digest.update(stream.read())
        return digest.hexdigest()

    def find(self, name: str, prefix: str) -> str | None:
        """The name under which the folder has the tensor that the model calls `name`, with or without its prefix."""
        for each in (name, name.removeprefix(f"{prefix}."), f"{prefix}.{name}"):
            if each in self._files:
                return each
        return None

    def shape(self, name: str) -> tuple[int, ...]:
        """The size of a tensor, as it is on disk."""
        file = self._files[name]
        if file.suffix == ".safetensors":
            with safe_open(file, framework="pt") as opened:
                return tuple(opened.get_slice(name).get_shape())
        return tuple(_load(file)[name].shape)

    def read(self, name: str, part: tuple[slice, ...]) -> torch.Tensor:
        """A part of a tensor; no more of it is read than its rows."""
        file = self._files[name]
        if file.suffix == ".safetensors":
            with safe_open(file, framework="pt") as opened:
                if not part:
                    return opened.get_tensor(name)
                rows: torch.Tensor = opened.get_slice(name)[part[0]]
                return rows[(slice(None), *part[1:])]
        return _load(file)[name][part]

    def mean_row(self, name: str) -> torch.Tensor:
        """The mean of a matrix's rows, in fp64."""
        num_rows, width = self.shape(name)
        total = torch.zeros(width, dtype=torch.float64)
        for begin in range(0, num_rows, BLOCK):
            block = self.read(name, (slice(begin, min(begin + BLOCK, num_rows)), slice(0, width)))
            total += block.to(torch.float64).sum(0)
        return total / num_rows


def load_weights(model: PreTrainedModel, base: BaseModel, *, num_new: int = 0) -> None:
    """Fill every parameter of a sharded model from `base`, this process's part of each.

    `num_new`: rows that both embeddings have more than on disk, which get the mean of the others.
    Raises DataError that names the first tensor that is missing or has another size.
    """
    both = model.get_input_embeddings(), model.get_output_embeddings()
    embeddings = {id(module.weight) for module in both if module is not None}
    for full_name, parameter in model.named_parameters():
        if ".lora_" in full_name:
            continue
        name = full_name.replace(".base_layer.", ".")
        found = base.find(name, model.base_model_prefix)
        if found is None:
            raise DataError(f"no tensor {name} in this model", where=str(base.folder), hint=_OTHER_NAMES)
        shape, new = base.shape(found), num_new if id(parameter) in embeddings else 0
        expected = (parameter.shape[0] - new, *parameter.shape[1:])
        if shape != expected:
            message = f"{found}: expected the size {list(expected)} from config.json, found {list(shape)}"
            raise DataError(message, where=str(base.folder), hint="config.json and the weights are of different models")
        fill(parameter, lambda part, found=found, shape=shape: _grown(base, found, shape, part))  # type: ignore[misc]


def _grown(base: BaseModel, name: str, shape: tuple[int, ...], part: tuple[slice, ...]) -> torch.Tensor:
    """A part of a tensor that goes on after its last row with the mean of its rows."""
    if not part or part[0].stop <= shape[0]:
        return base.read(name, part)
    there = slice(min(part[0].start, shape[0]), shape[0])
    new = base.mean_row(name)[part[1]].expand(part[0].stop - max(part[0].start, shape[0]), -1)
    return torch.cat([base.read(name, (there, *part[1:])).to(torch.float32), new.to(torch.float32)])


def _names(file: Path) -> list[str]:
    try:
        if file.suffix == ".safetensors":
            with safe_open(file, framework="pt") as opened:
                return list(opened.keys())
        return list(_load(file))
    except Exception as error:  # safetensors and pickles fail in their own ways, all of which mean the same
        raise DataError(f"not a file of weights: {str(error).splitlines()[0]}", where=str(file)) from error


def _load(file: Path) -> Mapping[str, torch.Tensor]:
    """A file of PyTorch's own, mapped and not read; nothing in it is executed."""
    loaded: Mapping[str, torch.Tensor] = torch.load(file, map_location="cpu", mmap=True, weights_only=True)
    return loaded

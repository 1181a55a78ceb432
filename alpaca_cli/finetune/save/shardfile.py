"""One file of an exported model, in the safetensors format, written tensor by tensor as they come.

The library's own writer wants all of a file's tensors at once.  Reading back is the library's.
Source: https://github.com/huggingface/safetensors, section "Format".
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

import torch
from safetensors import safe_open

from alpaca_cli.errors import IntegrityError, TrainingError

_DTYPES = {torch.bfloat16: "BF16", torch.float16: "F16", torch.float32: "F32"}
_BLOCK = 1 << 24  # bytes written and hashed at once


class ShardFile:
    """A file of tensors of one type, whose names and shapes are known before the first of them."""

    def __init__(self, path: Path, shapes: Mapping[str, tuple[int, ...]], dtype: torch.dtype) -> None:
        self.path, self.shapes, self._dtype = path, shapes, dtype
        self._file: BinaryIO | None = None
        self._digests: dict[str, str] = {}

    @property
    def num_bytes(self) -> int:
        """Of the whole file, once it is written."""
        return len(self._header()) + self.num_tensor_bytes

    @property
    def num_tensor_bytes(self) -> int:
        """Of the tensors in it."""
        return sum(math.prod(shape) for shape in self.shapes.values()) * self._dtype.itemsize

    def write(self, name: str, tensor: torch.Tensor) -> None:
        """Append a tensor on the CPU; they come in the order of the shapes.

        Raises OSError, and TrainingError if it has infinite values or NaN (fp16 ends at 65,504).
        """
        if not torch.isfinite(tensor).all():
            number = str(self._dtype).removeprefix("torch.")
            hint = "set export.dtype to bf16 or fp32, which hold larger ones; if that fails too, training has diverged"
            raise TrainingError(f"{name} has values that are no numbers in {number}", hint=hint)
        if self._file is None:
            self._file = self.path.open("wb")
            self._file.write(self._header())
        raw, digest = _bytes(tensor), hashlib.sha256()
        for start in range(0, len(raw), _BLOCK):
            block = raw[start : start + _BLOCK]
            digest.update(block)
            self._file.write(block)
        self._digests[name] = digest.hexdigest()

    def close(self) -> None:
        """Bring it to disk.  Raises OSError."""
        if self._file is not None:
            with self._file:
                self._file.flush()
                os.fsync(self._file.fileno())

    def check(self) -> None:
        """Read it again.  Raises IntegrityError if it is not, bit for bit, what was to be written."""
        with safe_open(self.path, "pt") as file:
            if set(file.keys()) != set(self.shapes):
                raise IntegrityError("expected other names in this file", where=str(self.path))
            for name, shape in self.shapes.items():
                tensor = file.get_tensor(name)
                is_same = tuple(tensor.shape) == shape and tensor.dtype == self._dtype
                if not is_same or hashlib.sha256(_bytes(tensor)).hexdigest() != self._digests[name]:
                    raise IntegrityError(f"{name} is not what was written", where=str(self.path))

    def _header(self) -> bytes:
        """Name, type, shape and place of each tensor, padded so that the tensors begin at a multiple of 8."""
        entries: dict[str, object] = {"__metadata__": {"format": "pt"}}
        start = 0
        for name, shape in self.shapes.items():
            end = start + math.prod(shape) * self._dtype.itemsize
            entries[name] = {"dtype": _DTYPES[self._dtype], "shape": list(shape), "data_offsets": [start, end]}
            start = end
        text = json.dumps(entries, separators=(",", ":")).encode()
        text += b" " * (-len(text) % 8)
        return len(text).to_bytes(8, "little") + text


def _bytes(tensor: torch.Tensor) -> memoryview:
    return tensor.contiguous().view(-1).view(torch.uint8).numpy().data

"""Shards of safetensors and their index, whose tensors are written at any place by any thread."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from math import prod
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from alpaca_cli.data.files import write_at
from alpaca_cli.weights.safetensors import header_text
from alpaca_cli.weights.tensor import ITEM_BYTES

MAX_SHARD_BYTES = 5 * 10**9
MAX_SHARD_TENSORS = 50_000
"""Whose header is surely not too long to be read."""


class Outline(NamedTuple):
    """What a tensor will be."""

    name: str
    dtype: str
    shape: tuple[int, ...]

    @property
    def num_bytes(self) -> int:
        """Of its values."""
        return prod(self.shape) * ITEM_BYTES[self.dtype]


class ModelFiles:
    """The files of weights in `folder`; a context manager, which writes the index where there are several.

    Raises OSError if they cannot be written.
    """

    def __init__(self, folder: Path, outlines: Sequence[Outline], *, max_shard_bytes: int = MAX_SHARD_BYTES) -> None:
        self._folder, self._outlines = folder, outlines
        self._places: dict[str, tuple[int, int]] = {}  # descriptor, offset
        self._descriptors: list[int] = []
        self._files: dict[str, str] = {}  # of each tensor
        try:
            for file, content in split(outlines, max_shard_bytes).items():
                self._open(file, content)
        except BaseException:
            self._close()
            raise

    @property
    def num_bytes(self) -> int:
        """Of all tensors."""
        return sum(outline.num_bytes for outline in self._outlines)

    def write(self, name: str, start: int, block: NDArray[Any]) -> None:
        """Put bytes at `start` of a tensor.  Blocks that do not overlap may come from several threads."""
        descriptor, offset = self._places[name]
        write_at(descriptor, np.ascontiguousarray(block).view(np.uint8).data, offset + start)

    def _open(self, file: str, content: Sequence[Outline]) -> None:
        descriptor = os.open(self._folder / file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        self._descriptors.append(descriptor)
        text = header_text(content)
        offset = write_at(descriptor, memoryview(len(text).to_bytes(8, "little") + text), 0)
        for outline in content:
            self._places[outline.name], self._files[outline.name] = (descriptor, offset), file
            offset += outline.num_bytes
        os.ftruncate(descriptor, offset)

    def _close(self) -> None:
        while self._descriptors:
            os.close(self._descriptors.pop())

    def __enter__(self) -> ModelFiles:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        num_files = len(self._descriptors)
        self._close()
        if error is None and num_files > 1:
            total = sum(prod(outline.shape) for outline in self._outlines)
            metadata = {"total_parameters": total, "total_size": self.num_bytes}
            index = {"metadata": metadata, "weight_map": dict(sorted(self._files.items()))}
            path = self._folder / "model.safetensors.index.json"
            path.write_text(json.dumps(index, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def split(outlines: Sequence[Outline], max_bytes: int) -> Mapping[str, list[Outline]]:
    """What each file holds, by its name: `max_bytes` where no single tensor is larger, and MAX_SHARD_TENSORS, at most.

    In a file wide types come first, so that all values lie at multiples of their size.
    """
    contents: list[list[Outline]] = [[]]
    room = max_bytes
    for outline in outlines:
        if contents[-1] and (outline.num_bytes > room or len(contents[-1]) == MAX_SHARD_TENSORS):
            contents.append([])
            room = max_bytes
        contents[-1].append(outline)
        room -= outline.num_bytes
    number = len(contents)
    names = [f"model-{i:05}-of-{number:05}.safetensors" for i in range(1, number + 1)]
    names = names if number > 1 else ["model.safetensors"]
    ordered = [sorted(content, key=lambda outline: -ITEM_BYTES[outline.dtype]) for content in contents]
    return dict(zip(names, ordered, strict=True))

"""What a model's weights are, known by the headers of their files; no weight is read."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from alpaca_cli.weights.folder import ROTARY, read_folder

_HEAD = re.compile(r"(^|\.)(lm_head|embed_out)\.weight$")
_LAYER = re.compile(r"(^|\.)(layers|h|blocks)\.\d+\.")


@dataclass
class Tensors:
    """What a model's files of weights hold, buffers left out."""

    num_bytes: int = 0
    """Of the files."""
    num_parameters: int = 0
    head_parameters: int = 0
    """Of the output's matrix alone, which a tied model may hold a second time."""
    layer_parameters: int = 0
    """Of all layers together."""
    dtypes: set[str] = field(default_factory=set)
    """As safetensors names them: F32, BF16, F16, ..."""


def read_tensors(model: Path) -> Tensors:
    """What the weights in a model folder hold; safetensors go before .bin files.

    Raises UsageError if there are none, or not all that the index names; DataError for a file that is none of weights.
    """
    folder = read_folder(model)
    found = Tensors(folder.num_bytes)
    for name, tensor in folder.tensors.items():
        if ROTARY.search(name):
            continue
        count = tensor.num_values
        found.num_parameters += count
        found.head_parameters += count if _HEAD.search(name) else 0
        found.layer_parameters += count if _LAYER.search(name) else 0
        found.dtypes.add(tensor.dtype)
    return found

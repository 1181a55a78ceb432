"""PyTorch's own files of weights."""

from __future__ import annotations

from pathlib import Path

from alpaca_cli.errors import UsageError
from alpaca_cli.weights.tensor import Tensor


def read_pickled(path: Path) -> tuple[Tensor, ...]:
    """The tensors of a file."""
    raise UsageError("not read yet", where=str(path))

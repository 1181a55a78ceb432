"""Which tensor of the base each tensor of the tuned model is told from."""

from __future__ import annotations

import re
from dataclasses import dataclass

from alpaca_cli.diff.manifest import is_told_from
from alpaca_cli.weights.folder import WeightFolder
from alpaca_cli.weights.tensor import Tensor

_HEAD = re.compile(r"((^|\.)(lm_head|embed_out)|^(\w+\.)?output)\.weight$")  # layers have outputs too
_EMBEDDING = re.compile(r"(^|\.)(embed_tokens|wte|embed_in|tok_embeddings|word_embeddings)\.weight$")


@dataclass(frozen=True)
class Pair:
    """A tensor of the tuned model, and the one of the base that it is told from; None: stored whole."""

    tuned: Tensor
    base: Tensor | None


def pairs(tuned: WeightFolder, base: WeightFolder) -> list[Pair]:
    """A pair for every tensor of the tuned model, in the order of its files and their places."""
    return [Pair(each, find(base, each)) for each in tuned.tensors.values()]


def find(base: WeightFolder, tensor: Tensor) -> Tensor | None:
    """The base's tensor of that name, with or without the name of the whole model before it; or, of a model whose
    output was untied from its input, the base's input embedding.

    None if there is none, or one of another size in more than its rows.
    """
    for name in [*same_names(base, tensor.name), *_tied_names(base, tensor.name)]:
        found = base.tensors.get(name)
        if found is not None and is_told_from(tensor.dtype, tensor.shape, found.dtype, found.shape):
            return found
    return None


def is_embedding(name: str) -> bool:
    """Whether this is the name of a matrix with a row for each token, of input or output."""
    return is_head(name) or bool(_EMBEDDING.search(name))


def is_head(name: str) -> bool:
    """Whether this is the name of such a matrix of output."""
    return bool(_HEAD.search(name))


def same_names(base: WeightFolder, name: str) -> list[str]:
    """The names that a tensor may have in the base: its own first, then without or with a prefix."""
    names = [name]
    first, _, rest = name.partition(".")
    if rest:
        names.append(rest)
    return names + [f"{prefix}.{name}" for prefix in base.prefixes if prefix != first]


def _tied_names(base: WeightFolder, name: str) -> list[str]:
    if _HEAD.search(name):
        return [each for each in base.tensors if _EMBEDDING.search(each)]
    if _EMBEDDING.search(name):
        return [each for each in base.tensors if _HEAD.search(each)]
    return []

"""Which tensor of the base each tensor of the tuned model is told from."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain

from alpaca_cli.diff.manifest import is_told_from
from alpaca_cli.weights.folder import WeightFolder
from alpaca_cli.weights.tensor import Tensor

_HEAD = re.compile(r"(^|\.)(lm_head|embed_out|output)\.weight$")
_EMBEDDING = re.compile(r"(^|\.)(embed_tokens|wte|embed_in|tok_embeddings|word_embeddings)\.weight$")


@dataclass(frozen=True)
class Pair:
    """A tensor of the tuned model, and the one of the base that it is told from; None: stored whole."""

    tuned: Tensor
    base: Tensor | None


class Names:
    """The tensors of a base by their names, with or without that of the whole model before them (`model.`)."""

    def __init__(self, base: WeightFolder) -> None:
        self._tensors = base.tensors
        self._prefixed: dict[str, list[str]] = defaultdict(list)
        for name in base.tensors:
            self._prefixed[name.partition(".")[2]].append(name)

    def alike(self, name: str) -> Iterator[Tensor]:
        """Those of this name: with the very name first, then without its prefix, then with one."""
        for each in (name, name.partition(".")[2], *sorted(self._prefixed.get(name, ()))):
            if each in self._tensors:
                yield self._tensors[each]

    def tied(self, name: str) -> Iterator[Tensor]:
        """If it is the name of an output embedding, the input embedding, and the reverse."""
        other = _EMBEDDING if _HEAD.search(name) else _HEAD if _EMBEDDING.search(name) else None
        if other is not None:
            yield from (tensor for each, tensor in self._tensors.items() if other.search(each))


def pairs(tuned: WeightFolder, base: WeightFolder) -> list[Pair]:
    """A pair for every tensor of the tuned model, in the order of its files and their places.

    Its counterpart is the base's tensor of that name; of a model whose output was untied from its input, the other
    embedding; None if there is none, or one of another size in more than its rows.
    """
    names = Names(base)
    return [Pair(each, _counterpart(names, each)) for each in tuned.tensors.values()]


def is_embedding(name: str) -> bool:
    """Whether this is the name of a matrix with a row for each token, of input or output."""
    return bool(_HEAD.search(name) or _EMBEDDING.search(name))


def _counterpart(names: Names, tensor: Tensor) -> Tensor | None:
    for found in chain(names.alike(tensor.name), names.tied(tensor.name)):
        if is_told_from(tensor.dtype, tensor.shape, found.dtype, found.shape):
            return found
    return None

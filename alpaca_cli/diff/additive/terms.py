"""Which tensors of the base a tensor of a tuned model, or of an additive diff, is the sum with.

The original adds and subtracts parameter by parameter, by the names that PyTorch gives them.  A matrix that a model
uses for its input and its output has two names, so that the base is subtracted, and added, twice.  So it is here, and
a diff goes either way between the two programs.
Source: stanford_alpaca, weight_diff.py; FastChat, fastchat/model/apply_delta.py (what they do, not how).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alpaca_cli.diff.additive.modelconfig import read_config
from alpaca_cli.diff.floats import FLOATS
from alpaca_cli.diff.make import MOST_WHOLE
from alpaca_cli.diff.tensorstream import is_same
from alpaca_cli.errors import DataError, UsageError
from alpaca_cli.weights.folder import ROTARY, WeightFolder, read_folder
from alpaca_cli.weights.tensor import Tensor

_INPUT = re.compile(r"(^|\.)(embed_tokens|embed_in|wte|word_embeddings|tok_embeddings)\.weight$")
_OUTPUT = re.compile(r"(^|\.)(lm_head|embed_out)\.(weight|bias)$")


@dataclass(frozen=True)
class Model:
    """A folder of weights with what its config says of the matrices that have a row for each token."""

    folder: WeightFolder
    config: Mapping[str, Any]
    input: Tensor | None
    output: Tensor | None
    """The same as `input` where the model ties them; None: there is none."""

    @property
    def num_rows(self) -> int:
        """Tokens for which there is a row; 0: not known."""
        return self.input.shape[0] if self.input else 0


@dataclass(frozen=True)
class Term:
    """One tensor of a tuned model or of a diff."""

    tensor: Tensor
    base: tuple[Tensor, ...]
    """What is subtracted from or added to it, one for each of its names; none: the base lacks it."""
    num_new_rows: int
    """At its end, that the base lacks."""


def read_model(path: Path, what: str) -> Model:
    """The weights in a folder and what its config says of them.  Raises UsageError, DataError."""
    folder, config = read_folder(path, what), read_config(path, what)
    inputs = [tensor for name, tensor in folder.tensors.items() if _INPUT.search(name) and len(tensor.shape) == 2]
    vocabulary = config.get("vocab_size")
    own = next((tensor for tensor in inputs if tensor.shape[0] == vocabulary), inputs[0] if inputs else None)
    head = next((each for name, each in folder.tensors.items() if _OUTPUT.search(name) and len(each.shape) == 2), None)
    if _is_tied(config, folder, own, head):
        own = head = own or head
    return Model(folder, config, own, head)


def pair(base: Model, other: Model, what: str, on_note: Callable[[str], None]) -> list[Term]:
    """The tensors of `other`, a tuned model or a diff (`what`), each with its part of the base; buffers are left out.

    Raises UsageError if they are not of one architecture and size, or the base has more tokens; DataError for a type of
    which no differences are made.
    """
    terms = []
    for name, tensor in other.folder.tensors.items():
        is_second = other.input is other.output is not None and tensor is not other.input and _OUTPUT.search(name)
        if ROTARY.search(name) or (is_second and len(tensor.shape) == 2):
            continue
        terms.append(_term(name, tensor, base, other, what))
    if not any(term.base for term in terms):
        message = f"the base has no tensor of the {what}: they are models of different architectures"
        raise UsageError(
            message, where=str(base.folder.path), hint=f"name the base model that the {what} was made from"
        )
    used = {each.name for term in terms for each in term.base} | base.folder.shared.keys()
    unused = [name for name in base.folder.tensors if name not in used and not ROTARY.search(name)]
    if unused:
        on_note(f"{_count(unused)} of the base that the {what} lacks: left out")
    return terms


def refuse_whole(terms: Sequence[Term], tuned: Model) -> None:
    """Raises UsageError if more of the tuned model than MOST_WHOLE has no counterpart in the base."""
    whole = [term.tensor for term in terms if not term.base]
    num_bytes, total = sum(each.num_bytes for each in whole), sum(term.tensor.num_bytes for term in terms)
    if num_bytes > MOST_WHOLE * total:
        message = (
            f"{num_bytes / total:.0%} of the model has no counterpart in the base, and would be published as it is:"
            f" {_count([each.name for each in whole])}"
        )
        hint = "is this the base it was tuned from? if its tensors were added on purpose: --allow-whole"
        raise UsageError(message, where=str(tuned.folder.path), hint=hint)


def _term(name: str, tensor: Tensor, base: Model, other: Model, what: str) -> Term:
    if tensor is other.input is other.output:
        found = [each for each in (base.input, base.output) if each is not None]
    elif name in base.folder.tensors:
        found = [base.folder.tensors[name]]
    elif _OUTPUT.search(name) and base.output is not None and len(tensor.shape) == 2:
        found = [base.output]
    else:
        found = []
    rows = {_new_rows(tensor, each, what) for each in found}
    for each in (tensor, *found):
        if found and each.dtype not in FLOATS:
            message = f"{each.name} is {each.dtype}: differences are made of {', '.join(FLOATS)}"
            is_like = all(one.dtype == tensor.dtype for one in found)
            hint = "use an exact diff, which takes every type" if is_like else "name both models in one of these types"
            raise DataError(message, where=str(each.path), hint=hint)
    if len(rows) > 1:
        raise UsageError("the base's input and output have different numbers of rows", where=str(base.folder.path))
    return Term(tensor, tuple(found), max(rows, default=0))


def _new_rows(tensor: Tensor, base: Tensor, what: str) -> int:
    """Rows of `tensor` beyond those of the base.  Raises UsageError if it is not the base's shape with more rows."""
    if tensor.shape == base.shape:
        return 0
    has_tokens = _INPUT.search(tensor.name) or _OUTPUT.search(tensor.name)
    if (
        not has_tokens
        or not base.num_values
        or len(tensor.shape) != len(base.shape)
        or tensor.shape[1:] != base.shape[1:]
    ):
        message = f"{tensor.name} is {_shape(base)} in the base and {_shape(tensor)} in the {what}: of another size"
        raise UsageError(message, where=str(base.path), hint=f"name the base model that the {what} was made from")
    if base.shape[0] > tensor.shape[0]:
        message = f"the base has {base.shape[0]:,} tokens, the {what} {tensor.shape[0]:,}"
        hint = "name the base as it was published, before tokens such as [PAD] were added to it"
        raise UsageError(message, where=str(base.path), hint=hint)
    return tensor.shape[0] - base.shape[0]


def _is_tied(config: Mapping[str, Any], folder: WeightFolder, own: Tensor | None, head: Tensor | None) -> bool:
    """Whether input and output are one matrix: as transformers decides, which ties two that are equal."""
    text = config.get("text_config")
    said = config.get("tie_word_embeddings", text.get("tie_word_embeddings") if isinstance(text, dict) else None)
    if own is None or head is None:
        return said is not False and (own or head) is not None
    if not said or own.shape != head.shape or own.dtype != head.dtype:
        return False
    return folder.shared.get(head.name) == own.name or folder.shared.get(own.name) == head.name or is_same(own, head)


def _shape(tensor: Tensor) -> str:
    return " x ".join(f"{length:,}" for length in tensor.shape)


def _count(names: list[str]) -> str:
    more = f" and {len(names) - 1:,} more" if len(names) > 1 else ""
    return f"{names[0]}{more}"

"""What the programs by which others recover additive diffs would make of one of ours."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from alpaca_cli.diff.additive.terms import Model, Term
from alpaca_cli.errors import AlpacaError
from alpaca_cli.weights.jsonobject import LONGEST, read_object
from alpaca_cli.weights.rawfile import RawFile


def limits_of_others(base: Model, tuned: Model, terms: Sequence[Term]) -> list[str]:
    """A sentence on each thing that they cannot do.

    stanford_alpaca's weight_diff.py gives a base whose tokenizer has no padding token one more row, and no other base;
    it wants every tensor of the diff in the base.  FastChat's apply_delta adds no rows, and the difference of a tied
    matrix twice.
    """
    limits = []
    if unknown := [term.tensor.name for term in terms if not term.base]:
        more = f" and {len(unknown) - 1:,} more" if len(unknown) > 1 else ""
        limits.append(
            f"the base lacks {unknown[0]}{more}: stored as in the tuned model; stanford_alpaca's script stops at that"
        )
    number = max(term.num_new_rows for term in terms)
    has_padding = _has_padding(base.folder.path)
    if has_padding is not None and number != (0 if has_padding else 1):
        added = "no token" if has_padding else "one token"
        limits.append(
            f"stanford_alpaca's script cannot recover this diff: it adds {added} to this base, and the tuned model has"
            f" {number:,} more than the base; `alpaca diff recover` can"
        )
    if tuned.input is tuned.output is not None:
        limits.append(
            "the tuned model's input and output are one matrix, from which the base is subtracted twice, as"
            " stanford_alpaca's script does; FastChat's apply_delta cannot recover that"
        )
    return limits


def _has_padding(folder: Path) -> bool | None:
    """Whether the tokenizer has a padding token; None: there is none to be read."""
    found = None
    for name in ("tokenizer_config.json", "special_tokens_map.json"):
        with suppress(AlpacaError), RawFile(folder / name) as file:
            said = read_object(file.read(0, min(file.size, LONGEST + 1)), folder / name, "tokenizer's settings")
            found = bool(found) or said.get("pad_token") is not None
    return found

"""The sum of all parameters, by which the original recognizes a model.

The original adds the values of each tensor, then these sums one after the other, all in fp32, and accepts what is
within 0.01 of a published number.  Old versions of transformers counted each layer's rotary frequencies among the
parameters; newer ones compute them, and the published numbers no longer come out: for Alpaca 7B, 32 x 7.46 are missing.
Source: stanford_alpaca, weight_diff.py (what it does, not how).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from alpaca_cli.errors import IntegrityError

_ALLOWED = 0.01  # the original's
_DEVIATIONS = 4


@dataclass(frozen=True)
class Sums:
    """Of the values in fp32, before they are rounded to the type of the output, themselves added in fp64."""

    plain: float
    with_rotary: float | None
    """As an old version of transformers has it; None: it saved no such buffers of this architecture."""
    rounding: float
    """By how much the original's own sum in fp32 may be off: four standard deviations."""


def sums(parts: Sequence[float], config: Mapping[str, Any]) -> Sums:
    """The sums of a model whose tensors have the sums `parts`; one that the model uses twice is there twice.

    Each of the original's n additions rounds to a multiple of u, the distance of fp32 numbers of the size of the
    largest running sum, so it errs evenly between -u/2 and u/2: by u / sqrt(12).  What is lost inside of a tensor,
    where values nearly cancel, is within the original's own tolerance.
    """
    running = largest = 0.0
    for part in parts:
        running += part
        largest = max(largest, abs(running)) if math.isfinite(running) else largest
    unit = 2.0 ** (math.frexp(largest)[1] - 24)
    rotary = rotary_sum(config)
    with_rotary = None if rotary is None else running + rotary
    return Sums(running, with_rotary, _DEVIATIONS * unit * math.sqrt(len(parts) / 12))


def rotary_sum(config: Mapping[str, Any]) -> float | None:
    """Of the frequencies theta^(-2i / d), i < d/2, of all layers of a LLaMA; None: of another architecture."""
    parameters = config.get("rope_parameters")
    said = parameters if isinstance(parameters, dict) else config
    theta = said.get("rope_theta", 10_000.0)
    layers, heads, hidden = (_count(config, key) for key in ("num_hidden_layers", "num_attention_heads", "hidden_size"))
    width = _count(config, "head_dim") or (hidden // heads if heads else 0)
    if config.get("model_type") != "llama" or not layers or not 0 < width <= hidden:
        return None
    if not isinstance(theta, int | float) or not 1 <= theta < 1e300:
        return None
    return layers * math.fsum(theta ** (-2 * i / width) for i in range(width // 2))


def _count(config: Mapping[str, Any], key: str) -> int:
    """0: not said, or no number that counts something in a model."""
    said = config.get(key)
    return said if type(said) is int and 0 < said < 1 << 24 else 0


def check_sum(found: Sums, expected: float) -> str:
    """In words, which of the sums is `expected`.  Raises IntegrityError if neither is."""
    allowed = _ALLOWED + found.rounding
    told = f"{found.plain:.4f}"
    if abs(found.plain - expected) <= allowed:
        return f"the sum of all parameters is {told}, expected {expected:.4f} within {allowed:.4f}"
    if found.with_rotary is not None:
        told += f" ({found.with_rotary:.4f} with the rotary buffers of old versions)"
        if abs(found.with_rotary - expected) <= allowed:
            return f"the sum of all parameters is {told}, the latter expected {expected:.4f} within {allowed:.4f}"
    hint = "base or diff is not the one of which this sum was published, or was damaged on the way"
    message = f"the sum of all parameters is {told}, expected {expected:.4f} within {allowed:.4f}"
    raise IntegrityError(message, hint=hint)

"""Floating-point numbers from one type to another, with the same bits on every machine.

Types are named as safetensors names them: F32, BF16, F16.  Rounding is to nearest, ties to even; what is too large
becomes an infinity; subnormal numbers and the sign of zero stay.  Hardware disagrees only about which NaN comes out, so
every NaN becomes one: the positive quiet one without payload.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

FLOATS: Mapping[str, int] = {"F32": 4, "BF16": 2, "F16": 2}
"""The types that are converted, and the bytes of a value."""

_NAN = {"F32": 0x7FC00000, "BF16": 0x7FC0, "F16": 0x7E00}
_FLOAT = {"F32": np.float32, "F16": np.float16}  # numpy has no BF16


def convert(raw: NDArray[Any], source: str, target: str) -> NDArray[Any]:
    """The bit patterns in `target` (uint32 for F32, else uint16) of the values whose bytes or bit patterns are `raw`.

    `raw` is uint8, or unsigned of the size of `source`.  Where both types are the same, every bit stays, of NaN too.
    """
    patterns = _patterns(raw, source)
    if source == target:
        return patterns
    if FLOATS[source] == 2:
        return _table(source, target).take(patterns)
    return from_float32(to_float32(patterns, source), target)


@cache
def _table(source: str, target: str) -> NDArray[Any]:
    """What each of the 65,536 patterns of a type becomes: looking it up takes a quarter of the time."""
    return from_float32(to_float32(np.arange(1 << 16, dtype=np.uint16), source), target)


def to_float32(raw: NDArray[Any], source: str) -> NDArray[np.float32]:
    """The values of bytes or bit patterns; nothing is rounded.  Of F32, a view with the NaN as they are."""
    patterns = _patterns(raw, source)
    if source == "F32":
        return patterns.view(np.float32)
    if source == "BF16":
        wide = patterns.astype(np.uint32)
        wide <<= np.uint32(16)
    else:
        with np.errstate(all="ignore"):
            wide = patterns.view(np.float16).astype(np.float32).view(np.uint32)
    return _with_one_nan(wide, "F32").view(np.float32)


def from_float32(values: NDArray[np.float32], target: str) -> NDArray[Any]:
    """The bit patterns (uint32 or uint16) of `values` in `target`; every NaN becomes the one."""
    if target == "F32":
        return _with_one_nan(values.view(np.uint32).copy(), "F32")
    if target == "F16":
        with np.errstate(all="ignore"):
            return _with_one_nan(values.astype(np.float16).view(np.uint16), "F16")
    bits = values.view(np.uint32)
    rounded = bits >> np.uint32(16)
    rounded &= np.uint32(1)
    rounded += np.uint32(0x7FFF)
    rounded += bits  # past the largest finite number it carries into infinity; what becomes of NaN is patched below
    rounded >>= np.uint32(16)
    patterns = rounded.astype(np.uint16)
    is_nan = np.isnan(values)
    if is_nan.any():
        patterns[is_nan] = _NAN["BF16"]
    return patterns


def _patterns(raw: NDArray[Any], source: str) -> NDArray[Any]:
    """`raw` as unsigned integers of the size of `source`, least significant byte first where it is bytes."""
    if raw.dtype == np.uint8:
        return raw.view(f"<u{FLOATS[source]}")
    return raw


def _with_one_nan(patterns: NDArray[Any], dtype: str) -> NDArray[Any]:
    """`patterns`, changed in place."""
    is_nan = np.isnan(patterns.view(_FLOAT[dtype]))
    if is_nan.any():
        patterns[is_nan] = _NAN[dtype]
    return patterns

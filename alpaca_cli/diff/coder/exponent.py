"""Where the exponent lies in a floating-point number, by which `exact` diffs choose how a difference is coded."""

from __future__ import annotations

from typing import NamedTuple


class Exponent(NamedTuple):
    """`value >> shift & mask` is the exponent; a mask of 0 says that there is none."""

    shift: int
    mask: int


NO_EXPONENT = Exponent(0, 0)
EXPONENTS = {
    "F64": Exponent(52, 0x7FF),
    "F32": Exponent(23, 0xFF),
    "BF16": Exponent(7, 0xFF),
    "F16": Exponent(10, 0x1F),
}
"""By dtype as safetensors names it; others have none."""

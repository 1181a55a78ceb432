"""The compiled entropy coder (`coder.c`), if it was built when this package was installed.

Called through ctypes, which lets go of Python's lock: threads code on all cores.  Without it `plain` does the same,
slower; `LIBRARY` is then None, as it is where it was built from sources that Python called in another way, or where
numbers are not little-endian.
"""

from __future__ import annotations

import ctypes
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from alpaca_cli.diff.coder.exponent import Exponent

ENDING = {"win32": ".dll", "darwin": ".dylib"}.get(sys.platform, ".so")

VERSION = 2
"""Of what is called here: CODER_VERSION of coder.h.  An editable install may hold a library of older sources."""

_POINTER, _LONG = ctypes.c_void_p, ctypes.c_int64
_SIGNATURES: dict[str, list[object]] = {
    "coder_version": [],
    "coder_bound": [_LONG, _LONG],
    "coder_scratch_bytes": [_LONG],
    "coder_encode": [_POINTER, _POINTER, *[_LONG] * 4, _POINTER, _POINTER],
    "coder_decode": [_POINTER, _LONG, _POINTER, *[_LONG] * 4, _POINTER, _POINTER],
}


def load(path: Path) -> ctypes.CDLL | None:
    """The library; None if it was not built, or not for this machine, or from sources of another version."""
    try:
        library = ctypes.CDLL(str(path))
        for name, arguments in _SIGNATURES.items():
            function = getattr(library, name)
            function.restype, function.argtypes = _LONG, arguments
    except (OSError, AttributeError):
        return None
    return library if sys.byteorder == "little" and library.coder_version() == VERSION else None


LIBRARY = load(Path(__file__).with_name("_kernel" + ENDING))


class CompiledCoder:
    """The coder, with the memory that one thread needs for blocks of up to `num_values` values of `width` bytes."""

    def __init__(self, library: ctypes.CDLL, num_values: int, width: int) -> None:
        self._library = library
        self._scratch = np.empty(library.coder_scratch_bytes(num_values), np.uint8)
        self._coded = np.empty(library.coder_bound(num_values, width), np.uint8)

    def encode(self, tuned: npt.NDArray[Any], base: npt.NDArray[Any] | None, exponent: Exponent) -> memoryview:
        """See `plain.PlainCoder.encode`.  The result is good until the next call."""
        num_bytes = self._library.coder_encode(
            _address(tuned), _address(base), len(tuned), tuned.itemsize, exponent.shift, exponent.mask,
            _address(self._scratch), _address(self._coded),
        )  # fmt: skip
        return self._coded[:num_bytes].data

    def decode(
        self, coded: npt.NDArray[np.uint8], base: npt.NDArray[Any] | None, exponent: Exponent, tuned: npt.NDArray[Any]
    ) -> bool:
        """See `plain.PlainCoder.decode`."""
        is_sound = self._library.coder_decode(
            _address(coded), len(coded), _address(base), len(tuned), tuned.itemsize, exponent.shift, exponent.mask,
            _address(self._scratch), _address(tuned),
        )  # fmt: skip
        return bool(is_sound)


def _address(array: npt.NDArray[Any] | None) -> int | None:
    return None if array is None else array.ctypes.data

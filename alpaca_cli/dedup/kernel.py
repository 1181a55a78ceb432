"""The compiled inner loops (`*.c` in this folder), if they were built when this package was installed.

Called through ctypes, which lets go of Python's lock: threads search on all cores.  Without them `plain` does the same,
slower; `LIBRARY` is then None, as it is where they were built from sources that Python called in another way.
"""

from __future__ import annotations

import ctypes
import sys
from array import array
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from alpaca_cli.dedup.rows import Rows, Words

ENDING = {"win32": ".dll", "darwin": ".dylib"}.get(sys.platform, ".so")

VERSION = 1
"""Of what is called here: KERNEL_VERSION of kernel.h.  An editable install may hold a library of older sources."""

_POINTER, _LONG, _INT = ctypes.c_void_p, ctypes.c_int64, ctypes.c_int
_ROWS = [_POINTER, _POINTER, _LONG, _LONG]  # codes, starts, begin, end
_SIGNATURES: dict[str, tuple[object, list[object]]] = {
    "kernel_version": (_LONG, []),
    "vocabulary_new": (_POINTER, []),
    "vocabulary_free": (None, [_POINTER]),
    "vocabulary_number": (_LONG, [_POINTER, ctypes.c_char_p, _LONG, _INT, _POINTER, _POINTER]),
    "vocabulary_length": (_LONG, [_POINTER]),
    "vocabulary_num_bytes": (_LONG, [_POINTER]),
    "vocabulary_counts": (None, [_POINTER, _POINTER]),
    "vocabulary_words": (None, [_POINTER, _POINTER, _POINTER]),
    "words_hash": (None, [_POINTER, _POINTER, _LONG, ctypes.c_uint64, _POINTER]),
    "words_agree": (_INT, [_POINTER, _POINTER, _LONG, _POINTER, _POINTER]),
    "index_new": (_POINTER, [ctypes.c_double, _LONG, _LONG]),
    "index_free": (None, [_POINTER]),
    "index_length": (_LONG, [_POINTER]),
    "index_num_bytes": (_LONG, [_POINTER]),
    "scratch_new": (_POINTER, []),
    "scratch_free": (None, [_POINTER]),
    "scratch_counted": (_LONG, [_POINTER]),
    "index_add": (_INT, [_POINTER, _POINTER, *_ROWS]),
    "index_admit": (_INT, [_POINTER, _POINTER, *_ROWS, _LONG, _POINTER]),
    "index_admit_one": (_LONG, [_POINTER, _POINTER, _POINTER, _LONG, _POINTER]),
    "index_has_near": (_INT, [_POINTER, _POINTER, *_ROWS, _POINTER, _POINTER]),
    "index_nearest": (_INT, [_POINTER, _POINTER, *_ROWS, _POINTER, _POINTER, _POINTER]),
    "index_near": (_INT, [_POINTER, _POINTER, *_ROWS, _POINTER, _LONG, _POINTER, _POINTER]),
    "scores_lcs": (_INT, [_POINTER, _POINTER, _LONG, _POINTER, _LONG, _LONG, _POINTER]),
    "scores_nearest": (None, [_POINTER, _LONG, *[_POINTER] * 2, _LONG, *[_POINTER] * 2, *[_LONG] * 2, *[_POINTER] * 3]),
    "index_parts": (_INT, [ctypes.c_double, _POINTER, *_ROWS, _LONG, _POINTER, _POINTER]),
}


def load(path: Path) -> ctypes.CDLL | None:
    """The library; None if it was not built, or not for this machine, or from sources of another version."""
    try:
        library = ctypes.CDLL(str(path))
        for name, (result, arguments) in _SIGNATURES.items():
            function = getattr(library, name)
            function.restype, function.argtypes = result, arguments
    except (OSError, AttributeError):
        return None
    return library if library.kernel_version() == VERSION else None


LIBRARY = load(Path(__file__).with_name("_kernel" + ENDING))


class Vocabulary:
    """Numbers for words, from 0 in order of their first coming, and how often each came."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self._library = library
        self._handle = _made(library.vocabulary_new())

    def __del__(self) -> None:
        if hasattr(self, "_handle"):
            self._library.vocabulary_free(self._handle)

    def __len__(self) -> int:
        return int(self._library.vocabulary_length(self._handle))

    def number(
        self, text: bytes, num_lines: int, *, spaced: bool
    ) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.int64]]:
        """The numbers of the words of all lines, and where each line begins among them, with the end.

        A word is a run of a-z and 0-9, or with `spaced` of anything but a space.
        """
        numbers = np.empty(len(text) // 2 + 1, dtype=np.uint32)
        starts = np.empty(num_lines + 1, dtype=np.int64)
        found = self._library.vocabulary_number(
            self._handle, text, len(text), spaced, numbers.ctypes.data, starts.ctypes.data
        )
        _checked(min(found, 0))
        return numbers[: starts[-1]].copy(), starts

    def counts(self) -> npt.NDArray[np.uint64]:
        """How often each word came."""
        counts = np.empty(len(self), dtype=np.uint64)
        self._library.vocabulary_counts(self._handle, counts.ctypes.data)
        return counts

    def words(self) -> Words:
        """All words."""
        raw = np.empty(self._library.vocabulary_num_bytes(self._handle), dtype=np.uint8)
        starts = np.empty(len(self) + 1, dtype=np.int64)
        self._library.vocabulary_words(self._handle, raw.ctypes.data, starts.ctypes.data)
        return Words(raw, starts)


def hash_words(library: ctypes.CDLL, words: Words, salt: int) -> npt.NDArray[np.uint64]:
    """See `encode.hash_words`."""
    hashes = np.empty(len(words), dtype=np.uint64)
    library.words_hash(_address(words.raw), _address(words.starts), len(words), salt, _address(hashes))
    return hashes


def agree(library: ctypes.CDLL, words: Words, hashes: npt.NDArray[np.uint64]) -> bool:
    """See `encode.agree`."""
    order = np.argsort(hashes, kind="stable")
    found = library.words_agree(
        _address(words.raw), _address(words.starts), len(words), _address(hashes), _address(order)
    )
    return bool(found)


class Scratch:
    """What one thread writes into while it searches."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self._library = library
        self.handle = _made(library.scratch_new())

    @property
    def num_counted(self) -> int:
        """Pairs whose longest common subsequence was counted."""
        return int(self._library.scratch_counted(self.handle))

    def __del__(self) -> None:
        if hasattr(self, "handle"):
            self._library.scratch_free(self.handle)


class Searcher:
    """The rows of an index, and how they are searched; see `index.Index` for what the methods mean."""

    def __init__(self, library: ctypes.CDLL, threshold: float, part: int, parts: int) -> None:
        self._library = library
        self.own = Scratch(library)
        self._score = ctypes.c_double()
        self._score_address = ctypes.addressof(self._score)
        self._handle = _made(library.index_new(threshold, part, parts))

    def __del__(self) -> None:
        if hasattr(self, "_handle"):
            self._library.index_free(self._handle)

    def __len__(self) -> int:
        return int(self._library.index_length(self._handle))

    @property
    def num_bytes(self) -> int:
        """See `Index.num_bytes`."""
        return int(self._library.index_num_bytes(self._handle))

    def scratch(self) -> Scratch:
        """What a thread needs to search."""
        return Scratch(self._library)

    def add(self, rows: Rows) -> None:
        """See `Index.add`."""
        _checked(self._library.index_add(self._handle, self.own.handle, *_arguments(rows), 0, len(rows)))

    def admit(self, rows: Rows, start: int, is_near: npt.NDArray[np.uint8]) -> None:
        """Add, in order, each row neither marked near nor near to one of the index from `start` on; mark the others."""
        _checked(
            self._library.index_admit(
                self._handle, self.own.handle, *_arguments(rows), 0, len(rows), start, is_near.ctypes.data
            )
        )

    def admit_one(self, codes: array[int]) -> tuple[int, float] | None:
        """See `Index.admit_one`."""
        address, count = codes.buffer_info()
        number = self._library.index_admit_one(self._handle, self.own.handle, address, count, self._score_address)
        if number < 0:
            _checked(number + 1)
            return None
        return number, self._score.value

    def has_near(
        self, scratch: Scratch, rows: Rows, begin: int, end: int,
        before: npt.NDArray[np.int64] | None, is_near: npt.NDArray[np.uint8],
    ) -> None:  # fmt: skip
        """Mark the rows from `begin` to before `end` that are near; what is marked is not looked at."""
        _checked(
            self._library.index_has_near(
                self._handle, scratch.handle, *_arguments(rows), begin, end, _address(before), is_near.ctypes.data
            )
        )

    def nearest(
        self, scratch: Scratch, rows: Rows, begin: int, end: int, before: npt.NDArray[np.int64] | None,
        numbers: npt.NDArray[np.int64], scores: npt.NDArray[np.float64],
    ) -> None:  # fmt: skip
        """See `Index.nearest`."""
        _checked(
            self._library.index_nearest(
                self._handle, scratch.handle, *_arguments(rows), begin, end, _address(before),
                numbers.ctypes.data, scores.ctypes.data,
            )
        )  # fmt: skip

    def near(
        self, scratch: Scratch, rows: Rows, begin: int, end: int, before: npt.NDArray[np.int64] | None, limit: int,
        numbers: npt.NDArray[np.int64], counts: npt.NDArray[np.int64],
    ) -> None:  # fmt: skip
        """The numbers of up to `limit` near rows in a row of `numbers`, how many in `counts`."""
        _checked(
            self._library.index_near(
                self._handle, scratch.handle, *_arguments(rows), begin, end, _address(before), limit,
                numbers.ctypes.data, counts.ctypes.data,
            )
        )  # fmt: skip


def parts_of(
    library: ctypes.CDLL, rows: Rows, threshold: float, parts: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.uint64]]:
    """How many parts each row stands in, and which, in one array."""
    counts = np.zeros(len(rows), dtype=np.int64)
    found = np.empty(int(rows.starts[-1] - rows.starts[0]), dtype=np.uint64)
    scratch = Scratch(library)
    _checked(
        library.index_parts(
            threshold, scratch.handle, *_arguments(rows), 0, len(rows), parts, counts.ctypes.data, found.ctypes.data
        )
    )
    return counts, found[: counts.sum()]


def _arguments(rows: Rows) -> tuple[int | None, int | None]:
    assert rows.codes.dtype == np.uint64
    assert rows.starts.dtype == np.int64
    return _address(rows.codes), _address(rows.starts)


def _address(array: npt.NDArray[Any] | None) -> int | None:
    assert array is None or array.flags.c_contiguous
    return None if array is None else array.ctypes.data


def _made(handle: int | None) -> int:
    if not handle:
        raise MemoryError
    return handle


def _checked(result: int) -> None:
    if result < 0:
        raise MemoryError

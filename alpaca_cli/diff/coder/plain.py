"""The entropy coder of exact diffs in numpy, for where there is no compiled one: the same bytes, fifteen times slower.

`docs/diff_format.md` says what they are. Nothing here goes value by value: a row of lanes is one operation, or a block.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate
from typing import Any

import numpy as np
from numpy.typing import NDArray

from alpaca_cli.diff.coder.exponent import Exponent

NUM_CONTEXTS = 16
NUM_SYMBOLS = 256
SYMBOL_BITS = 8
ESCAPE = NUM_SYMBOLS - 1
TOTAL_BITS = 12
TOTAL = 1 << TOTAL_BITS
MAX_LANES = 1024
VALUES_A_LANE = 256
HEADER = np.dtype([("top", "<u2"), ("coded", "<u2"), ("num_words", "<u4"), ("num_raw", "u1", NUM_CONTEXTS)])
SAMPLE_STEP = 17
LOWEST_STATE = 1 << 16


class PlainCoder:
    """Takes the place of `kernel.CompiledCoder`."""

    def __init__(self, num_values: int, width: int) -> None:
        """Keeps no memory between calls; during one it takes 20 to 70 bytes a value."""

    def encode(self, tuned: NDArray[Any], base: NDArray[Any] | None, exponent: Exponent) -> memoryview:
        """The coded block of at least one value. Both are unsigned numbers of the same width, 1, 2, 4 or 8 bytes."""
        values, width = _fold(tuned, base), tuned.itemsize
        exponents = _exponents(base, exponent)
        top = 0 if exponents is None else int(exponents.max())
        contexts = _contexts(exponents, top, len(values))
        num_raw = _choose_raw(values[::SAMPLE_STEP], contexts[::SAMPLE_STEP], width)
        above = values >> _raw_bits(contexts, num_raw, values.dtype)
        keys = contexts << SYMBOL_BITS | np.minimum(above, ESCAPE).astype(np.uint16)
        counts = np.bincount(keys, minlength=NUM_CONTEXTS * NUM_SYMBOLS).reshape(NUM_CONTEXTS, NUM_SYMBOLS)
        coded, tables = 0, b""
        frequencies = np.zeros((NUM_CONTEXTS, NUM_SYMBOLS), np.uint32)
        frequencies[:, 0] = TOTAL
        for context in np.flatnonzero(counts[:, 1:].any(axis=1)).tolist():
            coded |= 1 << context
            frequencies[context] = _normalise(counts[context])
            tables += _table_bytes(frequencies[context])
        states, words = _encode_symbols(keys, frequencies)
        lengths = _lengths(contexts, above, num_raw, width)
        extra = np.empty(int(lengths.sum(dtype=np.int64)), np.uint8)
        for places, rows, k in _extra_places(lengths, width):
            extra[places] = (values[rows] >> values.dtype.type(8 * k)).astype(np.uint8)
        header = np.array((top, coded, len(words), num_raw), HEADER).reshape(1)
        parts = (header, np.frombuffer(tables, np.uint8), states, words, extra)
        return np.concatenate([part.view(np.uint8) for part in parts]).data

    def decode(
        self, coded: NDArray[np.uint8], base: NDArray[Any] | None, exponent: Exponent, tuned: NDArray[Any]
    ) -> bool:
        """Fill `tuned` with what `encode` was given; or, with anything, if `coded` is malformed, and return False."""
        width, num_values = tuned.itemsize, len(tuned)
        if len(coded) < HEADER.itemsize:
            return False
        header = coded[: HEADER.itemsize].view(HEADER)[0]
        num_raw = header["num_raw"]
        if (num_raw[1:] < num_raw[:-1]).any() or num_raw[-1] >= width:
            return False
        slots = np.zeros((NUM_CONTEXTS, TOTAL), np.uint32)
        slots[:] = _slots(np.array([TOTAL]))
        rest = coded[HEADER.itemsize :]
        for context in range(NUM_CONTEXTS):
            if header["coded"] >> context & 1:
                table = _read_table(rest)
                if table is None:
                    return False
                slots[context], rest = _slots(table[0]), rest[table[1] :]
        lanes, num_words = _num_lanes(num_values), int(header["num_words"])
        words_start, words_end = 4 * lanes, 4 * lanes + 2 * num_words
        if len(rest) < words_end:
            return False
        contexts = _contexts(_exponents(base, exponent), int(header["top"]), num_values)
        states = np.frombuffer(rest[:words_start].tobytes(), "<u4").astype(np.uint32)
        words = np.frombuffer(rest[words_start:words_end].tobytes(), "<u2")
        symbols = _decode_symbols(contexts, slots.reshape(-1), states, words)
        if symbols is None:
            return False
        lengths, extra = _lengths(contexts, symbols, num_raw, width), rest[words_end:]
        if int(lengths.sum(dtype=np.int64)) != len(extra):
            return False
        is_escape = symbols == ESCAPE
        values = symbols.astype(tuned.dtype)
        values <<= _raw_bits(contexts, num_raw, tuned.dtype)
        values[is_escape] = 0
        for places, rows, k in _extra_places(lengths, width):
            values[rows] |= extra[places].astype(tuned.dtype) << tuned.dtype.type(8 * k)
        _unfold(values, base, tuned)
        return True


def _fold(tuned: NDArray[Any], base: NDArray[Any] | None) -> NDArray[Any]:
    sign = tuned.dtype.type(8 * tuned.itemsize - 1)
    folded: NDArray[Any]
    if base is None:
        folded = tuned << 1 | tuned >> sign
    else:
        folded = tuned - base
        folded = folded << 1 ^ -(folded >> sign)
    return folded


def _unfold(values: NDArray[Any], base: NDArray[Any] | None, tuned: NDArray[Any]) -> None:
    if base is None:
        tuned[:] = values >> 1 | values << tuned.dtype.type(8 * tuned.itemsize - 1)
    else:
        tuned[:] = base + (values >> 1 ^ -(values & 1))


def _exponents(base: NDArray[Any] | None, exponent: Exponent) -> NDArray[Any] | None:
    if base is None or not exponent.mask:
        return None
    exponents: NDArray[Any] = (base >> base.dtype.type(exponent.shift)).astype(np.uint16) & np.uint16(exponent.mask)
    return exponents


def _contexts(exponents: NDArray[Any] | None, top: int, num_values: int) -> NDArray[Any]:
    if exponents is None:
        return np.zeros(num_values, np.uint16)
    contexts: NDArray[Any] = np.minimum(np.uint16(top) - exponents, np.uint16(NUM_CONTEXTS - 1))
    return contexts


def _raw_bits(contexts: NDArray[Any], num_raw: NDArray[np.uint8], dtype: np.dtype[Any]) -> NDArray[Any]:
    bits: NDArray[Any] = (8 * num_raw.astype(dtype))[contexts]
    return bits


def _choose_raw(values: NDArray[Any], contexts: NDArray[Any], width: int) -> NDArray[np.uint8]:
    """How many bytes are kept raw: the fewest with which at most a value in 32 is kept whole."""
    sampled = np.bincount(contexts, minlength=NUM_CONTEXTS)
    fewest = np.zeros(NUM_CONTEXTS, np.uint8)
    is_open = np.ones(NUM_CONTEXTS, np.bool_)
    for k in range(width - 1):
        large = np.bincount(contexts[values >> values.dtype.type(8 * k) >= ESCAPE], minlength=NUM_CONTEXTS)
        is_open &= large * 32 > sampled
        fewest += is_open
    return np.array(list(accumulate(fewest, max)), np.uint8)


def _normalise(counts: NDArray[np.int64]) -> NDArray[np.uint32]:
    """Frequencies that add up to TOTAL, none of a symbol that occurs being 0."""
    total = int(counts.sum())
    frequencies = (counts * TOTAL + total // 2) // total
    frequencies[(counts > 0) & (frequencies == 0)] = 1
    missing = TOTAL - int(frequencies.sum())
    if missing > 0:
        frequencies[counts.argmax()] += missing
    for _ in range(-missing):
        frequencies[frequencies.argmax()] -= 1
    return frequencies.astype(np.uint32)


def _table_bytes(frequencies: NDArray[np.uint32]) -> bytes:
    table = bytearray()
    zeros = 0
    for frequency in frequencies[: np.flatnonzero(frequencies)[-1] + 1].tolist():
        if not frequency:
            zeros += 1
            continue
        if zeros:
            table += bytes((0, zeros - 1))
            zeros = 0
        table += bytes((frequency,)) if frequency < 128 else bytes((frequency & 127 | 128, frequency >> 7))
    return bytes(table)


def _read_table(coded: NDArray[np.uint8]) -> tuple[NDArray[np.int64], int] | None:
    """The frequencies, and how many bytes they took; None if they are malformed."""
    content = coded[: 2 * NUM_SYMBOLS].tolist()
    frequencies: list[int] = []
    left, at = TOTAL, 0
    while left:
        if len(frequencies) >= NUM_SYMBOLS or len(content) - at < 2:
            return None
        frequency, following = content[at : at + 2]
        at += 1 if 0 < frequency < 128 else 2
        if not frequency:
            frequencies += [0] * (1 + following)
            continue
        if frequency >= 128:
            frequency = frequency & 127 | following << 7
        if frequency > left:
            return None
        frequencies.append(frequency)
        left -= frequency
    return np.array(frequencies), at


def _slots(frequencies: NDArray[np.int64]) -> NDArray[np.uint32]:
    """What a state's lower bits say: symbol (8 bits), slot - start (12), frequency - 1 (12)."""
    symbols = np.repeat(np.arange(len(frequencies)), frequencies)
    starts = np.cumsum(frequencies) - frequencies
    slots = (frequencies[symbols] - 1) << 20 | (np.arange(TOTAL) - starts[symbols]) << 8 | symbols
    return slots.astype(np.uint32)


def _num_lanes(num_values: int) -> int:
    return max(1, min(MAX_LANES, num_values // VALUES_A_LANE))


def _encode_symbols(keys: NDArray[Any], frequencies: NDArray[np.uint32]) -> tuple[NDArray[np.uint32], NDArray[Any]]:
    """The first states, and the words."""
    lanes = _num_lanes(len(keys))
    starts = (np.cumsum(frequencies, axis=1, dtype=np.uint32) - frequencies).reshape(-1)[keys]
    frequencies = frequencies.reshape(-1)[keys]
    states = np.full(lanes, LOWEST_STATE, np.uint32)
    words = []
    for first in range((len(keys) - 1) // lanes * lanes, -1, -lanes):
        frequency = frequencies[first : first + lanes]
        state = states[: len(frequency)]
        is_full = state >> 20 >= frequency
        words.append(state[is_full].astype("<u2"))
        state >>= is_full.astype(np.uint32) << 4
        quotient = state // frequency
        state += quotient * (TOTAL - frequency) + starts[first : first + lanes]
    return states.astype("<u4"), np.concatenate(words[::-1])


def _decode_symbols(
    contexts: NDArray[Any], slots: NDArray[np.uint32], states: NDArray[np.uint32], words: NDArray[Any]
) -> NDArray[Any] | None:
    """The symbols, if they use up the words and leave the states that encoding began with."""
    symbols = np.empty(len(contexts), np.uint16)
    tables = contexts.astype(np.uint32) << TOTAL_BITS
    taken = 0
    for first in range(0, len(contexts), len(states)):
        table = tables[first : first + len(states)]
        state = states[: len(table)]
        slot = slots[table | state & (TOTAL - 1)]
        state[:] = ((slot >> 20) + 1) * (state >> TOTAL_BITS) + (slot >> 8 & (TOTAL - 1))
        is_low = np.flatnonzero(state < LOWEST_STATE)
        some = words[taken : taken + len(is_low)]
        if len(some) < len(is_low):
            return None
        state[is_low] = state[is_low] << 16 | some
        taken += len(some)
        symbols[first : first + len(states)] = slot & ESCAPE
    return symbols if taken == len(words) and (states == LOWEST_STATE).all() else None


def _lengths(contexts: NDArray[Any], symbols: NDArray[Any], num_raw: NDArray[np.uint8], width: int) -> NDArray[Any]:
    """How many bytes of each value stand outside its symbol."""
    lengths: NDArray[Any] = num_raw[contexts]
    lengths[symbols >= ESCAPE] = width
    return lengths


def _extra_places(lengths: NDArray[Any], width: int) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64], int]]:
    """For the k-th byte outside symbols: where it stands, and of which values."""
    rows = np.flatnonzero(lengths)
    lengths = lengths[rows]
    places = np.cumsum(lengths, dtype=np.int64) - lengths
    for k in range(width):
        yield places, rows, k
        is_longer = lengths > k + 1
        rows, lengths, places = rows[is_longer], lengths[is_longer], places[is_longer] + 1

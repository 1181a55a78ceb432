"""Damaged blocks of the entropy coder, decoded by the compiled coder and by numpy; run alone under a sanitizer."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from alpaca_cli.diff.coder.exponent import EXPONENTS, NO_EXPONENT, Exponent
from alpaca_cli.diff.coder.kernel import CompiledCoder, load
from alpaca_cli.diff.coder.plain import HEADER, PlainCoder

OF_WIDTH = {1: [NO_EXPONENT], 2: [EXPONENTS["BF16"], EXPONENTS["F16"]], 4: [EXPONENTS["F32"]], 8: [EXPONENTS["F64"]]}
SIZES = [*[1, 2, 7, 8, 9, 31, 60] * 6, 255, 513, 1030, 20_001]


def random_pair(random: np.random.Generator, num_values: int) -> tuple[NDArray[Any], NDArray[Any] | None, Exponent]:
    """Values, the base's if there are any, and where these have an exponent."""
    width = int(random.choice([1, 2, 4, 8]))
    dtype = np.dtype(f"<u{width}")
    largest = 2 ** int(random.integers(1, 8 * width + 1)) - 1
    tuned = random.integers(0, largest, num_values, dtype=dtype, endpoint=True)
    if random.random() < 0.2:
        return tuned, None, NO_EXPONENT
    base = random.integers(0, 2 ** (8 * width) - 1, num_values, dtype=dtype, endpoint=True)
    difference = np.where(random.random(num_values) < random.random(), tuned, dtype.type(0))
    exponents = [*OF_WIDTH[width], NO_EXPONENT]
    return base + difference, base, exponents[int(random.integers(len(exponents)))]


def damaged(random: np.random.Generator, coded: bytes) -> Iterator[bytes]:
    """A block with bits flipped, cut off, lengthened, spliced, with another head or nothing of its own."""
    flipped = bytearray(coded)
    for _ in range(int(random.choice([1, 1, 1, 8]))):
        at = int(random.integers(len(coded) * 8))
        flipped[at // 8] ^= 1 << at % 8
    yield bytes(flipped)
    cut = int(random.integers(len(coded)))
    yield coded[:cut]
    yield coded + random.bytes(int(random.integers(1, 9)))
    yield coded[:cut] + random.bytes(int(random.integers(1, 5))) + coded[cut:]
    head = np.frombuffer(coded[: HEADER.itemsize], HEADER).copy()
    field = str(random.choice(["top", "coded", "num_words", "num_raw"]))
    head[field] = np.sort(random.integers(0, 9, 16)) if field == "num_raw" else int(random.integers(1 << 16))
    yield head.tobytes() + coded[HEADER.itemsize :]
    tail = int(random.integers(HEADER.itemsize, len(coded)))
    yield coded[:tail] + random.bytes(len(coded) - tail)
    yield random.bytes(len(coded))


def decode_damaged(compiled: Any, seed: int, num_blocks: int) -> tuple[int, int]:
    """How many damaged blocks were decoded, and how many of them made sense to both coders; else AssertionError."""
    random = np.random.default_rng(seed)
    num_tried = num_sound = 0
    for _ in range(num_blocks):
        num_values = int(random.choice(SIZES))
        tuned, base, exponent = random_pair(random, num_values)
        coder, plain = CompiledCoder(compiled, num_values, tuned.itemsize), PlainCoder(num_values, tuned.itemsize)
        coded = bytes(coder.encode(tuned, base, exponent))
        for block in (coded, *damaged(random, coded)):
            content = np.frombuffer(block, np.uint8).copy()  # memory of its own, beyond which a sanitizer looks
            ours, other = np.zeros_like(tuned), np.zeros_like(tuned)
            is_sound = coder.decode(content, base, exponent, ours)
            assert plain.decode(content, base, exponent, other) == is_sound, (seed, num_tried)
            assert not is_sound or np.array_equal(ours, other), (seed, num_tried)
            assert block != coded or np.array_equal(ours, tuned), (seed, num_tried)
            num_tried, num_sound = num_tried + (block != coded), num_sound + (block != coded and is_sound)
    return num_tried, num_sound


if __name__ == "__main__":
    sys.stdout.write(" ".join(map(str, decode_damaged(load(Path(sys.argv[1])), int(sys.argv[2]), int(sys.argv[3])))))

"""The entropy coder: compiled and in numpy the same bytes, what goes in comes out, and nothing that comes in harms."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from alpaca_cli.diff.coder import kernel
from alpaca_cli.diff.coder.exponent import EXPONENTS, NO_EXPONENT, Exponent
from alpaca_cli.diff.coder.plain import PlainCoder
from alpaca_cli.diff.floats import from_float32, to_float32
from coder_work import decode_damaged
from conftest import ROOT

OF_WIDTH = {1: [], 2: ["BF16", "F16"], 4: ["F32"], 8: ["F64"]}
needs_compiled = pytest.mark.skipif(kernel.LIBRARY is None, reason="the coder was not compiled")
needs_gcc = pytest.mark.skipif(not shutil.which("gcc") or sys.platform != "linux", reason="no gcc on Linux")


def coders(num_values: int, width: int) -> list[Any]:
    """The coder in numpy, and the compiled one if there is one."""
    compiled = [] if kernel.LIBRARY is None else [kernel.CompiledCoder(kernel.LIBRARY, num_values, width)]
    return [PlainCoder(num_values, width), *compiled]


def coded_by_all(tuned: NDArray[Any], base: NDArray[Any] | None, exponent: Exponent) -> bytes:
    """The one block that every coder makes of `tuned`, and of which every coder makes `tuned` again."""
    both = coders(len(tuned), tuned.itemsize)
    coded, *others = [bytes(coder.encode(tuned, base, exponent)) for coder in both]
    assert all(other == coded for other in others)
    for coder in both:
        decoded = np.zeros_like(tuned)
        assert coder.decode(np.frombuffer(coded, np.uint8), base, exponent, decoded)
        assert np.array_equal(decoded, tuned)
    return coded


def finetuned(dtype: str, num_values: int, change: float) -> tuple[NDArray[Any], NDArray[Any]]:
    """Weights such as models have, and a base that differs from them by `change`, as bit patterns."""
    random = np.random.default_rng(num_values)
    weights = (random.standard_normal(num_values) * 0.02).astype(np.float32)
    base = from_float32(weights, dtype)
    moved = to_float32(base, dtype) + (random.standard_normal(num_values) * change).astype(np.float32)
    return from_float32(moved, dtype), base


@st.composite
def pairs(draw: st.DrawFn) -> tuple[NDArray[Any], NDArray[Any] | None, Exponent]:
    width = draw(st.sampled_from([1, 2, 4, 8]))
    dtype = np.dtype(f"<u{width}")
    size = draw(st.integers(1, 40) | st.sampled_from([255, 256, 257, 512, 1023, 1024, 1025]))
    tuned = draw(arrays(dtype, size))
    if draw(st.booleans()):
        return tuned, None, NO_EXPONENT
    base = draw(arrays(dtype, size))
    if draw(st.booleans()):  # not far from the base
        tuned = base + (tuned & dtype.type(draw(st.integers(0, 2 ** (8 * width) - 1))))
    return tuned, base, draw(st.sampled_from([NO_EXPONENT, *[EXPONENTS[name] for name in OF_WIDTH[width]]]))


@settings(max_examples=150, deadline=None)
@given(pairs())
def test_whatever_goes_in_comes_out_of_either_coder(pair: tuple[NDArray[Any], NDArray[Any] | None, Exponent]) -> None:
    coded_by_all(*pair)


@pytest.mark.parametrize("num_values", [1, 2, 255, 256, 257, 511, 512, 1023, 1024, 1025, 2**18 + 3])
@pytest.mark.parametrize("dtype", ["BF16", "F16", "F32"])
def test_finetuned_weights_come_out_and_take_a_part_of_their_size(dtype: str, num_values: int) -> None:
    tuned, base = finetuned(dtype, num_values, 1e-4)
    coded = coded_by_all(tuned, base, EXPONENTS[dtype])
    if num_values > 2**18:
        assert len(coded) / tuned.nbytes < {"BF16": 0.19, "F16": 0.38, "F32": 0.60}[dtype]
    coded_by_all(tuned, None, EXPONENTS[dtype])
    coded_by_all(tuned, base, NO_EXPONENT)


@pytest.mark.parametrize("dtype", ["BF16", "F16", "F32", "F64"])
def test_every_kind_of_number_comes_out(dtype: str) -> None:
    exponent, width = EXPONENTS[dtype], {"F32": 4, "F64": 8}.get(dtype, 2)
    sign, top = 1 << 8 * width - 1, exponent.mask << exponent.shift
    kinds = [0, 1, 2, (1 << exponent.shift) - 1, 1 << exponent.shift, top - 1, top, top + 1, sign - 1]
    numbers = np.array([number | bit for number in kinds for bit in (0, sign)], f"<u{width}")
    coded_by_all(np.repeat(numbers, len(numbers)), np.tile(numbers, len(numbers)), exponent)
    coded_by_all(numbers, None, exponent)


@pytest.mark.parametrize("num_values", [1, 1000, 2**18])
def test_values_that_are_all_equal_take_next_to_nothing(num_values: int) -> None:
    tuned = np.full(num_values, 0x3F80, np.uint16)
    lanes = max(1, num_values // 256)
    for base in (tuned, None, np.full(num_values, 0x3F7F, np.uint16)):
        coded = coded_by_all(tuned, base, EXPONENTS["BF16"])
        assert len(coded) <= 24 + 64 + 4 * min(lanes, 1024) + (num_values if base is None else 0)
    assert len(coded_by_all(tuned, tuned, EXPONENTS["BF16"])) == 24 + 4 * min(lanes, 1024)


def test_rare_symbols_of_a_skewed_block_keep_a_frequency() -> None:
    """Rounded up they would add up to too much, which the others have to give back."""
    tuned = np.repeat(np.arange(256, dtype=np.uint8), np.where(np.arange(256) % 16 == 0, 9000, 1))
    coded_by_all(np.random.default_rng(0).permutation(tuned), None, NO_EXPONENT)


@needs_compiled
def test_damaged_blocks_are_the_same_to_both_coders() -> None:
    num_tried, num_sound = decode_damaged(kernel.LIBRARY, seed=1, num_blocks=120)

    assert num_tried > 700
    assert 0 < num_sound < num_tried / 2


@pytest.mark.parametrize("coder", coders(300, 2), ids=lambda coder: type(coder).__name__)
def test_a_block_cut_off_anywhere_or_lengthened_is_malformed(coder: Any) -> None:
    tuned, base = finetuned("BF16", 300, 1e-3)
    coded = np.frombuffer(bytes(coder.encode(tuned, base, EXPONENTS["BF16"])), np.uint8)
    out = np.empty_like(tuned)
    for end in range(len(coded)):
        assert not coder.decode(coded[:end], base, EXPONENTS["BF16"], out)
    assert not coder.decode(np.append(coded, np.uint8(0)), base, EXPONENTS["BF16"], out)


@needs_gcc
@pytest.mark.parametrize("flags", [[], ["-DNARROW"]], ids=["wide", "narrow"])
def test_damaged_blocks_reach_no_memory_that_is_not_theirs(flags: list[str], tmp_path: Path) -> None:
    library = tmp_path / "coder.so"
    sanitize = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-fPIC", "-shared", "-O1", "-g"]
    source = ROOT / "alpaca_cli" / "diff" / "coder" / "coder.c"
    built = subprocess.run(
        ["gcc", "-std=c99", *sanitize, *flags, "-o", str(library), str(source)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    runtime = subprocess.run(["gcc", "-print-file-name=libasan.so"], capture_output=True, text=True, check=True)
    if not Path(runtime.stdout.strip()).is_absolute():
        pytest.skip("gcc has no sanitizers")
    assert built.returncode == 0, built.stderr
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, sys.path)]),
        "LD_PRELOAD": runtime.stdout.strip(),
        "ASAN_OPTIONS": "detect_leaks=0",
    }
    run = subprocess.run(
        [sys.executable, str(ROOT / "tests" / "coder_work.py"), str(library), "2", "250"],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert run.returncode == 0, run.stderr[-3000:]
    num_tried, num_sound = map(int, run.stdout.split())
    assert num_tried > 1500
    assert 0 < num_sound < num_tried / 2


@needs_gcc
def test_the_coder_compiles_without_a_warning() -> None:
    source = ROOT / "alpaca_cli" / "diff" / "coder" / "coder.c"
    strict = ["-Wall", "-Wextra", "-Wconversion", "-pedantic", "-Werror"]
    for flags in ([], ["-DNARROW"]):
        run = subprocess.run(
            ["gcc", "-std=c99", "-O1", *strict, *flags, "-c", "-o", os.devnull, str(source)],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert (run.returncode, run.stderr) == (0, "")


def test_the_example_in_the_docs_is_what_is_written() -> None:
    section = (ROOT / "docs" / "diff_format.md").read_text(encoding="utf-8").split("## A coded block")[1]
    base, tuned, coded = (
        bytes.fromhex(found) for found in re.findall(r"^(?:tuned|base|block) +([0-9a-f ]+)$", section, re.M)
    )

    written = coded_by_all(np.frombuffer(tuned, "<u2"), np.frombuffer(base, "<u2"), EXPONENTS["BF16"])
    assert written == coded

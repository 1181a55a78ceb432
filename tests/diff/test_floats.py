"""Conversions between floating-point types, against torch's, for every pattern that there is or at random."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from alpaca_cli.diff.floats import FLOATS, convert, from_float32, to_float32

TORCH = {"F32": torch.float32, "BF16": torch.bfloat16, "F16": torch.float16}
INTEGER = {4: torch.int32, 2: torch.int16}
NAN = {"F32": 0x7FC00000, "BF16": 0x7FC0, "F16": 0x7E00}
PAIRS = [(source, target) for source in FLOATS for target in FLOATS if source != target]
EVERY = np.arange(1 << 16, dtype=np.uint16)


def by_torch(patterns: np.ndarray, source: str, target: str) -> np.ndarray:
    """What torch makes of them, with one NaN."""
    signed = torch.from_numpy(patterns.view(f"i{FLOATS[source]}").copy())
    values = signed.view(TORCH[source]).to(TORCH[target])
    bits = values.view(INTEGER[FLOATS[target]]).numpy().view(f"u{FLOATS[target]}").copy()
    bits[torch.isnan(values).numpy()] = NAN[target]
    return bits


def special() -> np.ndarray:
    """fp32 around every number of both short types, the halves between two of them included."""
    around = np.array([-1, 0, 1], np.int64)
    starts = [EVERY.astype(np.int64) << 16, (EVERY.astype(np.int64) << 16) + 0x8000]
    halves = to_float32(EVERY, "F16").view(np.uint32).astype(np.int64)
    starts += [halves, halves + 0x1000]
    return ((np.concatenate(starts)[:, None] + around) & 0xFFFFFFFF).ravel().astype(np.uint32)


@pytest.mark.parametrize(("source", "target"), [pair for pair in PAIRS if pair[0] != "F32"])
def test_all_short_patterns_come_out_as_torch_has_them(source: str, target: str) -> None:
    converted = convert(EVERY, source, target)

    assert converted.dtype == np.dtype(f"u{FLOATS[target]}")
    np.testing.assert_array_equal(converted, by_torch(EVERY, source, target))
    np.testing.assert_array_equal(convert(EVERY.view(np.uint8), source, target), converted)


@pytest.mark.parametrize("target", ["BF16", "F16"])
def test_long_patterns_come_out_as_torch_has_them(target: str) -> None:
    patterns = np.concatenate([special(), np.random.default_rng(0).integers(0, 1 << 32, 1 << 20, np.uint32)])

    np.testing.assert_array_equal(convert(patterns, "F32", target), by_torch(patterns, "F32", target))


@given(arrays(np.uint32, st.integers(0, 50)), st.sampled_from(["BF16", "F16"]))
def test_any_long_pattern_comes_out_as_torch_has_it(patterns: np.ndarray, target: str) -> None:
    np.testing.assert_array_equal(convert(patterns, "F32", target), by_torch(patterns, "F32", target))


@pytest.mark.parametrize("dtype", ["BF16", "F16"])
def test_there_and_back_keeps_all_but_the_payload_of_nan(dtype: str) -> None:
    back = convert(convert(EVERY, dtype, "F32"), "F32", dtype)

    is_nan = np.isnan(to_float32(EVERY, dtype))
    np.testing.assert_array_equal(back, np.where(is_nan, NAN[dtype], EVERY))
    assert is_nan.sum() == (2 * 127 if dtype == "BF16" else 2 * 1023)


@pytest.mark.parametrize("dtype", FLOATS)
def test_the_same_type_keeps_every_bit(dtype: str) -> None:
    patterns = EVERY if FLOATS[dtype] == 2 else special()

    np.testing.assert_array_equal(convert(patterns, dtype, dtype), patterns)


@pytest.mark.parametrize("target", FLOATS)
def test_every_nan_becomes_the_one_and_the_values_stay(target: str) -> None:
    values = np.array([0x7F800001, 0xFF800001, 0xFFFFFFFF, 0x7FC00000, 0xFFC00000, 0x80000000], np.uint32)
    before = values.copy()
    zero = 0x80000000 if target == "F32" else 0x8000

    assert from_float32(values.view(np.float32), target).tolist() == [NAN[target]] * 5 + [zero]
    np.testing.assert_array_equal(values, before)


def test_the_edges_of_each_type() -> None:
    values = np.array([65504, 65519.996, 65520, 3.3895314e38, 3.4e38, 2.0**-24, 2.0**-25, 2.0**-149], np.float32)

    assert from_float32(values, "F16").tolist() == [0x7BFF, 0x7BFF, 0x7C00, 0x7C00, 0x7C00, 1, 0, 0]
    assert from_float32(values, "BF16")[3:5].tolist() == [0x7F7F, 0x7F80]
    assert to_float32(np.array([1], np.uint16), "BF16")[0] == np.float32(2.0**-133)
    assert to_float32(np.array([1], np.uint16), "F16")[0] == np.float32(2.0**-24)

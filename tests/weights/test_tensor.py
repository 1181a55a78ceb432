"""Bytes of tensors in row order, whichever way they lie; numpy's own strides are the oracle."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.lib.stride_tricks import as_strided

from alpaca_cli.errors import DataError, UsageError
from alpaca_cli.weights.rawfile import RawFile
from alpaca_cli.weights.tensor import ITEM_BYTES, Tensor, TensorReader, is_row_order, row_steps

DTYPES = st.sampled_from(sorted(ITEM_BYTES))


@st.composite
def tensors(draw: st.DrawFn) -> tuple[Tensor, bytes]:
    """A tensor of any strides in a file of its own, and its bytes in row order."""
    shape = tuple(draw(st.lists(st.integers(0, 6), max_size=4)))
    steps = tuple(draw(st.sampled_from([0, 1, 2, 7, 60, 9000])) for _ in shape)
    if draw(st.booleans()):
        steps = row_steps(shape)
    dtype, offset = draw(DTYPES), draw(st.integers(0, 100))
    item = ITEM_BYTES[dtype]
    span = 1 + sum(max(0, length - 1) * step for length, step in zip(shape, steps, strict=True))
    raw = np.random.default_rng(draw(st.integers(0, 9))).integers(0, 256, offset + span * item, np.uint8)
    path = Path("tensor.raw")
    path.write_bytes(raw.tobytes())
    values = raw[offset:].reshape(-1, item)
    expected = as_strided(values, (*shape, item), (*(step * item for step in steps), 1)).tobytes()
    return Tensor("x", dtype, shape, path, offset, None if is_row_order(shape, steps) else steps), expected


@given(tensors(), st.data())
def test_any_part_of_any_tensor_is_read_in_row_order(made: tuple[Tensor, bytes], data: st.DataObject) -> None:
    tensor, expected = made
    item = ITEM_BYTES[tensor.dtype]
    assert tensor.num_bytes == len(expected)
    begin = data.draw(st.integers(0, tensor.num_values))
    end = data.draw(st.integers(begin, tensor.num_values))
    part = np.empty((end - begin) * item, np.uint8)
    with TensorReader(tensor) as reader:
        reader.read_into(part, begin * item)
        whole = bytearray(len(expected))
        reader.read_into(memoryview(whole), 0)
    assert bytes(whole) == expected
    assert part.tobytes() == expected[begin * item : end * item]


@pytest.mark.parametrize("steps", [(1, 3000), (1, 1), (100, 1)])
def test_a_tensor_far_wider_than_one_read(steps: tuple[int, int], tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 2**16, 3000 * 200, np.uint16)
    (tmp_path / "x").write_bytes(values.tobytes())
    shape = (3000, 200)
    expected = as_strided(values, shape, tuple(2 * step for step in steps))
    found = np.empty((3000 - 7) * 200, np.uint16)
    with TensorReader(Tensor("x", "F16", shape, tmp_path / "x", 0, steps)) as reader:
        reader.read_into(found.view(np.uint8), 7 * 400)
    assert np.array_equal(found.reshape(-1, 200), expected[7:])


def test_a_part_in_row_order_may_begin_and_end_within_a_value(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(bytes(range(20)))
    part = bytearray(5)
    with TensorReader(Tensor("x", "F32", (4,), tmp_path / "x", 3)) as reader:
        reader.read_into(memoryview(part), 2)
    assert part == bytes([5, 6, 7, 8, 9])


@pytest.mark.parametrize(("start", "length"), [(-1, 2), (0, 17), (12, 5)])
def test_no_byte_of_a_neighbour_is_read(start: int, length: int, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(bytes(100))
    with TensorReader(Tensor("x", "F32", (4,), tmp_path / "x", 8)) as reader, pytest.raises(ValueError):
        reader.read_into(np.empty(length, np.uint8), start)


@pytest.mark.parametrize("steps", [None, (1, 2)])
def test_a_file_that_became_shorter_is_told(steps: tuple[int, ...] | None, tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(bytes(30))
    tensor = Tensor("x", "F32", (2, 2), path, 16, steps)
    with TensorReader(tensor) as reader, pytest.raises(DataError) as caught:
        reader.read_into(np.empty(16, np.uint8), 0)
    (problem,) = caught.value.problems
    assert problem.message == "cut short: expected 32 bytes or more, found 30"
    assert (problem.where, problem.hint) == (str(path), "download it again")


def test_what_is_no_regular_file_is_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for name, message in (("pipe", "found a device or pipe"), (".", "found a directory"), ("none", "no such file")):
        with pytest.raises(UsageError) as caught:
            RawFile(tmp_path / name)
        assert message in caught.value.problems[0].message
        assert caught.value.problems[0].where == str(tmp_path / name)


def test_a_reader_gives_its_descriptor_back(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(bytes(100))
    (tmp_path / "page").write_bytes(b"<html>")
    before = len(list(Path("/proc/self/fd").iterdir())) if Path("/proc/self/fd").exists() else 0
    with TensorReader(Tensor("x", "F32", (4,), tmp_path / "x", 0)):
        pass
    with pytest.raises(DataError):
        RawFile(tmp_path / "page")
    assert (len(list(Path("/proc/self/fd").iterdir())) if before else 0) == before

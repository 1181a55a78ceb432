"""Headers of safetensors files; the library is the oracle of what is written, and of what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from alpaca_cli.errors import DataError
from alpaca_cli.weights.safetensors import Header, header_text, parse_header, read_header
from alpaca_cli.weights.tensor import ITEM_BYTES, TensorReader

TORCH = {
    "F64": torch.float64, "F32": torch.float32, "BF16": torch.bfloat16, "F16": torch.float16, "I64": torch.int64,
    "I32": torch.int32, "I16": torch.int16, "I8": torch.int8, "U8": torch.uint8, "U16": torch.uint16,
    "U32": torch.uint32, "U64": torch.uint64, "BOOL": torch.bool, "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2, "C64": torch.complex64, "F8_E8M0": torch.float8_e8m0fnu,
    "F8_E4M3FNUZ": torch.float8_e4m3fnuz, "F8_E5M2FNUZ": torch.float8_e5m2fnuz,
}  # fmt: skip
SHAPES = st.lists(st.integers(0, 4), max_size=3).map(tuple)
NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8).filter(lambda name: name[0] != "_")


def file_of(header: Any, num_bytes: int = 0, path: Path = Path("hostile.safetensors")) -> Path:
    """A file with this header (text, or what JSON makes of it) and so many bytes behind it."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + bytes(num_bytes))
    return path


def tensor_of(shape: Any = (2,), place: Any = (0, 8), dtype: Any = "F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": place}


def refused(path: Path, message: str, hint: str = "download it again") -> None:
    with pytest.raises(DataError) as caught:
        read_header(path)
    (problem,) = caught.value.problems
    assert message in problem.message
    assert "\n" not in problem.message and len(problem.message) < 400
    assert (problem.where, problem.hint) == (str(path), hint)


def test_every_dtype_has_an_oracle() -> None:
    assert set(TORCH) == set(ITEM_BYTES)
    assert {name: dtype.itemsize for name, dtype in TORCH.items()} == ITEM_BYTES


@given(st.dictionaries(NAMES, st.tuples(st.sampled_from(sorted(TORCH)), SHAPES), max_size=5))
def test_what_the_library_writes_is_read(made: dict[str, tuple[str, tuple[int, ...]]]) -> None:
    tensors = {}
    for number, (name, (dtype, shape)) in enumerate(made.items()):
        raw = torch.full((ITEM_BYTES[dtype] * torch.Size(shape).numel(),), number + 1, dtype=torch.uint8)
        tensors[name] = raw.view(TORCH[dtype]).reshape(shape) if dtype != "BOOL" else raw.bool().reshape(shape)
    path = Path("written.safetensors")
    save_file(tensors, path, metadata={"format": "pt", "é": "\n"})

    header = read_header(path)

    assert path.read_bytes()[8:].startswith(header.text)
    assert header.metadata == {"format": "pt", "é": "\n"}
    assert [tensor.offset for tensor in header.tensors] == sorted(tensor.offset for tensor in header.tensors)
    assert {tensor.name: (tensor.dtype, tensor.shape) for tensor in header.tensors} == made
    for tensor in header.tensors:
        found = bytearray(tensor.num_bytes)
        with TensorReader(tensor) as reader:
            reader.read_into(memoryview(found), 0)
        assert found == tensors[tensor.name].flatten().view(torch.uint8).numpy().tobytes()
    assert parse_header(header.text, path) == header


@given(
    st.lists(st.tuples(NAMES, st.sampled_from(sorted(TORCH)), SHAPES), unique_by=lambda each: each[0], max_size=5),
    st.sampled_from([{}, {"format": "pt", "made by": "ünï"}]),
)
def test_what_is_written_the_library_reads(made: list[tuple[str, str, tuple[int, ...]]], meta: dict[str, str]) -> None:
    text = header_text(made, meta)
    size = sum(ITEM_BYTES[dtype] * torch.Size(shape).numel() for _, dtype, shape in made)

    path = file_of(text, size)

    with safe_open(path, "pt") as opened:
        slices = {name: opened.get_slice(name) for name in opened.keys()}  # noqa: SIM118  (no mapping)
        assert {name: (each.get_dtype(), tuple(each.get_shape())) for name, each in slices.items()} == {
            name: (dtype, shape) for name, dtype, shape in made
        }
        assert (opened.metadata() or {}) == meta
    assert len(text) % 8 == 0
    header = read_header(path)
    assert [(each.name, each.dtype, each.shape) for each in header.tensors if each.num_bytes] == [
        (name, dtype, shape) for name, dtype, shape in made if 0 not in shape
    ]
    assert dict(header.metadata) == meta


def test_an_empty_file_of_weights_says_that_it_is_pytorchs() -> None:
    assert json.loads(header_text([])) == {"__metadata__": {"format": "pt"}}


AGAIN = "download it again"
DEEP = b'{"x":' * 5000 + b"1" + b"}" * 5000


@pytest.mark.parametrize(
    ("header", "num_bytes", "message"),
    [
        ({"w": tensor_of()}, 7, "cut short: expected 77 bytes, found 76"),
        ({"w": tensor_of()}, 9, "longer than its header says: expected 77 bytes, found 78"),
        ({"w": tensor_of(), "v": tensor_of(place=[4, 12])}, 12, "'v': overlaps the one before it"),
        ({"w": tensor_of(), "v": tensor_of()}, 8, "'v': overlaps the one before it"),
        ({"w": tensor_of(), "v": tensor_of([0], [4, 4])}, 8, "'v': overlaps the one before it"),
        ({"w": tensor_of(), "v": tensor_of(place=[9, 17])}, 17, "'v': lies behind a gap"),
        ({"w": tensor_of(place=[8, 16])}, 16, "'w': lies behind a gap"),
        ({"w": tensor_of(place=[0, 4])}, 4, "expected 8 bytes for its shape, found 4"),
        ({"w": tensor_of(place=[8, 0])}, 8, "expected two data_offsets in order"),
        ({"w": tensor_of(place=[-8, 0])}, 8, "expected two data_offsets in order"),
        ({"w": tensor_of(place=[0, 8, 8])}, 8, "expected two data_offsets in order"),
        ({"w": tensor_of([1], [False, 4])}, 4, "expected two data_offsets in order"),
        ({"w": tensor_of([True], [0, 4])}, 4, "expected a shape of whole numbers"),
        ({"w": tensor_of([2.0])}, 8, "expected a shape of whole numbers"),
        ({"w": tensor_of([-1, -2])}, 8, "expected a shape of whole numbers"),
        ({"w": tensor_of("2")}, 8, "expected a shape of whole numbers"),
        ({"w": tensor_of([1] * 65, [0, 4])}, 4, "expected a shape of whole numbers"),
        ({"w": tensor_of([2**63], [0, 4])}, 4, "expected a shape of whole numbers"),
        ({"w": tensor_of([2**60] * 64, [0, 4])}, 4, "a shape that fits no disk"),
        ({"w": tensor_of(dtype="F4")}, 8, "unknown dtype 'F4'"),
        ({"w": tensor_of(dtype="F32" * 9999)}, 8, "unknown dtype 'F32"),
        ({"w": tensor_of(dtype=["F32"])}, 8, "unknown dtype a list"),
        ({"w": {"dtype": "F32", "shape": [2]}}, 8, "expected two data_offsets"),
        ({"w": [1]}, 8, "expected dtype, shape and data_offsets"),
        ({"\ud800": tensor_of()}, 8, r"'\ud800': expected dtype"),
        ({"\n" * 9999: 1}, 0, r"'\n\n"),
        ({"__metadata__": {"format": 1}}, 0, "expected texts in __metadata__"),
        ({"__metadata__": []}, 0, "expected texts in __metadata__"),
        (b'{"w":' + json.dumps(tensor_of()).encode() + b',"w":' + json.dumps(tensor_of()).encode() + b"}", 8, "twice"),
        (b'{"w":{"dtype":"F32","dtype":"F32","shape":[2],"data_offsets":[0,8]}}', 8, "'dtype' is in it twice"),
        ([], 0, "found no JSON object"),
        (b"", 0, "found no JSON"),
        (b'{"\xff":1}', 0, "found no JSON"),
        (b"9" * 5000, 0, "found no JSON"),
        (DEEP, 0, "found no JSON"),
    ],
)
def test_a_header_that_breaks_a_promise_is_refused(header: Any, num_bytes: int, message: str, tmp_path: Path) -> None:
    refused(file_of(header, num_bytes), message)


@pytest.mark.parametrize(
    ("raw", "message", "hint"),
    [
        (b"", "an empty file", AGAIN),
        (b"1234567", "no safetensors file: 7 bytes", AGAIN),
        ((10**9).to_bytes(8, "little") + b"{}", "it would have a header of 1,000,000,000 bytes", AGAIN),
        (b"\xff" * 8 + b"{}", "it would have a header of 18,446,744,073,709,551,615 bytes", AGAIN),
        ((3).to_bytes(8, "little") + b"{}", "cut in its header: expected 11 bytes or more, found 10", AGAIN),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n", "a Git LFS pointer", "run `git lfs pull`"),
        (b"  <!DOCTYPE html>", "a web page", AGAIN),
        (b'<?xml version="1.0"?><Error>', "a web page", AGAIN),
    ],
)
def test_what_is_no_safetensors_file_is_named(raw: bytes, message: str, hint: str) -> None:
    path = Path("model.safetensors")
    path.write_bytes(raw)
    with pytest.raises(DataError) as caught:
        read_header(path)
    (problem,) = caught.value.problems
    assert message in problem.message
    assert (problem.where, (problem.hint or "")[: len(hint)]) == (str(path), hint)


def test_weights_cut_at_any_byte_are_refused() -> None:
    path = Path("model.safetensors")
    save_file({"a": torch.ones(3), "b": torch.zeros(2, 2, dtype=torch.bfloat16)}, path)
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(DataError) as caught:
            read_header(path)
        assert caught.value.problems[0].where == str(path)
        assert caught.value.problems[0].hint == "download it again"


WORDS = st.sampled_from(["dtype", "shape", "data_offsets", "w", "F32", "__metadata__"])
LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | WORDS
TREES = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORDS, inner, max_size=4))


@given(st.binary(max_size=40) | TREES.map(lambda value: json.dumps(value).encode()))
def test_no_header_breaks_the_reader(header: bytes) -> None:
    path = file_of(header)
    try:
        found: Header | None = read_header(path)
    except DataError:
        found = None
    if found is not None:  # then the library reads it too
        with safe_open(path, "pt") as opened:
            assert set(opened.keys()) == {tensor.name for tensor in found.tensors}


SMALL = st.sampled_from([0, 0, 1, 2, 4, 8])


@given(st.lists(st.tuples(SMALL, SMALL, st.lists(SMALL, max_size=2)), max_size=3), SMALL)
def test_places_are_refused_exactly_where_the_library_refuses_them(
    made: list[tuple[int, int, list[int]]], num_bytes: int
) -> None:
    header = {str(number): tensor_of(shape, [begin, end], "U8") for number, (begin, end, shape) in enumerate(made)}
    path = file_of(header, num_bytes)
    try:
        read_header(path)
    except DataError:
        with pytest.raises(SafetensorError), safe_open(path, "pt"):
            pass
    else:
        with safe_open(path, "pt"):
            pass

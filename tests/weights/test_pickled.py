"""Tensors in PyTorch's own files; torch.load is the oracle, for what it reads and for the bytes."""

from __future__ import annotations

import pickle
import struct
import sys
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from alpaca_cli.errors import DataError
from alpaca_cli.weights.pickled import read_pickled
from alpaca_cli.weights.tensor import Tensor, TensorReader

FILE = Path("pytorch_model.bin")
DTYPES = {
    "F64": torch.float64, "F32": torch.float32, "BF16": torch.bfloat16, "F16": torch.float16, "I64": torch.int64,
    "I32": torch.int32, "I16": torch.int16, "I8": torch.int8, "U8": torch.uint8, "BOOL": torch.bool,
    "C64": torch.complex64, "U16": torch.uint16, "U32": torch.uint32, "U64": torch.uint64,
    "F8_E4M3": torch.float8_e4m3fn, "F8_E5M2": torch.float8_e5m2, "F8_E8M0": torch.float8_e8m0fnu,
    "F8_E4M3FNUZ": torch.float8_e4m3fnuz, "F8_E5M2FNUZ": torch.float8_e5m2fnuz,
}  # fmt: skip
AGAIN = "download it again"
ASK = "ask its maker for safetensors, and do not unpickle it"


def bytes_of(tensor: Tensor) -> bytes:
    found = bytearray(tensor.num_bytes)
    with TensorReader(tensor) as reader:
        reader.read_into(memoryview(found), 0)
    return bytes(found)


def expected(value: torch.Tensor) -> tuple[tuple[int, ...], torch.dtype, bytes]:
    values = torch.empty(value.numel(), dtype=value.dtype).copy_(value.detach().flatten())
    return tuple(value.shape), value.dtype, values.view(torch.uint8).numpy().tobytes()


def as_torch_reads(path: Path) -> tuple[Tensor, ...]:
    """What we read of a file, which is what torch.load reads of it."""
    found = read_pickled(path)
    loaded = torch.load(path, weights_only=True)
    assert [tensor.name for tensor in found] == list(loaded)
    for tensor in found:
        assert (tensor.shape, DTYPES[tensor.dtype], bytes_of(tensor)) == expected(loaded[tensor.name])
        assert (tensor.steps is None) == loaded[tensor.name].is_contiguous()
    return found


@st.composite
def state_dicts(draw: st.DrawFn) -> dict[str, torch.Tensor]:
    """Views of a few storages: parts of them, turned, thinned out, one at two names."""
    made = OrderedDict() if draw(st.booleans()) else {}
    for number in range(draw(st.integers(0, 3))):
        dtype = DTYPES[draw(st.sampled_from(sorted(DTYPES)))]
        shape = draw(st.lists(st.integers(0, 5), max_size=3))
        raw = torch.randint(0, 256, (torch.Size(shape).numel() * dtype.itemsize,), dtype=torch.uint8)
        whole = raw.view(dtype).reshape(shape) if dtype != torch.bool else (raw % 2 == 0).reshape(shape)
        for view in range(draw(st.integers(1, 3))):
            value = whole.permute(draw(st.permutations(range(len(shape)))))
            for axis in range(len(shape)):
                begin, step = draw(st.integers(0, 2)), draw(st.integers(1, 3))
                value = value[(slice(None),) * axis + (slice(begin, None, step),)]
            wrapped = dtype.is_floating_point and dtype.itemsize > 1 and draw(st.booleans())
            made[f"tensor {number}.{view}"] = torch.nn.Parameter(value) if wrapped else value
    if isinstance(made, OrderedDict):
        made._metadata = {"": {"version": 1}}  # type: ignore[attr-defined]  # as modules set it
    return made


@given(state_dicts())
def test_any_state_dict_is_read_as_torch_reads_it(made: dict[str, torch.Tensor]) -> None:
    torch.save(made, FILE)
    as_torch_reads(FILE)


def test_a_module_with_tied_weights_shares_them_on_disk() -> None:
    module = torch.nn.Module()
    module.embedding, module.head = torch.nn.Embedding(7, 3), torch.nn.Linear(3, 7)
    module.head.weight = module.embedding.weight
    module.register_buffer("positions", torch.arange(5))
    module.register_buffer("scalar", torch.tensor(3.0))
    torch.save(module.state_dict(), FILE)

    found = {tensor.name: tensor for tensor in as_torch_reads(FILE)}

    assert found["head.weight"].offset == found["embedding.weight"].offset
    assert found["scalar"].shape == ()


def test_more_tensors_than_one_byte_counts() -> None:
    torch.save({f"{number}.weight": torch.full((3,), number) for number in range(3000)}, FILE)

    assert len(as_torch_reads(FILE)) == 3000


def test_a_directory_in_zip64_is_read(tmp_path: Path) -> None:
    """As torch.save writes it for large files: sizes and places in extra fields, found by way of a locator."""
    torch.save({"a": torch.arange(5)}, FILE)
    raw = FILE.read_bytes()
    begin = struct.unpack_from("<I", raw, len(raw) - 6)[0]
    wide, at = b"", begin
    while raw[at : at + 4] == b"PK\1\2":
        name, extra = struct.unpack_from("<HH", raw, at + 28)
        packed, size = struct.unpack_from("<II", raw, at + 20)
        (local,) = struct.unpack_from("<I", raw, at + 42)
        field = struct.pack("<HHHHHQQQ", 0x4B46, 2, 0, 1, 24, size, packed, local)  # behind one of another kind
        wide += raw[at : at + 20] + b"\xff" * 8 + struct.pack("<HH", name, len(field)) + raw[at + 32 : at + 42]
        wide += b"\xff" * 4 + raw[at + 46 : at + 46 + name] + field
        at += 46 + name + extra
    count = struct.unpack_from("<Q", raw, at + 24)[0]
    end = struct.pack("<4sQHHIIQQQQ", b"PK\6\6", 44, 45, 45, 0, 0, count, count, len(wide), begin)
    locator = struct.pack("<4sIQI", b"PK\6\7", 0, begin + len(wide), 1)
    last = struct.pack("<4sHHHHIIH", b"PK\5\6", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    FILE.write_bytes(raw[:begin] + wide + end + locator + last)

    as_torch_reads(FILE)


def test_an_archive_without_zip64_is_read() -> None:
    torch.save({"a": torch.arange(5)}, FILE)
    with zipfile.ZipFile(FILE) as old:
        entries = {name: old.read(name) for name in old.namelist()}
    write(entries)

    as_torch_reads(FILE)


def write(entries: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(FILE, "w", compression) as archive:
        for name, raw in entries.items():
            archive.writestr(name, raw)
    return FILE


def saved(value: Any) -> dict[str, bytes]:
    """The entries of what torch.save writes."""
    torch.save(value, FILE)
    with zipfile.ZipFile(FILE) as archive:
        return {name.replace("pytorch_model/", "a/"): archive.read(name) for name in archive.namelist()}


def refused(message: str, hint: str) -> None:
    with pytest.raises(DataError) as caught:
        read_pickled(FILE)
    (problem,) = caught.value.problems
    assert message in problem.message
    assert "\n" not in problem.message and len(problem.message) < 400
    assert (problem.where, (problem.hint or "")[: len(hint)]) == (str(FILE), hint)
    assert not Path("harm").exists()


class Harm:
    """What a hostile pickle holds: unpickled, it runs a command."""

    def __init__(self, call: Callable[..., Any], *arguments: Any) -> None:
        self.call = call, arguments

    def __reduce__(self) -> Any:
        return self.call


def pickled(value: Any) -> bytes:
    return pickle.dumps(value, protocol=2)


@pytest.mark.parametrize(
    ("harm", "asked"),
    [
        (Harm(__import__("os").system, "touch harm"), "posix.system"),
        (Harm(eval, "open('harm', 'w')"), "__builtin__.eval"),
        (Harm(torch.load, "other.bin"), "torch.serialization.load"),
        (OrderedDict(a=Harm(__import__("os").mkdir, "harm")), "posix.mkdir"),
        ({"a": 1, "b": {"c": (Harm(Path, "harm"),)}}, "pathlib."),
    ],
)
def test_a_pickle_that_would_do_harm_does_nothing(harm: Any, asked: str) -> None:
    write({"a/data.pkl": pickled(harm)})
    refused(f"no plain weights: asks for '{asked}", ASK)


def test_the_pickles_of_the_test_before_would_do_harm() -> None:
    pickle.loads(pickled(Harm(__import__("os").system, "touch harm")))

    assert Path("harm").exists()


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (torch.ones(2), "expected tensors by name, found a tensor"),
        ([], "opcode 0x5d"),
        ({"a": 1}, "expected tensors by name, found int under 'a'"),
        ({"model": {"a": torch.ones(2)}}, "expected tensors by name, found dict under 'model'"),
        ({1: torch.ones(2)}, "a dict with other keys than names"),
        ({"a": torch.ones(1).expand(5)}, "repeats the 1 values of its storage"),
        ({"a": torch.ones(2, dtype=torch.complex64).conj()}, "to be conjugated"),
        ({"a": torch.ones(2, dtype=torch.complex128)}, "asks for 'torch.ComplexDoubleStorage'"),
        ({"a": torch.ones(2).to_sparse()}, "asks for 'torch._utils._rebuild_sparse_tensor'"),
        ({"a": torch.ones(2, device="meta")}, "asks for 'torch._utils._rebuild_meta_tensor_no_storage'"),
        ({"x" * 5000: torch.ones(2)}, "a name of 5,000 bytes"),
    ],
)  # fmt: skip
def test_what_is_no_dict_of_plain_tensors_is_refused(value: Any, message: str) -> None:
    torch.save(value, FILE)
    refused(f"no plain weights: {message}" if "opcode" in message else message, ASK)


STORAGE = b"(X\7\0\0\0storagectorch\nFloatStorage\nX\1\0\0\0%sX\3\0\0\0cpuK\4tQ"


def program(storage: bytes = STORAGE % b"0", view: bytes = b"K\0K\4\x85K\1\x85", rest: bytes = b"\x89)") -> bytes:
    """The pickle of one tensor `a` of four values; storage, offset with shape and steps, and what follows."""
    return b"\x80\2}X\1\0\0\0actorch._utils\n_rebuild_tensor_v2\n(" + storage + view + rest + b"tRs."


def test_a_pickle_as_it_should_be() -> None:
    write({"a/data.pkl": program(), "a/version": b"3\n", "a/data/0": bytes(range(16))})

    assert as_torch_reads(FILE)[0].shape == (4,)


@pytest.mark.parametrize(
    ("raw", "message", "hint"),
    [
        (program()[:-1], "malformed pickle", AGAIN),
        (program() + b"x", "malformed pickle", AGAIN),
        (program()[:40], "malformed pickle", AGAIN),
        (b"", "malformed pickle", AGAIN),
        (b"\x80\2.", "malformed pickle", AGAIN),
        (b"\x80\2}}.", "malformed pickle", AGAIN),
        (b"\x80\2(}.", "malformed pickle", AGAIN),
        (b"\x80\2}t.", "malformed pickle", AGAIN),
        (b"\x80\2\x86.", "malformed pickle", AGAIN),
        (b"\x80\2h\7.", "malformed pickle", AGAIN),
        (b"\x80\2q\7.", "malformed pickle", AGAIN),
        (b"\x80\2X\xff\0\0\0a.", "malformed pickle", AGAIN),
        (b"\x80\2X\1\0\0\0\xff.", "malformed pickle", AGAIN),
        (b"\x80\2ctorch\nFloat", "malformed pickle", AGAIN),
        (b"\x80\4}.", "pickle protocol 4", ASK),
        (b"\x80\2\x8a\xff" + bytes(255) + b".", "a number of more than 64 bits", ASK),
        (b"\x80\2}K\1K\1s.", "a dict with other keys than names", ASK),
        (b"\x80\2}(X\1\0\0\0au.", "a dict with other keys than names", ASK),
        (b"\x80\2K\1X\1\0\0\0aNs.", "a dict with other keys than names", ASK),
        (b"\x80\2}X\1\0\0\0aNsX\1\0\0\0aNs.", "names 'a' twice", ASK),
        (b"\x80\2}Nb.", "an object with attributes", ASK),
        (b"\x80\2N}b.", "an object with attributes", ASK),
        (b"\x80\2N)R.", "a call of what is no function", ASK),
        (b"\x80\2ccollections\nOrderedDict\nNR.", "a call of what is no function", ASK),
        (b"\x80\2ccollections\nOrderedDict\nN\x85R.", "a call of collections.OrderedDict as", ASK),
        (b"\x80\2ctorch\nFloatStorage\n)R.", "a call of torch.FloatStorage as", ASK),
        (b"\x80\2ctorch\nuint16\n.", "expected tensors by name, found Name", ASK),
        (b"\x80\2N" + b"\x85" * 100_000 + b".", "expected tensors by name, found tuple", ASK),
        (b"\x80\2N" + b"\x85" * 100_000 + b"Q.", "a storage that torch.save did not write", ASK),
        (b"\x80\2}N" + b"\x85" * 100_000 + b"Ns.", "a dict with other keys than names", ASK),
        (b"\x80\2K\0Q.", "a storage that torch.save did not write", ASK),
        (program(STORAGE.replace(b"storage", b"pickled") % b"0"), "a storage that torch.save did not write", ASK),
        (program(STORAGE.replace(b"FloatStorage", b"uint16") % b"0"), "a storage that torch.save did not write", ASK),
        (program(STORAGE.replace(b"K\4", b"\x88") % b"0"), "a storage that torch.save did not write", ASK),
        (program(STORAGE.replace(b"K\4", b"J" + b"\xff" * 4) % b"0"), "a storage that torch.save did not write", ASK),
        (program(b"N"), "a call of torch._utils._rebuild_tensor_v2 as", ASK),
        (program(view=b"K\0K\5\x85K\1\x85"), "needs 5 values of a storage of 4", ASK),
        (program(view=b"K\3K\2\x85K\1\x85"), "needs 5 values of a storage of 4", ASK),
        (program(view=b"K\0K\2\x85K\4\x85"), "needs 5 values of a storage of 4", ASK),
        (program(view=b"K\0K\5\x85K\0\x85"), "repeats the 4 values", ASK),
        (program(view=b"J\xff\xff\xff\xffK\1\x85K\1\x85"), "a tensor of impossible shape", ASK),
        (program(view=b"K\0J\xff\xff\xff\xff\x85K\1\x85"), "a tensor of impossible shape", ASK),
        (program(view=b"K\0K\2\x85J\xff\xff\xff\xff\x85"), "a tensor of impossible shape", ASK),
        (program(view=b"K\0K\2\x85)"), "a tensor of impossible shape", ASK),
        (program(view=b"K\0\x88\x85K\1\x85"), "a tensor of impossible shape", ASK),
        (program(view=b"K\0\x8a\x09" + b"\xff" * 8 + b"\0\x85K\1\x85"), "a tensor of impossible shape", ASK),
        (program(view=b"K\0(" + b"K\1" * 65 + b"t(" + b"K\1" * 65 + b"t"), "a tensor of impossible shape", ASK),
        (program(STORAGE % b"1"), "storage '1': missing", AGAIN),
        (program(STORAGE.replace(b"K\4", b"K\5") % b"0"), "storage '0': expected 20 bytes, found 16", AGAIN),
    ],
)  # fmt: skip
def test_a_pickle_that_torch_did_not_write_is_refused(raw: bytes, message: str, hint: str) -> None:
    write({"a/data.pkl": raw, "a/data/0": bytes(16)})
    refused(message, hint)


@pytest.mark.parametrize("other", [STORAGE.replace(b"Float", b"Half"), STORAGE.replace(b"K\4", b"K\3")])
def test_a_storage_that_is_two_things_is_refused(other: bytes) -> None:
    """Which of the two torch.load would take depends on what it read first."""
    second = program(other % b"0", b"K\0K\3\x85K\1\x85").replace(b"\x80\2}X\1\0\0\0a", b"X\1\0\0\0b")
    write({"a/data.pkl": program()[:-1] + second, "a/data/0": bytes(16)})
    refused("storage '0': 4 values of F32 for one tensor, other ones for another", AGAIN)


def test_every_opcode_that_torch_does_not_write_is_refused() -> None:
    """Those that import, call or build in other ways among them."""
    known = set(b"(NJKMX)t}sucRbQhjqr.") | {0x80, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8A}
    for opcode in set(range(256)) - known:
        write({"a/data.pkl": b"\x80\2" + bytes([opcode]) + b"."})
        refused(f"opcode 0x{opcode:02x}, which torch.save does not write for tensors", ASK)


@pytest.mark.parametrize(
    ("change", "message", "hint"),
    [
        ({"a/byteorder": b"big"}, "big-endian", "load and save it again"),
        ({"a/constants.pkl": b""}, "a TorchScript program", ASK),
        ({"b/data.pkl": b""}, "a zip archive, but not of PyTorch's", AGAIN),
        ({"a/data/0": None}, "storage '0': missing", AGAIN),
        ({"a/data/0": b"123"}, "storage '0': expected 16 bytes, found 3", AGAIN),
        ({"a/data.pkl": None}, "a zip archive, but not of PyTorch's", AGAIN),
    ],
)
def test_an_archive_with_other_entries_is_refused(change: dict[str, bytes | None], message: str, hint: str) -> None:
    entries = saved({"a": torch.ones(4)}) | change
    write({name: raw for name, raw in entries.items() if raw is not None})
    refused(message, hint)


def test_compressed_entries_are_refused() -> None:
    write(saved({"a": torch.ones(4)}), zipfile.ZIP_DEFLATED)
    refused("entry 'a/data.pkl' is compressed or encrypted", AGAIN)


def test_the_same_entry_twice_is_refused() -> None:
    entries = saved({"a": torch.ones(4)})
    write(entries)
    with zipfile.ZipFile(FILE, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("a/data/0", b"other")
    refused("two entries 'a/data/0'", AGAIN)


def test_views_that_make_much_of_little_are_refused() -> None:
    whole = torch.ones(1000)
    torch.save({str(number): whole[number:] for number in range(20)}, FILE)
    refused("which they share", "load it with torch.load")


@pytest.mark.parametrize(
    ("raw", "message", "hint"),
    [
        (b"", "an empty file", AGAIN),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n", "a Git LFS pointer", "run `git lfs pull`"),
        (b"\n<HTML>", "a web page", AGAIN),
        (b"{}", "not a file of PyTorch's", AGAIN),
        (pickled({"a": 1}), "a pickle that torch.save did not write", ASK),
        (b"PK\3\4", "cut short: the zip archive's directory", AGAIN),
        (b"PK\3\4" + bytes(100), "cut short: the zip archive's directory", AGAIN),
    ],
)
def test_what_is_no_file_of_pytorchs_is_named(raw: bytes, message: str, hint: str) -> None:
    FILE.write_bytes(raw)
    refused(message, hint)


def test_a_file_in_the_old_form_is_named() -> None:
    torch.save({"a": torch.ones(4)}, FILE, _use_new_zipfile_serialization=False)
    refused("in the form of PyTorch before 1.6", "load it with torch.load(..., weights_only=True), and save it again")


def test_weights_cut_at_any_byte_are_refused() -> None:
    torch.save({"a": torch.ones(4)}, FILE)
    whole = FILE.read_bytes()
    for length in (*range(0, len(whole) - 200, 7), *range(len(whole) - 200, len(whole))):
        FILE.write_bytes(whole[:length])
        with pytest.raises(DataError) as caught:
            read_pickled(FILE)
        assert caught.value.problems[0].where == str(FILE)
        assert caught.value.problems[0].hint == AGAIN


def test_no_torch_is_loaded() -> None:
    import subprocess

    torch.save({"a": torch.ones(4)}, FILE)
    code = (
        "import sys, pathlib; from alpaca_cli.weights.pickled import read_pickled;"
        "print(len(read_pickled(pathlib.Path(sys.argv[1]))), {'torch', 'safetensors'} & set(sys.modules))"
    )
    run = subprocess.run([sys.executable, "-c", code, FILE], capture_output=True, text=True, check=True)
    assert run.stdout == "1 set()\n"

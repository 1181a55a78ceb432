"""Damaged and hostile files: refused or read, never anything else, and never with much memory."""

from __future__ import annotations

import random
import struct
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from alpaca_cli.errors import DataError
from alpaca_cli.weights.pickled import read_pickled
from alpaca_cli.weights.safetensors import read_header
from alpaca_cli.weights.tensor import TensorReader

TENSORS = {"a": torch.arange(6.0).reshape(2, 3), "b": torch.ones(5, dtype=torch.bfloat16), "c": torch.zeros(0, 2)}
MEBIBYTE = 2**20


def damaged(whole: bytes, chance: random.Random) -> bytes:
    """`whole` after one to three accidents."""
    raw = bytearray(whole)
    for _ in range(chance.randint(1, 3)):
        at = chance.randrange(len(raw))
        match chance.choices(range(6), (5, 5, 2, 2, 3, 1))[0]:
            case 0:
                raw[at] ^= 1 << chance.randrange(8)
            case 1:
                raw[at] = chance.choice(b'\x00\xff\x80\x2e(tQRX}.cbus[{:,"0')
            case 2:
                raw[at:at] = chance.randbytes(chance.randint(1, 9))
            case 3:
                del raw[at : at + chance.randint(1, 9)]
            case 4:
                begin = chance.randrange(len(raw))
                raw[at : at + 8] = raw[begin : begin + 8]
            case 5:
                del raw[at:]
        raw = raw or bytearray(b"x")
    return bytes(raw)


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin"])
def test_damaged_files_are_refused_or_read_and_nothing_else(name: str) -> None:
    path = Path(name)
    save_file(TENSORS, path) if path.suffix == ".safetensors" else torch.save(TENSORS | {"d": TENSORS["a"].t()}, path)
    whole, chance, refused, read = path.read_bytes(), random.Random(0), 0, 0
    for _ in range(2000):
        path.write_bytes(damaged(whole, chance))
        try:
            tensors = read_header(path).tensors if path.suffix == ".safetensors" else read_pickled(path)
        except DataError as error:
            refused += 1
            (problem,) = error.problems
            assert problem.where == name and problem.hint and "\n" not in problem.message
            continue
        read += 1
        for tensor in tensors:
            with TensorReader(tensor) as reader:
                reader.read_into(np.empty(tensor.num_bytes, np.uint8), 0)
    assert refused > 100 and read > 100


def header(text: bytes) -> bytes:
    return len(text).to_bytes(8, "little") + text


def archive(pickle: bytes) -> bytes:
    path = Path("archive.zip")
    with zipfile.ZipFile(path, "w") as made:
        made.writestr("a/data.pkl", b"\x80\2" + pickle)
    return path.read_bytes()


def listing(count: int, size: int, begin: int = 4) -> bytes:
    """The end of an archive whose directory is said to be so large."""
    end = struct.pack("<4sQHHIIQQQQ", b"PK\6\6", 44, 45, 45, 0, 0, count, count, size, begin)
    locator = struct.pack("<4sIQI", b"PK\6\7", 0, begin + size, 1)
    return end + locator + struct.pack("<4sHHHHIIH", b"PK\5\6", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)


BOMBS: dict[str, Callable[[], bytes]] = {
    "header of brackets": lambda: header(b"[" * 31_000_000),
    "header of lists": lambda: header(b'{"a":[' + b"[]," * 490_000 + b"0]}"),
    "header of objects": lambda: header(b'{"a":[' + b"{}," * 490_000 + b"0]}"),
    "header of entries": lambda: header(b"{" + b",".join(b'"%d":0' % each for each in range(490_000)) + b"}"),
    "header of numbers": lambda: header(b'{"a":[' + b"1234567890," * 990_000 + b"0]}"),
    "header of one text": lambda: header(b'{"a":"' + b"x" * 15_000_000 + b"\xf0\x9f\xa6\x99" + b'"}'),
    "header of spaces": lambda: header(b" " * 34_000_000 + b"{}"),
    "header without end": lambda: (2**62).to_bytes(8, "little") + b"{}",
    "pickle of dicts": lambda: archive(b"}" * 900_000 + b"."),
    "pickle of marks": lambda: archive(b"(" * 900_000 + b"."),
    "pickle of nested tuples": lambda: archive(b"N" + b"\x85" * 900_000 + b"."),
    "pickle of nested tuples as a key": lambda: archive(b"}N" + b"\x85" * 900_000 + b"Ns."),
    "pickle of memories": lambda: archive(
        b"}" + b"".join(b"}r" + each.to_bytes(4, "little") for each in range(490_000)) + b"."
    ),
    "pickle without end": lambda: archive(b"N" * 33_000_000),
    "pickle of one text": lambda: archive(b"X" + (33_000_000).to_bytes(4, "little") + b"x" * 33_000_000 + b"."),
    "pickle of wide texts": lambda: archive((b"X\0\x10\0\0" + b"x" * 4092 + b"\xf0\x9f\xa6\x99") * 8000 + b"."),
    "pickle too long": lambda: archive(b"N" * 34_000_000),
    "pickle of doubled tuples": lambda: archive(b"N\x85" + b"q\0h\0\x86" * 200_000 + b"."),
    "directory too long": lambda: b"PK\3\4" + bytes(40_000_000) + listing(90_000, 40_000_000),
    "directory beyond the end": lambda: b"PK\3\4" + listing(2**60, 2**62),
    "directory of too many": lambda: b"PK\3\4" + listing(2**60, 0),
}

READ = """
import re, sys, resource
from pathlib import Path
import alpaca_cli.weights.folder
from alpaca_cli.errors import DataError
from alpaca_cli.weights.pickled import read_pickled
from alpaca_cli.weights.safetensors import read_header

def peak():
    return int(re.search(r"VmHWM:\\s*(\\d+)", Path("/proc/self/status").read_text())[1]) * 1024

path, before = Path(sys.argv[1]), peak()
try:
    read_header(path) if path.suffix == ".safetensors" else read_pickled(path)
except DataError as error:
    print(peak() - before, error.problems[0])
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak of a process's memory is told on Linux")
@pytest.mark.parametrize("bomb", BOMBS)
def test_bombs_are_refused_in_little_memory(bomb: str) -> None:
    path = Path("model.safetensors" if bomb.startswith("header") else "pytorch_model.bin")
    path.write_bytes(BOMBS[bomb]())
    run = subprocess.run([sys.executable, "-c", READ, path], capture_output=True, text=True, check=False)
    assert (run.returncode, run.stderr) == (0, "")
    peak, _, message = run.stdout.partition(" ")
    assert int(peak) < 200 * MEBIBYTE
    assert message.startswith(str(path)) and len(message) < 500

"""The pickle of a state dict as data: a stack machine that knows the few opcodes which torch.save writes for one.

Nothing is imported and nothing called: a name of a function stays a name, and the few names that are known say how a
tensor lies in its storage.  What is not known is refused, so that a file can do nothing but be refused.
Source: PyTorch's torch/serialization.py and _utils.py (what is written), Python's pickletools (the opcodes).
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any

from alpaca_cli.weights.jsonobject import shown
from alpaca_cli.weights.tensor import ITEM_BYTES, LARGEST, MOST_AXES

MOST_STEPS = 1_000_000  # opcodes: 29,000 tensors; each may take a hundred bytes of memory
LONGEST_TEXT = 4096  # bytes
_STORAGES = {  # whose values have one dtype
    "DoubleStorage": "F64", "FloatStorage": "F32", "HalfStorage": "F16", "BFloat16Storage": "BF16",
    "LongStorage": "I64", "IntStorage": "I32", "ShortStorage": "I16", "CharStorage": "I8", "ByteStorage": "U8",
    "BoolStorage": "BOOL", "ComplexFloatStorage": "C64",
}  # fmt: skip
_DTYPES = {  # that have no storage of their own: their values lie in one of bytes
    "float8_e4m3fn": "F8_E4M3", "float8_e5m2": "F8_E5M2", "float8_e8m0fnu": "F8_E8M0",
    "float8_e4m3fnuz": "F8_E4M3FNUZ", "float8_e5m2fnuz": "F8_E5M2FNUZ",
    "uint16": "U16", "uint32": "U32", "uint64": "U64",
}  # fmt: skip
_NAMES = {
    "collections.OrderedDict", "torch.storage.UntypedStorage",
    "torch._utils._rebuild_tensor_v2", "torch._utils._rebuild_tensor_v3", "torch._utils._rebuild_parameter",
    *(f"torch.{name}" for name in (*_STORAGES, *_DTYPES)),
}  # fmt: skip


class Refused(Exception):
    """Why a pickle is none of a state dict."""


class Malformed(Refused):
    """It is no whole pickle at all."""

    def __init__(self) -> None:
        super().__init__("malformed pickle")


@dataclass(frozen=True)
class Name:
    """What a pickle would import."""

    text: str


@dataclass(frozen=True)
class Storage:
    """A run of bytes in an entry of the archive."""

    key: str
    dtype: str
    """U8 for one whose values have no dtype."""
    num_values: int


@dataclass(frozen=True)
class View:
    """How a tensor lies in its storage; offset and steps in values of its dtype."""

    storage: Storage
    dtype: str
    offset: int
    shape: tuple[int, ...]
    steps: tuple[int, ...]


def read_program(program: bytes) -> dict[str, View]:
    """The state dict that a pickle describes.  Raises Refused if it describes anything else."""
    try:
        found = _Machine(program).run()
    except (IndexError, KeyError, struct.error, UnicodeDecodeError):
        raise Malformed() from None
    if not isinstance(found, dict):
        raise Refused(f"expected tensors by name, found {_kind(found)}")
    for name, value in found.items():
        if not isinstance(value, View):
            raise Refused(f"expected tensors by name, found {_kind(value)} under {shown(name)}")
    return found


class _Machine:
    """Values on a stack, in marked parts; every dict has texts as keys."""

    def __init__(self, program: bytes) -> None:
        self.program, self.at = program, 0
        self.stack: list[Any] = []
        self.below: list[list[Any]] = []  # what lies under each mark
        self.memo: dict[int, Any] = {}

    def run(self) -> Any:
        """What is left at the end.  Raises Refused, IndexError, KeyError, struct.error, UnicodeDecodeError."""
        for _ in range(MOST_STEPS):
            opcode = self.program[self.at]
            self.at += 1
            if opcode == 0x2E:  # STOP
                if self.below or len(self.stack) != 1 or self.at != len(self.program):
                    raise Malformed()
                return self.stack[0]
            action = _ACTIONS.get(opcode)
            if action is None:
                raise Refused(f"opcode 0x{opcode:02x}, which torch.save does not write for tensors")
            action(self)
        raise Refused(f"a pickle of more than {MOST_STEPS:,} steps")

    def number(self, form: struct.Struct) -> int:
        (value,) = form.unpack_from(self.program, self.at)
        self.at += form.size
        return int(value)

    def text(self, length: int) -> str:
        if length > LONGEST_TEXT:
            raise Refused(f"a name of {length:,} bytes")
        raw = self.program[self.at : self.at + length]
        self.at += length
        if len(raw) < length:
            raise IndexError
        return raw.decode("utf-8")

    def line(self) -> str:
        end = self.program.find(b"\n", self.at, self.at + LONGEST_TEXT)
        if end < 0:
            raise IndexError
        text = self.program[self.at : end].decode("utf-8")
        self.at = end + 1
        return text

    def protocol(self) -> None:
        version = self.number(_BYTE)
        if version != 2:
            raise Refused(f"pickle protocol {version}, expected torch.save's own, 2")

    def long(self) -> None:
        length = self.number(_BYTE)
        if length > 9:
            raise Refused("a number of more than 64 bits")
        self.stack.append(int.from_bytes(self.program[self.at : self.at + length], "little", signed=True))
        self.at += length

    def mark(self) -> None:
        self.below.append(self.stack)
        self.stack = []

    def marked(self) -> list[Any]:
        values, self.stack = self.stack, self.below.pop()
        return values

    def make_tuple(self, length: int | None) -> None:
        if length is None:
            values = self.marked()
        elif length > len(self.stack):
            raise IndexError
        else:
            values = [self.stack.pop() for _ in range(length)][::-1]
        self.stack.append(tuple(values))

    def name(self) -> None:
        name = f"{self.line()}.{self.line()}"
        if name not in _NAMES:
            raise Refused(f"asks for {shown(name)}, which no dict of plain tensors needs")
        self.stack.append(Name(name))

    def items(self, values: list[Any]) -> None:
        target = self.stack[-1]
        keys = values[::2]
        if not isinstance(target, dict) or len(values) % 2 or not all(isinstance(key, str) for key in keys):
            raise Refused("a dict with other keys than names")
        for key, value in zip(keys, values[1::2], strict=True):
            if key in target:
                raise Refused(f"names {shown(key)} twice")
            target[key] = value

    def item(self) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self.items([key, value])

    def build(self) -> None:
        """The attributes of an OrderedDict, which are of no interest: versions of modules."""
        if not isinstance(self.stack.pop(), dict) or not isinstance(self.stack[-1], dict):
            raise Refused("an object with attributes")

    def storage(self) -> None:
        """The storage that a persistent id says."""
        match self.stack.pop():
            case ("storage", Name(text=kind), str(key), str(), num) if _is_size(num) and kind.endswith("Storage"):
                dtype = _STORAGES.get(kind.removeprefix("torch."), "U8")
                self.stack.append(Storage(key, dtype, num))
            case _:
                raise Refused("a storage that torch.save did not write")

    def call(self) -> None:
        """What a known function would make of its arguments."""
        arguments, function = self.stack.pop(), self.stack.pop()
        if not isinstance(function, Name) or not isinstance(arguments, tuple):
            raise Refused("a call of what is no function")
        self.stack.append(_made(function.text, arguments))


def _made(function: str, arguments: tuple[Any, ...]) -> Any:
    match function.rpartition(".")[2], arguments:
        case "OrderedDict", ():
            return {}
        case "_rebuild_parameter", (View() as view, _, _):
            return view
        case "_rebuild_tensor_v2", (Storage() as storage, offset, tuple(shape), tuple(steps), _, _, *metadata):
            return _view(storage, storage.dtype, offset, shape, steps, metadata)
        case "_rebuild_tensor_v3", (
            Storage(dtype="U8") as storage, offset, tuple(shape), tuple(steps), _, _, Name(text=dtype), *metadata
        ) if dtype.removeprefix("torch.") in _DTYPES:  # fmt: skip
            return _view(storage, _DTYPES[dtype.removeprefix("torch.")], offset, shape, steps, metadata)
    raise Refused(f"a call of {function} as torch.save does not write it")


def _view(
    storage: Storage, dtype: str, offset: Any, shape: tuple[Any, ...], steps: tuple[Any, ...], metadata: list[Any]
) -> View:
    if len(metadata) > 1 or any(metadata):
        raise Refused("a tensor whose values are to be conjugated or negated when read")
    if not (_is_size(offset) and all(map(_is_size, (*shape, *steps))) and len(shape) == len(steps) <= MOST_AXES):
        raise Refused("a tensor of impossible shape")
    if 0 in shape:
        return View(storage, dtype, 0, shape, steps)  # wherever it was cut from
    span = 1 + sum((length - 1) * step for length, step in zip(shape, steps, strict=True))
    held = storage.num_values * ITEM_BYTES[storage.dtype] // ITEM_BYTES[dtype]
    if offset + span > held:
        raise Refused(f"a tensor that needs {offset + span:,} values of a storage of {held:,}")
    if prod(shape) > held:
        raise Refused(f"a tensor that repeats the {held:,} values of its storage")
    return View(storage, dtype, offset, shape, steps)


def _is_size(value: object) -> bool:
    return type(value) is int and 0 <= value <= LARGEST


def _kind(value: object) -> str:
    return "a tensor" if isinstance(value, View) else type(value).__name__


_BYTE, _SHORT, _INT, _LENGTH = (struct.Struct(form) for form in ("<B", "<H", "<i", "<I"))


def _put(machine: _Machine, form: struct.Struct) -> None:
    machine.memo[machine.number(form)] = machine.stack[-1]


def _push(machine: _Machine, value: Any) -> None:
    machine.stack.append(value)


_ACTIONS: dict[int, Callable[[_Machine], None]] = {
    0x80: _Machine.protocol,
    ord("("): _Machine.mark,
    ord("N"): lambda machine: _push(machine, None),
    0x88: lambda machine: _push(machine, True),
    0x89: lambda machine: _push(machine, False),
    ord("J"): lambda machine: _push(machine, machine.number(_INT)),
    ord("K"): lambda machine: _push(machine, machine.number(_BYTE)),
    ord("M"): lambda machine: _push(machine, machine.number(_SHORT)),
    0x8A: _Machine.long,
    ord("X"): lambda machine: _push(machine, machine.text(machine.number(_LENGTH))),
    ord(")"): lambda machine: _push(machine, ()),
    ord("t"): lambda machine: machine.make_tuple(None),
    0x85: lambda machine: machine.make_tuple(1),
    0x86: lambda machine: machine.make_tuple(2),
    0x87: lambda machine: machine.make_tuple(3),
    ord("}"): lambda machine: _push(machine, {}),
    ord("s"): _Machine.item,
    ord("u"): lambda machine: machine.items(machine.marked()),
    ord("c"): _Machine.name,
    ord("R"): _Machine.call,
    ord("b"): _Machine.build,
    ord("Q"): _Machine.storage,
    ord("h"): lambda machine: _push(machine, machine.memo[machine.number(_BYTE)]),
    ord("j"): lambda machine: _push(machine, machine.memo[machine.number(_LENGTH)]),
    ord("q"): lambda machine: _put(machine, _BYTE),
    ord("r"): lambda machine: _put(machine, _LENGTH),
}

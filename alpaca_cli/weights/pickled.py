"""PyTorch's own files of weights (.bin): where each tensor lies in them; nothing is unpickled.

Such a file is a zip archive ROOT/..., its entries stored as they are: data.pkl, the pickle of a dict of tensors;
data/KEY, the bytes of each storage; byteorder, in newer ones.
"""

from __future__ import annotations

from pathlib import Path
from typing import NoReturn

from alpaca_cli.errors import DataError
from alpaca_cli.weights.jsonobject import shown
from alpaca_cli.weights.rawfile import DOWNLOAD, RawFile
from alpaca_cli.weights.stackmachine import Malformed, Refused, Storage, View, read_program
from alpaca_cli.weights.tensor import ITEM_BYTES, Tensor, is_row_order
from alpaca_cli.weights.zipdirectory import ZipDirectory

LONGEST_PROGRAM = 32 * 2**20  # bytes of data.pkl
MOST_VIEWS = 4  # times the bytes of the file: so much may tensors say that share storages
_OLD = bytes.fromhex("80028a0a6cfc9c46f9206aa850192e")  # the number with which torch.save began before its version 1.6
_ASK = "ask its maker for safetensors, and do not unpickle it"
_SAVE_AGAIN = "load it with torch.load(..., weights_only=True), and save it again: torch.save, or safetensors"


def read_pickled(path: Path) -> tuple[Tensor, ...]:
    """The tensors of a file that torch.save wrote of a state dict, in its order.

    Raises DataError if it is malformed, cut, or holds anything else; UsageError if unreadable.
    """
    with RawFile(path) as file:
        _refuse_other_kinds(file)
        directory = ZipDirectory(file)
        root = _root(directory, path)
        order = directory.entries.get(f"{root}byteorder")
        if order is not None and file.read(directory.place(order), min(order.size, 16)) != b"little":
            hint = "load and save it again on a machine that is little-endian, as nearly all are"
            raise DataError("its numbers are big-endian, or their order is not told", where=str(path), hint=hint)
        program = directory.entries[f"{root}data.pkl"]
        if program.size > LONGEST_PROGRAM:
            message = f"data.pkl of {program.size:,} bytes: no model needs more than {LONGEST_PROGRAM:,}"
            raise DataError(message, where=str(path), hint=_ASK)
        try:
            views = read_program(file.read(directory.place(program), program.size))
        except Refused as error:
            hint = DOWNLOAD if isinstance(error, Malformed) else _ASK
            raise DataError(f"no plain weights: {error}", where=str(path), hint=hint) from None
        places = _Places(directory, root, path)
        tensors = tuple(_tensor(name, view, places.place(view.storage), path) for name, view in views.items())
        num_bytes = sum(
            {(each.offset, each.dtype, each.shape, each.steps): each.num_bytes for each in tensors}.values()
        )
        if num_bytes > MOST_VIEWS * file.size:
            message = f"tensors of {num_bytes:,} bytes in a file of {file.size:,}, which they share"
            raise DataError(message, where=str(path), hint=_SAVE_AGAIN)
        return tensors


def _refuse_other_kinds(file: RawFile) -> None:
    start = file.read(0, min(file.size, len(_OLD)))
    if start.startswith(b"PK\3\4"):
        return
    if start == _OLD:
        message = "a file in the form of PyTorch before 1.6, which is not read here"
        raise DataError(message, where=str(file.path), hint=_SAVE_AGAIN)
    what = "a pickle that torch.save did not write" if start[:1] == b"\x80" else "not a file of PyTorch's"
    raise DataError(what, where=str(file.path), hint=_ASK if start[:1] == b"\x80" else DOWNLOAD)


def _root(directory: ZipDirectory, path: Path) -> str:
    """The folder of all entries, with its slash."""
    roots = [name.removesuffix("data.pkl") for name in directory.entries if name.endswith("/data.pkl")]
    if len(roots) != 1 or roots[0].count("/") != 1:
        raise DataError("a zip archive, but not of PyTorch's", where=str(path), hint=DOWNLOAD)
    if f"{roots[0]}constants.pkl" in directory.entries:
        raise DataError("a TorchScript program, not plain weights", where=str(path), hint=_ASK)
    return roots[0]


class _Places:
    """Where storages begin; each is of one dtype and length, whatever is cut from it."""

    def __init__(self, directory: ZipDirectory, root: str, path: Path) -> None:
        self._directory, self._root, self._path = directory, root, path
        self._known: dict[str, tuple[Storage, int]] = {}

    def place(self, storage: Storage) -> int:
        """Where it begins in the file.  Raises DataError if it is missing, short, or was another before."""
        if storage.key not in self._known:
            self._known[storage.key] = storage, self._find(storage)
        known, place = self._known[storage.key]
        if known != storage:
            self._fail(storage, f"{known.num_values:,} values of {known.dtype} for one tensor, other ones for another")
        return place

    def _find(self, storage: Storage) -> int:
        entry = self._directory.entries.get(f"{self._root}data/{storage.key}")
        if entry is None:
            self._fail(storage, "missing")
        expected = storage.num_values * ITEM_BYTES[storage.dtype]
        if entry.size < expected:
            self._fail(storage, f"expected {expected:,} bytes, found {entry.size:,}")
        return self._directory.place(entry)

    def _fail(self, storage: Storage, fault: str) -> NoReturn:
        raise DataError(f"storage {shown(storage.key)}: {fault}", where=str(self._path), hint=DOWNLOAD)


def _tensor(name: str, view: View, place: int, path: Path) -> Tensor:
    offset = place + view.offset * ITEM_BYTES[view.dtype]
    steps = None if is_row_order(view.shape, view.steps) else view.steps
    return Tensor(name, view.dtype, view.shape, path, offset, steps)

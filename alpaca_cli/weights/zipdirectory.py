"""Where the entries of a zip archive lie, of archives as PyTorch writes them: stored as they are, never compressed.

The library's zipfile reads whatever is an archive somehow, and as much as an archive asks for; this reads the one form
that is expected, and no more than MOST_ENTRIES of it.
Source: PKWARE's APPNOTE.TXT, sections 4.3.7 (local header), 4.3.12 (directory), 4.3.14 to 16 (ends), 4.5.3 (zip64).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NoReturn

from alpaca_cli.errors import DataError
from alpaca_cli.weights.jsonobject import shown
from alpaca_cli.weights.rawfile import DOWNLOAD, RawFile

MOST_ENTRIES = 100_000
LONGEST_DIRECTORY = 32 * 2**20  # bytes
_LOCAL = struct.Struct("<4sHHHHHIIIHH")
_ENTRY = struct.Struct("<4sHHHHHHIIIHHHHHII")
_END = struct.Struct("<4sHHHHIIH")
_LOCATOR = struct.Struct("<4sIQI")  # of the zip64 end, right before the other end
_END64 = struct.Struct("<4sQHHIIQQQQ")
_ENCRYPTED = 1


@dataclass(frozen=True)
class Entry:
    """A stored file: its bytes lie as they are in the archive, behind a local header."""

    name: str
    local: int
    """Where the local header begins."""
    size: int


class ZipDirectory:
    """The entries of an open archive by name.  Raises DataError if it is no archive as PyTorch writes them."""

    def __init__(self, file: RawFile) -> None:
        self._file = file
        self.entries: dict[str, Entry] = {}
        count, size, self._begin = self._find()
        if count > MOST_ENTRIES or size > LONGEST_DIRECTORY:
            self._fail(f"{count:,} entries: no model needs more than {MOST_ENTRIES:,}")
        for entry in self._read(file.read(self._begin, size), count):
            if entry.name in self.entries:
                self._fail(f"two entries {shown(entry.name)}")
            self.entries[entry.name] = entry

    def place(self, entry: Entry) -> int:
        """Where the bytes of an entry begin.  Raises DataError if its local header does not agree."""
        if entry.local + _LOCAL.size > self._begin:
            self._fail(f"entry {shown(entry.name)} lies beyond its end")
        mark, *_, name_length, extra_length = _LOCAL.unpack(self._file.read(entry.local, _LOCAL.size))
        begin = entry.local + _LOCAL.size
        place = int(begin + name_length + extra_length)
        if place + entry.size > self._begin:
            self._fail(f"entry {shown(entry.name)} lies beyond its end")
        if mark != b"PK\3\4" or self._file.read(begin, name_length) != entry.name.encode():
            self._fail(f"entry {shown(entry.name)} is not where the directory says")
        return place

    def _find(self) -> tuple[int, int, int]:
        """How many entries there are, and size and place of the directory, which lies right before the end or ends."""
        end_at = self._file.size - _END.size
        if end_at < 0 or not (end := self._file.read(end_at, _END.size)).startswith(b"PK\5\6"):
            self._fail("cut short: the zip archive's directory, which comes last, is missing")
        _, *disks, count, size, begin, _ = _END.unpack(end)
        locator_at = end_at - _LOCATOR.size
        if locator_at >= 0 and (locator := self._file.read(locator_at, _LOCATOR.size)).startswith(b"PK\6\7"):
            _, _, end_at, _ = _LOCATOR.unpack(locator)
            if end_at + _END64.size > locator_at:
                self._fail("malformed zip archive")
            mark, *_, count, size, begin = _END64.unpack(self._file.read(end_at, _END64.size))
            if mark != b"PK\6\6":
                self._fail("malformed zip archive")
        if disks[:2] != [0, 0] or begin + size != end_at:
            self._fail("malformed zip archive")
        return count, size, begin

    def _read(self, raw: bytes, count: int) -> Iterator[Entry]:
        at = 0
        for _ in range(count):
            if at + _ENTRY.size > len(raw):
                self._fail("malformed zip directory")
            mark, _, _, flags, method, _, _, _, packed, size, *lengths, _, _, _, local = _ENTRY.unpack_from(raw, at)
            name_end = at + _ENTRY.size + lengths[0]
            extra_end = name_end + lengths[1]
            if mark != b"PK\1\2" or extra_end + lengths[2] > len(raw):
                self._fail("malformed zip directory")
            try:
                name = raw[at + _ENTRY.size : name_end].decode("utf-8")
            except UnicodeDecodeError:
                self._fail("malformed zip directory")
            size, packed, local = self._wide((size, packed, local), raw[name_end:extra_end])
            if method or flags & _ENCRYPTED or packed != size:
                self._fail(f"entry {shown(name)} is compressed or encrypted, which PyTorch never does")
            yield Entry(name, local, size)
            at = extra_end + lengths[2]

    def _wide(self, values: tuple[int, int, int], extra: bytes) -> tuple[int, int, int]:
        """Sizes and place of an entry; those that do not fit in 32 bits are in its extra field 1, one after another."""
        at = 0
        while at + 4 <= len(extra) and 0xFFFFFFFF in values:
            kind, length = struct.unpack_from("<HH", extra, at)
            if kind == 1:
                raw = extra[at + 4 : at + 4 + length]
                wide = iter(struct.unpack_from(f"<{len(raw) // 8}Q", raw))
                size, packed, local = (next(wide, each) if each == 0xFFFFFFFF else each for each in values)
                return size, packed, local
            at += 4 + length
        return values

    def _fail(self, message: str) -> NoReturn:
        raise DataError(message, where=str(self._file.path), hint=DOWNLOAD)

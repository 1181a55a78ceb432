"""A file of weights as bytes: regular, not empty, no stand-in for a download; read by position and never mapped.

A mapped file counts as memory of this process and kills it (SIGBUS) if somebody shortens the file; a read does neither.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from alpaca_cli.data.files import nearest_name, reason
from alpaca_cli.errors import DataError, UsageError

DOWNLOAD = "download it again"
_STARTS = 512  # bytes that tell what a file is


class RawFile:
    """One open file; a context manager, for one thread.

    Raises UsageError if it is missing, unreadable or no regular file; DataError if it is empty, a Git LFS pointer or a
    web page.
    """

    def __init__(self, path: Path, *, what: str = "file of weights") -> None:
        self.path = path
        try:
            # not to wait for the writer of a pipe
            self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except FileNotFoundError:
            raise UsageError(f"no such {what}", where=str(path), hint=nearest_name(path)) from None
        except OSError as error:
            raise UsageError(f"cannot read this {what}: {reason(error)}", where=str(path)) from error
        try:
            status = os.fstat(self._descriptor)
            if not stat.S_ISREG(status.st_mode):
                found = "a directory" if stat.S_ISDIR(status.st_mode) else "a device or pipe"
                raise UsageError(f"expected a {what}, found {found}", where=str(path))
            self.size = status.st_size
            _refuse_stand_in(path, self.read(0, min(self.size, _STARTS)))
        except BaseException:
            self.close()
            raise

    def read(self, offset: int, length: int) -> bytes:
        """The bytes [offset, offset + length).  Raises DataError if the file is shorter."""
        block = bytearray(length)
        self.read_into(block, offset)
        return bytes(block)

    def read_into(self, buffer: bytearray | memoryview | NDArray[np.uint8], offset: int) -> None:
        """Fill a writable buffer with the bytes from `offset` on.  Raises DataError if the file is shorter."""
        left = memoryview(buffer).cast("B")  # type: ignore[arg-type]
        while left:
            try:
                count = os.preadv(self._descriptor, [left], offset)
            except OSError as error:
                raise UsageError(f"cannot read: {reason(error)}", where=str(self.path)) from error
            if count == 0:
                message = f"cut short: expected {offset + len(left):,} bytes or more, found {offset:,}"
                raise DataError(message, where=str(self.path), hint=DOWNLOAD)
            left, offset = left[count:], offset + count

    def close(self) -> None:
        """Give the descriptor back; once is enough."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __enter__(self) -> RawFile:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


def _refuse_stand_in(path: Path, start: bytes) -> None:
    """Raises DataError for what comes in the place of weights when a download goes wrong."""
    if not start:
        raise DataError("an empty file", where=str(path), hint=DOWNLOAD)
    if start.startswith(b"version https://git-lfs"):
        hint = "run `git lfs pull` in its folder"
        raise DataError("a Git LFS pointer, not the weights themselves", where=str(path), hint=hint)
    if start.lstrip()[:9].lower().startswith((b"<!doctype", b"<html", b"<?xml")):
        raise DataError("a web page, not weights", where=str(path), hint=DOWNLOAD)

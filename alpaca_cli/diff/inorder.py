"""Pieces that threads make in any order, written in one order."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable


class Stopped(Exception):
    """Another thread failed, or the user stopped; there is nothing more to say here."""


class InOrder:
    """Writes what was put for number 0, then for 1, and so on, whatever order it comes in.

    The thread at whose number the writing is writes through; the others' pieces are kept, and when `room` bytes are,
    those threads wait.  Numbers must be begun in order, so that the one that is waited for is always being worked at.
    """

    def __init__(self, write: Callable[[int, bytes], None], room: int) -> None:
        self._write, self._room = write, room
        self._kept: dict[int, list[bytes]] = defaultdict(list)
        self._held = 0
        self._next = 0
        self._done: set[int] = set()
        self._is_stopped = False
        self._changed = threading.Condition()

    def put(self, number: int, piece: bytes) -> None:
        """Raises Stopped after `stop`, and what `write` raises."""
        with self._changed:
            self._kept[number].append(piece)
            self._held += len(piece)
            self._changed.wait_for(lambda: self._is_stopped or self._next == number or self._held <= self._room)
            if self._is_stopped:
                raise Stopped
            if self._next == number:
                self._flush()
                self._changed.notify_all()

    def done(self, number: int) -> None:
        """Nothing more will come for `number`."""
        with self._changed:
            self._done.add(number)
            while self._next in self._done:
                self._flush()
                self._done.remove(self._next)
                self._next += 1
            self._flush()
            self._changed.notify_all()

    def stop(self) -> None:
        """Wake those that wait: nothing more will be written."""
        with self._changed:
            self._is_stopped = True
            self._changed.notify_all()

    def _flush(self) -> None:
        for piece in self._kept.pop(self._next, ()):
            self._write(self._next, piece)
            self._held -= len(piece)

"""Ctrl-C, and SIGTERM as schedulers send it, counted rather than raised."""

from __future__ import annotations

import signal
import threading
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupts:
    """Counts them inside `with`; outside the main thread there are none to count."""

    def __init__(self) -> None:
        self.count = 0
        self._handlers = {}  # type: ignore[var-annotated]

    def __enter__(self) -> Interrupts:
        if threading.current_thread() is threading.main_thread():
            self._handlers = {number: signal.signal(number, self._on_signal) for number in _SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self.count += 1

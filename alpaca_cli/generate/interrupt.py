"""Ctrl-C, and SIGTERM as schedulers send it, inside an event loop."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def on_interrupt(react: Callable[[], None]) -> Iterator[None]:
    """Call `react` in the event loop at each Ctrl-C or SIGTERM, where platform and thread allow."""
    loop = asyncio.get_running_loop()
    try:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, react)
    except (NotImplementedError, ValueError, RuntimeError):
        yield  # Windows, or not the main thread: Ctrl-C keeps its usual meaning
        return
    try:
        yield
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)

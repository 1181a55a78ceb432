"""Brings files to disk while they are being written, so that the last sync has little left to wait for."""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from pathlib import Path

_PAUSE = 0.1  # seconds


class Flusher:
    """A context manager with a thread that syncs the files it was told of, again and again.

    What fails here fails again, and is told, where the writer syncs for the last time.
    """

    def __init__(self) -> None:
        self._descriptors: dict[Path, int] = {}
        self._lock = threading.Lock()
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="alpaca-flush", daemon=True)

    def add(self, path: Path) -> None:
        """A file that is being written."""
        with self._lock, suppress(OSError):
            self._descriptors[path] = os.open(path, os.O_RDONLY | os.O_CLOEXEC)

    def remove(self, path: Path) -> None:
        """It is written; the thread may be at it a last time."""
        with self._lock:
            descriptor = self._descriptors.pop(path, None)
        if descriptor is not None:
            os.close(descriptor)

    def _run(self) -> None:
        while not self._is_over.wait(_PAUSE):
            with self._lock:
                copies = [os.dup(descriptor) for descriptor in self._descriptors.values()]
            for copy in copies:
                with suppress(OSError):
                    os.fdatasync(copy) if hasattr(os, "fdatasync") else os.fsync(copy)
                os.close(copy)

    def __enter__(self) -> Flusher:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join()
        for path in list(self._descriptors):
            self.remove(path)

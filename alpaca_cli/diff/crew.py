"""Work on many tensors at once, on all cores: threads, since numpy, hashes and reading let go of Python's lock."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from queue import SimpleQueue
from typing import TypeVar

from alpaca_cli.diff.inorder import Stopped

T = TypeVar("T")
R = TypeVar("R")

MOST_WORKERS = 16
"""Each has some 20 MB of its own."""


class Progress:
    """Counts bytes that threads have done, and tells how far it is.  After `stop`, counting raises Stopped."""

    def __init__(self, what: str, total: int, tell: Callable[[str, int, int], None]) -> None:
        self._what, self._total, self._tell = what, total, tell
        self._done = 0
        self._lock = threading.Lock()
        self.is_stopped = False

    def add(self, num_bytes: int) -> None:
        """Some more are done.  Raises Stopped."""
        if self.is_stopped:
            raise Stopped
        with self._lock:
            self._done += num_bytes
            self._tell(self._what, self._done, self._total)

    def stop(self) -> None:
        """Let every thread that counts end soon."""
        self.is_stopped = True


def num_workers(wanted: int | None) -> int:
    """How many threads: as wanted, or one a core that this process may use."""
    if wanted is not None:
        return wanted
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores, MOST_WORKERS)


def each_of(
    tasks: Iterable[T], work: Callable[[T], R], workers: int, stop: Callable[[], None]
) -> Generator[R, None, None]:
    """What `work` makes of each task, in the order of the tasks, which are begun in that order.

    When one fails, this process is interrupted or this is closed, `stop` is called, those that are begun are waited
    for, and the first failure is raised.
    """
    waiting: list[Future[R]] = []
    with ThreadPoolExecutor(workers, thread_name_prefix="alpaca-diff") as pool:
        try:
            waiting = [pool.submit(work, task) for task in tasks]
            for future in _watched(waiting):
                yield future.result()
        except BaseException:
            stop()
            for future in waiting:
                future.cancel()
            raise


def _watched(futures: list[Future[R]]) -> Iterator[Future[R]]:
    """The futures in order, each once it is done; one that failed comes as soon as it has."""
    done: SimpleQueue[Future[R]] = SimpleQueue()
    for future in futures:
        future.add_done_callback(done.put)
    for future in futures:
        while not future.done():
            latest = done.get()
            if latest.exception() is not None:
                yield latest
        yield future

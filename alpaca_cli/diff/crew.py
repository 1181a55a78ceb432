"""Work on many tensors at once, on all cores: threads, since numpy, hashes and reading let go of Python's lock."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
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


def each_of(tasks: Iterable[T], work: Callable[[T], R], workers: int, stop: Callable[[], None]) -> Iterator[R]:
    """What `work` makes of each task, in the order of the tasks, which are begun in that order.

    When one fails, or this process is interrupted, `stop` is called, the others are waited for, and the first failure
    is raised.
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
    left = set(futures)
    for future in futures:
        while not future.done():
            done, left = wait(left, return_when=FIRST_COMPLETED)
            failed = [each for each in done if each.exception() is not None]
            if failed:
                real = [each for each in failed if not isinstance(each.exception(), Stopped)]
                yield (real or failed)[0]
        yield future

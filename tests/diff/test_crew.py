"""Threads that work at many tasks: results in order, the first failure told once, nobody left waiting."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from alpaca_cli.diff.crew import MOST_WORKERS, Progress, each_of, num_workers
from alpaca_cli.diff.inorder import Stopped


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    yield
    assert [each.name for each in threading.enumerate() if each.name.startswith("alpaca-diff")] == []


def never() -> None:
    """A stop that is not wanted."""
    raise AssertionError


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_results_come_in_the_order_of_the_tasks(workers: int) -> None:
    gate = threading.Event()

    def work(task: int) -> int:
        if task == 0 and workers > 1:
            assert gate.wait(10)  # the first is done last
        if task == 19:
            gate.set()
        return task * task

    assert list(each_of(range(20), work, workers, never)) == [task * task for task in range(20)]
    assert list(each_of([], work, workers, never)) == []


def test_tasks_are_begun_in_order() -> None:
    begun: list[int] = []
    lock = threading.Lock()

    def work(task: int) -> None:
        with lock:
            begun.append(task)

    list(each_of(range(50), work, 1, never))

    assert begun == list(range(50))


def test_a_failure_is_raised_at_once_and_stops_the_others() -> None:
    is_stopped = threading.Event()
    stops: list[int] = []
    ended: list[int] = []

    def work(task: int) -> int:
        if task == 2:
            raise KeyError("the first")
        if not is_stopped.wait(10):
            raise AssertionError("nobody stopped this")
        ended.append(task)
        raise Stopped

    def stop() -> None:
        stops.append(1)
        is_stopped.set()

    with pytest.raises(KeyError, match="the first"):
        list(each_of(range(100), work, 3, stop))
    assert stops == [1]
    assert set(ended) <= {0, 1, 3, 4}  # what was begun came to its end, and the rest was not begun
    assert {0, 1} <= set(ended)


def test_results_before_a_failure_come_first() -> None:
    def work(task: int) -> int:
        if task == 3:
            raise ValueError("here")
        return task

    seen: list[int] = []
    with pytest.raises(ValueError, match="here"):
        seen.extend(each_of(range(6), work, 1, lambda: None))
    assert seen == list(range(len(seen)))[:3]


def test_one_who_stops_listening_stops_the_work() -> None:
    is_stopped = threading.Event()
    begun: list[int] = []

    def work(task: int) -> int:
        begun.append(task)
        if task:
            assert is_stopped.wait(10)
        return task

    results = each_of(range(100), work, 2, is_stopped.set)
    assert next(results) == 0
    results.close()

    assert is_stopped.is_set()
    assert set(begun) <= {0, 1, 2}


def test_an_interrupt_ends_it_soon() -> None:
    program = """
import threading, time
from alpaca_cli.diff.crew import Progress, each_of
progress, all_are_given = Progress("count", 10**9, lambda *_: None), threading.Event()
def tasks():
    yield from range(100)
    all_are_given.set()
def work(task):
    all_are_given.wait()
    if task == 1:
        print("begun", flush=True)
    while True:
        progress.add(1)
        time.sleep(0.001)
try:
    list(each_of(tasks(), work, 2, progress.stop))
except KeyboardInterrupt:
    print(threading.active_count(), flush=True)
"""
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=30)[0] == "1\n"
        assert process.returncode == 0


def test_many_thousand_tasks_come_to_an_end() -> None:
    assert sum(each_of(range(30_000), lambda task: 1, 2, never)) == 30_000


def test_progress_counts_what_all_threads_do() -> None:
    told: list[tuple[str, int, int]] = []
    progress = Progress("make", 4_000, lambda *each: told.append(each))

    with ThreadPoolExecutor(8) as pool:
        for _ in pool.map(lambda _: progress.add(4), range(1_000)):
            pass

    assert told == [("make", done, 4_000) for done in range(4, 4_001, 4)]
    progress.stop()
    with pytest.raises(Stopped):
        progress.add(1)
    assert len(told) == 1_000


def test_the_number_of_threads() -> None:
    assert num_workers(37) == 37
    assert 1 <= num_workers(None) <= min(os.cpu_count() or 1, MOST_WORKERS)

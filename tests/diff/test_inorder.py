"""What threads put in any order is written in one."""

from __future__ import annotations

import random
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alpaca_cli.diff.crew import each_of
from alpaca_cli.diff.inorder import InOrder, Stopped


def test_pieces_wait_for_those_before_them() -> None:
    written: list[tuple[int, bytes]] = []
    order = InOrder(lambda *each: written.append(each), room=100)

    order.put(1, b"c")
    order.put(2, b"e")
    assert written == []
    order.put(0, b"a")
    assert written == [(0, b"a")]  # without waiting for its end
    order.done(1)
    order.put(0, b"b")
    order.done(0)
    assert written == [(0, b"a"), (0, b"b"), (1, b"c"), (2, b"e")]
    order.put(2, b"f")
    order.done(2)
    order.done(3)  # nothing of it
    order.put(4, b"g")
    assert written[4:] == [(2, b"f"), (4, b"g")]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.lists(st.integers(0, 40), max_size=5), max_size=25),
    st.integers(0, 60),
    st.integers(1, 6),
    st.integers(0, 1 << 20),
)
def test_any_work_in_any_room_comes_out_in_order(sizes: list[list[int]], room: int, workers: int, seed: int) -> None:
    pauses = random.Random(seed)
    written: list[tuple[int, bytes]] = []
    order = InOrder(lambda *each: written.append(each), room)
    pieces = [[bytes([n % 256, i]) * size for i, size in enumerate(some)] for n, some in enumerate(sizes)]
    held: list[int] = []

    def work(number: int) -> None:
        for piece in pieces[number]:
            if pauses.random() < 0.2:
                threading.Event().wait(0.0005)
            order.put(number, piece)
            held.append(order._held)
        order.done(number)

    list(each_of(range(len(sizes)), work, workers, order.stop))

    assert written == [(number, piece) for number, some in enumerate(pieces) for piece in some]
    assert max(held, default=0) <= room + 80 * workers


def test_whoever_has_no_room_waits_until_its_turn() -> None:
    written: list[int] = []
    order = InOrder(lambda number, _: written.append(number), room=10)
    order.put(2, b"x" * 10)  # just fits
    is_through = threading.Event()

    def late() -> None:
        order.put(1, b"y")
        is_through.set()

    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(late)
        assert not is_through.wait(0.05)
        order.put(0, b"z" * 50)  # never waits
        assert not is_through.is_set()
        order.done(0)
        waiting.result(10)
    order.done(1)

    assert written == [0, 1, 2]


def test_room_that_is_made_by_one_who_has_not_ended_lets_others_go_on() -> None:
    order = InOrder(lambda *_: None, room=10)
    order.put(1, b"x" * 9)

    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(order.put, 2, b"y" * 5)
        order.done(0)  # 1 is next, and has not ended
        order.put(1, b"x")
        waiting.result(10)


def test_those_that_wait_are_woken_by_stop() -> None:
    written: list[int] = []
    order = InOrder(lambda number, _: written.append(number), room=0)

    with ThreadPoolExecutor(3) as pool:
        waiting = [pool.submit(order.put, number, b"x") for number in (1, 2, 3)]
        order.stop()
        for each in waiting:
            with pytest.raises(Stopped):
                each.result(10)
    with pytest.raises(Stopped):
        order.put(0, b"x")
    assert written == []


@pytest.mark.parametrize("is_late", [False, True])
def test_what_write_raises_comes_out_where_it_was_written(is_late: bool) -> None:
    def write(number: int, _: bytes) -> None:
        if number == 1:
            raise OSError("full")

    order = InOrder(write, room=100)
    if is_late:
        order.put(1, b"x")
        order.done(1)
        with pytest.raises(OSError, match="full"):
            order.done(0)
    else:
        order.done(0)
        with pytest.raises(OSError, match="full"):
            order.put(1, b"x")


def test_a_failed_write_ends_all_the_work_with_its_error() -> None:
    def write(number: int, _: bytes) -> None:
        if number == 4:
            raise OSError("full")

    order = InOrder(write, room=3)

    def work(number: int) -> None:
        for _ in range(5):
            order.put(number, b"xx")
        order.done(number)

    with pytest.raises(OSError, match="full"):
        list(each_of(range(200), work, 4, order.stop))

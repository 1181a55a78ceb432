"""The throttle against servers in simulated time: what is asserted is what a run of its seed always gives."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alpaca_cli.generate.throttle import Throttle
from generate.throttle_simulation import Server, Simulation

NO_HEADERS: dict[str, str] = {}
TOKENS = 3500


def send(throttle: Throttle, now: float) -> object:
    assert throttle.wait(now, TOKENS) == 0
    return throttle.sent(now, TOKENS)


def fill(throttle: Throttle, now: float) -> list[object]:
    marks = []
    while throttle.wait(now, TOKENS) == 0:
        marks.append(throttle.sent(now, TOKENS))
    return marks


def busy_throttle(count: int, *, most: int = 1000) -> tuple[Throttle, list[object], float]:
    """A throttle that a server with answers of 1 s has let come to `count` under way, and the time."""
    throttle, now = Throttle(most), 0.0
    marks = fill(throttle, now)
    while throttle.num_under_way < count:
        now += 1
        for mark in marks:
            throttle.answered(mark, now, tokens=1000, headers=NO_HEADERS)
        marks = []
        for _ in range(100):  # sends are paced
            marks += fill(throttle, now)
            now += 0.01
    return throttle, marks, now


# Converged: where it comes to, and how many refusals that costs


CONVERGED = {
    "few slots": (Server(1, slots=4), 200, 600),
    "slots": (Server(1, slots=10), 120, 420),
    "slots, fast": (Server(0.05, slots=10), 20, 60),
    "slots, many": (Server(1, slots=64), 60, 180),
    "slots, slow": (Server(15, slots=200), 300, 600),
    "slots, a far server": (Server(1, slots=10, network_s=0.03), 120, 420),
    "slots, other latencies": (Server(1, slots=10, spread=0.8), 120, 420),
    "rate, fast": (Server(0.05, rpm=600), 200, 800),
    "rate": (Server(1, rpm=600), 200, 800),
    "rate, slow": (Server(15, rpm=600), 500, 900),
    "rate, high": (Server(1, rpm=6000), 60, 180),
    "tokens": (Server(1, tpm=2_100_000), 200, 800),
}


@pytest.mark.parametrize("name", CONVERGED)
def test_less_than_1_percent_refused_and_90_percent_used_without_headers(name: str) -> None:
    server, start, end = CONVERGED[name]
    record = Simulation(server).run(end)
    assert record.use(server, start, end) >= 0.9
    assert record.refused_share(start, end) < 0.01


HARD = {
    "a rate without any burst looks like slots": (Server(1, rpm=6000, burst_s=0.0), 60, 180),
    "slots that answers on their way blur look like a rate": (Server(1, slots=200, network_s=0.03), 60, 240),
}


@pytest.mark.parametrize("name", HARD)
def test_servers_that_look_like_others_are_used_less_but_well(name: str) -> None:
    server, start, end = HARD[name]
    record = Simulation(server).run(end)
    assert record.use(server, start, end) >= 0.75
    assert record.refused_share(start, end) < 0.01


@pytest.mark.parametrize(
    "server",
    [
        Server(0.05, rpm=600, has_headers=True),
        Server(1, rpm=600, has_headers=True),
        Server(1, rpm=6000, has_headers=True),
        Server(1, tpm=2_100_000, has_headers=True),
    ],
    ids=str,
)
def test_truthful_headers_leave_practically_nothing_to_refuse(server: Server) -> None:
    record = Simulation(server).run(180)
    assert record.use(server, 60, 180) >= 0.9
    assert record.refused_share(0, 180) < 0.002


@pytest.mark.parametrize(
    "server",
    [
        Server(0.05, slots=64, retry_after_s=1),
        Server(1, slots=64, retry_after_s=1),
        Server(1, rpm=6000, retry_after_s=1),
    ],
    ids=str,
)
def test_probes_stay_cheap_where_each_costs_a_pause(server: Server) -> None:
    record = Simulation(server).run(120)
    assert record.use(server, 40, 120) >= 0.85
    assert record.refused_share(40, 120) < 0.01


@pytest.mark.parametrize("slots", [4, 10, 64])
def test_a_server_that_queues_is_kept_busy_and_not_much_more(slots: int) -> None:
    server = Server(1, slots=slots, is_queueing=True)
    record = Simulation(server).run(400)
    assert record.use(server, 100, 400) >= 0.9
    assert slots * 0.9 <= record.crowd(100, 400) <= slots * 1.9  # trials at 1.5 times the level included
    assert record.refused_share(0, 400) == 0


def test_a_queue_is_found_where_latency_is_mostly_chance() -> None:
    server = Server(1, slots=10, is_queueing=True, is_steady=False, spread=0.6)
    record = Simulation(server).run(400)
    assert record.use(server, 100, 400) >= 0.9
    assert record.crowd(100, 400) <= 25


def test_a_server_with_room_for_all_gets_all() -> None:
    simulation = Simulation(Server(1, slots=1000), most=50)
    record = simulation.run(60)
    assert record.crowd(40, 60) > 45
    assert simulation.throttle.limit == 50


def test_errors_here_and_there_slow_nothing_down() -> None:
    server = Server(1, slots=10, error_share=0.02)
    assert Simulation(server).run(200).use(server, 60, 200) >= 0.85


# Following


FOLLOWED = {
    "slots": Server(1, slots=10),
    "slots, fast": Server(0.05, slots=10),
    "slots, many": Server(1, slots=64),
    "rate, fast": Server(0.05, rpm=600),
    "rate": Server(1, rpm=600),
    "rate, high": Server(1, rpm=6000),
    "queue": Server(1, slots=10, is_queueing=True),
}


def changed(server: Server, factor: float, at: float) -> Server:
    return Server(**{**vars(server), "change": (at, factor)})


@pytest.mark.parametrize("name", FOLLOWED)
def test_twice_the_capacity_is_used_within_30_s(name: str) -> None:
    server = changed(FOLLOWED[name], 2, 150)
    follow_s = Simulation(server).run(200).follow_s(server, 150, 200)
    assert follow_s is not None
    assert follow_s <= 30


@pytest.mark.parametrize("name", FOLLOWED)
def test_half_the_capacity_is_respected_within_30_s(name: str) -> None:
    server = changed(FOLLOWED[name], 0.5, 150)
    record = Simulation(server).run(300)
    assert record.use(server, 180, 300) >= 0.9
    assert record.refused_share(150, 180) < 0.08
    assert record.refused_share(180, 300) < 0.02


def test_a_queue_that_became_slower_is_made_shorter() -> None:
    server = changed(Server(1, slots=20, is_queueing=True), 0.5, 150)
    record = Simulation(server).run(400)
    assert record.crowd(250, 400) <= 0.8 * record.crowd(100, 150)


# Pauses


@pytest.mark.parametrize("pause_s", [0.3, 20, 121, 3600])
def test_the_pause_that_a_server_asks_for_is_kept_to_the_second(pause_s: float) -> None:
    throttle, marks, now = busy_throttle(10)
    throttle.refused(marks.pop(), now, pause_s=pause_s, headers=NO_HEADERS)
    for mark in marks:
        throttle.answered(mark, now, tokens=1000, headers=NO_HEADERS)
    assert throttle.wait(now, TOKENS) == pytest.approx(pause_s)
    assert throttle.wait(now + pause_s * 0.99, TOKENS) == pytest.approx(pause_s * 0.01)
    assert throttle.wait(now + pause_s, TOKENS) == 0
    assert throttle.paused_until == now + pause_s


def test_a_shorter_pause_does_not_end_a_longer_one() -> None:
    throttle, marks, now = busy_throttle(10)
    throttle.refused(marks.pop(), now, pause_s=60, headers=NO_HEADERS)
    throttle.refused(marks.pop(), now, pause_s=1, headers=NO_HEADERS)
    assert throttle.paused_until == now + 60


@pytest.mark.parametrize("pause_s", [None, 0.0, -5.0, math.nan, math.inf])
def test_a_pause_that_is_none_does_not_stop_a_run(pause_s: float | None) -> None:
    throttle, marks, now = busy_throttle(10)
    throttle.refused(marks.pop(), now, pause_s=pause_s, headers=NO_HEADERS)
    for mark in marks:
        throttle.answered(mark, now, tokens=1000, headers=NO_HEADERS)
    assert throttle.wait(now + 1, TOKENS) == 0


def test_no_herd_after_a_pause() -> None:
    throttle, marks, now = busy_throttle(60)
    before = throttle.num_under_way
    throttle.refused(marks.pop(), now, pause_s=10, headers=NO_HEADERS)
    for mark in marks:
        throttle.answered(mark, now, tokens=1000, headers=NO_HEADERS)
    assert len(fill(throttle, now + 10)) <= 2  # paced
    assert throttle.limit < 0.75 * before


def test_refusals_that_go_on_bring_pauses_that_grow() -> None:
    throttle = Throttle(10)
    now, pauses = 0.0, []
    for _ in range(12):
        mark = send(throttle, now)
        throttle.refused(mark, now, pause_s=None, headers=NO_HEADERS)
        wait = throttle.wait(now, TOKENS)
        assert wait is not None
        pauses.append(wait)
        now += wait
    assert pauses == [0, 0.5, 1, 2, 4, 8, 16, 30, 30, 30, 30, 30]


def test_failures_bring_a_pause_from_the_third_on() -> None:
    throttle, marks, now = busy_throttle(10)
    limit = throttle.limit
    for mark in marks[:2]:
        throttle.failed(mark, now, timed_out=False)
    assert throttle.paused_until < now
    for mark in marks[2:]:  # all sent before the pause: it does not grow with them
        throttle.failed(mark, now, timed_out=False)
    assert throttle.paused_until == now + 0.5
    send(throttle, now + 0.5)
    assert 1 <= throttle.limit < limit


def test_a_good_answer_ends_the_count_of_failures() -> None:
    throttle, marks, now = busy_throttle(10)
    for mark in marks[:2]:
        throttle.failed(mark, now, timed_out=False)
    throttle.answered(marks[2], now, tokens=0, headers=NO_HEADERS)
    throttle.failed(marks[3], now, timed_out=False)
    assert throttle.paused_until < now


# The level


def test_it_begins_with_the_first_few() -> None:
    assert len(fill(Throttle(100), 0)) == 4
    assert len(fill(Throttle(100, first=7), 0)) == 7
    assert len(fill(Throttle(3), 0)) == 3


def test_it_about_doubles_each_round_trip_at_the_start() -> None:
    simulation = Simulation(Server(1, slots=10_000, spread=0.1))
    limits = []
    for second in (2, 6, 10):
        simulation.run(second)
        limits.append(simulation.throttle.limit)
    assert limits[0] <= 8
    assert limits[1] >= 16
    assert limits[2] >= 150


def test_one_decrease_for_a_burst_of_refusals() -> None:
    throttle, marks, now = busy_throttle(40)
    throttle.refused(marks[-1], now, pause_s=None, headers=NO_HEADERS)
    limit = throttle.limit
    assert 1 <= limit < 40
    for mark in marks[10:-1]:
        throttle.refused(mark, now, pause_s=None, headers=NO_HEADERS)
        throttle.failed(marks.pop(0), now, timed_out=True)
        if len(marks) < 12:
            break
    assert throttle.limit == limit


def test_a_timeout_is_congestion() -> None:
    throttle, marks, now = busy_throttle(40)
    limit = throttle.limit
    throttle.failed(marks[0], now, timed_out=True)
    assert throttle.limit < 0.75 * limit


def test_what_is_cancelled_teaches_nothing() -> None:
    throttle, marks, _ = busy_throttle(40)
    limit, count = throttle.limit, throttle.num_under_way
    throttle.dropped(marks[0])
    assert (throttle.limit, throttle.num_under_way) == (limit, count - 1)


@pytest.mark.parametrize("demand", [1, 3, 20])
def test_a_loop_with_little_to_ask_raises_the_level_to_twice_that_at_most(demand: int) -> None:
    simulation = Simulation(Server(1, slots=1000), demand=demand)
    simulation.run(200)
    assert demand <= simulation.throttle.limit <= max(4, 2 * demand + 1)


def test_slots_that_a_neighbour_takes_away_come_back() -> None:
    server = changed(Server(1, slots=2), 10, 100)
    record = Simulation(server).run(400)
    assert record.use(server, 300, 400) >= 0.9


# In any order


EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["send", "answer", "refuse", "fail", "time out", "drop", "later"]),
        st.integers(0, 10**6),
        st.sampled_from([None, 0.0, 0.001, 1.0, 500.0]),
    ),
    max_size=150,
)


@settings(max_examples=150, deadline=None)
@given(most=st.integers(1, 60), first=st.integers(1, 8), events=EVENTS, remaining=st.integers(-1, 100))
def test_any_order_of_events_leaves_a_way_on(
    most: int, first: int, events: list[tuple[str, int, float | None]], remaining: int
) -> None:
    throttle, now = Throttle(most, first=first), 1000.0
    headers = {
        "x-ratelimit-limit-requests": "100",
        "x-ratelimit-remaining-requests": str(remaining),
        "x-ratelimit-limit-tokens": "1000",
        "x-ratelimit-remaining-tokens": "-1",
    }
    marks = []
    for name, number, seconds in events:
        if name == "send":
            while throttle.wait(now, TOKENS) == 0 and number % 3:
                marks.append(throttle.sent(now, TOKENS))
        elif name == "later":
            now += seconds or 0.1
        elif marks:
            mark = marks.pop(number % len(marks))
            if name == "answer":
                throttle.answered(mark, now, tokens=number % 5000, headers=headers if number % 2 else NO_HEADERS)
            elif name == "refuse":
                throttle.refused(mark, now, pause_s=seconds, headers=headers if number % 2 else NO_HEADERS)
            elif name == "drop":
                throttle.dropped(mark)
            else:
                throttle.failed(mark, now, timed_out=name == "time out")
        assert throttle.num_under_way == len(marks) <= most
        assert 1 <= throttle.limit <= most
        wait = throttle.wait(now, TOKENS)
        assert wait is None or 0 <= wait < 700
        assert wait is not None or marks
    for mark in marks:
        throttle.dropped(mark)
    wait = throttle.wait(now, TOKENS)
    assert wait is not None  # nothing is under way, and there is a time at which the next one goes
    assert throttle.wait(now + wait, TOKENS) == pytest.approx(0, abs=1e-6)


def test_a_simulated_run_is_the_same_each_time() -> None:
    runs = [Simulation(Server(1, slots=10), seed=3).run(30) for _ in range(2)]
    assert runs[0] == runs[1]
    assert runs[0] != Simulation(Server(1, slots=10), seed=4).run(30)

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alpaca_cli.generate.bucket import Bucket, seconds_of

UNITS = (("d", 86400), ("h", 3600), ("m", 60), ("s", 1), ("ms", 0.001))


def headers(limit: object, remaining: object, reset: str | None = None, kind: str = "requests") -> dict[str, str]:
    found = {f"x-ratelimit-limit-{kind}": str(limit), f"x-ratelimit-remaining-{kind}": str(remaining)}
    return found | ({f"x-ratelimit-reset-{kind}": reset} if reset is not None else {})


def bucket(limit: object, remaining: object, reset: str | None = None) -> Bucket:
    found = Bucket("requests")
    found.learn(0, headers(limit, remaining, reset), sent_at=0, spent=0)
    return found


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("12ms", 0.012),
        ("1s", 1),
        ("6m0s", 360),
        ("1h2m", 3720),
        ("2.5", 2.5),
        ("0", 0),
        (" 7.66s ", 7.66),
        ("1d", 86400),
    ],
)
def test_durations_that_servers_send(text: str, seconds: float) -> None:
    assert seconds_of(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text", ["", "-1", "s", "1 s", "1x", "s1", "1s2", "nan", "inf", "1e9", "٣s", "1s,2s", "--", "."]
)
def test_what_is_no_duration(text: str) -> None:
    assert seconds_of(text) is None


@given(st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 4)), min_size=1, max_size=5))
def test_every_duration_is_read_back(parts: list[tuple[int, int]]) -> None:
    text = "".join(f"{number}{UNITS[unit][0]}" for number, unit in parts)
    assert seconds_of(text) == pytest.approx(sum(number * UNITS[unit][1] for number, unit in parts))


@given(st.text(max_size=12))
def test_any_text_is_a_duration_from_0_or_none(text: str) -> None:
    seconds = seconds_of(text)
    assert seconds is None or 0 <= seconds < math.inf


def test_without_headers_nothing_is_held_back() -> None:
    empty = Bucket("requests")
    empty.spend(0, 10**9)
    assert empty.wait(0, 10**9) == 0


@pytest.mark.parametrize(
    ("limit", "remaining"), [(-1, -1), (0, 0), (60, -1), ("60", ""), ("many", 3), ("nan", 0), ("inf", 0), (10, 11)]
)
def test_headers_that_mean_nothing_are_ignored(limit: object, remaining: object) -> None:
    assert bucket(limit, remaining).wait(0, 1) == 0


def test_an_empty_bucket_fills_by_its_limit_a_minute() -> None:
    empty = bucket(120, 0)
    assert empty.wait(0, 1) == pytest.approx(0.5)
    assert empty.wait(0.25, 1) == pytest.approx(0.25)
    assert empty.wait(0.5, 1) == 0


def test_a_limit_by_the_day_fills_as_slowly_as_its_reset_says() -> None:
    assert bucket(14400, 0, "24h").wait(0, 1) == pytest.approx(6)


@pytest.mark.parametrize("reset", ["0", "0s", "soon", "-1"])
def test_a_reset_that_says_nothing_leaves_the_minute(reset: str) -> None:
    assert bucket(60, 0, reset).wait(0, 1) == pytest.approx(1)


def test_what_was_sent_since_is_not_there_any_more() -> None:
    found = bucket(60, 60)
    found.spend(0, 1)
    marks = [found.spent]
    for _ in range(9):
        found.spend(0, 1)
    found.learn(0, headers(60, 9), sent_at=0, spent=marks[0])  # written when 9 were still to come
    assert found.wait(0, 1) == pytest.approx(1)


def test_a_late_answer_gives_nothing_back() -> None:
    found = bucket(60, 0)
    found.learn(30, headers(60, 0), sent_at=0, spent=0)  # has 30 by now if written at 0, none if written at 30
    assert found.wait(30, 1) == pytest.approx(1)


def test_what_is_larger_than_the_bucket_waits_for_a_full_one() -> None:
    assert bucket(60, 0).wait(0, 500) == pytest.approx(60)


def test_other_kinds_of_headers_are_not_read() -> None:
    tokens = Bucket("tokens")
    tokens.learn(0, headers(60, 0), sent_at=0, spent=0)
    assert tokens.wait(0, 1) == 0


@given(
    limit=st.integers(1, 10**6),
    share=st.floats(0, 1),
    costs=st.lists(st.floats(0.001, 1), min_size=1, max_size=40),
)
def test_who_waits_gets_no_more_than_the_server_grants(limit: int, share: float, costs: list[float]) -> None:
    remaining = math.floor(limit * share)
    found = bucket(limit, remaining)
    now = used = 0.0
    for cost in costs:
        wait = found.wait(now, cost * limit)
        assert 0 <= wait <= 60 * (len(costs) + 1)
        now += wait
        found.spend(now, cost * limit)
        used += cost * limit
        assert used <= (remaining + limit / 60 * now) * (1 + 1e-5) + 1e-5 * limit

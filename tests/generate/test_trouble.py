"""What follows a failed try: patience with servers in trouble, none with requests that cannot be answered."""

from __future__ import annotations

from typing import Any

import pytest

from alpaca_cli.generate.asks import Ask, Asks
from alpaca_cli.generate.failure import Failure
from alpaca_cli.generate.prompt import Request
from alpaca_cli.generate.trouble import LONGEST_PAUSE_S, Trouble, pause

BROKEN = Failure("HTTP 500: broken", "passing")
BUSY = Failure("HTTP 429: busy", "busy")


def ask(k: int = 0, **values: Any) -> Ask:
    return Ask(Request(k, ("a",), "text", 2), **values)


def trouble(**values: Any) -> Trouble:
    return Trouble(**{"began": 0.0, "breaker_s": 300.0, "longest_pause_s": 3600.0, **values})


def judge(patience: Trouble, each: Ask, failure: Failure, now: float) -> str:
    return patience.judge(each, failure, now, max_tries=3)


@pytest.mark.parametrize("failure", [BROKEN, BUSY])
def test_a_server_that_never_answered_is_asked_as_often_as_one_request_may_be(failure: Failure) -> None:
    patience, each = trouble(), ask()

    assert [judge(patience, each, failure, now) for now in (1.0, 2.0, 3.0)] == ["again", "again", "stop"]
    assert each.tries == 3


def test_a_request_that_fails_while_others_are_answered_is_left_aside() -> None:
    patience, each = trouble(), ask()
    found = [judge(patience, each, BROKEN, 1.0)]
    patience.answered(2.0)
    found += [judge(patience, each, BROKEN, 3.0), judge(patience, each, BROKEN, 4.0)]

    assert found == ["again", "again", "leave"]


def test_a_request_is_not_left_aside_while_nobody_is_answered() -> None:
    patience, each = trouble(), ask()
    patience.answered(0.5)
    found = [judge(patience, each, BROKEN, float(now)) for now in range(1, 310)]

    assert set(found[:300]) == {"again"}
    assert found[300] == "stop"  # 300 s after the first failure


def test_an_answer_ends_the_trouble() -> None:
    patience, each = trouble(), ask()
    for now in range(0, 3_000, 250):
        patience.answered(float(now))

        assert judge(patience, ask(), BROKEN, now + 1.0) == "again"
        assert judge(patience, each, BUSY, now + 249.0) == "again"


def test_too_many_requests_is_the_servers_load_and_no_fault_of_a_request() -> None:
    patience, each = trouble(), ask()
    patience.answered(0.0)
    for now in range(1, 50):
        assert judge(patience, each, BUSY, float(now)) == "again"

    assert each.tries == 0


def test_pauses_that_a_server_asks_for_are_not_counted_but_end_some_time() -> None:
    patience = trouble()
    patience.answered(0.0)
    told = Failure("HTTP 429: wait", "busy", pause_s=400.0)
    found = [(now, judge(patience, ask(), told, float(now))) for now in range(0, 6_000, 400)]

    assert next(now for now, verdict in found if verdict == "stop") == 4_000  # breaker_s and longest_pause_s are over


def test_pauses_grow_with_jitter_up_to_a_bound_and_are_no_shorter_than_asked_for() -> None:
    for tries in range(30):
        base = min(LONGEST_PAUSE_S, 0.5 * 2 ** max(tries - 1, 0))
        seconds = pause(ask(tries=tries), BROKEN)

        assert 0.75 * base <= seconds <= base
    assert pause(ask(tries=1), Failure("", "busy", pause_s=86_400.0)) == 86_400.0


def test_requests_are_handed_out_in_order_and_what_is_due_again_goes_first() -> None:
    asks = Asks({1, 3}, lambda k: Request(k, (), "", 1))
    first, second = asks.take(0.0, may_be_new=True), asks.take(0.0, may_be_new=True)
    assert first is not None
    assert second is not None
    assert (first.request.k, second.request.k) == (0, 2)

    asks.again(second, 5.0)
    assert asks.num_waiting == 1
    assert asks.take(4.0, may_be_new=False) is None
    assert asks.seconds_until_due(4.0) == 1.0
    third = asks.take(4.0, may_be_new=True)
    assert third is not None
    assert third.request.k == 4
    asks.put_back(third, 4.0)
    assert asks.take(5.0, may_be_new=True) is second
    assert asks.take(5.0, may_be_new=True) is third
    assert asks.seconds_until_due(5.0) is None


def test_a_request_that_was_asked_before_and_found_no_room_stays_before_new_ones() -> None:
    asks = Asks((), lambda k: Request(k, (), "", 1))
    each = asks.take(0.0, may_be_new=True)
    assert each is not None
    each.failed_at = 0.0
    asks.put_back(each, 1.0)

    assert asks.num_waiting == 1
    assert asks.take(1.0, may_be_new=True) is each


def test_a_server_that_never_answered_is_not_asked_longer_by_several_requests() -> None:
    patience = trouble()

    assert [judge(patience, ask(k), BROKEN, float(k)) for k in range(3)] == ["again", "again", "stop"]

"""What results give: answers to the journal, once each; failures to be asked again, otherwise, or not at all."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from alpaca_cli.data.example import Example, SeedTask
from alpaca_cli.data.journal import Journal
from alpaca_cli.errors import DataError
from alpaca_cli.generate.batch.file import Row, asked, custom_id, line_of
from alpaca_cli.generate.batch.harvest import Gathered, Harvest
from alpaca_cli.generate.body import Body
from alpaca_cli.generate.prompt import Request, RequestMaker
from alpaca_cli.recipe.generate import TeacherSettings

SEEDS = [SeedTask(f"seed_{each}", each, Example(f"Say {each}.", "", each), False) for each in "abcdef"]
MAKER = RequestMaker("Write {num_tasks} tasks.", SEEDS, 20, 3, 0)
SETTINGS = TeacherSettings(model="m", max_tokens=2000, temperature=0.5)
USAGE = {"prompt_tokens": 10, "completion_tokens": 5}


@pytest.fixture
def journal() -> Iterator[Journal]:
    with Journal(Path("journal.jsonl")) as found:
        yield found


def harvest(journal: Journal, body: Body | None = None) -> Harvest:
    return Harvest(MAKER, body or Body(SETTINGS, "http://localhost/v1"), SETTINGS, journal)


def answer(request: Request, text: str = "x", usage: object = USAGE) -> Row:
    choice = {"message": {"content": text}, "finish_reason": "stop"}
    return Row(custom_id(request), 200, {"id": "c", "model": "m", "choices": [choice], "usage": usage}, "r")


def failed(request: Request, status: int, message: str = "no", code: str | None = None, **more: Any) -> Row:
    return Row(custom_id(request), status, {"error": {"message": message, "code": code, **more}}, "r")


def take(
    to: Harvest, *rows: Row | DataError, ask: list[int] | None = None, is_whole: bool = True, body: Body | None = None
) -> Gathered:
    """Take rows of a batch that asked requests 0 to 3, or `ask`, at a price of 1 a token and 100 at worst."""
    body = body or Body(SETTINGS, "http://localhost/v1")
    lines = [line_of(to.request(k), body, "chat") for k in (range(4) if ask is None else ask)]
    return to.take(rows, started="t", sent=asked(lines, Path("in")), is_whole=is_whole, cost=cost)


def cost(request: Request, max_tokens: int, usage: Mapping[str, int] | None) -> Decimal:
    assert max_tokens in (2000, 256)
    return Decimal(100 if usage is None else sum(usage.values()))


def requests(*numbers: int) -> list[Request]:
    return [MAKER.request(k) for k in numbers]


def test_answers_are_journalled_in_any_order_and_once(journal: Journal) -> None:
    rows = [answer(request, f"text {request.k}") for request in requests(2, 0, 3, 1, 0)]
    first = take(harvest(journal), *rows)
    second = take(harvest(journal), *rows)

    assert [each.k for each in first.new] == [2, 0, 3, 1]
    assert (first.num_answered, first.cost) == (4, 60)
    assert (second.new, second.num_known, second.cost) == ([], 4, 60)
    one = journal.completions[3]
    assert (one.text, one.usage, one.tier, one.started, one.request_id) == ("text 3", USAGE, "batch", "t", "r")
    assert one.seed_ids == MAKER.request(3).seed_ids
    assert one.prompt_sha256 == MAKER.request(3).prompt_sha256
    assert len(Path("journal.jsonl").read_text().splitlines()) == 4


def test_what_was_not_asked_is_not_taken(journal: Journal) -> None:
    zero, nine = requests(0, 9)
    strange = Row("0-0000000000000000", 200, answer(zero).body)
    gathered = take(harvest(journal), strange, answer(nine), DataError("torn"), answer(zero), ask=[0])

    assert (gathered.num_foreign, gathered.num_unreadable, list(journal.completions)) == (2, 1, [0])


def test_an_answer_counts_more_than_a_failure_of_the_same_request(journal: Journal) -> None:
    (zero,) = requests(0)
    gathered = take(harvest(journal), failed(zero, 500), answer(zero), failed(zero, 500), ask=[0])

    assert (gathered.num_answered, gathered.failures) == (1, {})


def test_what_was_not_counted_or_is_missing_costs_the_most(journal: Journal) -> None:
    zero, one, two, _ = requests(0, 1, 2, 3)
    rows = [answer(zero, usage=None), Row(custom_id(one), 200, {"choices": []}), failed(two, 500)]
    whole = take(harvest(journal), *rows)
    expired = take(harvest(journal), *rows, is_whole=False)

    assert (whole.cost, sorted(whole.failures)) == (300, [1, 2, 3])
    assert whole.failures[3].message == "no line in the results"
    assert (expired.cost, sorted(expired.failures)) == (200, [1, 2])


def test_a_request_is_left_aside_after_failing_three_times_beside_answers(journal: Journal) -> None:
    to = harvest(journal)
    for k in (1, 2, 3):
        assert list(to.to_leave()) == []
        take(to, answer(MAKER.request(k)), failed(MAKER.request(0), 500), ask=[0, k])
    (left,) = to.to_leave()

    assert (left.k, left.finish_reason, left.tries, left.text) == (0, "given_up", 3, "")
    again = harvest(journal)
    for k in (1, 2, 3):  # as another process learns it from the files
        take(again, answer(MAKER.request(k)), failed(MAKER.request(0), 500), ask=[0, k])
    assert list(again.to_leave()) == [left]


@pytest.mark.parametrize(
    "row",
    [
        failed(MAKER.request(0), 401, code="invalid_api_key"),
        failed(MAKER.request(0), 429, code="insufficient_quota"),
        Row(custom_id(MAKER.request(0)), None, code="batch_expired", message="expired"),
        failed(
            MAKER.request(0), 400, "Unsupported parameter: temperature", "unsupported_parameter", param="temperature"
        ),
        failed(MAKER.request(0), 400, "maximum context length is 2500 tokens", "context_length_exceeded"),
    ],
)
def test_what_is_not_the_requests_fault_does_not_count_against_it(journal: Journal, row: Row) -> None:
    to = harvest(journal)
    for k in (1, 2, 3):
        take(to, answer(MAKER.request(k)), row, ask=[0, k])

    assert to.num_failures(0) == 0
    assert list(to.to_leave()) == []


def test_failures_count_only_if_others_are_answered(journal: Journal) -> None:
    to = harvest(journal)
    for _ in range(4):
        take(to, failed(MAKER.request(0), 500), failed(MAKER.request(1), 500), ask=[0, 1])

    assert to.num_failures(0) == 0


def test_what_expired_is_told_apart(journal: Journal) -> None:
    undone = [Row(custom_id(request), None, code="batch_expired", message="x") for request in requests(1, 2)]
    gathered = take(harvest(journal), answer(MAKER.request(0)), *undone, ask=[0, 1, 2], is_whole=False)

    assert (gathered.num_answered, gathered.num_undone, gathered.failures) == (1, 2, {})


def test_a_refused_prompt_is_an_empty_answer_that_costs_nothing(journal: Journal) -> None:
    gathered = take(harvest(journal), failed(MAKER.request(0), 400, code="content_filter"), ask=[0])

    assert (gathered.num_answered, gathered.cost) == (1, 0)
    assert journal.completions[0].finish_reason == "content_filter"


def test_a_refused_parameter_is_left_out_from_then_on(journal: Journal) -> None:
    body = Body(SETTINGS, "http://localhost/v1")
    row = failed(MAKER.request(0), 400, "Unsupported parameter", "unsupported_parameter", param="temperature")
    message = failed(MAKER.request(1), 400, "temperature: unsupported", "unsupported_parameter", param="temperature")
    gathered = take(harvest(journal, body), row, message, answer(MAKER.request(2)), ask=[0, 1, 2])

    assert {failure.kind for failure in gathered.failures.values()} <= {"changed", "rejected"}
    assert body.left_out == ["temperature"]
    assert "temperature" not in body.of(MAKER.request(0))
    assert journal.completions[2].left_out == ()


def test_a_prompt_that_is_too_long_is_asked_with_fewer_seed_tasks(journal: Journal) -> None:
    body = Body(SETTINGS, "http://localhost/v1")
    to = harvest(journal, body)
    words = (
        "This model's maximum context length is 300 tokens. However, you requested 2090 tokens (90 in the messages)."
    )
    for left in (2, 1):
        row = failed(to.request(0), 400, words, "context_length_exceeded")
        gathered = take(to, row, answer(MAKER.request(1)), ask=[0, 1], body=body)
        assert gathered.failures[0].kind == "changed"
        assert len(to.request(0).seed_ids) == left
    row = failed(to.request(0), 400, words, "context_length_exceeded")
    gathered = take(to, row, answer(MAKER.request(1)), ask=[0, 1], body=body)

    assert gathered.failures[0].kind == "too_long"
    assert to.num_failures(0) == 1


def test_an_answer_with_fewer_new_tokens_says_so(journal: Journal) -> None:
    name = custom_id(MAKER.request(0))
    harvest(journal).take([answer(MAKER.request(0))], started="t", sent={name: {"max_tokens": 900}})

    assert journal.completions[0].max_tokens == 900

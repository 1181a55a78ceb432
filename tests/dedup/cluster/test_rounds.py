"""The stages in a loop of one process: the choice of the greedy pass, whatever is near to what."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alpaca_cli.dedup import encode
from alpaca_cli.dedup.cluster import rounds, stages
from alpaca_cli.dedup.cluster.rounds import Outcome, Rounds
from alpaca_cli.dedup.cluster.settle import KEPT
from alpaca_cli.dedup.encode import hash_words
from alpaca_cli.dedup.rows import Words
from looped_flow import LoopedFlow
from slow_dedup import statuses


@pytest.fixture(autouse=True, scope="module")
def _few_buckets() -> Iterator[None]:
    """Ranks for 4 million buckets would take most of the time."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (encode, stages, rounds):
            patch.setattr(module, "RANK_BITS", 6)
        yield


ROWS = st.lists(st.lists(st.sampled_from("abcd"), max_size=7).map(" ".join), max_size=14)


def run(
    shards: Sequence[Sequence[str]],
    threshold: float,
    num_against: int = 0,
    *,
    limit: int = 8,
    cell_rows: int = 1 << 19,
    seed: int = 0,
    cores: int = 1,
    report: bool = True,
    said: list[str] | None = None,
) -> Outcome:
    """Rounds over shards of these texts, the first `num_against` of `against`."""

    def read(name: str) -> Iterator[list[str]]:
        yield from ([text] for text in shards[int(name)])

    names = [str(number) for number in range(len(shards))]
    heard = [] if said is None else said
    whole = Rounds(LoopedFlow(seed, cores), threshold, limit=limit, cell_rows=cell_rows, on_stage=heard.append)
    return whole.run(names[:num_against], names[num_against:], read, report=report)


@settings(deadline=None, max_examples=100)
@given(
    st.lists(ROWS, min_size=1, max_size=3),
    st.sampled_from([0.2, 0.5, 2 / 3, 0.7, 0.75, 0.8, 0.9, 1.0]),
    st.integers(0, 1),
    st.sampled_from([1, 2, 8]),
    st.sampled_from([1, 2, 3, 7, 1000]),
    st.integers(0, 9),
    st.integers(1, 3),
)
def test_it_is_the_choice_of_the_greedy_pass(
    shards: list[list[str]], threshold: float, num_against: int, limit: int, cell_rows: int, seed: int, cores: int
) -> None:
    outcome = run(shards, threshold, num_against, limit=limit, cell_rows=cell_rows, seed=seed, cores=cores)
    texts = [text for shard in shards for text in shard]
    kept, nearest = statuses(texts, threshold, len(shards[0]) if num_against else 0)
    assert (outcome.status == KEPT).tolist() == kept
    assert outcome.nearest is not None and outcome.scores is not None
    assert list(zip(outcome.nearest.tolist(), outcome.scores.tolist(), strict=True)) == nearest
    assert outcome.starts.tolist() == np.cumsum([0, *map(len, shards)]).tolist()


def test_a_row_whose_earliest_near_rows_are_all_dropped_asks_again() -> None:
    # b is near a; every c is near b and not a, and so is dropped for none of those that it hears of first.
    a, b = "p q r s t u v w x y", "p q r s t u v w 1 2"
    shards = [[a, *[f"{b} " + "z" * k for k in range(3)], "r s t u v w 1 2 5 6"]]
    alone = run(shards, 0.7, limit=1)
    assert (alone.status == KEPT).tolist() == statuses(shards[0], 0.7)[0] == [True, False, False, False, True]
    assert (alone.rounds, run(shards, 0.7, limit=8).rounds) == (2, 1)


def test_words_that_share_a_hash_make_it_begin_again_with_another_salt(monkeypatch: pytest.MonkeyPatch) -> None:
    def weak(words: Words, salt: int) -> npt.NDArray[np.uint64]:
        return hash_words(words, salt) if salt else np.zeros(len(words), dtype=np.uint64)

    monkeypatch.setattr(stages, "hash_words", weak)
    said: list[str] = []
    assert run([["a b c d", "e f g h"]], 0.7, said=said).status.tolist() == [KEPT, KEPT]
    assert said.count("reading") == 2


def test_the_same_word_in_many_batches_is_no_collision(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stages, "BATCH_ROWS", 2)
    said: list[str] = []
    outcome = run([["a b c d"] * 5, ["a b c d", "", "x"]], 0.7, said=said)
    assert outcome.status.tolist() == [1, 2, 2, 2, 2, 2, 1, 1]
    assert said == ["reading", "counting words", "round 1: 8 rows undecided", "report: 5 rows dropped"]


def test_no_row_at_all_and_none_that_asks() -> None:
    assert run([[]], 0.7).status.tolist() == []
    assert run([["a b c", "a b c"], []], 0.7, num_against=1).status.tolist() == [KEPT, KEPT]
    assert run([["a b c", "a b c"]], 0.7, num_against=1).rounds == 0


def test_without_a_report_nothing_more_is_looked_for() -> None:
    outcome = run([["a b c d", "a b c d"]], 0.7, report=False)
    assert (outcome.status.tolist(), outcome.nearest, outcome.scores) == ([1, 2], None, None)

"""Who is kept, from edges: what a greedy pass over the graph would say, as far as the edges tell."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from alpaca_cli.dedup.cluster.settle import DROPPED, KEPT, OPEN, settle

EDGES = st.lists(st.tuples(st.integers(0, 11), st.integers(0, 11)).filter(lambda edge: edge[0] > edge[1]))
STATUS = st.lists(st.sampled_from([OPEN, OPEN, OPEN, KEPT, DROPPED]), min_size=12, max_size=12)


def settled(status: list[int], edges: list[tuple[int, int]], unsure: list[int]) -> list[int]:
    arrays = np.array(edges, dtype=np.int64).reshape(-1, 2)
    return settle(np.array(status, np.uint8), arrays[:, 0], arrays[:, 1], np.array(unsure, np.int64)).tolist()


@given(STATUS, EDGES, st.lists(st.integers(0, 11)))
def test_each_row_stands_as_its_earlier_neighbours_make_it(
    status: list[int], edges: list[tuple[int, int]], unsure: list[int]
) -> None:
    edges = [(row, other) for row, other in edges if status[row] == OPEN]
    unsure = [row for row in unsure if status[row] == OPEN]
    after = settled(status, edges, unsure)
    for row, was in enumerate(status):
        near = {after[other] for source, other in edges if source == row}
        if was != OPEN:
            assert after[row] == was
        elif KEPT in near:
            assert after[row] == DROPPED
        else:
            assert after[row] == (OPEN if OPEN in near or row in unsure else KEPT)


def test_what_is_given_is_left_as_it_is() -> None:
    status = np.zeros(3, np.uint8)
    settle(status, np.array([1]), np.array([0]), np.array([2]))
    assert status.tolist() == [OPEN, OPEN, OPEN]


def test_a_long_chain_is_one_pass() -> None:
    rows = np.arange(1, 3_000_000)[::-1].copy()
    after = settle(np.zeros(3_000_000, np.uint8), rows, rows - 1, np.zeros(0, np.int64))
    assert (after[::2] == KEPT).all() and (after[1::2] == DROPPED).all()

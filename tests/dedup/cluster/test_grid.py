"""Cells of a part: every later row that asks meets every earlier one that may be found, once."""

from __future__ import annotations

from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from alpaca_cli.dedup.cluster.grid import ASKS, FOUND, Grid


@given(
    st.lists(st.integers(0, 4), min_size=1, max_size=3),
    st.lists(st.tuples(st.integers(0, 2), st.sampled_from([FOUND, ASKS, FOUND | ASKS])), max_size=12),
)
def test_two_rows_of_a_part_meet_in_one_cell(slices: list[int], rows: list[tuple[int, int]]) -> None:
    rows = [(part % len(slices), role) for part, role in rows]
    grid = Grid(len(rows), np.array(slices))
    parts, roles = np.array([part for part, _ in rows], np.int64), np.array([role for _, role in rows], np.uint8)
    pairs, cells, does = grid.places(np.arange(len(rows)), parts, roles)
    stand = list(zip(pairs.tolist(), cells.tolist(), does.tolist(), strict=True))
    assert all(0 <= cell < grid.cells and grid.part_of(cell) == parts[row] for row, cell, _ in stand)
    met = Counter(
        (row, other)
        for row, cell, doing in stand
        for other, same, done in stand
        if cell == same and other < row and doing & ASKS and done & FOUND
    )
    assert met == Counter(
        (row, other)
        for row in range(len(rows))
        for other in range(row)
        if parts[row] == parts[other] and slices[parts[row]] and roles[row] & ASKS and roles[other] & FOUND
    )


def test_a_crowded_part_is_cut_and_one_where_nothing_is_asked_left_out() -> None:
    grid = Grid.over(np.array([100, 101, 250, 99, 0]), np.array([1, 1, 9, 0, 0]), 300, cell_rows=100)
    assert grid.slices.tolist() == [1, 3, 5, 0, 0]
    assert grid.cells == 1 + 6 + 15
    assert [grid.part_of(cell) for cell in (0, 1, 6, 7, 21)] == [0, 1, 1, 2, 2]


def test_cells_of_a_part_that_is_cut_are_no_larger_than_wanted() -> None:
    grid = Grid.over(np.array([1000]), np.array([1000]), 1000, cell_rows=100)
    _, cells, _ = grid.places(np.arange(1000), np.zeros(1000, np.int64), np.full(1000, FOUND | ASKS, np.uint8))
    assert np.bincount(cells).max() == 100

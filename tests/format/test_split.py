"""The split: exact sizes, nothing lost, the same rows every time and wherever they come from."""

from __future__ import annotations

import random
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alpaca_cli.data.example import Example
from alpaca_cli.errors import DataError, UsageError
from alpaca_cli.format.split import split

ROWS = [Example(f"Task {number}.", "", f"{number}") for number in range(1000)]
quick = settings(max_examples=100, deadline=None, database=None)


@quick
@given(st.integers(2, 60), st.integers(1, 999), st.integers())
def test_sizes_order_and_completeness(rows: int, thousandths: int, seed: int) -> None:
    examples = ROWS[:rows]
    training, validation = split(examples, thousandths / 1000, seed)
    exact = Fraction(thousandths, 1000) * rows
    assert len(validation) == min(max(int(exact + Fraction(1, 2)), 1), rows - 1)
    assert sorted(training + validation, key=examples.index) == examples
    assert training == [example for example in examples if example in training]
    assert validation == [example for example in examples if example in validation]


def test_a_half_is_rounded_up_as_people_write_it() -> None:
    for fraction, rows, expected in ((0.145, 100, 15), (0.285, 100, 29), (0.5, 3, 2), (0.1, 4, 1), (0.9, 4, 3)):
        assert len(split(ROWS[:rows], fraction, 0)[1]) == expected


def test_the_choice_is_fixed_for_ever() -> None:
    assert [example.output for example in split(ROWS[:20], 0.2, 0)[1]] == ["6", "8", "13", "17"]
    assert [example.output for example in split(ROWS[:20], 0.2, 1)[1]] == ["1", "9", "10", "11"]


def test_seeds_differ_and_the_choice_is_spread() -> None:
    chosen = [{int(example.output) for example in split(ROWS, 0.1, seed)[1]} for seed in range(5)]
    assert len({frozenset(one) for one in chosen}) == 5
    for one in chosen:
        assert 20 < sum(number < 500 for number in one) < 80


def test_the_choice_follows_the_row_not_its_position() -> None:
    _, validation = split(ROWS, 0.1, 7)
    shuffled = random.Random(1).sample(ROWS, len(ROWS))
    assert set(split(shuffled, 0.1, 7)[1]) == set(validation)
    without_some = ROWS[::2] + ROWS[1::4]
    kept = {example for example in validation if example in without_some}
    again = set(split(without_some, 0.1, 7)[1])
    assert len(again - kept) + len(kept - again) <= 20  # the edge moves a little; nothing else does
    assert len(again & kept) > 50


def test_equal_rows_stay_on_one_side() -> None:
    training, validation = split([example for example in ROWS[:100] for _ in range(3)], 0.2, 0)
    assert len(set(training) & set(validation)) <= 1


def test_surrogates_pass() -> None:
    split([Example("\ud83d", "", "x"), Example("\ude00", "", "x")], 0.5, 0)


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.1, 1.5, float("nan"), float("inf")])
def test_fraction_out_of_range(fraction: float) -> None:
    with pytest.raises(UsageError, match=f"expected more than 0 and less than 1, found {fraction:g}"):
        split(ROWS, fraction, 0)


@pytest.mark.parametrize("rows", [0, 1])
def test_too_few_rows(rows: int) -> None:
    with pytest.raises(DataError, match=f"expected at least 2 rows to split, found {rows}"):
        split(ROWS[:rows], 0.5, 0)

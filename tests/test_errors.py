"""The tree that `errors.py` opens with is the tree of the classes, with their exit codes."""

from __future__ import annotations

import pickle
import re

import pytest

from alpaca_cli import errors
from alpaca_cli.errors import AlpacaError, Problem, RecipeError, UsageError


def _drawn() -> list[tuple[str, str | None, int | None]]:
    """(class, its base, its own exit code) for each line of the drawing."""
    rows: list[tuple[str, str | None, int | None]] = []
    above: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        found = re.match(r"([│├└─ ]*)([A-Z]\w+(?:Error|Refused|Unreachable|Reached))\s+(\d)?", line)
        if found:
            depth = len(found[1]) // 3
            above[depth:] = [found[2]]
            rows.append((found[2], above[depth - 1] if depth else None, int(found[3]) if found[3] else None))
    return rows


def _classes(top: type[AlpacaError]) -> list[type[AlpacaError]]:
    return [top, *(each for below in top.__subclasses__() for each in _classes(below))]


def test_the_drawing_shows_every_class_under_its_base() -> None:
    drawn = [(name, base) for name, base, _ in _drawn()]
    classes = [each for each in _classes(AlpacaError) if each.__module__ == errors.__name__]

    assert drawn == [(each.__name__, None if each is AlpacaError else each.__mro__[1].__name__) for each in classes]


def test_the_drawing_shows_every_exit_code_where_it_is_set() -> None:
    for name, _, code in _drawn():
        assert vars(getattr(errors, name)).get("exit_code") == code

    assert sorted(code for _, _, code in _drawn() if code) == [2, 3, 4, 5, 6, 7]


def test_no_error_of_ours_ends_with_the_code_of_a_bug_or_of_ctrl_c() -> None:
    codes = {each.exit_code for each in _classes(AlpacaError) if each is not AlpacaError}

    assert codes.isdisjoint({0, 1, 130, 141})


def test_the_base_has_no_exit_code_and_so_cannot_stand_for_a_failure() -> None:
    with pytest.raises(AttributeError):
        _ = AlpacaError("x").exit_code


def test_an_error_reads_as_its_place_and_message() -> None:
    assert str(UsageError("no such file", where="a:1:2", hint="look")) == "a:1:2: no such file"
    assert str(UsageError("no such file")) == "no such file"
    assert UsageError("no such file", where="a", hint="b").problems == (Problem("no such file", "a", "b"),)


def test_several_problems_are_one_error_in_order() -> None:
    problems = [Problem("two", "f:2"), Problem("one", "f:1", "hint")]
    error = RecipeError.of(problems)

    assert type(error) is RecipeError
    assert error.problems == tuple(problems)
    assert str(error) == "f:2: two\nf:1: one"


def test_an_error_survives_the_way_to_another_process() -> None:
    error = RecipeError.of([Problem("two", "f:2"), Problem("one", "f:1", "hint")])
    back = pickle.loads(pickle.dumps(error))

    assert (type(back), back.problems) == (RecipeError, error.problems)

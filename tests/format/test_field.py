"""The text that stands for an example."""

from __future__ import annotations

import pytest

from alpaca_cli.data.example import Example
from alpaca_cli.errors import UsageError
from alpaca_cli.format.field import check_field, field_text
from alpaca_cli.format.names import FIELD_NAMES

ADD, HI = Example("Add.", "1 2", "3"), Example("Say hi.", "", "hi")


def test_each_field_is_a_text() -> None:
    assert [field_text(ADD, name) for name in FIELD_NAMES] == ["Add.", "1 2", "3", "Add.\n1 2"]
    assert [field_text(HI, name) for name in FIELD_NAMES] == ["Say hi.", "", "hi", "Say hi."]


def test_another_name_is_refused() -> None:
    for name in FIELD_NAMES:
        check_field(name)
    with pytest.raises(UsageError) as raised:
        check_field("instructions")
    (problem,) = raised.value.problems
    assert problem.message == "no such field: instructions"
    assert problem.hint == "choose one of: instruction, input, output, instruction+input"

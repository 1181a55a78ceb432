"""One text of an example, where one must stand for it."""

from __future__ import annotations

from alpaca_cli.data.example import Example
from alpaca_cli.errors import UsageError
from alpaca_cli.format.names import FIELD_NAMES


def check_field(name: str) -> None:
    """Raises UsageError unless `name` is one of FIELD_NAMES."""
    if name not in FIELD_NAMES:
        raise UsageError(f"no such field: {name}", hint=f"choose one of: {', '.join(FIELD_NAMES)}")


def field_text(example: Example, field: str) -> str:
    r"""The text of a field of FIELD_NAMES; of instruction+input both on lines of their own, an empty input left out.

    >>> field_text(Example("Add.", "1 2", "3"), "instruction+input")
    'Add.\n1 2'
    """
    if field == "instruction+input":
        return f"{example.instruction}\n{example.input}" if example.input else example.instruction
    text: str = getattr(example, field)
    return text

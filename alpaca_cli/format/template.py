"""The training template: an example to the prompt that a model is trained on, and back.

A template is plain text with the fields {instruction} and {input}.  They are replaced in one pass, so that a field
name inside an example stays what it is, and every other brace is literal.
"""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path

from pydantic import field_validator

from alpaca_cli.data.example import Example
from alpaca_cli.data.shipped import shipped_dir
from alpaca_cli.yamlfile import Settings, read

_FIELD = re.compile(r"\{(instruction|input|output)\}")


class Template(Settings):
    """The text before the output, for examples with and without an input.

    Source: stanford_alpaca train.py, PROMPT_DICT.
    """

    with_input: str
    """Text with {instruction} and {input}, each once; the output follows directly on its last character."""

    without_input: str
    """Text with {instruction} once, for examples whose input is empty."""

    @field_validator("with_input")
    @classmethod
    def _both_fields(cls, text: str) -> str:
        return _with_fields(text, ("instruction", "input"))

    @field_validator("without_input")
    @classmethod
    def _one_field(cls, text: str) -> str:
        return _with_fields(text, ("instruction",))

    def render(self, example: Example) -> str:
        """The prompt: all that stands before the output.  An input of "" takes `without_input`."""
        pieces = list(_pieces(self.with_input if example.input else self.without_input))
        pieces[1::2] = [example.instruction if field == "instruction" else example.input for field in pieces[1::2]]
        return "".join(pieces)

    def invert(self, prompt: str) -> tuple[str, str] | None:
        """The (instruction, input) from which `render` makes exactly `prompt`, or None if there is none.

        Where several pairs would do (the template's own words inside an instruction), the shortest first field wins;
        whoever writes must check that it is the right one.
        """
        found = self._match(prompt, output=False)
        return None if found is None else (found.instruction, found.input)

    def invert_text(self, text: str) -> Example | None:
        """The example whose prompt and output, joined, are exactly `text`, or None; ambiguity as in `invert`."""
        return self._match(text, output=True)

    def _match(self, text: str, *, output: bool) -> Example | None:
        found = _match(_pieces(self.with_input), text, output=output)
        if found is None:
            found = _match(_pieces(self.without_input), text, output=output)
        return found


def load_template(path: Path) -> Template:
    """The template in a YAML file.  Raises RecipeError that lists every mistake with its `path:line:col`."""
    return read(path).check(Template)


@lru_cache(maxsize=1)
def alpaca_template() -> Template:
    """The shipped Alpaca template, whatever lies in the working folder."""
    return load_template(shipped_dir("prompts") / "alpaca.yaml")


@lru_cache(maxsize=16)
def _pieces(text: str) -> tuple[str, ...]:
    """Literal, field name, literal, field name, ..., literal."""
    return tuple(_FIELD.split(text))


def _match(pieces: tuple[str, ...], text: str, *, output: bool) -> Example | None:
    """The fields of `text` if it is `pieces` filled in, followed by an output or by nothing."""
    if not text.startswith(pieces[0]):
        return None
    fields = {"instruction": "", "input": ""}
    position, last = len(pieces[0]), len(pieces) - 2
    for index in range(1, len(pieces), 2):
        literal = pieces[index + 1]
        begin = position + (pieces[index] == "input")  # `render` fills no empty input into the longer text
        if index == last and not output:
            end = len(text) - len(literal) if text.endswith(literal) else -1
        else:
            end = text.find(literal, begin)
        if end < begin:
            return None
        fields[pieces[index]] = text[position:end]
        position = end + len(literal)
    return Example(fields["instruction"], fields["input"], text[position:])


def _with_fields(text: str, expected: tuple[str, ...]) -> str:
    found: list[str] = _FIELD.findall(text)
    if "output" in found:
        raise ValueError("{output} has no place here: the output follows on the last character")
    for field in ("instruction", "input"):
        if field not in expected and field in found:
            raise ValueError(f"{{{field}}} has no place here")
        if field in expected and found.count(field) != 1:
            raise ValueError(f"expected {{{field}}} once, found it {found.count(field)} times")
    return text

"""The forms of a row: how one JSON object says an example, and how an example is said so.

`parse` refuses what an example cannot carry and never guesses; `build` may make a row that parses back to another
example (the joint inside an instruction), which is why whoever writes compares: see `write.unwritable`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from alpaca_cli.data.example import Example, text_problem
from alpaca_cli.data.jsonl import kind_of
from alpaca_cli.errors import Problem
from alpaca_cli.format.row import BadRow, count_of, refused_keys, shown

if TYPE_CHECKING:
    from alpaca_cli.format.template import Template

JOINT = "\n\nInput:\n"
"""What stands between instruction and input in a user's message."""

Row = dict[str, Any]


class Form(ABC):
    """One way to say an example in a JSON object."""

    name: str
    keys: tuple[str, ...]
    """The keys without which a row is not of this form."""
    optional: ClassVar[tuple[str, ...]] = ()

    @cached_property
    def known(self) -> frozenset[str]:
        """The keys that `parse` looks at."""
        return frozenset({*self.keys, *self.optional})

    @abstractmethod
    def parse(self, row: Row) -> Example:
        """The example that `row`, which has some of `keys`, says.  Raises BadRow."""

    @abstractmethod
    def build(self, example: Example) -> dict[str, Any]:
        """The row that says `example`."""

    def others(self, row: Row) -> set[str]:
        """Keys that `parse` does not look at; null says nothing and does not count."""
        return {name for name in row.keys() - self.known if row[name] is not None}

    def takes_whole(self, row: Row) -> bool:  # noqa: ARG002
        """Whether `parse` took a prompt whole as the instruction, for want of knowing better."""
        return False


class Fields(Form):
    """Stanford's own: instruction, input (may be missing or empty) and output."""

    name = "alpaca"
    keys = ("instruction", "output")
    optional = ("input",)

    def parse(self, row: Row) -> Example:
        instruction, input_, output = row.get("instruction"), row.get("input", ""), row.get("output")
        if (
            isinstance(instruction, str)
            and isinstance(input_, str)
            and isinstance(output, str)
            and instruction.strip()
            and output.strip()
        ):
            return Example(instruction, input_, output)
        problems = [Problem(message) for name in self.keys if (message := text_problem(row, name))]
        if not isinstance(input_, str):
            hint = 'write "" where there is no input'
            problems.append(Problem(f"input: expected a string, found {kind_of(input_)}", hint=hint))
        raise BadRow(problems)

    def build(self, example: Example) -> dict[str, Any]:
        return example.as_dict()


@dataclass(frozen=True)
class Conversation(Form):
    """A list of two messages, what is asked and the answer, under one key."""

    name: str
    keys: tuple[str]
    speaker: str
    said: str
    asks: str
    answers: str

    @property
    def key(self) -> str:
        """The key under which the messages stand."""
        return self.keys[0]

    def parse(self, row: Row) -> Example:
        messages = row[self.key]
        if not isinstance(messages, list):
            raise BadRow([Problem(f"{self.key}: expected a list, found {kind_of(messages)}")])
        if problems := self._shape_problems(messages) or self._words_problems(messages):
            raise BadRow(problems)
        asked, answer = (message[self.said] for message in messages)
        instruction, joint, input_ = asked.partition(JOINT)
        if joint and not input_:  # `build` never writes the joint without an input: it is the instruction's own
            instruction = asked
        if not instruction.strip():
            raise BadRow([Problem(f"{self.key}[0].{self.said}: the instruction in it is empty")])
        return Example(instruction, input_, answer)

    def build(self, example: Example) -> dict[str, Any]:
        asked = f"{example.instruction}{JOINT}{example.input}" if example.input else example.instruction
        said = ((self.asks, asked), (self.answers, example.output))
        return {self.key: [{self.speaker: who, self.said: what} for who, what in said]}

    def others(self, row: Row) -> set[str]:
        found = super().others(row)
        for message in row[self.key]:
            if len(message) > 2:
                names = (name for name in message if name not in (self.speaker, self.said))
                found.update(f"{self.key}[].{name}" for name in names if message[name] is not None)
        return found

    def _shape_problems(self, messages: list[Any]) -> list[Problem]:
        """Why these are not two messages of the right speakers: the first reason in reading order."""
        for index, message in enumerate(messages):
            place = f"{self.key}[{index}]"
            if not isinstance(message, dict):
                return [Problem(f"{place}: expected an object, found {kind_of(message)}")]
            if message.get(self.speaker) in ("system", "developer"):
                words = f"{place}: a system message, for which an example has no place"
                return [Problem(words, hint="remove it, or move its text into the instruction")]
        if len(messages) != 2:
            hint = "split it into rows of one exchange each" if len(messages) > 2 else None
            expected = f"{self.key}: expected one exchange ({self.asks}, {self.answers})"
            return [Problem(f"{expected}, found {count_of(len(messages), 'message')}", hint=hint)]
        problems = []
        for index, (message, expected) in enumerate(zip(messages, (self.asks, self.answers), strict=True)):
            who = message.get(self.speaker)
            if who != expected:
                found = f'"{shown(who)}"' if isinstance(who, str) else kind_of(who) if who is not None else "nothing"
                problems.append(Problem(f"{self.key}[{index}].{self.speaker}: expected {expected}, found {found}"))
        return problems

    def _words_problems(self, messages: list[dict[str, Any]]) -> list[Problem]:
        problems = []
        for index, message in enumerate(messages):
            within = f"{self.key}[{index}]."
            problems += refused_keys(message, message.keys() - {self.speaker, self.said}, within)
            if not problems and (text := text_problem(message, self.said)):
                problems.append(Problem(f"{within}{text}"))
        return problems


@dataclass(frozen=True)
class PromptCompletion(Form):
    """The rendered template and the output, apart.  A prompt that the template did not make is all instruction."""

    template: Template
    name = "prompt-completion"
    keys = ("prompt", "completion")

    def parse(self, row: Row) -> Example:
        if problems := [Problem(message) for name in self.keys if (message := text_problem(row, name))]:
            raise BadRow(problems)
        found = self.template.invert(row["prompt"])
        instruction, input_ = found or (row["prompt"], "")
        if not instruction.strip():
            raise BadRow([Problem("prompt: the instruction in it is empty")])
        return Example(instruction, input_, row["completion"])

    def takes_whole(self, row: Row) -> bool:
        return self.template.invert(row["prompt"]) is None

    def build(self, example: Example) -> dict[str, Any]:
        return {"prompt": self.template.render(example), "completion": example.output}


@dataclass(frozen=True)
class Text(Form):
    """The rendered template with the output directly after it."""

    template: Template
    name = "text"
    keys = ("text",)

    def parse(self, row: Row) -> Example:
        if message := text_problem(row, "text"):
            raise BadRow([Problem(message)])
        example = self.template.invert_text(row["text"])
        if example is None:
            message = "text: not made by this template, so that instruction and output cannot be told apart"
            raise BadRow([Problem(message, hint="name the template that it was made with")])
        if empty := [name for name in ("instruction", "output") if not getattr(example, name).strip()]:
            raise BadRow([Problem(f"text: the {name} in it is empty") for name in empty])
        return example

    def build(self, example: Example) -> dict[str, Any]:
        return {"text": self.template.render(example) + example.output}


FIELDS = Fields()
MESSAGES = Conversation("messages", ("messages",), "role", "content", "user", "assistant")
SHAREGPT = Conversation("sharegpt", ("conversations",), "from", "value", "human", "gpt")

KEYS_OF = {form.name: form.keys for form in (FIELDS, MESSAGES, SHAREGPT, PromptCompletion, Text)}
"""The keys by which each form is known, in the order in which they are looked for in a first row."""


def form_of(name: str, template: Template | None) -> Form:
    """The form of a format's rows, or the form of this name; no template means the shipped one."""
    if name == MESSAGES.name:
        return MESSAGES
    if name == SHAREGPT.name:
        return SHAREGPT
    if name == PromptCompletion.name:
        return PromptCompletion(template or _shipped())
    if name == Text.name:
        return Text(template or _shipped())
    return FIELDS


def _shipped() -> Template:
    from alpaca_cli.format.template import alpaca_template  # noqa: PLC0415  (it brings pydantic, 0.1 s that few need)

    return alpaca_template()

"""A teacher's completion to tasks, as teachers really write them.

A task is found by its own labels, wherever they stand and whatever number they bear: a list may restart at 1, skip a
number, be set in Markdown (`**4. Instruction:**`, `**Input:**`), or be separated by `##` or nothing.  A heading or a
number inside an output ends nothing; only the next Instruction label does.

Pure: text in, tasks out.  What is wrong with a task is for the rules to say, save for what never became a task.
Source: stanford_alpaca generate_instruction.py L44-75 does this by position, and loses what follows one odd number.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from alpaca_cli.data.example import Example

_LABEL = re.compile(
    r"""^[ \t>]*
        (?:\#{1,6}[ \t]*)?                                   # a Markdown heading
        (?:[-*+][ \t]+(?=\D))?                               # a list bullet
        [*_]{0,3}[ \t]*
        (?:\#{1,6}[ \t]*)?
        (?:(?:task|example)[ \t]+)?
        (?:(?P<number>\d{1,4})[ \t]*[.):][ \t]*)?
        [*_]{0,3}[ \t]*
        (?P<name>instruction|input|output)
        [ \t]*[*_]{0,3}[ \t]*:[ \t]*[*_]{0,3}[ \t]*
    """,
    re.IGNORECASE | re.MULTILINE | re.VERBOSE,
)
# What may stand between two tasks and belongs to neither: a line of ###, ---, *** or ===, or a heading "### Task 5".
_RULE = r"\n[ \t]*(?:\#{2,}|-{3,}|\*{3,}|={3,})[ \t]*(?=\n|\Z)"
_HEADING = r"\n[ \t]*(?:\#{1,6}[ \t]*)?[*_]{0,3}(?:task|example)[ \t]*\d{1,4}[ \t]*[.):]?[*_]{0,3}[ \t]*(?=\n|\Z)"
_TAIL = re.compile(rf"(?:(?:{_RULE}|{_HEADING})\s*)+\Z", re.IGNORECASE)
# Where an answer was cut just after such a line, in the label of a task that it never told.
_CUT_LABEL = re.compile(r"\n[ \t]*(?:\#{2,}|-{3,}|\*{3,}|={3,})[ \t]*(?:\n[\W_]*(?:task )?\d{0,4}[^\n]{0,20})?\s*\Z")
_NO_INPUT = re.compile(
    r"""[\W_]*(?:
        (?:no|non|without|empty)[\W_]?(?:input|context)s?
        (?:[ ](?:is[ ])?(?:required|needed|provided|necessary|given|available))?
      | n[ ]?/[ ]?a | none | null | nil | not[ ](?:applicable|required|needed) | empty
    )?[\W_]*""",
    re.IGNORECASE | re.VERBOSE,
)


@dataclass(frozen=True)
class Task:
    """A task as the teacher wrote it: its own number (None if it bore none), its place in the answer from 0, its text.

    `defect` says why it never became an example: "malformed" (a part is missing) or "truncated" (the answer was cut
    inside it); otherwise it is None.
    """

    number: int | None
    position: int
    example: Example
    defect: str | None = None


@dataclass(frozen=True)
class _Label:
    name: str
    number: int | None
    start: int
    end: int


def parse(text: str, *, next_number: int, finish_reason: str | None) -> list[Task]:
    """The tasks of a completion that goes on after `"{next_number}. Instruction:"`, in the order of the text.

    With finish_reason "length" the last task is dropped as truncated, unless a separator shows that it was complete.
    """
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    labels = _labels(text)
    implied = bool(labels) and labels[0].name != "instruction"
    if implied:
        text = f"{next_number}. Instruction: {text}"
        labels = _labels(text)
    whole = _CUT_LABEL.search(text) if finish_reason == "length" else None
    text = text[: whole.start()] if whole else text
    openings = [0] * implied + _openings(labels, first=int(implied))
    tasks: list[Task] = []
    for position, start in enumerate(openings):
        stop = openings[position + 1] if position + 1 < len(openings) else len(labels)
        end = labels[stop].start if stop < len(labels) else len(text)
        cut = finish_reason == "length" and stop == len(labels) and not whole
        tasks.append(_task(text[:end], labels[start:stop], position, cut=cut))
    if not labels and finish_reason == "length" and text.strip():
        return [Task(next_number, 0, Example(text.strip(), "", ""), "truncated")]
    return tasks


def is_no_input(text: str) -> bool:
    """Whether a text only says that there is no input, in any of the spellings that teachers use.

    >>> [is_no_input(text) for text in ("<noinput>", "No input.", "[N/A]", "(none required)", "None of the above")]
    [True, True, True, False, False]
    """
    return _NO_INPUT.fullmatch(text.strip()) is not None


def _labels(text: str) -> list[_Label]:
    return [
        _Label(found["name"].lower(), int(found["number"]) if found["number"] else None, found.start(), found.end())
        for found in _LABEL.finditer(text)
    ]


def _openings(labels: list[_Label], *, first: int) -> list[int]:
    """Which labels from `first` on open a task: the Instruction labels; bare ones only if the answer numbers none.

    An answer about code may hold a line "Instruction:" of its own; where tasks are numbered, that opens nothing.
    """
    found = [index for index in range(first, len(labels)) if labels[index].name == "instruction"]
    numbered = [index for index in found if labels[index].number is not None]
    return numbered or found


def _task(text: str, labels: list[_Label], position: int, *, cut: bool) -> Task:
    """The task that `labels` (its own, the Instruction label first) mark in `text`, which ends where it ends."""
    opening = labels[0]
    parts = [opening]
    for name in ("input", "output"):
        later = [label for label in labels if label.name == name and label.start > parts[-1].start]
        same = [label for label in later if label.number is not None and label.number == opening.number]
        bare = [label for label in later if label.number is None]
        parts += (same or bare or later)[:1]
    found = {label.name: _between(text, label, following) for label, following in _pairs(parts)}
    example = Example(
        " ".join(found["instruction"].split()),
        "" if is_no_input(found.get("input", "")) else found.get("input", ""),
        found.get("output", ""),
    )
    if cut:
        return Task(opening.number, position, example, "truncated")
    if "output" not in found or not example.instruction:
        return Task(opening.number, position, example, "malformed")
    return Task(opening.number, position, example)


def _pairs(parts: list[_Label]) -> list[tuple[_Label, _Label | None]]:
    return list(zip(parts, [*parts[1:], None], strict=True))


def _between(text: str, label: _Label, following: _Label | None) -> str:
    body = "\n" + text[label.end : following.start if following else len(text)].strip()
    if label.name == "output":
        body = _TAIL.sub("", body)
    body = body.strip()
    for mark in ("**", "__"):  # a bold label whose marks close after the text: **Instruction: Name a bird.**
        if body.endswith(mark) and body.count(mark) == 1:
            body = body.removesuffix(mark).rstrip()
    return body

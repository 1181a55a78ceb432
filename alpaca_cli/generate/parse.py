"""A teacher's completion to tasks, as teachers really write them.

A task is found by its own labels, wherever they stand and whatever number they bear: a list may restart at 1, skip a
number, be set in Markdown (`**4. Instruction:**`, `- **Input:**`, `### Task 4`), or be separated by `##` or nothing.
A heading, a number or a line "Input:" inside an output ends nothing; only the next Instruction label does, or a line
of `###`, after which a teacher takes leave.

Pure: text in, tasks out.  What is wrong with a task is for the rules to say, save for what never became a task.
Source: stanford_alpaca generate_instruction.py L44-75 does this by position, and loses what follows one odd number.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from textwrap import dedent

from alpaca_cli.data.example import Example

# Repetitions are bounded: a model that runs wild writes thousands of blanks, and each would be tried with each.
_B = r"[^\S\n]{0,4}"  # blanks within a line, of any width
_LABEL = re.compile(
    rf"""(?: ^ (?:[^\S\n]|>){{0,24}} (?:[-*+•][^\S\n]{{1,4}})? (?:\#{{1,6}}{_B})?   # a quotation, a bullet, a heading
           | (?<=[^\S\n]) (?:\#{{2,6}}{_B})? (?=\d{{1,4}}\.{_B}(?-i:Instruction|Input|Output):)  # or inside a line
        )
        (?P<head>
            [*_]{{0,3}} {_B}
            (?:(?:task|example) {_B} (?=\#?\d))?
            (?:\#?(?P<number>\d{{1,4}}) {_B} [*_]{{0,3}} {_B} [.):–-] {_B} [*_]{{0,3}} {_B})?
            [*_]{{0,3}} {_B}
            (?P<name>instruction|input|output)
            (?:{_B} \#?(?P<number_after>\d{{1,4}}))?
            {_B} [*_]{{0,3}} {_B} [:：]
        ) {_B}
    """,
    re.IGNORECASE | re.MULTILINE | re.VERBOSE,
)
_SHAPES = ("4. Name:", "Name 4:", "Name:")
_MARKS = ("***", "**", "*", "___", "__", "_")
_RULE = re.compile(r"\s*(?:\#{2,}|-{3,}|\*{3,}|={3,})\s*")  # a line that separates tasks
# A line above an Instruction label that numbers the task: ### Task 5: Birds, **Task 5**, Task 5:, or just above it 5.
_HEADING = re.compile(
    rf"""\s* (?: \#{{1,6}}{_B}[*_]{{0,3}}{_B}(?:task|example)?{_B}\#?(\d{{1,4}})\b.*
               | [*_]{{2,3}}(?:(?:task|example){_B}\#?(\d{{1,4}})\b|(\d{{1,4}})\.).*[*_]{{2,3}}
               | (?:task|example){_B}\#?(\d{{1,4}}){_B}[.:)]?
         ) \s*""",
    re.IGNORECASE | re.VERBOSE,
)
_INDENTED = re.compile(r"\n+[^\S\n]")
_LONE_NUMBER = re.compile(r"\s*(\d{1,4})[.)]\s*")
_CUT_REASONS = frozenset({"length", "max_tokens", "model_length", "content_filter"})
_THOUGHT = re.compile(r"\A(?:.*?</think>|\s*<think>.*)", re.DOTALL)  # some servers leave a model's reasoning in
_NO_INPUT = re.compile(
    r"""[-–—]? | \.{3} | … | <\s*> | ""|'' | [(<\[]empty[)>\]] | [\W_]*(?:
        (?:no?|non|without|empty)[\W_]?(?:(?:additional|specific|further|extra)[ ])?(?:input|context)s?
        (?:[ ](?:(?:is|was)[ ])?(?:required|needed|provided|necessary|given|available))?(?:[ ]for[ ]this[ ]\w+)?
      | none(?:[ ](?:is[ ])?(?:required|needed|provided|necessary|given))? | n[ ]?/[ ]?a | n\.a | null | nil
      | not[ ](?:applicable|required|needed|provided)
    )[\W_]*""",
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
    open_mark: str
    """The mark of emphasis that is opened in the label and not closed: **Instruction: Name a bird.**"""
    shape: str
    """One of _SHAPES."""
    set_off: bool
    """Whether a line that separates tasks stands before it."""


def parse(text: str, *, next_number: int, finish_reason: str | None) -> list[Task]:
    """The tasks of a completion that goes on after `"{next_number}. Instruction:"`, in the order of the text.

    Where finish_reason says that the answer was cut, the last task is truncated, unless a separator shows that it was
    complete.
    """
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if "think>" in text:
        text = _THOUGHT.sub("", text)
    first = _LABEL.search(text)
    if first and first["name"].lower() != "instruction":
        text = f"{next_number}. Instruction: {text}"
    labels = [_label(text, found) for found in _LABEL.finditer(text)]
    cut = finish_reason in _CUT_REASONS
    if not labels:
        return [Task(next_number, 0, Example(text.strip(), "", ""), "truncated")] if cut and text.strip() else []
    openings = _openings(labels)
    end = _end_of_told(text, labels[openings[-1] :]) if cut else None
    if end is not None:
        text, cut = text[:end], False
    if text.count("```", 0, labels[0].start) % 2:  # all of the answer is one block of code
        text = re.sub(r"\n```\s*\Z", "", text)
    tasks: list[Task] = []
    for position, start in enumerate(openings):
        stop = openings[position + 1] if position + 1 < len(openings) else len(labels)
        end = labels[stop].start if stop < len(labels) else len(text)
        tasks.append(_task(text[:end], labels[start:stop], position, cut=cut and stop == len(labels)))
    return tasks


def is_no_input(text: str) -> bool:
    """Whether a text only says that there is no input, in any of the spellings that teachers use.

    >>> [is_no_input(text) for text in ("<noinput>", "No input.", "[N/A]", "(none required)", "None of the above")]
    [True, True, True, True, False]
    """
    return _NO_INPUT.fullmatch(text.strip()) is not None


def _label(text: str, found: re.Match[str]) -> _Label:
    name, start, end = found["name"].lower(), found.start(), found.end()
    head = found["head"]
    open_mark = next((mark for mark in _MARKS if head.count(mark) % 2), "") if "*" in head or "_" in head else ""
    if open_mark and text.startswith(open_mark, end):
        end, open_mark = end + len(open_mark), ""
    number = int(found["number"]) if found["number"] else None
    set_off = False
    if name == "instruction":
        start, number = _heading(text, start, number)
        set_off = _RULE.fullmatch(_line_above(text, start)) is not None
    before, after, bare = _SHAPES
    shape = before if number is not None else after if found["number_after"] else bare
    if shape == after:
        number = int(found["number_after"])
    return _Label(name, number, start, end, open_mark, shape, set_off)


def _heading(text: str, start: int, number: int | None) -> tuple[int, int | None]:
    """Where the heading of an Instruction label at `start` begins, and the task's number; as given if it has none."""
    line = _line_above(text, start)
    begin = text.rfind(line, 0, start)
    found = _HEADING.fullmatch(line)
    if not found and begin + len(line) + 1 == start:
        found = _LONE_NUMBER.fullmatch(line)
    numbers = [int(value) for value in found.groups() if value] if found else []
    return (begin, numbers[0]) if numbers and number in (None, *numbers) else (start, number)


def _line_above(text: str, start: int) -> str:
    """The last line before `start` that is not blank."""
    return text[:start].rstrip().rpartition("\n")[2]


def _openings(labels: list[_Label]) -> list[int]:
    """Which labels open a task: the first, and the Instruction labels that are numbered before or set off.

    The others do if most of those that come to an output are like them: an answer about code may hold a line
    "Instruction:" of its own, one about cooking "Instruction 2:", and that opens nothing where tasks look otherwise.
    """
    found = [index for index, label in enumerate(labels) if label.name == "instruction"]
    shapes = Counter(
        labels[index].shape
        for index, following in zip(found, [*found[1:], len(labels)], strict=True)
        if any(label.name == "output" for label in labels[index:following])
    )
    opening_shapes = {_SHAPES[0], max(_SHAPES, key=lambda shape: shapes[shape])}
    return [index for index in found if index == 0 or labels[index].set_off or labels[index].shape in opening_shapes]


def _end_of_told(text: str, labels: list[_Label]) -> int | None:
    """Where the last task, which has these labels, ends in a text that was cut, if it was told to its end.

    That is so where only a separator follows (the prompt's own, or the one that stands before this task too), and
    behind it perhaps the beginning of a label.
    """
    output = _first(labels, "output", labels[0].number)
    if output is None:
        return None
    told = text[output.end :].rstrip()
    above, _, line = told.rpartition("\n")
    begun = re.findall(r"[^\W\d_]+", line.lower())
    names = ("task", "example", "instruction")
    if not _RULE.fullmatch(line) and all(any(name.startswith(word) for name in names) for word in begun):
        above, _, line = above.rstrip().rpartition("\n")
    before = _line_above(text, labels[0].start)
    is_separator = _RULE.fullmatch(line) and line.strip() in ("###", before.strip())
    return output.end + len(above) if is_separator else None


def _task(text: str, labels: list[_Label], position: int, *, cut: bool) -> Task:
    """The task that `labels` (its own, the Instruction label first) mark in `text`, which ends where it ends."""
    opening = labels[0]
    output = _first(labels, "output", opening.number)
    before_output = [label for label in labels if output is None or label.start < output.start]
    parts = [opening, *filter(None, (_first(before_output, "input", opening.number), output))]
    found = {label.name: _between(text, label, following) for label, following in _pairs(parts)}
    example = Example(
        found["instruction"],
        "" if is_no_input(found.get("input", "")) else found.get("input", ""),
        found.get("output", ""),
    )
    if cut:
        return Task(opening.number, position, example, "truncated")
    if "output" not in found or not example.instruction:
        return Task(opening.number, position, example, "malformed")
    return Task(opening.number, position, example)


def _first(labels: list[_Label], name: str, number: int | None) -> _Label | None:
    """The first label of that name which bears the task's number, else the first of that name."""
    named = [label for label in labels if label.name == name]
    numbered = [label for label in named if number is not None and label.number == number]
    return next(iter(numbered or named), None)


def _pairs(parts: list[_Label]) -> list[tuple[_Label, _Label | None]]:
    return list(zip(parts, [*parts[1:], None], strict=True))


def _between(text: str, label: _Label, following: _Label | None) -> str:
    body = text[label.end : following.start if following else len(text)].rstrip()
    if label.name == "output":
        body = _without_separator(body)
    if _INDENTED.match(body):  # a text below its label may be indented like it
        body = dedent(body)
    body = body.strip()
    if label.open_mark and body.endswith(label.open_mark):
        body = body.removesuffix(label.open_mark).rstrip()
    return body


def _without_separator(output: str) -> str:
    """An output without the separator below it, and without what a teacher says after a line of ###."""
    lines = output.split("\n")
    in_code = False
    for index, line in enumerate(lines):
        in_code ^= line.lstrip().startswith("```")
        if line.strip() == "###" and not in_code:
            lines = lines[:index]
            break
    while lines and (not lines[-1].strip() or _RULE.fullmatch(lines[-1])):
        lines.pop()
    return "\n".join(lines)

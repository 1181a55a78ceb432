"""The rehearsal teacher's answer to a prompt: a list of tasks in the form that the prompt asks for.  No intelligence.

Of the prompt it reads three things: whether it asks for tasks, how many, and at which number the list goes on.  The
rest of it only chooses, as a seed, which tasks these are.
"""

from __future__ import annotations

import hashlib
import random
import re
from dataclasses import dataclass

from alpaca_cli.rehearsal import chance
from alpaca_cli.rehearsal.families.registry import FAMILIES
from alpaca_cli.rehearsal.flaws import Draft, draft

NUM_TASKS = 20
"""How many tasks a list has when the prompt names no number."""
MOST_TASKS = 100

# How chat models go on with a list, as shares of the chat answers; a completion only ever goes on plainly.
LABEL_SHARE = 0.45
"""Repeat the label that the prompt ends in; the following three happen only with it, as shares of these."""
PREFACE_SHARE = 0.3
BOLD_SHARE = 0.2
RESTART_SHARE = 0.1
TWO_HASHES_SHARE = 0.08
SKIP_SHARE = 0.05
OTHER_NO_INPUT_SHARE = 0.25

NO_INPUT = "<noinput>"
NO_INPUTS = ("No input", "<no input>", "[noinput]", "N/A", "None", "(no input)", "no input required", "<NoInput>")
PREFACES = (
    "Here are more tasks:",
    "Sure! Here is the rest of the list:",
    "Certainly, the list goes on as follows.",
    "Here are {count} further tasks in the same form:",
)
NO_TASKS = (
    "This is a rehearsal teacher without any intelligence, and it cannot answer that. All it can do is compose "
    'instruction tasks by rule; kindly ask it for something like "a list of 20 tasks".'
)

_COUNT = re.compile(
    r"(?<![\w.,])(\d{1,4})\s{1,4}(?:[^\W\d][\w-]{0,23},?\s{1,4}){0,4}?task(?:s\b| instructions\b)", re.IGNORECASE
)
_GOES_ON = re.compile(r"(?:^|\n)[ \t]*\**(\d{1,4})[.)][ \t]*\**instruction\**:\**\Z", re.IGNORECASE)
_TASKS = re.compile(r"\btasks\b|\binstructions\b", re.IGNORECASE)
_LONGEST_LABEL = 80


@dataclass(frozen=True)
class Wanted:
    """The tasks from number `first` to `last`; `labelled` says that the prompt ends in the label of the first one."""

    first: int
    last: int
    labelled: bool


@dataclass(frozen=True)
class Form:
    """How an answer writes its list down."""

    label: bool = False
    preface: str = ""
    bold: bool = False
    restart: bool = False
    separator: str = "###"
    no_input: str = NO_INPUT


def wanted(prompt: str) -> Wanted | None:
    """Which tasks the prompt asks for, or None if it asks for nothing like tasks.  Linear in the prompt's length."""
    end = _GOES_ON.search(prompt.rstrip()[-_LONGEST_LABEL:])
    counts = [int(found[1]) for found in _COUNT.finditer(prompt)]
    if end is None and not counts and not _TASKS.search(prompt):
        return None
    first = int(end[1]) if end else 1
    plausible = [count for count in counts if first <= count <= MOST_TASKS]
    return Wanted(first, max(plausible, default=max(NUM_TASKS, first)), labelled=end is not None)


def compose(prompt: str, *, seed: int = 0, choice: int = 0, chat: bool = True) -> str:
    """The answer to a prompt, the same for the same arguments in every Python; a few milliseconds for 17 tasks.

    `choice` tells the several answers to one prompt apart.  Without `chat` the text goes on exactly where the prompt
    ends, as a base model does; with it, it takes the liberties that chat models take.
    """
    asked = wanted(prompt)
    if asked is None:
        return NO_TASKS
    text = f"{seed}\n{choice}\n{int(chat)}\n{prompt}"
    rng = random.Random(hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest())
    numbers = list(range(asked.first, asked.last + 1))
    form = _form(rng, len(numbers)) if chat else Form()
    if chat and len(numbers) > 2 and chance.happens(rng, SKIP_SHARE):
        del numbers[chance.integer(rng, 1, len(numbers) - 2)]
    drafts = [draft(rng, family.make(rng)) for family in chance.sample(rng, FAMILIES, len(numbers))]
    if form.restart:
        numbers = [number - asked.first + 1 for number in numbers]
    return _written(drafts, numbers, form, with_label=form.label or not asked.labelled)


def _form(rng: random.Random, count: int) -> Form:
    separator = "##" if chance.happens(rng, TWO_HASHES_SHARE) else "###"
    no_input = chance.choice(rng, NO_INPUTS) if chance.happens(rng, OTHER_NO_INPUT_SHARE) else NO_INPUT
    if not chance.happens(rng, LABEL_SHARE):
        return Form(separator=separator, no_input=no_input)
    preface = chance.choice(rng, PREFACES).format(count=count) if chance.happens(rng, PREFACE_SHARE) else ""
    bold, restart = chance.happens(rng, BOLD_SHARE), chance.happens(rng, RESTART_SHARE)
    return Form(True, preface, bold, restart, separator, no_input)


def _written(drafts: list[Draft], numbers: list[int], form: Form, *, with_label: bool) -> str:
    blocks = [_block(each, number, form) for each, number in zip(drafts, numbers, strict=True)]
    text = f"\n{form.separator}\n".join(blocks)
    if not with_label:
        return text.partition(":")[2]
    return f"{form.preface}\n\n{text}" if form.preface else text


def _block(each: Draft, number: int, form: Form) -> str:
    task = each.task
    instruction = "" if each.without == "instruction" else task.instruction
    if form.bold:
        head, given, answer = f"**{number}. Instruction:**", "**Input:**", "**Output:**"
    else:
        head, given, answer = f"{number}. Instruction:", f"{number}. Input:", f"{number}. Output:"
    lines = [f"{head} {instruction}".rstrip(), given, task.input or form.no_input]
    if each.without != "output":
        lines += [answer, task.output]
    return "\n".join(lines).rstrip("\n")

"""What goes wrong in real teachers' answers, at known rates: repeats, near repeats, torn tasks, and ones to refuse.

Every flaw is meant: `alpaca generate` shows with them what novelty, parsing and rules are for.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache

from alpaca_cli.rehearsal.chance import choice
from alpaca_cli.rehearsal.families.registry import FAMILIES
from alpaca_cli.rehearsal.scenes import name, occasion, place, things
from alpaca_cli.rehearsal.task import Task
from alpaca_cli.rehearsal.words import MEN, WOMEN

DUPLICATE_RATE = 0.03
"""Exact copies of a task of the shared stock."""
NEAR_DUPLICATE_RATE = 0.06
"""Tasks of the stock with one word of the instruction changed, a first name."""
MALFORMED_RATE = 0.02
"""Tasks without an output label or without an instruction."""
REFUSABLE_RATE = 0.05
"""Tasks that a rule should refuse, of all the kinds in REFUSABLE equally."""
STOCK_SIZE = 40

SHORT_ORDERS = (
    ("Sort ascending.", "9, 4, 7, 1", "1, 4, 7, 9"),
    ("Count vowels.", "pineapple", "The word has 4 vowels."),
    ("Add these.", "12, 30, 8", "The sum is 50."),
    ("Reverse it.", "lantern", "nretnal"),
    ("Name colours.", "", "Red, blue, green and yellow."),
    ("Capitalise everything.", "closed on Monday", "CLOSED ON MONDAY"),
)
CUT_TAILS = (
    "This can be checked once more by going through all the",
    "Anyone who doubts it may work it out again with a",
    "The same method also serves for other numbers, because the",
    "It is worth adding that this answer would be different if",
)
EXCUSES = (
    "I'm sorry, but as an AI language model I cannot see what you are looking at.",
    "As an AI language model, I cannot do this for you.",
    "I'm sorry, but I cannot help with that.",
)


@dataclass(frozen=True)
class Draft:
    """A task as it will be written down; `without` names the part ("instruction" or "output") that is left out."""

    task: Task
    without: str = ""


def draft(rng: random.Random, task: Task) -> Draft:
    """The task, or in its place, at the rates above, something flawed."""
    fate = rng.random()
    if fate < DUPLICATE_RATE:
        return Draft(choice(rng, stock())[0])
    fate -= DUPLICATE_RATE
    if fate < NEAR_DUPLICATE_RATE:
        return Draft(_renamed(rng, *choice(rng, stock())))
    fate -= NEAR_DUPLICATE_RATE
    if fate < MALFORMED_RATE:
        return Draft(task, choice(rng, ("instruction", "output")))
    fate -= MALFORMED_RATE
    if fate < REFUSABLE_RATE:
        return Draft(choice(rng, REFUSABLE)(rng, task))
    return Draft(task)


@lru_cache(maxsize=1)
def stock() -> tuple[tuple[Task, str], ...]:
    """The tasks that are repeated, each with the one first name in its instruction, on which its answer does not hang.

    Composed at the first call, in some milliseconds.
    """
    found: list[tuple[Task, str]] = []
    at = 0
    while len(found) < STOCK_SIZE:
        task = FAMILIES[at * 7 % len(FAMILIES)].make(random.Random(f"rehearsal stock {at}"))
        at += 1
        words = [word.strip(".,:;?!") for word in task.instruction.split()]
        names = [word for word in words if word in WOMEN or word in MEN]
        if len(names) == 1 and names[0] not in task.input and names[0] not in task.output:
            found.append((task, names[0]))
    return tuple(found)


def _renamed(rng: random.Random, task: Task, old: str) -> Task:
    new = choice(rng, [each for each in (WOMEN if old in WOMEN else MEN) if each != old])
    return replace(task, instruction=" ".join(_swapped(word, old, new) for word in task.instruction.split(" ")))


def _swapped(word: str, old: str, new: str) -> str:
    return word.replace(old, new) if word.strip(".,:;?!") == old else word


def _too_short(rng: random.Random, _: Task) -> Task:
    return Task(*choice(rng, SHORT_ORDERS))


def _drawing(rng: random.Random, _: Task) -> Task:
    what = f"{things(rng)} in front of the {place(rng)}"
    return Task(f"Draw a picture of {what} for {occasion(rng)}.", "", f"The picture shows {what}.")


def _program(rng: random.Random, _: Task) -> Task:
    what = things(rng)
    return Task(
        f"Write a program that counts {what} for {name(rng)} and prints how many there are.",
        "",
        f'print(len(["{what}"]))',
    )


def _quoted(_: random.Random, task: Task) -> Task:
    return replace(task, instruction=f'"{task.instruction}"')


def _empty(_: random.Random, task: Task) -> Task:
    return replace(task, output="")


def _no_output(_: random.Random, task: Task) -> Task:
    return replace(task, output="No output")


def _excuse(rng: random.Random, task: Task) -> Task:
    return replace(task, output=choice(rng, EXCUSES))


def _address(rng: random.Random, _: Task) -> Task:
    where = place(rng)
    return Task(
        f"Summarise in two sentences what the page below says about {things(rng)} for {occasion(rng)}.",
        f"https://www.example.com/{where.replace(' ', '-')}",
        f"The page tells about the {where}. It gives opening times and prices.",
    )


def _attachment(rng: random.Random, _: Task) -> Task:
    return Task(
        f"Look through the report about {things(rng)} for {name(rng)}; see the attached pages and list three facts.",
        "",
        f"The report was written at the {place(rng)}, it is short, and it has two tables.",
    )


def _cut(rng: random.Random, task: Task) -> Task:
    return replace(task, output=f"{task.output} {choice(rng, CUT_TAILS)}")


def _echo(_: random.Random, task: Task) -> Task:
    return replace(task, input=task.instruction)


REFUSABLE: tuple[Callable[[random.Random, Task], Task], ...] = (
    *(_too_short, _drawing, _program, _quoted, _empty, _no_output, _excuse, _address, _attachment, _cut, _echo),
)

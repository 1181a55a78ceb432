"""Sums, products, sequences and the small theory of whole numbers, each answer with its working."""

from __future__ import annotations

import math
import random

from alpaca_cli.rehearsal.chance import choice, integer, sample
from alpaca_cli.rehearsal.english import amount, capitalised, listing, ordinal
from alpaca_cli.rehearsal.frames import framed, opening, posed
from alpaca_cli.rehearsal.scenes import things
from alpaca_cli.rehearsal.task import Family, Task
from alpaca_cli.rehearsal.words import DAYS, OBJECTS

HANDLED = (
    "counted",
    "packed",
    "sold",
    "sorted",
    "polished",
    "collected",
    "labelled",
    "repaired",
    "delivered",
    "stacked",
)
CONTAINERS = ("crate", "shelf", "box", "cupboard", "trolley", "rack", "basket", "carton", "table", "wagon", "chest")


def _total(rng: random.Random) -> Task:
    start, thing, verb = opening(rng), things(rng), choice(rng, HANDLED)
    first, second, (one, two) = integer(rng, 12, 480), integer(rng, 12, 480), sample(rng, DAYS, 2)
    text = choice(
        rng,
        (
            f"{start.text} {verb} {first} {thing} on {one} and {second} on {two}. How many is that altogether?",
            f"{start.text} {verb} {first} {thing} before lunch and another {second} after it. Work out the total.",
            f"{start.text} {verb} {first} {thing}; a helper {verb} {second} more. Give their sum.",
            f"{start.text} {verb} {second} {thing} on {two}, having {verb} {first} the day before. Add them up.",
            f"{start.text} {verb} {first} {thing}, then {second}. What did both rounds come to?",
        ),
    )
    return Task(text, "", f"{first} + {second} = {first + second}, so the total is {first + second} {thing}.")


def _rows(rng: random.Random) -> Task:
    start, thing, holder = opening(rng), things(rng), choice(rng, CONTAINERS)
    holders, each = integer(rng, 3, 29), integer(rng, 4, 39)
    text = choice(
        rng,
        (
            f"{start.text} filled {amount(holders, holder)} with {each} {thing} apiece. How many {thing} were used?",
            f"{start.text} found {amount(holders, holder)}, every one holding {each} {thing}. Multiply to get the "
            "total.",
            f"{start.text} has room for {each} {thing} in a {holder}. How many fit into {amount(holders, holder)}?",
            f"{start.text} put {each} {thing} on each of {amount(holders, holder)}. What number does that make?",
        ),
    )
    return Task(text, "", f"{holders} x {each} = {holders * each}, so there are {holders * each} {thing}.")


def _expression(rng: random.Random) -> Task:
    a, b, c, d = integer(rng, 2, 60), integer(rng, 2, 12), integer(rng, 2, 12), integer(rng, 1, 40)
    kind = integer(rng, 0, 3)
    shown, steps, value = (
        (f"{a} + {b} * {c}", f"{b} * {c} = {b * c} comes first; then {a} + {b * c}", a + b * c),
        (f"({a} + {b}) * {c}", f"The brackets give {a + b}; then {a + b} * {c}", (a + b) * c),
        (f"{b} * {c} - {d}", f"{b} * {c} = {b * c} comes first; then {b * c} - {d}", b * c - d),
        (f"{a} * {b} + {c} * {d}", f"The products are {a * b} and {c * d}; then {a * b} + {c * d}", a * b + c * d),
    )[kind]
    asked, given = posed(rng, shown, "expression")
    text = framed(
        rng,
        (
            f"evaluate {asked}, minding the order of operations",
            f"compute {asked} step by step",
            f"find the value of {asked} and show the intermediate step",
            f"work out by hand what {asked} comes to",
        ),
        (f"what does {asked} equal", f"which number is {asked}", f"how much is {asked}"),
    )
    return Task(text, given, f"{steps} = {value}.")


def _sequence(rng: random.Random) -> Task:
    start, step = integer(rng, 1, 60), integer(rng, 2, 19)
    grows = integer(rng, 0, 2)
    if grows == 2:
        start, step = integer(rng, 1, 9), integer(rng, 2, 4)
        terms = [start * step**at for at in range(6)]
        rule = f"Each number is {step} times the one before"
    elif grows == 1:
        start += 6 * step
        terms = [start - step * at for at in range(6)]
        rule = f"Each number is {step} less than the one before"
    else:
        terms = [start + step * at for at in range(6)]
        rule = f"Each number is {step} more than the one before"
    shown = ", ".join(map(str, terms[:4]))
    asked, given = posed(rng, shown, "four numbers")
    text = framed(
        rng,
        (
            f"continue {asked} by two terms and state its rule",
            f"find the next two numbers after {asked}",
            f"explain the pattern in {asked} and extend it by two",
            f"write down the two numbers that follow {asked}",
        ),
        (f"which two numbers come next after {asked}", f"how do {asked} go on for two more steps"),
    )
    return Task(text, given, f"{rule}, so the next two are {terms[4]} and {terms[5]}.")


def _prime_or_not(rng: random.Random) -> Task:
    number = integer(rng, 11, 999)
    divisor = next((each for each in range(2, math.isqrt(number) + 1) if number % each == 0), 0)
    thing = things(rng)
    text = framed(
        rng,
        (
            f"decide whether {number} is a prime number and give a reason",
            f"check if {number} {thing} could be laid out in equal rows, that is, whether {number} is not prime",
            f"test the number {number} for being prime",
            f"say if anything but one and itself divides {number}",
        ),
        (
            f"is {number} a prime number, and how can one tell",
            f"does {number} have a divisor other than one and itself",
            f"is the house number {number} prime or composite",
        ),
    )
    if divisor:
        return Task(text, "", f"{number} is not prime, because {number} = {divisor} x {number // divisor}.")
    return Task(text, "", f"{number} is prime: no number from 2 to {math.isqrt(number)} divides it.")


def _rounding(rng: random.Random) -> Task:
    number, (word, unit) = (
        integer(rng, 1050, 98750),
        choice(rng, (("ten", 10), ("a hundred", 100), ("a thousand", 1000))),
    )
    rounded = (number + unit // 2) // unit * unit
    thing = things(rng)
    text = framed(
        rng,
        (
            f"round {number} {thing} to the nearest {word.split()[-1]}",
            f"give {number} to the nearest {word.split()[-1]}, as one would report a stock of {thing}",
            f"replace {number} by the closest multiple of {word}",
        ),
        (
            f"what is {number} rounded to the nearest {word.split()[-1]}",
            f"which multiple of {word} is closest to {number} {thing}",
        ),
    )
    return Task(text, "", f"{number} rounded to the nearest {word.split()[-1]} is {rounded}.")


def _common_factor(rng: random.Random) -> Task:
    shared, first, second = integer(rng, 2, 18), integer(rng, 2, 9), integer(rng, 3, 12)
    if first == second:
        second += 1
    a, b = shared * first, shared * second
    (one, two), divisor = sample(rng, OBJECTS, 2), math.gcd(a, b)
    text = framed(
        rng,
        (
            f"find the greatest common divisor of {a} and {b}",
            f"say how many equal sets {amount(a, one)} and {amount(b, two)} can make at most, with nothing left",
            f"give the largest whole number that divides {a} as well as {b}",
        ),
        (
            f"what is the highest common factor of {a} and {b}",
            f"at most how many identical parcels can be packed from {amount(a, one)} and {amount(b, two)}",
        ),
    )
    return Task(
        text,
        "",
        f"The answer is {divisor}, as {a} = {divisor} x {a // divisor}, {b} = {divisor} x {b // divisor}, and "
        f"{a // divisor} and {b // divisor} share no factor.",
    )


def _multiples(rng: random.Random) -> Task:
    number, count, skip = integer(rng, 6, 79), integer(rng, 3, 6), integer(rng, 1, 9)
    terms = [number * each for each in range(skip, skip + count)]
    text = framed(
        rng,
        (
            f"list {count} consecutive multiples of {number}, beginning with {terms[0]}",
            f"count up in steps of {number} from {terms[0]} until you have {count} numbers",
            f"write the {number} times table from its {ordinal(skip)} entry on, {count} entries in all",
        ),
        (f"which {count} multiples of {number} come first when you begin at {terms[0]}",),
    )
    return Task(text, "", f"{capitalised(listing([str(each) for each in terms]))}.")


FAMILIES = (
    Family("total", _total),
    Family("rows", _rows),
    Family("expression", _expression),
    Family("sequence", _sequence),
    Family("prime_or_not", _prime_or_not),
    Family("rounding", _rounding),
    Family("common_factor", _common_factor),
    Family("multiples", _multiples),
)

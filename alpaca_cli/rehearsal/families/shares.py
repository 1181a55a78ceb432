"""Parts of a whole: division with remainder, ratios, fractions, rates and percentages, with their working."""

from __future__ import annotations

import math
import random
from fractions import Fraction

from alpaca_cli.rehearsal.chance import choice, integer
from alpaca_cli.rehearsal.english import amount, fixed, plural
from alpaca_cli.rehearsal.frames import framed, opening
from alpaca_cli.rehearsal.scenes import things
from alpaca_cli.rehearsal.task import Family, Task
from alpaca_cli.rehearsal.words import OBJECTS

CONTAINERS = ("crate", "shelf", "box", "cupboard", "trolley", "rack", "basket", "carton", "table", "wagon", "chest")


def _share_out(rng: random.Random) -> Task:
    start, thing, holder = opening(rng), things(rng), choice(rng, CONTAINERS)
    each, holders = integer(rng, 3, 40), integer(rng, 3, 14)
    whole = each * holders + integer(rng, 1, holders - 1)
    left = whole - each * holders
    text = choice(
        rng,
        (
            f"{start.text} shared {whole} {thing} equally among {amount(holders, holder)}. "
            f"How many went into each, and how many were left over?",
            f"{start.text} wanted the same number of {thing} in all {amount(holders, holder)}, and had {whole}. "
            f"Say how many each gets and what remains.",
            f"{start.text} divided {whole} {thing} between {amount(holders, holder)} as evenly as whole ones allow. "
            f"Give quotient and remainder.",
        ),
    )
    are = "is" if left == 1 else "are"
    return Task(
        text, "", f"{whole} = {holders} x {each} + {left}. Each {holder} gets {each}, and {left} {are} left over."
    )


def _percentage(rng: random.Random) -> Task:
    thing, percent = things(rng), choice(rng, (5, 10, 15, 20, 25, 30, 35, 40, 45, 55, 60, 65, 70, 75, 80, 85, 90, 95))
    whole = 20 * integer(rng, 3, 90)
    part = whole * percent // 100
    text = framed(
        rng,
        (
            f"work out {percent}% of {whole} {thing}",
            f"calculate how many {thing} make up {percent}% of a stock of {whole}",
            f"tell me the number of {thing} in {percent}% of {whole}",
            f"take {percent}% of {whole} {thing} and give the result",
        ),
        (
            f"what is {percent} percent of {whole} {thing}",
            f"if {percent}% of {whole} {thing} are spoilt, how many is that",
            f"how many are {percent}% out of {whole} {thing}",
        ),
    )
    return Task(text, "", f"{percent}% of {whole} is {whole} x {percent} / 100 = {part}, that is {part} {thing}.")


def _simplify_fraction(rng: random.Random) -> Task:
    factor, below = integer(rng, 2, 12), integer(rng, 3, 19)
    above = integer(rng, 1, below - 1)
    top, bottom = above * factor, below * factor
    shared = math.gcd(top, bottom)
    thing = things(rng)
    text = framed(
        rng,
        (
            f"reduce the fraction {top}/{bottom} to its lowest terms",
            f"simplify {top}/{bottom} and say which divisor you used",
            f"write {top} out of {bottom} {thing} as a fraction in its simplest form",
            f"cancel {top}/{bottom} as far as it will go",
        ),
        (
            f"what is {top}/{bottom} in its simplest form",
            f"which fraction in lowest terms stands for {top} of {bottom} {thing}",
        ),
    )
    done = Fraction(top, bottom)
    return Task(text, "", f"Dividing both by {shared} gives {top}/{bottom} = {done.numerator}/{done.denominator}.")


def _ratio(rng: random.Random) -> Task:
    start, thing = opening(rng), things(rng)
    left, right, unit = integer(rng, 1, 7), integer(rng, 2, 9), integer(rng, 3, 24)
    if left == right:
        right += 1
    whole = (left + right) * unit
    text = choice(
        rng,
        (
            f"{start.text} split {whole} {thing} in the ratio {left}:{right}. How large are the parts?",
            f"{start.text} divided {whole} {thing} between two shops as {left} to {right}. What did each receive?",
            f"{start.text} has {whole} {thing} to share with a partner, {left}:{right}. Work out both shares.",
        ),
    )
    return Task(
        text,
        "",
        f"One of the {left + right} shares is {whole} / {left + right} = {unit}, so the parts are {left * unit} and "
        f"{right * unit}.",
    )


def _rate_of_work(rng: random.Random) -> Task:
    start, thing = opening(rng), plural(choice(rng, OBJECTS))
    hours, each, wanted = integer(rng, 2, 9), integer(rng, 4, 45), integer(rng, 10, 19)
    text = choice(
        rng,
        (
            f"{start.text} finished {hours * each} {thing} in {hours} hours. At that pace, how many take {wanted} "
            "hours?",
            f"{start.text} gets through {hours * each} {thing} every {hours} hours. How many is that in {wanted} "
            "hours?",
            f"{start.text} made {hours * each} {thing} within {hours} hours. Scale this up to {wanted} hours.",
        ),
    )
    return Task(
        text,
        "",
        f"{hours * each} / {hours} = {each} {thing} an hour, so {wanted} hours give {wanted} x {each} = "
        f"{wanted * each} {thing}.",
    )


def _share_as_percent(rng: random.Random) -> Task:
    start, thing = opening(rng), things(rng)
    whole = integer(rng, 12, 240)
    part = integer(rng, 2, whole - 1)
    percent = fixed(Fraction(100 * part, whole), 1)
    text = choice(
        rng,
        (
            f"{start.text} found {part} of {whole} {thing} damaged. What percentage is that, to one decimal place?",
            f"{start.text} sold {part} out of {whole} {thing}. Express this in percent, rounded to one decimal.",
            f"{start.text} checked {whole} {thing}, and {part} passed. Give the pass rate in percent to one decimal.",
        ),
    )
    return Task(text, "", f"{part} / {whole} x 100 is {percent}% to one decimal place.")


FAMILIES = (
    Family("share_out", _share_out),
    Family("percentage", _percentage),
    Family("simplify_fraction", _simplify_fraction),
    Family("ratio", _ratio),
    Family("rate_of_work", _rate_of_work),
    Family("share_as_percent", _share_as_percent),
)

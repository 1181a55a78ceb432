"""Which is more: fractions, decimals, ages, distances and rates, compared exactly."""

from __future__ import annotations

import random
from fractions import Fraction
from itertools import pairwise

from alpaca_cli.rehearsal.chance import choice, happens, integer, sample
from alpaca_cli.rehearsal.english import amount, decimal, listing, money, plural, with_article
from alpaca_cli.rehearsal.frames import framed, opening, posed
from alpaca_cli.rehearsal.scenes import name, people, place, things
from alpaca_cli.rehearsal.task import Family, Task
from alpaca_cli.rehearsal.words import FRIENDS, OBJECTS, TOWNS


def _fractions(rng: random.Random) -> Task:
    thing = things(rng)
    (a, b), (c, d) = ((integer(rng, 1, 12), integer(rng, 13, 29)) for _ in range(2))
    more = happens(rng, 0.6)
    word = "larger" if more else "smaller"
    left, right = a * d, c * b
    text = framed(
        rng,
        (
            f"decide which is {word}, {a}/{b} or {c}/{d}, by cross-multiplying",
            f"compare {a}/{b} of the {thing} with {c}/{d} of them and name the {word} part",
        ),
        (f"which fraction is {word}, {a}/{b} or {c}/{d}", f"is {a}/{b} or {c}/{d} the {word} share of the {thing}"),
    )
    if left == right:
        return Task(text, "", f"They are equal, because {a} x {d} = {c} x {b} = {left}.")
    first = (left > right) == more
    return Task(
        text,
        "",
        f"{a} x {d} = {left} and {c} x {b} = {right}, so {f'{a}/{b}' if first else f'{c}/{d}'} is {word}.",
    )


def _decimals(rng: random.Random) -> Task:
    whole, count = integer(rng, 0, 40), integer(rng, 3, 4)
    tails = sample(rng, range(1, 999), count)
    numbers = [Fraction(whole) + Fraction(tail, 10 ** (1 + tail % 3)) for tail in tails]
    numbers = list(dict.fromkeys(numbers))
    shown = [decimal(number, 3) for number in numbers]
    most, room = happens(rng, 0.5), place(rng)
    word = "largest" if most else "smallest"
    best = decimal(max(numbers) if most else min(numbers), 3)
    asked, given = posed(rng, listing(shown), "numbers")
    text = framed(
        rng,
        (
            f"pick the {word} number from {asked}",
            f"name the {word} of {asked}, noted in the {room}",
        ),
        (f"which is the {word} number among {asked}", f"what is the {word} of {asked}"),
    )
    return Task(text, given, f"The {word} of them is {best}.")


def _ages(rng: random.Random) -> Task:
    (one, two, three), town = [each.name for each in people(rng, 3)], choice(rng, TOWNS)
    age, more, less = integer(rng, 25, 70), integer(rng, 2, 19), integer(rng, 2, 19)
    relation = with_article(choice(rng, FRIENDS))
    text = framed(
        rng,
        (
            f"find the age of {three}: {one} is {age}, {two} is {more} years older than {one}, and {three} is {less} "
            "years "
            f"younger than {two}",
        ),
        (
            f"{one} from {town} is {age}, {two} is {more} years older, and {three}, {relation}, is {less} years "
            "younger "
            f"than {two}; how old is {three}",
            f"if {one} is {age}, {two} {more} years older and {three} {less} years younger than {two}, how old is "
            f"{three}",
        ),
        bare=0.5,
    )
    return Task(
        text,
        "",
        f"{two} is {age} + {more} = {age + more}, so {three} is {age + more} - {less} = {age + more - less} years old.",
    )


def _heights(rng: random.Random) -> Task:
    friends = [each.name for each in people(rng, integer(rng, 3, 5))]
    facts = [f"{one} is taller than {two}." for one, two in pairwise(friends)]
    order = sample(rng, facts, len(facts))
    tallest, room = happens(rng, 0.5), place(rng)
    word, found = ("tallest", friends[0]) if tallest else ("shortest", friends[-1])
    text = framed(
        rng,
        (
            f"work out from the statements below who is the {word}",
            f"put the people measured in the {room} in order and name the {word}",
        ),
        (f"who is the {word} according to these statements", f"which of the people in the {room} is the {word}"),
    )
    by_height = listing(friends)
    return Task(text, " ".join(order), f"From tallest to shortest they are {by_height}, so {found} is the {word}.")


def _faster(rng: random.Random) -> Task:
    one, two = people(rng, 2)
    hours, speeds = sample(rng, range(2, 9), 2), sample(rng, range(6, 60), 2)
    town, ride = (
        choice(rng, TOWNS),
        choice(rng, ("bicycle", "boat", "scooter", "horse", "train", "bus", "van", "tractor")),
    )
    text = framed(
        rng,
        (
            f"say who is faster by {ride}: {one.name} with {hours[0] * speeds[0]} km in {hours[0]} hours or {two.name} "
            f"with {hours[1] * speeds[1]} km in {hours[1]} hours",
        ),
        (
            f"who travels faster, {one.name} with {hours[0] * speeds[0]} km in {hours[0]} hours or {two.name} with "
            f"{hours[1] * speeds[1]} km in {hours[1]} hours",
            f"near {town} {one.name} covers {hours[0] * speeds[0]} km in {hours[0]} hours and {two.name} "
            f"{hours[1] * speeds[1]} km in {hours[1]}; who is faster by {ride}",
        ),
        bare=0.4,
    )
    best = one if speeds[0] > speeds[1] else two
    return Task(
        text,
        "",
        f"{one.name} does {speeds[0]} km/h and {two.name} {speeds[1]} km/h, so {best.name} is faster.",
    )


def _difference(rng: random.Random) -> Task:
    start, thing = opening(rng), things(rng)
    other = name(rng)
    a, b = sample(rng, range(15, 900), 2)
    text = choice(
        rng,
        (
            f"{start.text} has {a} {thing} and {other} has {b}. Who has more, and by how many?",
            f"{start.text} counted {a} {thing}, while {other} counted {b}. State the difference.",
            f"{start.text} owns {a} {thing}; {other} owns {b}. How many must change hands for no gap, if that is "
            "possible?",
        ),
    )
    gap, more = abs(a - b), start.who.name if a > b else other
    fewer = other if a > b else start.who.name
    if "change hands" in text:
        if gap % 2:
            return Task(text, "", f"The difference is {gap}, an odd number, so no exchange makes them equal.")
        return Task(text, "", f"Half of the difference of {gap} is {gap // 2}, so {more} gives {gap // 2} to {fewer}.")
    return Task(text, "", f"{max(a, b)} - {min(a, b)} = {gap}, so {more} has {gap} more than {fewer}.")


def _cheaper(rng: random.Random) -> Task:
    item, (one, two) = choice(rng, OBJECTS), sample(rng, TOWNS, 2)
    prices, fee = [5 * each for each in sample(rng, range(100, 900), 2)], 5 * integer(rng, 20, 150)
    count = integer(rng, 2, 9)
    sums = count * prices[0] + fee, count * prices[1]
    text = framed(
        rng,
        (
            f"find the cheaper shop for {amount(count, item)}: {one} asks {money(prices[0])} each plus {money(fee)} "
            "postage, "
            f"{two} {money(prices[1])} each",
            f"compare buying {amount(count, item)} in {one} at {money(prices[0])} each plus {money(fee)} in all with "
            f"{two} "
            f"at {money(prices[1])} each",
        ),
        (
            f"where do {amount(count, item)} cost less, in {one} at {money(prices[0])} each plus {money(fee)} for "
            "delivery "
            f"or in {two} at {money(prices[1])} each",
        ),
        bare=0.4,
    )
    end = "both cost the same" if sums[0] == sums[1] else f"{one if sums[0] < sums[1] else two} is cheaper"
    return Task(text, "", f"The {plural(item)} cost {money(sums[0])} in {one} and {money(sums[1])} in {two}, so {end}.")


FAMILIES = (
    Family("fractions", _fractions),
    Family("decimals", _decimals),
    Family("ages", _ages),
    Family("heights", _heights),
    Family("faster", _faster),
    Family("difference", _difference),
    Family("cheaper", _cheaper),
)

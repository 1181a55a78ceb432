"""Lengths, weights, temperatures, times and areas turned from one unit into another, by exact factors."""

from __future__ import annotations

import random
from fractions import Fraction

from alpaca_cli.rehearsal.chance import choice, happens, integer
from alpaca_cli.rehearsal.english import amount, decimal, fixed, with_article
from alpaca_cli.rehearsal.frames import framed, opening
from alpaca_cli.rehearsal.scenes import place
from alpaca_cli.rehearsal.task import Family, Task
from alpaca_cli.rehearsal.words import OBJECTS, TOWNS

LENGTHS = (
    ("inches", "centimetres", Fraction(254, 100)),
    ("feet", "metres", Fraction(3048, 10000)),
    ("yards", "metres", Fraction(9144, 10000)),
    ("miles", "kilometres", Fraction(1609344, 1000000)),
    ("nautical miles", "kilometres", Fraction(1852, 1000)),
)
WEIGHTS = (
    ("pounds", "kilograms", Fraction(45359237, 100000000)),
    ("ounces", "grams", Fraction(28349523125, 1000000000)),
    ("stone", "kilograms", Fraction(635029318, 100000000)),
)
METRIC = (
    ("kilometres", "metres", 1000),
    ("metres", "centimetres", 100),
    ("centimetres", "millimetres", 10),
    ("kilograms", "grams", 1000),
    ("litres", "millilitres", 1000),
    ("tonnes", "kilograms", 1000),
    ("hectares", "square metres", 10000),
)
ROUTES = (
    "footpath",
    "fence",
    "rope",
    "pipe",
    "cable",
    "hedge",
    "wall",
    "canal",
    "tunnel",
    "ditch",
    "towpath",
    "railing",
)
GOODS = (
    "flour",
    "sand",
    "wool",
    "coal",
    "apples",
    "salt",
    "gravel",
    "honey",
    "nails",
    "clay",
    "seed",
    "firewood",
    "hay",
)
TRAVEL = ("cycled", "walked", "drove", "rowed", "rode", "sailed", "hiked", "skated")
SPEEDS = {"cycled": 18, "walked": 5, "drove": 70, "rowed": 7, "rode": 12, "sailed": 14, "hiked": 4, "skated": 16}


def _length(rng: random.Random) -> Task:
    old, new, factor = choice(rng, LENGTHS)
    if happens(rng, 0.4):
        old, new, factor = new, old, 1 / factor
    number, thing = integer(rng, 3, 240), choice(rng, ROUTES)
    value = fixed(number * factor, 2)
    text = framed(
        rng,
        (
            f"convert {number} {old} to {new}, rounded to two decimals",
            f"express the length of a {thing} of {number} {old} in {new}, to two decimal places",
            f"change {number} {old} of {thing} into {new} and round to two decimals",
        ),
        (
            f"how many {new} are {number} {old}, to two decimal places",
            f"what are {number} {old} of {thing} in {new}, rounded to two decimals",
        ),
    )
    return Task(text, "", f"{number} {old} are {value} {new}, rounded to two decimals.")


def _weight(rng: random.Random) -> Task:
    old, new, factor = choice(rng, WEIGHTS)
    if happens(rng, 0.4):
        old, new, factor = new, old, 1 / factor
    number, goods = integer(rng, 3, 190), choice(rng, GOODS)
    value = fixed(number * factor, 1)
    text = framed(
        rng,
        (
            f"convert {number} {old} of {goods} to {new}, to one decimal place",
            f"give the weight of a load of {goods}, {number} {old}, in {new} with one decimal",
            f"translate {number} {old} into {new} and round to one decimal",
        ),
        (
            f"how many {new} of {goods} make {number} {old}, to one decimal place",
            f"what do {number} {old} of {goods} weigh in {new}, rounded to one decimal",
        ),
    )
    return Task(text, "", f"{number} {old} are {value} {new}, rounded to one decimal.")


def _temperature(rng: random.Random) -> Task:
    degrees, to_fahrenheit = integer(rng, -20, 110), happens(rng, 0.5)
    old, new = ("Celsius", "Fahrenheit") if to_fahrenheit else ("Fahrenheit", "Celsius")
    value = Fraction(degrees) * 9 / 5 + 32 if to_fahrenheit else (Fraction(degrees) - 32) * 5 / 9
    room = place(rng)
    text = framed(
        rng,
        (
            f"convert {degrees} degrees {old} to {new}, to one decimal place",
            f"state in {new}, with one decimal, a reading of {degrees} degrees {old} taken in the {room}",
            f"turn a temperature of {degrees} {old} into degrees {new} and round to one decimal",
        ),
        (
            f"what is {degrees} degrees {old} in {new}, rounded to one decimal",
            f"the thermometer in the {room} shows {degrees} {old}; what is that in {new}, to one decimal",
        ),
    )
    formula = f"{degrees} x 9 / 5 + 32" if to_fahrenheit else f"({degrees} - 32) x 5 / 9"
    return Task(text, "", f"{formula} = {fixed(value, 1)}, so it is {fixed(value, 1)} degrees {new}.")


def _metric(rng: random.Random) -> Task:
    large, small, factor = choice(rng, METRIC)
    tenths, goods = integer(rng, 11, 980), choice(rng, (*GOODS, *ROUTES))
    shown = decimal(Fraction(tenths, 10), 1)
    value = decimal(Fraction(tenths * factor, 10), 1)
    text = framed(
        rng,
        (
            f"write {shown} {large} in {small}",
            f"convert {shown} {large} into {small} for a delivery of {goods}",
            f"express {shown} {large} as a number of {small}",
        ),
        (
            f"how many {small} are there in {shown} {large}",
            f"what number of {small} is the same as {shown} {large}",
        ),
    )
    return Task(text, "", f"{shown} {large} are {shown} x {factor} = {value} {small}.")


def _hours_and_minutes(rng: random.Random) -> Task:
    minutes, thing = integer(rng, 65, 1400), choice(rng, OBJECTS)
    hours, rest = divmod(minutes, 60)
    both = f"{amount(hours, 'hour')} and {amount(rest, 'minute')}" if rest else amount(hours, "hour")
    if happens(rng, 0.5):
        text = framed(
            rng,
            (
                f"express {minutes} minutes in hours and minutes",
                f"turn the {minutes} minutes spent on one {thing} into hours and minutes",
            ),
            (
                f"how many hours and minutes are {minutes} minutes",
                f"repairing {with_article(thing)} took {minutes} minutes; how long is that in hours and minutes",
            ),
        )
        return Task(text, "", f"{minutes} minutes are {both}.")
    text = framed(
        rng,
        (
            f"give {both} as a number of minutes",
            f"change {both}, the time needed for one {thing}, into minutes only",
        ),
        (f"how many minutes are {both} in all", f"what is {both} in minutes"),
    )
    return Task(text, "", f"{hours} x 60 + {rest} = {minutes}, so it is {minutes} minutes.")


def _average_speed(rng: random.Random) -> Task:
    start, verb, (end) = opening(rng), choice(rng, TRAVEL), choice(rng, TOWNS)
    speed, hours = max(3, SPEEDS[verb] + integer(rng, -2, 6)), integer(rng, 2, 9)
    text = choice(
        rng,
        (
            f"{start.text} {verb} {speed * hours} kilometres towards {end} in {hours} hours. What was the average "
            "speed?",
            f"{start.text} needed {hours} hours for the {speed * hours} kilometres to {end}. How fast was that on "
            "average?",
            f"{start.text} {verb} for {hours} hours and covered {speed * hours} kilometres. Compute the mean speed.",
        ),
    )
    return Task(text, "", f"{speed * hours} km / {hours} h = {speed} km/h, so the average speed was {speed} km/h.")


def _travel_time(rng: random.Random) -> Task:
    start, verb, end = opening(rng), choice(rng, TRAVEL), choice(rng, TOWNS)
    speed, minutes = 6 * max(1, SPEEDS[verb] // 6 + integer(rng, 0, 1)), 10 * integer(rng, 4, 40)
    distance = decimal(Fraction(speed * minutes, 60), 1)
    hours, rest = divmod(minutes, 60)
    long = (
        (f"{amount(hours, 'hour')} and {rest} minutes" if rest else amount(hours, "hour"))
        if hours
        else f"{rest} minutes"
    )
    text = choice(
        rng,
        (
            f"{start.text} {verb} {distance} kilometres at {speed} km/h to reach {end}. How long did that take?",
            f"{start.text} {verb} to {end}, {distance} kilometres away, at a steady {speed} km/h. Find the time "
            "needed.",
            f"{start.text} {verb} at {speed} km/h. After what time were the {distance} kilometres to {end} done?",
        ),
    )
    return Task(
        text,
        "",
        f"{distance} km / {speed} km/h = {minutes} minutes, that is {long}."
        if hours
        else f"{distance} km / {speed} km/h gives {minutes} minutes.",
    )


def _rectangle(rng: random.Random) -> Task:
    long, wide, room = integer(rng, 6, 90), integer(rng, 3, 50), place(rng)
    area = happens(rng, 0.5)
    what = "area" if area else "perimeter"
    text = framed(
        rng,
        (
            f"work out the {what} of a floor that is {long} metres long and {wide} metres wide",
            f"compute the {what} of the {room}, a rectangle of {long} by {wide} metres",
            f"find the {what} of a rectangular yard with sides of {long} m and {wide} m",
        ),
        (
            f"what is the {what} of a rectangle measuring {long} by {wide} metres",
            f"the {room} measures {long} m by {wide} m; what is its {what}",
        ),
    )
    if area:
        return Task(text, "", f"The area is {long} x {wide} = {long * wide} square metres.")
    return Task(text, "", f"The perimeter is 2 x ({long} + {wide}) = {2 * (long + wide)} metres.")


FAMILIES = (
    Family("length", _length),
    Family("weight", _weight),
    Family("temperature", _temperature),
    Family("metric", _metric),
    Family("hours_and_minutes", _hours_and_minutes),
    Family("average_speed", _average_speed),
    Family("travel_time", _travel_time),
    Family("rectangle", _rectangle),
)

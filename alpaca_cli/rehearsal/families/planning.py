"""Plans with numbers in them: trips by legs, seats, trips per load, packing by weight, reading by the day."""

from __future__ import annotations

import random

from alpaca_cli.rehearsal.chance import choice, integer, sample
from alpaca_cli.rehearsal.english import amount, capitalised, clock, in_words, listing, plural, with_article
from alpaca_cli.rehearsal.frames import framed, opening
from alpaca_cli.rehearsal.scenes import name, occasion, people, place, things
from alpaca_cli.rehearsal.task import Family, Task
from alpaca_cli.rehearsal.words import DAYS, OBJECTS, ROLES, TOWNS

SEATS = ("bench", "table", "bus", "boat", "row", "van", "cabin", "tent", "coach", "carriage", "raft", "room")


def _trip(rng: random.Random) -> Task:
    towns, who = sample(rng, TOWNS, integer(rng, 4, 5)), name(rng)
    legs = [integer(rng, 12, 320) for _ in towns[1:]]
    event = occasion(rng)
    text = framed(
        rng,
        (
            f"add up the legs of {who}'s journey from {towns[0]} to {towns[-1]}",
            f"work out how long the route to {event} is, all legs together",
            f"compute the whole distance from {towns[0]} by way of {towns[1]} to {towns[-1]}",
        ),
        (f"how many kilometres is the journey from {towns[0]} to {towns[-1]} with the legs below",),
    )
    given = "\n".join(f"{a} to {b}: {leg} km" for a, b, leg in zip(towns[:-1], towns[1:], legs, strict=True))
    return Task(text, given, f"{' + '.join(map(str, legs))} = {sum(legs)}, so the journey is {sum(legs)} km long.")


def _seats(rng: random.Random) -> Task:
    start, seat, event = opening(rng), choice(rng, SEATS), occasion(rng)
    each, guests = integer(rng, 4, 24), integer(rng, 40, 400)
    needed = -(-guests // each)
    text = choice(
        rng,
        (
            f"{start.text} invited {guests} people to {event}. With {each} to a {seat}, how many {plural(seat)} are "
            "needed?",
            f"{start.text} needs room for {guests} guests, {each} in each {seat}. Find the least number of "
            f"{plural(seat)}.",
            f"{start.text} expects {guests} visitors and seats {each} per {seat}. How many {plural(seat)} must there "
            "be?",
        ),
    )
    full, rest = divmod(guests, each)
    more = f"leaves {rest}, so one more is needed: {needed} in all" if rest else f"leaves none, so {needed} are enough"
    return Task(text, "", f"{guests} / {each} is {full} and {more}.")


def _loads(rng: random.Random) -> Task:
    start, thing = opening(rng), plural(choice(rng, OBJECTS))
    weight, limit, count = integer(rng, 2, 19), integer(rng, 60, 400), integer(rng, 30, 300)
    per_load = limit // weight
    trips = -(-count // per_load)
    text = choice(
        rng,
        (
            f"{start.text} must carry {count} {thing} of {weight} kg each on a cart for {limit} kg. "
            f"How many loads are that?",
            f"{start.text} moves {count} {thing}, {weight} kg apiece, by a lift that bears {limit} kg. "
            f"Count the trips needed.",
        ),
    )
    return Task(
        text,
        "",
        f"One load holds {limit} / {weight}, that is {per_load} whole ones; {count} of them take {trips} loads.",
    )


def _reading(rng: random.Random) -> Task:
    start, pages, daily = opening(rng), integer(rng, 120, 900), integer(rng, 11, 60)
    days, day = -(-pages // daily), choice(rng, DAYS)
    last = DAYS[(DAYS.index(day) + days - 1) % 7]
    subject = with_article(place(rng))
    kind = choice(
        rng, ("novel", "diary", "biography", "saga", "thriller", "cookbook", "history", "travelogue", "romance")
    )
    text = choice(
        rng,
        (
            f"{start.text} begins a {kind} of {pages} pages about {subject} on {day}, {daily} pages a day. "
            f"On which weekday is it finished?",
            f"{start.text} reads {daily} pages daily of a {kind} of {pages}, starting on {day}. "
            f"How many days does it take, and which is the last?",
            f"{start.text} has {pages} pages to get through from {day} on, {daily} a day. Name the last weekday.",
            f"{start.text} opens a {kind} of {pages} pages on {day} and manages {daily} a day. When is the last page "
            "read?",
            f"{start.text} got a {kind} about {subject}, {pages} pages long. At {daily} a day from {day}, what day "
            "ends it?",
            f"{start.text} promises to read {daily} of {pages} pages every day, from {day} on. Find the day of the "
            "end.",
        ),
    )
    return Task(text, "", f"{pages} pages at {daily} a day take {amount(days, 'day')}, so the last one is a {last}.")


def _rota(rng: random.Random) -> Task:
    friends, job = [each.name for each in people(rng, integer(rng, 3, 4))], choice(rng, ROLES)
    first = integer(rng, 0, 6)
    count = integer(rng, 4, 6)
    days = [DAYS[(first + at) % 7] for at in range(count)]
    room = place(rng)
    text = framed(
        rng,
        (
            f"plan {in_words(count)} days from {days[0]} on at the {room}, with {listing(friends)} taking turns in "
            "this order",
            f"make a rota for the {job}'s {room} for {in_words(count)} days from {days[0]}: {listing(friends)} in turn",
        ),
    )
    return Task(text, "", "\n".join(f"{day}: {friends[at % len(friends)]}" for at, day in enumerate(days)))


def _talk_times(rng: random.Random) -> Task:
    speakers, begin = [each.name for each in people(rng, 3)], 30 * integer(rng, 16, 36)
    talk, pause = 5 * integer(rng, 2, 9), 5 * integer(rng, 1, 4)
    text = framed(
        rng,
        (
            f"schedule talks by {listing(speakers)} from {clock(begin)}, {talk} minutes each with {pause} minutes "
            "between",
            f"tell when {listing(speakers)} speak, from {clock(begin)}, {talk} minutes each and {pause} minutes apart",
        ),
        (
            f"when do {listing(speakers)} begin their talks of {talk} minutes, with {pause} minutes "
            "between "
            f"and a start at {clock(begin)}",
        ),
        bare=0.3,
    )
    starts = [begin + at * (talk + pause) for at in range(3)]
    lines = [f"{clock(at)} to {clock(at + talk)}: {who}" for who, at in zip(speakers, starts, strict=True)]
    return Task(text, "", "\n".join(lines))


def _budget(rng: random.Random) -> Task:
    event, who = occasion(rng), name(rng)
    purposes = sample(rng, ("food", "hall", "flowers", "travel", "printing", "prizes", "drinks", "lights", "staff"), 4)
    costs, spare = [5 * integer(rng, 4, 90) for _ in purposes], 5 * integer(rng, -20, 40)
    total = sum(costs)
    given = total + spare
    text = framed(
        rng,
        (
            f"check whether a budget of ${given} covers the costs of {event} below",
            f"compare the costs listed here with the ${given} that {who} has, and state the difference",
        ),
        (
            f"is ${given} enough for the expenses below, and what is left or missing",
            f"can {who} pay all this with ${given}",
        ),
    )
    end = (
        f"${given - total} is left"
        if given > total
        else (f"${total - given} is missing" if given < total else "nothing is left over")
    )
    return Task(
        text,
        "\n".join(f"{capitalised(purpose)}: ${cost}" for purpose, cost in zip(purposes, costs, strict=True)),
        f"The costs are {' + '.join(f'${cost}' for cost in costs)} = ${total}, so {end}.",
    )


def _shelf_space(rng: random.Random) -> Task:
    thing, room = things(rng), place(rng)
    wide, count, shelf = integer(rng, 3, 28), integer(rng, 15, 140), integer(rng, 60, 240)
    per_shelf = shelf // wide
    text = framed(
        rng,
        (
            f"find how many shelves of {shelf} cm hold {count} {thing}, each {wide} cm wide, in one layer",
            f"plan shelves of {shelf} cm for {count} {thing} of {wide} cm width side by side",
        ),
        (f"how many shelves, {shelf} cm long, does the {room} need for {count} {thing} of {wide} cm side by side",),
    )
    return Task(
        text,
        "",
        f"A shelf of {shelf} cm holds {per_shelf} of {wide} cm, so {count} of them need {-(-count // per_shelf)} "
        "shelves.",
    )


FAMILIES = (
    Family("trip", _trip),
    Family("seats", _seats),
    Family("loads", _loads),
    Family("reading", _reading),
    Family("rota", _rota),
    Family("talk_times", _talk_times),
    Family("budget", _budget),
    Family("shelf_space", _shelf_space),
)

"""The right words for an occasion: a polite question, a comparison of adjectives, a note of thanks."""

from __future__ import annotations

import random

from alpaca_cli.rehearsal.chance import choice, happens, sample
from alpaca_cli.rehearsal.english import capitalised, plural, with_article
from alpaca_cli.rehearsal.frames import framed
from alpaca_cli.rehearsal.scenes import doing, name, occasion, person, place
from alpaca_cli.rehearsal.sentences import TRANSITIVE
from alpaca_cli.rehearsal.task import Family, Task
from alpaca_cli.rehearsal.words import OBJECTS, QUALITIES, ROLES, TOWNS

SHORT = (
    *(
        "big",
        "bright",
        "cheap",
        "clean",
        "cold",
        "damp",
        "dark",
        "deep",
        "fast",
        "fresh",
        "hard",
        "high",
        "kind",
        "light",
    ),
    *(
        "long",
        "loud",
        "low",
        "neat",
        "new",
        "old",
        "plain",
        "quick",
        "rich",
        "sharp",
        "short",
        "slow",
        "small",
        "smooth",
    ),
    *("soft", "steep", "strong", "sweet", "tall", "thick", "warm", "weak", "wide", "wild", "young", "busy", "dirty"),
    *(
        "dusty",
        "easy",
        "funny",
        "heavy",
        "noisy",
        "pretty",
        "rusty",
        "shiny",
        "tidy",
        "tiny",
        "ugly",
        "hot",
        "thin",
        "wet",
    ),
)
LONG = (
    *("beautiful", "careful", "colourful", "comfortable", "curious", "dangerous", "difficult", "elegant", "expensive"),
    *("famous", "fragile", "generous", "helpful", "important", "interesting", "modern", "patient", "popular", "useful"),
    *("valuable", "reliable", "remarkable", "peaceful", "practical", "precious", "delicious", "delicate", "cautious"),
)
DOUBLED = {"big": "bigg", "hot": "hott", "thin": "thinn", "wet": "wett"}


def _polite(rng: random.Random) -> Task:
    verb, thing, room = choice(rng, TRANSITIVE), choice(rng, OBJECTS), place(rng)
    who, task = name(rng), doing(rng)
    order = f"{verb.base} the {thing} in the {room}"
    text = framed(
        rng,
        (
            f'make the order "{capitalised(order)}!" a polite question that begins with "Could you please"',
            f'soften "{capitalised(order)}!" for {who}: start with "Could you please"',
            f'rephrase the command "{capitalised(order)}!" courteously, with "Could you please" in front',
        ),
        (
            f'how does one ask {who} politely, with "Could you please", instead of "{capitalised(order)}!"',
            f'in a note about {task}, how would "{capitalised(order)}!" sound with "Could you please"',
        ),
    )
    return Task(text, "", f"Could you please {order}?")


def _comparative(rng: random.Random) -> Task:
    one, two = sample(rng, OBJECTS, 2)
    first, second = f"{choice(rng, QUALITIES)} {one}", f"{choice(rng, QUALITIES)} {two}"
    short = happens(rng, 0.65)
    word = choice(rng, SHORT if short else LONG)
    if not short:
        form, top = f"more {word}", f"most {word}"
    else:
        stem = DOUBLED.get(word, f"{word[:-1]}i" if word.endswith("y") else word.removesuffix("e"))
        form, top = f"{stem}er", f"{stem}est"
    text = framed(
        rng,
        (
            f'compare {with_article(first)} with {with_article(second)}: use the comparative of "{word}"',
            f'give the comparative and superlative of "{word}" and say the first about the {first} and the {two}',
            f'make a sentence with "{word}" in the comparative about the {first} and the {second}',
        ),
        (f'how does one say that the {first} beats the {second} in being "{word}"',),
    )
    return Task(text, "", f'The forms are "{form}" and "{top}": the {one} is {form} than the {two}.')


def _thank_you(rng: random.Random) -> Task:
    who, thing, event = person(rng), choice(rng, OBJECTS), occasion(rng)
    count, town = choice(rng, ("a", "several")), choice(rng, TOWNS)
    what = f"{count} {choice(rng, QUALITIES)} {plural(thing)}" if count == "several" else with_article(thing)
    sender = choice(rng, ROLES)
    text = framed(
        rng,
        (
            f"write a two-sentence thank-you note to {who.name} from {town} for {what} given for {event}",
            f"thank {who.name} of {town} in two sentences for lending {what} to {event}",
        ),
        bare=0.3,
    )
    lent = "lending" in text
    verb = "lending us" if lent else "giving us"
    return Task(
        text,
        "",
        f"Dear {who.name}, thank you very much for {verb} {what} for {event}. "
        f"Everybody, down to the {sender}, was glad of your help and sends kind regards to {town}.",
    )


FAMILIES = (
    Family("polite", _polite),
    Family("comparative", _comparative),
    Family("thank_you", _thank_you),
)

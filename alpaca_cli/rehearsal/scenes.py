"""Who, where, what and when: the phrases about people, places and occasions that frames and families draw on."""

from __future__ import annotations

import random
from dataclasses import dataclass

from alpaca_cli.rehearsal.chance import choice, happens, sample
from alpaca_cli.rehearsal.english import plural, with_article
from alpaca_cli.rehearsal.words import (
    AIRS,
    AUNTS,
    EVENTS,
    FRIENDS,
    HANDLING,
    HOSTS,
    KEEPING,
    MEN,
    OBJECTS,
    PAPERS,
    PLACES,
    QUALITIES,
    ROLES,
    TEMPERS,
    TOWNS,
    UNCLES,
    WOMEN,
)


@dataclass(frozen=True)
class Person:
    """Somebody to tell about; `she`, `her` and `own` are the pronouns as subject, object and possessive."""

    name: str
    she: str
    her: str
    own: str


def person(rng: random.Random) -> Person:
    """A woman or a man, equally often."""
    if happens(rng, 0.5):
        return Person(choice(rng, WOMEN), "she", "her", "her")
    return Person(choice(rng, MEN), "he", "him", "his")


def name(rng: random.Random) -> str:
    """A first name."""
    return person(rng).name


def relation(rng: random.Random, who: Person) -> str:
    """What somebody is to the teller, without an article: "aunt", "nephew", "workmate"."""
    if happens(rng, 0.6):
        return choice(rng, FRIENDS)
    return choice(rng, AUNTS if who.she == "she" else UNCLES)


def role(rng: random.Random) -> str:
    """An occupation with its article and, often, a temper: "a patient beekeeper"."""
    calling = choice(rng, ROLES)
    return with_article(f"{choice(rng, TEMPERS)} {calling}" if happens(rng, 0.6) else calling)


def things(rng: random.Random) -> str:
    """Several objects of one kind: "dented lanterns"."""
    objects = plural(choice(rng, OBJECTS))
    return f"{choice(rng, QUALITIES)} {objects}" if happens(rng, 0.6) else objects


def someone(rng: random.Random) -> str:
    """A person as a phrase in the third person singular."""
    who = person(rng)
    match int(rng.random() * 6):
        case 0:
            return f"{who.name} the {choice(rng, ROLES)}"
        case 1:
            return f"my {relation(rng, who)} {who.name}"
        case 2:
            return f"{who.name} from {choice(rng, TOWNS)}"
        case 3:
            return f"the {choice(rng, TEMPERS)} {choice(rng, ROLES)}"
        case 4:
            return f"our {choice(rng, ROLES)} {who.name}"
        case _:
            return role(rng)


def doing(rng: random.Random) -> str:
    """An activity in the -ing form: "polishing brass lanterns", "repainting the old boathouse"."""
    if happens(rng, 0.4):
        return f"{choice(rng, KEEPING)} the {place(rng)}"
    return f"{choice(rng, HANDLING)} {things(rng)}"


def place(rng: random.Random) -> str:
    """A building or room without its article: "quiet library"."""
    where = choice(rng, PLACES)
    return f"{choice(rng, AIRS)} {where}" if happens(rng, 0.6) else where


def where(rng: random.Random) -> str:
    """A place with its preposition: "at the mill"."""
    match int(rng.random() * 4):
        case 0:
            return f"in {choice(rng, TOWNS)}"
        case 1:
            return f"near the {place(rng)}"
        case _:
            return f"at the {place(rng)}"


def event(rng: random.Random) -> str:
    """An event that may take place anywhere: "the harvest supper"."""
    return f"the {choice(rng, HOSTS)} {choice(rng, EVENTS)}"


def occasion(rng: random.Random) -> str:
    """An event that may have its town with it: "the supper in Bergen"."""
    return f"the {choice(rng, EVENTS)} in {choice(rng, TOWNS)}" if happens(rng, 0.25) else event(rng)


def paper(rng: random.Random) -> str:
    """Something that holds questions or answers: "the museum's quiz sheet"."""
    return f"the {choice(rng, PAPERS)} of the {place(rng)}"


def people(rng: random.Random, count: int) -> list[Person]:
    """`count` people with different names."""
    found = [Person(each, "she", "her", "her") for each in sample(rng, WOMEN, count)]
    found += [Person(each, "he", "him", "his") for each in sample(rng, MEN, count)]
    return sample(rng, found, count)

"""Sets a bare request among people, places and occasions, so that two requests of one family differ in most words.

No frame contains a digit, a number word, a weekday or a month: those of an instruction belong to its question.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from alpaca_cli.rehearsal.chance import choice, happens
from alpaca_cli.rehearsal.english import capitalised
from alpaca_cli.rehearsal.scenes import (
    Person,
    doing,
    event,
    name,
    occasion,
    paper,
    person,
    place,
    relation,
    role,
    someone,
    where,
)
from alpaca_cli.rehearsal.words import ROLES, TIMES, TOWNS, TROUBLES

BARE_SHARE = 0.36
"""The share of requests that stand alone: short ones, as people ask, and the first to be used up."""
FEWEST_WORDS = 8
QUESTION_SHARE = 0.45
POSED_SHARE = 0.5


def situation(rng: random.Random) -> str:
    """A sentence, without its stop, that says who needs the answer or what is going on around the question."""
    match int(rng.random() * 11):
        case 0:
            return f"{name(rng)} is {doing(rng)} {where(rng)} {choice(rng, TIMES)}"
        case 1:
            return f"{someone(rng)} is getting ready for {occasion(rng)}"
        case 2:
            return f"{name(rng)} and {someone(rng)} are {doing(rng)} {choice(rng, TIMES)}"
        case 3:
            return f"the {place(rng)} in {choice(rng, TOWNS)} hosts {event(rng)}"
        case 4:
            return f"{someone(rng)} has been {doing(rng)} {where(rng)}"
        case 5:
            return f"nobody {where(rng)} could help {someone(rng)} with this"
        case 6:
            return f"because of {choice(rng, TROUBLES)}, {someone(rng)} is still {doing(rng)}"
        case 7:
            return f"between {doing(rng)} and {doing(rng)}, {name(rng)} has a question"
        case 8:
            return f"{someone(rng)} has a question for {paper(rng)}"
        case 9:
            return f"despite {choice(rng, TROUBLES)}, {event(rng)} takes place {where(rng)}"
        case _:
            return f"{name(rng)} works as {role(rng)} {where(rng)}"


def lead(rng: random.Random) -> str:
    """An opening that a request follows after a comma."""
    match int(rng.random() * 10):
        case 0:
            return f"for {event(rng)} {where(rng)}"
        case 1:
            return f"as a favour to {someone(rng)}"
        case 2:
            return f"to help {someone(rng)} with {doing(rng)}"
        case 3:
            return f"before {name(rng)} starts {doing(rng)}"
        case 4:
            return f"while {someone(rng)} is {doing(rng)}"
        case 5:
            return f"on behalf of {someone(rng)} {where(rng)}"
        case 6:
            return f"with {event(rng)} coming up {where(rng)}"
        case 7:
            return f"for {paper(rng)}"
        case 8:
            return f"now that {choice(rng, TROUBLES)} has stopped {name(rng)} from {doing(rng)}"
        case _:
            return f"since {someone(rng)} is busy {doing(rng)}"


def _before_do(rng: random.Random, core: str) -> str:
    return f"{capitalised(lead(rng))}, {core}."


def _after_do(rng: random.Random, core: str) -> str:
    match int(rng.random() * 5):
        case 0:
            return f"{capitalised(core)} so that {someone(rng)} can go on {doing(rng)}."
        case 1:
            return f"{capitalised(core)}; {someone(rng)} needs it for {occasion(rng)}."
        case 2:
            return f"{capitalised(core)}, because {someone(rng)} is {doing(rng)} {where(rng)}."
        case 3:
            return f"{capitalised(core)}. This is for {paper(rng)}."
        case _:
            return f"{capitalised(core)} while {someone(rng)} keeps {doing(rng)}."


def _told_do(rng: random.Random, core: str) -> str:
    wish = choice(rng, ("asks you to", "wants you to", "would like you to", "needs you to", "has told you to"))
    when = choice(rng, ("now", "still", "often", "currently"))
    return f"{capitalised(someone(rng))}, {when} {doing(rng)}, {wish} {core}."


def _play_do(rng: random.Random, core: str) -> str:
    frame = choice(rng, ("imagine you are", "suppose you are", "think of yourself as", "act as", "answer as"))
    return f"{capitalised(frame)} {role(rng)} {doing(rng)} {where(rng)}: {core}."


def _situated_do(rng: random.Random, core: str) -> str:
    return f"{capitalised(situation(rng))}. {capitalised(core)}."


def _before_ask(rng: random.Random, core: str) -> str:
    return f"{capitalised(lead(rng))}: {core}?"


def _after_ask(rng: random.Random, core: str) -> str:
    return f"{capitalised(core)}? {capitalised(situation(rng))}."


def _told_ask(rng: random.Random, core: str) -> str:
    verb = choice(rng, ("asks", "wonders", "wants to know", "would like to know", "is curious", "keeps asking"))
    return f"{choice(rng, ('While', 'When', 'Before'))} {doing(rng)}, {someone(rng)} {verb}: {core}?"


def _card_ask(rng: random.Random, core: str) -> str:
    brought = choice(rng, ("A question", "Here is a question", "A riddle", "Something to work out", "Another puzzle"))
    return f"{brought} from {someone(rng)} for {paper(rng)}: {core}?"


def _situated_ask(rng: random.Random, core: str) -> str:
    return f"{capitalised(situation(rng))}. {capitalised(core)}?"


Frame = Callable[[random.Random, str], str]
DO_FRAMES: tuple[Frame, ...] = (_before_do, _before_do, _after_do, _told_do, _play_do, _situated_do, _situated_do)
ASK_FRAMES: tuple[Frame, ...] = (_before_ask, _after_ask, _told_ask, _card_ask, _situated_ask, _situated_ask)


def framed(rng: random.Random, do: Sequence[str], ask: Sequence[str] = (), *, bare: float = BARE_SHARE) -> str:
    """One of the requests, set in a frame.

    `do` are clauses in the imperative and `ask` direct questions, both without a capital and without the last mark;
    in the share `bare` of the calls the request stands alone, if it is long enough.
    """
    asks = bool(ask) and (not do or happens(rng, QUESTION_SHARE))
    core = choice(rng, ask if asks else do)
    if happens(rng, bare) and len(core.split()) >= FEWEST_WORDS:
        return f"{capitalised(core)}{'?' if asks else '.'}"
    return choice(rng, ASK_FRAMES if asks else DO_FRAMES)(rng, core)


@dataclass(frozen=True)
class Opening:
    """The beginning of a story: `text` ends in its subject, to be followed by a verb in the past tense."""

    text: str
    who: Person


def opening(rng: random.Random) -> Opening:
    """Somebody somewhere, at the beginning of a sentence: "While polishing lanterns, Marta"."""
    who = person(rng)
    match int(rng.random() * 6):
        case 0:
            text = f"{choice(rng, ('While', 'Before', 'After'))} {doing(rng)}, {who.name}"
        case 1:
            text = f"{capitalised(where(rng))}, {who.name} the {choice(rng, ROLES)}"
        case 2:
            text = f"{who.name}, {role(rng)} from {choice(rng, TOWNS)},"
        case 3:
            text = f"For {event(rng)} {where(rng)}, {who.name}"
        case 4:
            text = f"Because of {choice(rng, TROUBLES)}, {who.name} the {choice(rng, ROLES)}"
        case _:
            text = f"My {relation(rng, who)} {who.name} from {choice(rng, TOWNS)}"
    return Opening(text, who)


def posed(rng: random.Random, data: str, called: str) -> tuple[str, str]:
    """How a request names its data, and the task's input: the data and nothing, or "the word below" and the data.

    `called` is the noun for the data, in the plural if they are several.
    """
    return (f"the {called} below", data) if happens(rng, POSED_SHARE) else (data, "")

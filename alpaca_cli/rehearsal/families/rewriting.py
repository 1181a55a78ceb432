"""Sentences recast by rule: voice, tense, person, denial, question and joining."""

from __future__ import annotations

import random

from alpaca_cli.rehearsal.chance import choice, happens, integer, sample
from alpaca_cli.rehearsal.english import capitalised, with_article
from alpaca_cli.rehearsal.frames import framed
from alpaca_cli.rehearsal.scenes import name, person, someone
from alpaca_cli.rehearsal.sentences import TRANSITIVE, WHENS, clause
from alpaca_cli.rehearsal.task import Family, Task
from alpaca_cli.rehearsal.words import FRIENDS, OBJECTS, PAPERS, PLACES


def _said(text: str) -> str:
    return f"{capitalised(text)}."


def _passive(rng: random.Random) -> Task:
    part, who = clause(rng), name(rng)
    when = choice(rng, WHENS)
    text = framed(
        rng,
        (
            "put the sentence below into the passive voice",
            f"rewrite {who}'s sentence in the passive and keep its tense",
            "recast this active sentence so that the thing becomes its subject",
            "change the given sentence from active to passive voice",
        ),
        ("how does the sentence below read in the passive voice", f"what is {who}'s sentence in the passive"),
    )
    were = "were" if part.many else "was"
    given = f"{part.subject} {part.verb.past} {part.thing} {when}"
    return Task(text, _said(given), _said(f"{part.thing} {were} {part.verb.participle} by {part.subject} {when}"))


def _active(rng: random.Random) -> Task:
    part, who = clause(rng), name(rng)
    text = framed(
        rng,
        (
            "turn the passive sentence below into an active one",
            f"rewrite the sentence from {who}'s report in the active voice",
            "say the same in the active voice, with the person as subject",
            f"make {who}'s sentence active: let it begin with the one who acts",
            f"help {who} to get rid of the passive in this line",
        ),
        (
            "how would one put this passive sentence in the active voice",
            f"how does {who}'s line read in the active voice",
        ),
    )
    were = "were" if part.many else "was"
    given = f"{part.thing} {were} {part.verb.participle} by {part.subject} {part.where}"
    return Task(text, _said(given), _said(part.past()))


def _tense(rng: random.Random) -> Task:
    part, who = clause(rng), name(rng)
    when = choice(rng, WHENS)
    base = f"{part.subject} {{}} {part.thing} {when}"
    forms = {
        "simple past": part.verb.past,
        "simple present": part.verb.third,
        "future with will": f"will {part.verb.base}",
        "present perfect": f"has {part.verb.participle}",
    }
    names = list(forms)
    old = integer(rng, 0, 3)
    new = (old + integer(rng, 1, 3)) % 4
    text = framed(
        rng,
        (
            f"change the sentence below from the {names[old]} to the {names[new]}",
            f"rewrite the given sentence in the {names[new]}",
            f"put what {who} wrote into the {names[new]}",
        ),
        (f"how does the sentence read in the {names[new]}", f"what would {who} write in the {names[new]}"),
    )
    return Task(text, _said(base.format(forms[names[old]])), _said(base.format(forms[names[new]])))


def _third_person(rng: random.Random) -> Task:
    who, thing, room = person(rng), choice(rng, OBJECTS), choice(rng, PLACES)
    (verb, other), reader = sample(rng, TRANSITIVE, 2), someone(rng)
    given = f"I {verb.past} my {thing} in the {room}, and then I {other.past} it"
    done = f"{who.name} {verb.past} {who.own} {thing} in the {room}, and then {who.she} {other.past} it"
    text = framed(
        rng,
        (
            f"rewrite the sentence in the third person, with {who.name} ({who.she}) as its subject",
            f"tell what is said below about {who.name} instead of I, using {who.she} and {who.own}",
            f"turn this first-person note by {who.name} into the third person with {who.she}",
            f"let {reader} report what {who.name} did, beginning with that name and going on with {who.she}",
            f"replace I by {who.name} and then {who.she}, so that {reader} can read the note out",
        ),
        (
            f"how does the note below read if it is told about {who.name}, with {who.she} and {who.own}",
            f"what would {reader} write about {who.name}, using {who.she}, to say the same",
        ),
    )
    return Task(text, f"{given}.", f"{done}.")


def _negative(rng: random.Random) -> Task:
    part, who = clause(rng), name(rng)
    when, now = choice(rng, WHENS), happens(rng, 0.5)
    verb = part.verb.third if now else part.verb.past
    helper = "does not" if now else "did not"
    text = framed(
        rng,
        (
            "make the sentence below negative",
            f"deny what {who} claims in this sentence, using the word not",
            "rewrite the statement so that it says the opposite by adding not",
        ),
        ("what is the negative form of the sentence below", f"how would one deny {who}'s sentence with the word not"),
    )
    return Task(
        text,
        _said(f"{part.subject} {verb} {part.thing} {when}"),
        _said(f"{part.subject} {helper} {part.verb.base} {part.thing} {when}"),
    )


def _question_form(rng: random.Random) -> Task:
    part, who = clause(rng), name(rng)
    now = happens(rng, 0.5)
    text = framed(
        rng,
        (
            f"turn the statement below into a yes-or-no question with {'does' if now else 'did'}",
            f"ask {who} in one direct question whether this is so",
            "rewrite the given statement as a question with the answer yes or no",
            f"make {who}'s sentence a question",
            f"form the question that {who}'s statement says yes to",
        ),
        (
            "which yes-or-no question does the sentence below answer",
            f"how would {who} ask whether this statement is true",
        ),
    )
    helper = "does" if now else "did"
    return Task(
        text,
        _said(part.present() if now else part.past()),
        f"{capitalised(helper)} {part.subject} {part.verb.base} {part.thing} {part.where}?",
    )


def _reported(rng: random.Random) -> Task:
    who, part = person(rng), clause(rng, many=False)
    verb, listener, other = part.verb, with_article(choice(rng, FRIENDS)), someone(rng)
    said = f'{who.name} said: "I {verb.base} {part.thing} {part.where}."'
    text = framed(
        rng,
        (
            f"put {who.name}'s words into reported speech with {who.she} and the past tense",
            f"report to {listener} what {who.name} said, in indirect speech with {who.she} and a past tense",
            f"rewrite the direct speech below as reported speech in the past, with {who.she} for I",
            f"tell {listener} in indirect speech and the past tense what {who.name} said",
            f"say without quotation marks, in the past, what {who.name} told {other}",
        ),
        (
            f"how are {who.name}'s words put in reported speech, with {who.she} and the past tense",
            f"how would {other} report in the past tense what {who.name} said",
        ),
    )
    return Task(text, said, f"{who.name} said that {who.she} {verb.past} {part.thing} {part.where}.")


def _combined(rng: random.Random) -> Task:
    left, right = clause(rng), clause(rng)
    word = choice(rng, ("because", "although", "while", "before", "after", "and", "but", "so"))
    who, paper = name(rng), choice(rng, PAPERS)
    text = framed(
        rng,
        (
            f'join the two sentences below with the word "{word}" between them',
            f'combine both statements into one by means of "{word}", the first one first',
            f'connect {who}\'s two sentences by "{word}" for the {paper}',
        ),
        (f'how do the two sentences read when "{word}" joins them in this order',),
    )
    return Task(text, f"{_said(left.past())} {_said(right.past())}", _said(f"{left.past()} {word} {right.past()}"))


FAMILIES = (
    Family("passive", _passive),
    Family("active", _active),
    Family("tense", _tense),
    Family("third_person", _third_person),
    Family("negative", _negative),
    Family("question_form", _question_form),
    Family("reported", _reported),
    Family("combined", _combined),
)

"""Words and remarks sorted into classes by a lexicon of our own."""

from __future__ import annotations

import random

from alpaca_cli.rehearsal.chance import choice, happens, integer, sample, shuffled
from alpaca_cli.rehearsal.english import capitalised, in_words, listing, plural, with_article
from alpaca_cli.rehearsal.frames import framed, posed
from alpaca_cli.rehearsal.lexicon import BLAME, KINDS, OPPOSITES, PRAISE, RHYMES
from alpaca_cli.rehearsal.scenes import name, occasion, place
from alpaca_cli.rehearsal.task import Family, Task
from alpaca_cli.rehearsal.words import AIRS, EVENTS, HOSTS, OBJECTS, PLACES, TOWNS

ROUNDS = (
    "staff",
    "service",
    "food",
    "bed",
    "view",
    "welcome",
    "lighting",
    "coffee",
    "seat",
    "tour",
    "breakfast",
    "room",
)
TOPICS = {
    "delivery": ("where is my parcel with {}", "the courier left {} at the wrong door", "when will {} be shipped"),
    "payment": ("I was charged twice for {}", "my card was refused when I paid for {}", "I need an invoice for {}"),
    "return": ("I want to send back {}", "may I exchange {} that I no longer want", "how do I return {}"),
    "repair": ("the handle broke off and I would like to have {} mended", "can you fix {}", "please repair {}"),
    "praise": ("I am delighted with {}", "thank you for {}, I love it", "my family adores {}"),
}


def _kinds(rng: random.Random, count: int) -> list[str]:
    # a fruit or a vegetable is a plant too, so that these are never set against each other
    rivals = ("plant",) if happens(rng, 0.7) else ("fruit", "vegetable")
    return sample(rng, [kind for kind in KINDS if kind not in rivals], count)


def _kind_of(rng: random.Random) -> Task:
    right, *others = _kinds(rng, integer(rng, 3, 4))
    word, who = choice(rng, KINDS[right]), name(rng)
    offered = listing([with_article(each) for each in shuffled(rng, [right, *others])], "or")
    text = framed(
        rng,
        (
            f'decide if "{word}" names {offered}',
            f'classify the word "{word}" as {offered}',
            f'tell {who} which group "{word}" belongs to: {offered}',
        ),
        (f'does the word "{word}" stand for {offered}', f'what is meant by "{word}", {offered}'),
    )
    return Task(text, "", f'The word "{word}" names {with_article(right)}.')


def _grouped(rng: random.Random) -> Task:
    kinds = _kinds(rng, integer(rng, 2, 3))
    members = {kind: sample(rng, KINDS[kind], integer(rng, 2, 3)) for kind in kinds}
    given = shuffled(rng, [word for words in members.values() for word in words])
    headings, room = (
        listing([plural(kind) for kind in kinds]),
        place(rng),
    )
    text = framed(
        rng,
        (
            f"sort the words below into {headings}",
            f"group these {in_words(len(given))} words under the headings {headings}",
            f"make separate lists of {headings} out of the mixed notes from the {room}",
        ),
        (f"which of these words are {headings}",),
    )
    lines = [
        f"{capitalised(plural(kind))}: {', '.join(word for word in given if word in members[kind])}" for kind in kinds
    ]
    return Task(text, ", ".join(given), "\n".join(lines))


def _odd_one_out(rng: random.Random) -> Task:
    kind, other = _kinds(rng, 2)
    stranger, who = choice(rng, KINDS[other]), name(rng)
    given = shuffled(rng, [*sample(rng, KINDS[kind], integer(rng, 3, 5)), stranger])
    shown = listing(given)
    asked, posed_input = posed(rng, shown, "words")
    text = framed(
        rng,
        (
            f"name the odd one out among {asked} and give the reason",
            f"find the word that does not fit with the others in {asked}",
            f"tell {who} which one of {asked} is of another kind",
        ),
        (f"which of {asked} does not belong, and why", f"what is the odd one out in {asked}"),
    )
    return Task(
        text,
        posed_input,
        f"The odd one out is {stranger}: it names {with_article(other)}, and each of the others {with_article(kind)}.",
    )


def _sentiment(rng: random.Random) -> Task:
    good, who = happens(rng, 0.5), name(rng)
    words, parts = sample(rng, PRAISE if good else BLAME, 2), sample(rng, ROUNDS, 2)
    where = f"the {choice(rng, AIRS)} {choice(rng, PLACES)} in {choice(rng, TOWNS)}"
    remark = choice(
        rng,
        (
            f"We visited {where}. The {parts[0]} was {words[0]} and the {parts[1]} was simply {words[1]}.",
            f"At {where} I found the {parts[0]} {words[0]}; the {parts[1]} was {words[1]} as well.",
            f"My guests called the {parts[0]} at {where} {words[0]} and the {parts[1]} {words[1]}.",
        ),
    )
    event = occasion(rng)
    text = framed(
        rng,
        (
            "classify the review below as positive or negative",
            f"read {who}'s comment and decide whether its mood is positive or negative",
            f"label the remark made after {event} as positive or negative, quoting the decisive words",
            f"tell {who} if this visitor was pleased or not, and by which words one knows",
            f"rate the feeling in {who}'s lines as positive or negative",
        ),
        (
            f"is {who}'s review positive or negative, and which words tell",
            f"did the guest like it, to judge by this remark after {event}",
        ),
    )
    mood = "positive" if good else "negative"
    return Task(text, remark, f'The remark is {mood}, as the words "{words[0]}" and "{words[1]}" show.')


def _message_topic(rng: random.Random) -> Task:
    topic, who = choice(rng, tuple(TOPICS)), name(rng)
    thing = f"the {choice(rng, OBJECTS)} from {choice(rng, TOWNS)}"
    body = capitalised(choice(rng, TOPICS[topic]).format(thing))
    mark = "?" if body.startswith(("Where", "When", "May", "How", "Can")) else "."
    offered = listing(shuffled(rng, tuple(TOPICS)), "or")
    room = place(rng)
    text = framed(
        rng,
        (
            f"sort {who}'s message into one of these trays: {offered}",
            f"decide which subject the message to the {room} has: {offered}",
        ),
        (f"is {who}'s message about {offered}",),
    )
    return Task(text, f"Good morning! {body}{mark} Regards, {who}", f"The message is about {topic}.")


def _opposite(rng: random.Random) -> Task:
    chosen = sample(rng, OPPOSITES, integer(rng, 1, 3))
    pairs = [pair if happens(rng, 0.5) else (pair[1], pair[0]) for pair in chosen]
    words = list(dict(pairs))
    asked, who = listing([f'"{word}"' for word in words]), name(rng)
    one = len(words) == 1
    text = framed(
        rng,
        (
            f"give a word that means the opposite of {asked}" if one else f"give opposites of {asked}",
            f"find an antonym of {asked}" if one else f"find an antonym for each of {asked}",
            f"help {who} with {'an opposite' if one else 'opposites'} of {asked} for a crossword",
        ),
        (f"what is the opposite of {asked}",) if one else (f"what are the opposites of {asked}",),
    )
    said = listing([f'"{other}" is the opposite of "{word}"' for word, other in dict(pairs).items()])
    return Task(text, "", f"{_said(said)}")


def _said(text: str) -> str:
    return f"The word {text}." if text.startswith('"') else f"{capitalised(text)}."


def _rhyme(rng: random.Random) -> Task:
    group = choice(rng, RHYMES)
    word, *others = sample(rng, group, 3)
    strangers = [
        choice(rng, [each for each in other if each not in group]) for other in sample(rng, RHYMES, 4) if other != group
    ]
    given = shuffled(rng, [*others[: integer(rng, 1, 2)], *strangers[:3]])
    found, who = [each for each in given if each in group], name(rng)
    shown = listing([f'"{each}"' for each in given])
    asked, posed_input = posed(rng, shown, "words")
    text = framed(
        rng,
        (
            f'choose from {asked} what rhymes with "{word}"',
            f'find a rhyme for "{word}" in {who}\'s list, that is, {asked}',
            f'say which words rhyme with "{word}" among {asked}',
        ),
        (f'what rhymes with "{word}" among {asked}', f'which of {asked} could end a line after "{word}" in a rhyme'),
    )
    said = listing([f'"{each}"' for each in found])
    return Task(
        text,
        posed_input,
        f'The rhyme for "{word}" is {said}.' if len(found) == 1 else f'The words that rhyme with "{word}" are {said}.',
    )


def _true_or_false(rng: random.Random) -> Task:
    kind, other = _kinds(rng, 2)
    word, right = choice(rng, KINDS[kind]), happens(rng, 0.5)
    claim = f'"{word}" is the name of {with_article(kind if right else other)}'
    who, event = name(rng), f"{choice(rng, HOSTS)} {choice(rng, EVENTS)}"
    text = framed(
        rng,
        (
            f"say whether it is true that {claim}",
            f"check {who}'s claim at the {event} that {claim}, and correct it if need be",
            f"judge the statement that {claim} as true or false",
        ),
        (f"is it true or false that {claim}", f"was {who} right to say that {claim}"),
    )
    verdict = "That is true" if right else "That is false"
    return Task(text, "", f'{verdict}: "{word}" is the name of {with_article(kind)}.')


FAMILIES = (
    Family("kind_of", _kind_of),
    Family("grouped", _grouped),
    Family("odd_one_out", _odd_one_out),
    Family("sentiment", _sentiment),
    Family("message_topic", _message_topic),
    Family("opposite", _opposite),
    Family("rhyme", _rhyme),
    Family("true_or_false", _true_or_false),
)

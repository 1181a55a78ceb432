"""Letters, words and places in words, counted; chances of simple picks, counted too."""

from __future__ import annotations

import random
from fractions import Fraction

from alpaca_cli.rehearsal.chance import choice, happens, integer, sample
from alpaca_cli.rehearsal.english import amount, capitalised, in_words, listing, ordinal, plural, with_article
from alpaca_cli.rehearsal.frames import framed, opening
from alpaca_cli.rehearsal.lexicon import SPELLING_WORDS
from alpaca_cli.rehearsal.scenes import name
from alpaca_cli.rehearsal.sentences import WHENS, clause
from alpaca_cli.rehearsal.task import Family, Task
from alpaca_cli.rehearsal.words import OBJECTS

COLOURS = ("red", "blue", "green", "yellow", "white", "black", "orange", "purple", "brown", "grey", "pink", "silver")
LOTS = (
    "marble",
    "button",
    "bead",
    "counter",
    "ticket",
    "ribbon",
    "candle",
    "pebble",
    "tile",
    "glove",
    "envelope",
    "pen",
)
BAGS = ("bag", "box", "hat", "jar", "basket", "bucket", "sack", "bowl", "pouch", "drawer", "tin", "crate")


def _sentence(rng: random.Random) -> str:
    part = clause(rng)
    return f"{capitalised(part.past())} {choice(rng, WHENS)}."


def _times(count: int) -> str:
    return {1: "once", 2: "twice"}.get(count, f"{in_words(count)} times")


def _letter_count(rng: random.Random) -> Task:
    word, who = choice(rng, SPELLING_WORDS), name(rng)
    letter = choice(rng, sorted(set(word)))
    text = framed(
        rng,
        (
            f'count how often the letter "{letter}" occurs in the word "{word}"',
            f'tell {who} the number of times "{letter}" appears in "{word}"',
            f'look at "{word}" and count every "{letter}" in it',
        ),
        (
            f'how many times does "{word}" contain the letter "{letter}"',
            f'how many letters "{letter}" are there in "{word}"',
        ),
    )
    return Task(text, "", f'The letter "{letter}" occurs {_times(word.count(letter))} in "{word}".')


def _word_length(rng: random.Random) -> Task:
    one, two = sample(rng, SPELLING_WORDS, 2)
    who = name(rng)
    text = framed(
        rng,
        (
            f'count the letters of "{one}" and of "{two}"',
            f'say how many letters "{one}" and "{two}" have',
            f'help {who} find out which is longer, "{one}" or "{two}", by counting letters',
        ),
        (
            f'how many letters do the words "{one}" and "{two}" have',
            f'which word is longer, "{one}" or "{two}", and how long are both',
        ),
    )
    a, b = len(one), len(two)
    end = "they are equally long" if a == b else f'"{one if a > b else two}" is longer'
    return Task(text, "", f'"{capitalised(one)}" has {a} letters and "{two}" has {b}, so {end}.')


def _word_count(rng: random.Random) -> Task:
    sentence, who = " ".join(_sentence(rng) for _ in range(integer(rng, 1, 2))), name(rng)
    words = sentence.split()
    text = framed(
        rng,
        (
            "count the words of the text below, a hyphenated one as one word",
            f"tell {who} how many words, divided by spaces, the following text has",
            "give the number of words in this passage, taking hyphenated words as single ones",
            f"find the length of {who}'s text in words that spaces divide",
            f"work out what {who} pays for these lines at one dollar a word, split at spaces",
        ),
        (
            f"how many words does {who}'s passage have, if only spaces separate words",
            f"if {who} pays by the word, divided at spaces, how many words are these",
        ),
    )
    return Task(text, sentence, f"The text has {len(words)} words.")


def _vowels_in(rng: random.Random) -> Task:
    sentence, who = _sentence(rng), name(rng)
    vowels = happens(rng, 0.6)
    if vowels:
        text = framed(
            rng,
            (
                "count the vowels a, e, i, o and u in the sentence below",
                f"help {who} count all vowels (a, e, i, o, u) of this sentence",
            ),
            ("how many of the letters a, e, i, o and u does the given sentence have",),
        )
        return Task(text, sentence, f"The sentence has {sum(each in 'aeiou' for each in sentence.lower())} vowels.")
    letter = choice(rng, "aeinorst")
    text = framed(
        rng,
        (
            f'count each "{letter}" in the sentence below, capital or not',
            f'go through the sentence for {who} and count the letter "{letter}" in either case',
        ),
        (f'how many times does the sentence have the letter "{letter}", small or capital',),
    )
    count = sentence.lower().count(letter)
    found = f"occurs {_times(count)}" if count else "does not occur"
    return Task(text, sentence, f'The letter "{letter}" {found} in it.')


def _nth_word(rng: random.Random) -> Task:
    sentence, who = _sentence(rng), name(rng)
    words = sentence.rstrip(".").split()
    at = integer(rng, 2, len(words))
    text = framed(
        rng,
        (
            f"pick out the {ordinal(at)} word of the sentence below",
            f"read the sentence to {who} and stop at word number {at}: name that word",
            f"give only the {ordinal(at)} word of this sentence",
        ),
        (f"which word is the {ordinal(at)} in the sentence below", f"what is word number {at} of the given sentence"),
    )
    return Task(text, sentence, f'The {ordinal(at)} word is "{words[at - 1]}".')


def _nth_letter(rng: random.Random) -> Task:
    word, who = choice(rng, SPELLING_WORDS), name(rng)
    at = integer(rng, 2, len(word) - 1)
    text = framed(
        rng,
        (
            f'name the {ordinal(at)} letter of "{word}" and the one after it',
            f'spell "{word}" for {who} and say which letters are number {at} and {at + 1}',
        ),
        (
            f'which letters are the {ordinal(at)} and the {ordinal(at + 1)} in "{word}"',
            f'what is letter number {at} of "{word}", and what follows it',
        ),
    )
    return Task(text, "", f'In "{word}" letter {at} is "{word[at - 1]}" and letter {at + 1} is "{word[at]}".')


def _one_pick(rng: random.Random) -> Task:
    start, lot, bag = opening(rng), choice(rng, LOTS), choice(rng, BAGS)
    colours = sample(rng, COLOURS, integer(rng, 2, 3))
    counts = [integer(rng, 1, 12) for _ in colours]
    wanted = Fraction(counts[0], sum(counts))
    have = listing([f"{count} {colour}" for count, colour in zip(counts, colours, strict=True)])
    text = choice(
        rng,
        (
            f"{start.text} put {have} {plural(lot)} into a {bag}. What is the chance of {with_article(colours[0])} "
            "one?",
            f"{start.text} takes one {lot} blindly from a {bag} with {have} ones. Give the probability of "
            f"{colours[0]}.",
            f"{start.text} filled a {bag} with {have} {plural(lot)}. How likely is it to pick {colours[0]} first?",
        ),
    )
    return Task(
        text,
        "",
        f"{counts[0]} of {sum(counts)} {plural(lot)} {'is' if counts[0] == 1 else 'are'} {colours[0]}, so the "
        "probability "
        f"is {counts[0]}/{sum(counts)}" + ("." if wanted.denominator == sum(counts) else f" = {wanted}."),
    )


def _two_dice(rng: random.Random) -> Task:
    faces = choice(rng, (4, 6, 8, 10, 12))
    wanted, prize = integer(rng, 2, 2 * faces), with_article(choice(rng, OBJECTS))
    ways = faces - abs(faces + 1 - wanted)
    text = framed(
        rng,
        (
            f"compute the probability that two fair dice of {faces} faces add up to {wanted}",
            f"find out how likely one wins {prize} that goes to a total of {wanted} with two {faces}-sided dice",
        ),
        (
            f"what is the chance of a total of {wanted} with two fair {faces}-sided dice",
            f"if two {faces}-sided dice must add up to {wanted} to win {prize}, what is the probability",
        ),
    )
    chance = Fraction(ways, faces * faces)
    are = "throw gives" if ways == 1 else "throws give"
    short = "" if chance.denominator == faces * faces else f" = {chance}"
    return Task(
        text, "", f"{ways} of the {faces * faces} {are} {wanted}, so the probability is {ways}/{faces * faces}{short}."
    )


def _arrangements(rng: random.Random) -> Task:
    start, first, second, third = opening(rng), *sample(rng, OBJECTS, 3)
    counts = [integer(rng, 2, 12) for _ in range(3)]
    a, b, c = counts
    text = choice(
        rng,
        (
            f"{start.text} could choose from {amount(a, first)}, {amount(b, second)} and {amount(c, third)}, one of "
            "each. "
            f"How many choices were there?",
            f"{start.text} owned {amount(a, first)}, {amount(b, second)} and {amount(c, third)}. "
            f"Count the sets with one of each kind.",
            f"{start.text} combined one of {amount(a, first)} with one of {amount(b, second)} and of "
            f"{amount(c, third)}. "
            f"Find the number of combinations.",
        ),
    )
    return Task(text, "", f"{a} x {b} x {c} = {a * b * c}, so there are {a * b * c} possibilities.")


FAMILIES = (
    Family("letter_count", _letter_count),
    Family("word_length", _word_length),
    Family("word_count", _word_count),
    Family("vowels_in", _vowels_in),
    Family("nth_word", _nth_word),
    Family("nth_letter", _nth_letter),
    Family("one_pick", _one_pick),
    Family("two_dice", _two_dice),
    Family("arrangements", _arrangements),
)

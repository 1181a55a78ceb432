"""Changes to words and sentences by plain rules: reversal, initials, plurals, capitals, codes and joins."""

from __future__ import annotations

import random
from string import ascii_lowercase

from alpaca_cli.rehearsal.chance import choice, happens, integer, sample
from alpaca_cli.rehearsal.english import capitalised, in_words, listing, plural, with_article
from alpaca_cli.rehearsal.frames import framed, posed
from alpaca_cli.rehearsal.lexicon import SPELLING_WORDS
from alpaca_cli.rehearsal.scenes import doing, name, occasion, place, things
from alpaca_cli.rehearsal.sentences import WHENS, clause
from alpaca_cli.rehearsal.task import Family, Task
from alpaca_cli.rehearsal.words import DAYS, EVENTS, HOSTS, OBJECTS, PLACES, QUALITIES, ROLES, TOWNS

SOCIETY = ("Society", "Union", "Club", "League", "Guild", "Association", "Circle", "Alliance", "Council", "Foundation")
SCOPE = (
    "International",
    "National",
    "Regional",
    "United",
    "Royal",
    "General",
    "Coastal",
    "Northern",
    "Alpine",
    "Rural",
)
SUBJECT = (
    *("Beekeepers", "Bakers", "Cyclists", "Gardeners", "Potters", "Rowers", "Teachers", "Weavers", "Divers", "Readers"),
    *("Farmers", "Hikers", "Knitters", "Librarians", "Painters", "Sailors", "Translators", "Walkers", "Engineers"),
)


def _sentence(rng: random.Random) -> str:
    return f"{capitalised(clause(rng).past())} {choice(rng, WHENS)}."


def _reversed_word(rng: random.Random) -> Task:
    words = sample(rng, SPELLING_WORDS, integer(rng, 1, 2))
    quoted = listing([f'"{word}"' for word in words])
    asked, given = posed(rng, quoted, "word" if len(words) == 1 else "two words")
    who = name(rng)
    text = framed(
        rng,
        (
            f"spell {asked} backwards",
            f"write {asked} from the last letter to the first",
            f"reverse the letters of {asked} as a puzzle for {who}",
        ),
        (f"how does the spelling of {asked} look from right to left", f"how does one spell {asked} backwards"),
    )
    backward = [f'"{word[::-1]}"' for word in words]
    return Task(text, given, f"Backwards it reads {listing(backward)}.")


def _acronym(rng: random.Random) -> Task:
    words = [choice(rng, SCOPE), choice(rng, TOWNS), choice(rng, SUBJECT), choice(rng, SOCIETY)]
    if happens(rng, 0.4):
        del words[integer(rng, 0, 1)]
    title = " ".join(words)
    event = occasion(rng)
    asked, given = posed(rng, title, "full name")
    the_name = asked if given else f"the {title}"
    text = framed(
        rng,
        (
            f"form the acronym of {the_name}",
            f"shorten {the_name} to its initials for the badges at {event}",
            f"abbreviate {the_name} by its first letters",
        ),
        (
            f"what are the initials of {the_name}",
            f"which abbreviation do the first letters of {asked} make",
        ),
    )
    return Task(text, given, f"{title} is shortened to {''.join(word[0] for word in words)}.")


def _without_vowels(rng: random.Random) -> Task:
    sentence, who, thing = _sentence(rng), name(rng), things(rng)
    text = framed(
        rng,
        (
            "strip a, e, i, o and u from the sentence below",
            f"rewrite what {who} says for a code game without a, e, i, o and u",
            "delete every a, e, i, o and u in the given text, capital ones too",
            f"shorten {who}'s note by leaving out the letters a, e, i, o and u",
            f"hide the vowels (a, e, i, o, u) of this line for a puzzle about {thing}",
        ),
        (
            "what is left of the sentence without a, e, i, o and u",
            f"how would {who} write this if a, e, i, o and u were forbidden",
        ),
    )
    return Task(text, sentence, "".join(letter for letter in sentence if letter.lower() not in "aeiou"))


def _capitals(rng: random.Random) -> Task:
    plain = f"{choice(rng, QUALITIES)} {choice(rng, OBJECTS)} {choice(rng, ('for', 'from', 'behind', 'near'))}"
    line = f"{plain} {choice(rng, ('every', 'another', 'any', 'one'))} {choice(rng, PLACES)}"
    every = happens(rng, 0.5)
    event = occasion(rng)
    text = framed(
        rng,
        (
            "capitalise the first letter of every word in the title below",
            f"put the title in the input into capitals word by word, for a banner at {event}",
        )
        if every
        else (
            "write the line below in capital letters throughout",
            f"change the heading for {event} to upper case",
        ),
    )
    return Task(text, line, " ".join(map(capitalised, line.split(" "))) if every else line.upper())


def _plurals(rng: random.Random) -> Task:
    nouns = sample(rng, OBJECTS, integer(rng, 2, 4))
    task = doing(rng)
    shown = listing([f'"{noun}"' for noun in nouns])
    asked, given = posed(rng, shown, "nouns")
    text = framed(
        rng,
        (
            f"give the plural forms of {asked}",
            f"write {asked} in the plural",
            f"put {asked} into the plural for a label about {task}",
        ),
        (f"what are the plurals of {asked}", f"how does one say {asked} when there are several of each"),
    )
    return Task(text, given, f"The plurals are {listing([f'{plural(noun)}' for noun in nouns])}.")


def _replaced_word(rng: random.Random) -> Task:
    part = clause(rng, many=False)
    old = part.thing.rpartition(" ")[2]
    new, who = choice(rng, [each for each in OBJECTS if each != old and " " not in each]), name(rng)
    sentence = f"{capitalised(part.past())}. {capitalised(who)} saw the {old} {choice(rng, WHENS)}."
    text = framed(
        rng,
        (
            f'replace "{old}" by "{new}" throughout the text below',
            f'rewrite the passage with "{new}" wherever it says "{old}"',
            f'swap every "{old}" for {with_article(new)} in this short report',
        ),
        (f'how does the passage read with "{new}" in place of "{old}"',),
    )
    done = " ".join(word.replace(old, new) if word.strip(".") == old else word for word in sentence.split(" "))
    return Task(text, sentence, done)


def _joined(rng: random.Random) -> Task:
    words = [choice(rng, QUALITIES).replace("-", ""), choice(rng, HOSTS), choice(rng, EVENTS).replace("-", " ")]
    phrase, style = " ".join(words), integer(rng, 0, 2)
    parts = phrase.split()
    called, result = (
        ("snake case", "_".join(parts)),
        ("kebab case, with hyphens", "-".join(parts)),
        ("camel case", parts[0] + "".join(map(str.capitalize, parts[1:]))),
    )[style]
    task = doing(rng)
    asked, given = posed(rng, f'"{phrase}"', "phrase")
    text = framed(
        rng,
        (
            f"write {asked} in {called}",
            f"turn {asked} into {called}",
            f"make a variable name in {called} from {asked}",
        ),
        (f"what is {asked} in {called}", f"how would a program about {task} spell {asked} in {called}"),
    )
    return Task(text, given, result)


def _shifted(rng: random.Random) -> Task:
    word, step, who = choice(rng, SPELLING_WORDS), integer(rng, 1, 9), name(rng)
    coded = "".join(ascii_lowercase[(ascii_lowercase.index(letter) + step) % 26] for letter in word)
    places = f"{in_words(step)} place{'' if step == 1 else 's'}"
    if happens(rng, 0.5):
        text = framed(
            rng,
            (
                f'encode the word "{word}" by moving each letter {places} forward in the alphabet',
                f'shift every letter of "{word}" {places} on, so that {who} has a secret word',
            ),
            (f'what does "{word}" become when each letter moves {places} up the alphabet, with z going on to a',),
        )
        return Task(text, "", f'The word "{word}" becomes "{coded}".')
    text = framed(
        rng,
        (
            f'decode "{coded}", whose letters were all moved {places} forward in the alphabet',
            f'read {who}\'s secret word "{coded}" by moving every letter back {places}',
        ),
        (f'which word is hidden in "{coded}" if each letter was shifted by {places}',),
    )
    return Task(text, "", f'The hidden word is "{word}".')


def _spelled_number(rng: random.Random) -> Task:
    number, thing = integer(rng, 101, 99_999), things(rng)
    asked, given = posed(rng, str(number), "number")
    text = framed(
        rng,
        (
            f"write {asked} in words",
            f"spell out {asked} as it would stand on a cheque for {thing}",
            f"put {asked} into English words",
        ),
        (f"how is {asked} written in words", f"what is {asked}, a number of {thing}, when spelt out in words"),
    )
    return Task(text, given, f"{capitalised(in_words(number))}.")


def _digits(rng: random.Random) -> Task:
    number, thing = integer(rng, 101, 99_999), things(rng)
    spelled = in_words(number)
    asked, given = posed(rng, spelled, "number")
    text = framed(
        rng,
        (
            f"write {asked} in digits",
            f"note {asked}, which counts {thing}, with digits instead of words",
        ),
        (f"which digits stand for {asked}", f"how is {asked} written in figures"),
    )
    return Task(text, given, f"In digits it is {number}.")


def _word_order(rng: random.Random) -> Task:
    part = clause(rng)
    whole = f"{part.present()} every {choice(rng, DAYS)}"
    words = whole.split()
    who = name(rng)
    trade = choice(rng, ROLES)
    text = framed(
        rng,
        (
            "write the words of the sentence below from last to first",
            f"turn round the order of the words, as {who} the {trade} likes to do for fun",
            f"put {who}'s words into the opposite order, but leave each word as it is",
            "copy the sentence below from its end to its beginning, word by word",
            f"read {who}'s line backwards, one whole word after another",
        ),
        (
            "how does the sentence read with its words in the opposite order",
            f"what would {who} the {trade} get by saying the last word first and so on",
        ),
    )
    return Task(text, whole, f'The words in the opposite order are "{" ".join(reversed(words))}".')


def _first_letter(rng: random.Random) -> Task:
    letter = choice(rng, "bcdfgmprstw")
    people_called = [each for each in ROLES if each[0] == letter]
    goods = [each for each in OBJECTS if each[0] == letter]
    kinds = [each for each in QUALITIES if each[0] == letter]
    words = (choice(rng, kinds), choice(rng, goods))
    pool = sample(rng, [each for each in OBJECTS if each[0] != letter], 4)
    items = sample(rng, [words[1], *sample(rng, [g for g in goods if g != words[1]], 1), *pool], 6)
    found = [item for item in items if item[0] == letter]
    who = choice(rng, people_called) if people_called else "baker"
    room = place(rng)
    text = framed(
        rng,
        (
            f'pick the things in the list that begin with "{letter}", like {with_article(who)}',
            f'keep those words from the {room} list that start with the letter "{letter}"',
            f'say which of the items below share the first letter of "{words[0]}"',
        ),
        (f'which of the listed things begin with the same letter as "{who}"',),
    )
    return Task(text, ", ".join(items), f"{capitalised(listing(found))}.")


FAMILIES = (
    Family("reversed_word", _reversed_word),
    Family("acronym", _acronym),
    Family("without_vowels", _without_vowels),
    Family("capitals", _capitals),
    Family("plurals", _plurals),
    Family("replaced_word", _replaced_word),
    Family("joined", _joined),
    Family("shifted", _shifted),
    Family("spelled_number", _spelled_number),
    Family("digits", _digits),
    Family("word_order", _word_order),
    Family("first_letter", _first_letter),
)

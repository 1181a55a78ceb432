"""The little English grammar that the families share: articles, plurals, lists, number words and verb forms."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

IRREGULAR_PLURALS = {
    "child": "children",
    "foot": "feet",
    "goose": "geese",
    "half": "halves",
    "knife": "knives",
    "leaf": "leaves",
    "loaf": "loaves",
    "man": "men",
    "mouse": "mice",
    "ox": "oxen",
    "person": "people",
    "penknife": "penknives",
    "scarf": "scarves",
    "sheep": "sheep",
    "shelf": "shelves",
    "tooth": "teeth",
    "wolf": "wolves",
    "woman": "women",
    "calf": "calves",
    "potato": "potatoes",
    "tomato": "tomatoes",
    "deer": "deer",
    "salmon": "salmon",
    "trout": "trout",
    "bookshelf": "bookshelves",
    "hero": "heroes",
    "echo": "echoes",
}
SMALL = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"),
    *("thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"),
)
TENS = ("", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")


def with_article(noun: str) -> str:
    """`noun` after "a" or "an", by its first sound as far as spelling and a few exceptions tell."""
    silent_h = noun.startswith(("hour", "honest", "heir"))
    like_you = noun.startswith(("uni", "use", "uku", "one", "eu")) and not noun.startswith("unin")
    return f"an {noun}" if silent_h or (noun[0].lower() in "aeiou" and not like_you) else f"a {noun}"


def plural(noun: str) -> str:
    """The plural of a noun, of a phrase that ends in one, or of one before " of "."""
    if " of " in noun:
        head, _, rest = noun.partition(" of ")
        return f"{plural(head)} of {rest}"
    head, _, last = noun.rpartition(" ")
    lead = f"{head} " if head else ""
    if last in IRREGULAR_PLURALS:
        return lead + IRREGULAR_PLURALS[last]
    if last.endswith(("s", "x", "z", "ch", "sh")):
        return f"{lead}{last}{'zes' if last.endswith('iz') else 'es'}"
    if last.endswith("y") and last[-2] not in "aeiou":
        return f"{lead}{last[:-1]}ies"
    return f"{lead}{last}s"


def amount(count: int, noun: str) -> str:
    """The number and the noun in the form that goes with it: "1 jar", "3 jars"."""
    return f"{count} {noun if count == 1 else plural(noun)}"


def listing(items: Sequence[str], word: str = "and") -> str:
    """The items as a sentence has them: "a", "a and b", "a, b and c"."""
    if len(items) == 1:
        return items[0]
    return f"{', '.join(items[:-1])} {word} {items[-1]}"


def capitalised(text: str) -> str:
    """The text with its first letter in upper case and nothing else changed."""
    return text[:1].upper() + text[1:]


def ordinal(number: int) -> str:
    """The number as 1st, 2nd, 3rd, 4th."""
    ending = "th" if number % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"


def in_words(number: int) -> str:
    """A number from 0 to 999,999 written out in British English: "four hundred and six"."""
    if number < 20:
        return SMALL[number]
    if number < 100:
        return TENS[number // 10] + (f"-{SMALL[number % 10]}" if number % 10 else "")
    if number < 1000:
        rest = f" and {in_words(number % 100)}" if number % 100 else ""
        return f"{SMALL[number // 100]} hundred{rest}"
    rest_number = number % 1000
    joint = " and " if 0 < rest_number < 100 else " "
    return f"{in_words(number // 1000)} thousand" + (joint + in_words(rest_number) if rest_number else "")


def fixed(value: Fraction, places: int) -> str:
    """The value rounded half up, exactly, to just that many decimals."""
    scaled = math.floor(abs(value) * 10**places + Fraction(1, 2))
    whole, rest = divmod(scaled, 10**places)
    text = f"{whole}.{rest:0{places}d}" if places else str(whole)
    return f"-{text}" if value < 0 and scaled else text


def decimal(value: Fraction, places: int) -> str:
    """The value as `fixed` gives it, without zeros at the end that say nothing."""
    text = fixed(value, places)
    return text.rstrip("0").rstrip(".") if "." in text else text


def money(cents: int) -> str:
    """An amount of cents as dollars: "$12.50"."""
    return f"${cents // 100}.{cents % 100:02d}"


def clock(minutes: int) -> str:
    """Minutes after midnight as a 24-hour clock time, "09:05"; a second day starts at 00:00 again."""
    return f"{minutes // 60 % 24:02d}:{minutes % 60:02d}"


@dataclass(frozen=True)
class Verb:
    """A verb in the forms that rewriting needs."""

    base: str
    third: str
    past: str
    participle: str

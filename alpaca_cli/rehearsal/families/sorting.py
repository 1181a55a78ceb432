"""Orders, extremes and sets of words and numbers that the input gives."""

from __future__ import annotations

import random
from collections import Counter

from alpaca_cli.rehearsal.chance import choice, happens, integer, sample, shuffled
from alpaca_cli.rehearsal.english import capitalised, in_words, listing, plural
from alpaca_cli.rehearsal.frames import framed
from alpaca_cli.rehearsal.lexicon import KINDS
from alpaca_cli.rehearsal.scenes import name, people, place
from alpaca_cli.rehearsal.task import Family, Task
from alpaca_cli.rehearsal.words import OBJECTS, PLACES, ROLES, TOWNS

LISTED = {
    **{plural(kind): words for kind, words in KINDS.items()},
    "objects": OBJECTS,
    "trades": ROLES,
    "towns": TOWNS,
    "places": PLACES,
}
COUNTED = (
    "visitors",
    "tickets",
    "steps",
    "points",
    "letters",
    "pages",
    "parcels",
    "votes",
    "calls",
    "loaves",
    "guests",
)


def _named(rng: random.Random, count: int) -> tuple[str, list[str]]:
    what = choice(rng, tuple(LISTED))
    return what, sample(rng, LISTED[what], min(count, len(LISTED[what])))


def _unlike(items: list[str], done: list[str]) -> list[str]:
    """The items, in another order if chance had left nothing to do."""
    return items[1:] + items[:1] if items == done else items


def _alphabetical(rng: random.Random) -> Task:
    what, items = _named(rng, integer(rng, 4, 8))
    backward = happens(rng, 0.35)
    order = "reverse alphabetical" if backward else "alphabetical"
    ends = "from Z to A" if backward else "from A to Z"
    text = framed(
        rng,
        (
            f"sort the {in_words(len(items))} {what} below {ends}",
            f"put the given {what} into {order} order and separate them by commas",
            f"arrange these {what} in {order} order",
            f"list the {what} of the input again, {ends} this time",
        ),
        (f"in what sequence do these {what} stand {ends}", f"how are the {what} below sorted in {order} order"),
    )
    done = sorted(items, key=str.lower, reverse=backward)
    return Task(text, ", ".join(_unlike(items, done)), ", ".join(done))


def _numeric_order(rng: random.Random) -> Task:
    numbers, what = sample(rng, range(1, 990), integer(rng, 5, 9)), choice(rng, COUNTED)
    falling, room = happens(rng, 0.5), place(rng)
    word, ends = ("descending", "largest") if falling else ("ascending", "smallest")
    text = framed(
        rng,
        (
            f"sort the numbers of {what} below in {word} order",
            f"arrange the daily counts of {what} from the {room}, the {ends} first",
            f"rank these {in_words(len(numbers))} values, beginning with the {ends}",
        ),
        (f"what is the {word} order of these numbers of {what}",),
    )
    done = [str(number) for number in sorted(numbers, reverse=falling)]
    return Task(text, ", ".join(_unlike([str(number) for number in numbers], done)), ", ".join(done))


def _average(rng: random.Random) -> Task:
    mean, what, room = integer(rng, 15, 300), choice(rng, COUNTED), place(rng)
    shifts = [integer(rng, -12, 12) for _ in range(integer(rng, 3, 6))]
    numbers = shuffled(rng, [mean + shift for shift in shifts] + [mean - sum(shifts)])
    if min(numbers) < 0:
        numbers = [mean + at - len(numbers) // 2 for at in range(len(numbers) // 2 * 2 + 1)]
    total = sum(numbers)
    text = framed(
        rng,
        (
            f"compute the average number of {what} from the list below",
            f"work out the mean number of {what} per day at the {room} from these counts",
            f"find the arithmetic mean of the {in_words(len(numbers))} numbers given",
        ),
        (f"what is the mean of these numbers of {what}", f"how many {what} does the {room} have on average"),
    )
    return Task(
        text,
        ", ".join(map(str, numbers)),
        f"The sum is {total}, and {total} / {len(numbers)} = {total // len(numbers)}, so the average is "
        f"{total // len(numbers)}.",
    )


def _median(rng: random.Random) -> Task:
    numbers, what, who = sample(rng, range(3, 700), choice(rng, (5, 7, 9))), choice(rng, COUNTED), name(rng)
    order = sorted(numbers)
    text = framed(
        rng,
        (
            f"determine the median number of {what} that {who} noted below",
            f"find the middle value of these {in_words(len(numbers))} counts of {what}",
            "sort the given numbers and pick out the median",
        ),
        (
            f"what is the median of these numbers of {what}",
            f"which of {who}'s numbers is the one in the middle by size",
        ),
    )
    return Task(
        text,
        ", ".join(map(str, numbers)),
        f"In order they are {', '.join(map(str, order))}, so the median is {order[len(order) // 2]}.",
    )


def _extremes(rng: random.Random) -> Task:
    friends, what = people(rng, integer(rng, 4, 6)), choice(rng, COUNTED)
    scores = sample(rng, range(5, 400), len(friends))
    most = happens(rng, 0.5)
    best = (max if most else min)(zip(scores, friends, strict=True), key=lambda pair: pair[0])
    word, room = "most" if most else "fewest", place(rng)
    text = framed(
        rng,
        (
            f"name the person with the {word} {what} in the list below",
            f"say who has the {word} {what} and how many they are",
            f"pick from the {room} records below whoever has the {word} {what}",
        ),
        (f"who has the {word} {what} here", f"according to the list, who at the {room} has the {word} {what}"),
    )
    given = "\n".join(f"{friend.name}: {score} {what}" for friend, score in zip(friends, scores, strict=True))
    return Task(text, given, f"{best[1].name} has the {word} {what}, namely {best[0]}.")


def _longest_word(rng: random.Random) -> Task:
    what, pool = _named(rng, 24)
    by_size = {len(item): item for item in pool if " " not in item}
    items = shuffled(rng, sample(rng, sorted(by_size.values()), min(len(by_size), integer(rng, 4, 6))))
    longest = happens(rng, 0.6)
    found = max(items, key=len) if longest else min(items, key=len)
    word = "longest" if longest else "shortest"
    text = framed(
        rng,
        (
            f"find the {word} word among these {what} and count its letters",
            f"pick from these {what} the name with the {'most' if longest else 'fewest'} letters",
            f"tell me which of the listed {what} has the {word} name",
        ),
        (f"which of the {what} below has the {word} name", f"what is the {word} word in this list of {what}"),
    )
    return Task(text, ", ".join(items), f"The {word} word is {found}, with {in_words(len(found))} letters.")


def _reversed_list(rng: random.Random) -> Task:
    what, items = _named(rng, integer(rng, 4, 7))
    who = name(rng)
    text = framed(
        rng,
        (
            f"write the list of {what} backwards, the last one first",
            f"reverse the order of the {in_words(len(items))} {what} that {who} gave",
            f"turn this list of {what} round without changing any word",
        ),
        (f"what does {who}'s list of {what} look like from back to front",),
    )
    return Task(text, ", ".join(items), ", ".join(reversed(items)))


def _without_repeats(rng: random.Random) -> Task:
    what, items = _named(rng, integer(rng, 4, 6))
    again = sample(rng, items, integer(rng, 1, 3))
    given = shuffled(rng, [*items, *again])
    who = name(rng)
    text = framed(
        rng,
        (
            f"remove the repeated {what} and keep each one where it first occurs",
            f"clean up {who}'s list of {what} so that nothing is named twice, in the order of first mention",
            f"drop every duplicate from the {what} below, keeping the order",
        ),
        (f"what remains of these {what} when each is listed only once, in order of first appearance",),
    )
    return Task(text, ", ".join(given), ", ".join(dict.fromkeys(given)))


def _in_both(rng: random.Random) -> Task:
    what, items = _named(rng, 9)
    shared = integer(rng, 1, 3)
    left, right = shuffled(rng, items[: 3 + shared]), shuffled(rng, [*items[3 : 3 + shared], *items[6:]])
    one, two = (each.name for each in people(rng, 2))
    found = [item for item in left if item in right]
    only = happens(rng, 0.4)
    if only:
        found = [item for item in left if item not in right]
        text = framed(
            rng,
            (
                f"name the {what} that {one} lists and {two} does not",
                f"take {two}'s {what} away from {one}'s list and give what is left",
            ),
            (f"which {what} has {one} that are missing from {two}'s list",),
        )
    else:
        text = framed(
            rng,
            (
                f"find the {what} that {one} and {two} both have on their lists",
                f"give the {what} common to the lists of {one} and {two}, in {one}'s order",
            ),
            (f"which {what} appear on {one}'s list as well as on {two}'s",),
        )
    return Task(text, f"{one}: {', '.join(left)}\n{two}: {', '.join(right)}", f"{capitalised(listing(found))}.")


def _missing_item(rng: random.Random) -> Task:
    what, items = _named(rng, integer(rng, 5, 7))
    missing, who = choice(rng, items), name(rng)
    packed = shuffled(rng, [item for item in items if item != missing])
    text = framed(
        rng,
        (
            f"compare the two lists of {what} and name the one that was forgotten",
            f"find which of the {in_words(len(items))} wanted {what} {who} has not ticked off",
            f"check the second list of {what} against the first and say what is missing",
        ),
        (f"which of the {what} in the first list did {who} leave out of the second",),
    )
    return Task(text, f"Wanted: {', '.join(items)}\nTicked off: {', '.join(packed)}", f"The missing one is {missing}.")


def _tally(rng: random.Random) -> Task:
    what, items = _named(rng, 3)
    counts = sample(rng, (1, 2, 3, 4, 5), 3)
    given = shuffled(rng, [item for item, count in zip(items, counts, strict=True) for _ in range(count)])
    who = name(rng)
    text = framed(
        rng,
        (
            f"count how often each of the {what} is noted, the most frequent first",
            f"make a tally of {who}'s {what}, from the most to the least frequent",
            f"say for every one of these {what} how many times it occurs, in falling order",
        ),
        (f"how many times did {who} note each of the {what}, from most to least often",),
    )
    return Task(text, ", ".join(given), "\n".join(f"{item}: {count}" for item, count in Counter(given).most_common()))


def _even_and_odd(rng: random.Random) -> Task:
    numbers, what = sample(rng, range(10, 990), integer(rng, 6, 9)), choice(rng, COUNTED)
    even = [str(number) for number in numbers if number % 2 == 0]
    odd = [str(number) for number in numbers if number % 2]
    limit = integer(rng, 200, 700)
    if happens(rng, 0.5):
        text = framed(
            rng,
            (
                f"separate the even numbers of {what} from the odd ones, keeping their order",
                f"split these {in_words(len(numbers))} counts of {what} into even and odd",
            ),
            (f"which of these numbers of {what} are even and which are odd",),
        )
        return Task(
            text,
            ", ".join(map(str, numbers)),
            f"Even: {', '.join(even) or 'none'}\nOdd: {', '.join(odd) or 'none'}",
        )
    above = [str(number) for number in numbers if number > limit]
    text = framed(
        rng,
        (
            f"list the numbers of {what} that exceed {limit}, in the order given",
            f"keep only those counts of {what} which are greater than {limit}",
        ),
        (f"which of these numbers of {what} are larger than {limit}",),
    )
    return Task(text, ", ".join(map(str, numbers)), f"{listing(above)}." if above else f"None of them exceeds {limit}.")


FAMILIES = (
    Family("alphabetical", _alphabetical),
    Family("numeric_order", _numeric_order),
    Family("average", _average),
    Family("median", _median),
    Family("extremes", _extremes),
    Family("longest_word", _longest_word),
    Family("reversed_list", _reversed_list),
    Family("without_repeats", _without_repeats),
    Family("in_both", _in_both),
    Family("missing_item", _missing_item),
    Family("tally", _tally),
    Family("even_and_odd", _even_and_odd),
)

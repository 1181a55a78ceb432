"""Answers worked out once more, from the words of a task alone and by other means than its family's.

Each oracle takes instruction, input and output and says whether the output is right.
"""

from __future__ import annotations

import ast
import contextlib
import csv
import io
import itertools
import json
import re
import sqlite3
import statistics
from collections import Counter
from collections.abc import Callable
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction

Oracle = Callable[[str, str, str], bool]

MONTHS = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
]
UNITS = {
    "inches": "0.0254",
    "feet": "0.3048",
    "yards": "0.9144",
    "miles": "1609.344",
    "nautical miles": "1852",
    "centimetres": "0.01",
    "metres": "1",
    "kilometres": "1000",
    "pounds": "453.59237",
    "ounces": "28.349523125",
    "stone": "6350.29318",
    "grams": "1",
    "kilograms": "1000",
}
NUMERALS = {"M": 1000, "D": 500, "C": 100, "L": 50, "X": 10, "V": 5, "I": 1}
NUMBER_WORDS = {
    **{
        word: at
        for at, word in enumerate(
            ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
        )
    },
    **{
        word: at
        for at, word in enumerate(["eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen"], 11)
    },
    "eighteen": 18,
    "nineteen": 19,
    **{
        word: 10 * at
        for at, word in enumerate(["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"], 2)
    },
}


def numbers(text: str) -> list[int]:
    return [int(each) for each in re.findall(r"-?\d+", text)]


def decimals(text: str) -> list[Decimal]:
    return [Decimal(each) for each in re.findall(r"-?\d+(?:\.\d+)?", text)]


def quoted(text: str) -> list[str]:
    return re.findall(r'"([^"]*)"', text)


def items(text: str) -> list[str]:
    return text.split(", ")


def prose(text: str) -> list[str]:
    """The items of a list in a sentence: "A, b and c." """
    return [each.lower() for each in re.split(r", | and ", text.removesuffix("."))]


def rounded(value: Fraction, places: int) -> Decimal:
    exact = Decimal(value.numerator) / Decimal(value.denominator)
    return exact.quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP)


def total(instruction: str, _: str, output: str) -> bool:
    return numbers(output)[-1] == sum(numbers(instruction))


def rows(instruction: str, _: str, output: str) -> bool:
    first, second = numbers(instruction)
    return numbers(output)[-1] == sum(first for _ in range(second))


def share_out(instruction: str, _: str, output: str) -> bool:
    holders, left = sorted(numbers(instruction))
    each = 0
    while left >= holders:
        left -= holders
        each += 1
    return numbers(output)[-2:] == [each, left]


def percentage(instruction: str, _: str, output: str) -> bool:
    percent = int(re.findall(r"(\d+)(?:%| percent)", instruction)[0])
    (whole,) = re.findall(r"\b(\d+)\b(?!%| percent)", instruction)
    return Fraction(numbers(output)[-1], int(whole)) == Fraction(percent, 100)


def expression(instruction: str, given: str, output: str) -> bool:
    (shown,) = re.findall(r"\(?\d[\d +*()-]*\d\)?", given or instruction)
    return numbers(output.rpartition("=")[2]) == [eval(compile(ast.parse(shown.strip(), mode="eval"), "", "eval"))]


def sequence(instruction: str, given: str, output: str) -> bool:
    terms = numbers((given or instruction).replace("-", ""))
    terms += numbers(output)[-2:]
    steps = {second - first for first, second in itertools.pairwise(terms)}
    ratios = {Fraction(second, first) for first, second in itertools.pairwise(terms)}
    return len(terms) == 6 and (len(steps) == 1 or len(ratios) == 1)


def simplify_fraction(instruction: str, _: str, output: str) -> bool:
    above, below = numbers(instruction)
    top, bottom = numbers(output)[-2:]
    shared = any(top % each == 0 == bottom % each for each in range(2, bottom + 1))
    return above * bottom == below * top and not shared


def ratio(instruction: str, _: str, output: str) -> bool:
    one, two = map(int, re.findall(r"(\d+)(?::| to )(\d+)", instruction)[0])
    (whole,) = (each for each in numbers(re.sub(r"\d+(?::| to )\d+", "", instruction)))
    left, right = numbers(output)[-2:]
    return left + right == whole and left * two == right * one


def share_as_percent(instruction: str, _: str, output: str) -> bool:
    part, whole = sorted(numbers(instruction))
    found = Decimal(re.findall(r"([\d.]+)%", output)[0])
    return abs(found - Decimal(100 * part) / whole) <= Decimal("0.05")


def prime_or_not(instruction: str, _: str, output: str) -> bool:
    (number,) = set(numbers(instruction))
    prime = re.fullmatch(r"(11+?)\1+", "1" * number) is None
    return output.startswith(f"{number} is prime:" if prime else f"{number} is not prime,") and (
        prime or numbers(output)[-1] * numbers(output)[-2] == number
    )


def rounding(instruction: str, _: str, output: str) -> bool:
    (number,) = numbers(instruction)
    places = next(
        at for at, word in enumerate(("ten", "hundred", "thousand"), 1) if re.search(rf"\b{word}\b", instruction)
    )
    wanted = int(Decimal(number).scaleb(-places).quantize(Decimal(1), ROUND_HALF_UP)) * 10**places
    return bool(numbers(output)[-1] == wanted)


def common_factor(instruction: str, _: str, output: str) -> bool:
    first, second = numbers(instruction)
    largest = max(each for each in range(1, first + 1) if first % each == 0 and second % each == 0)
    return numbers(output)[0] == largest and numbers(output)[-2:] == [first // largest, second // largest]


def converted(instruction: str, _: str, output: str) -> bool:
    found = re.fullmatch(r"(\d+) ([a-z ]+) are ([\d.]+) ([a-z ]+), rounded to (one|two) decimals?\.", output)
    assert found is not None
    places = 1 if found[5] == "one" else 2
    exact = Fraction(int(found[1])) * Fraction(UNITS[found[2]]) / Fraction(UNITS[found[4]])
    return (
        numbers(instruction)[0] == int(found[1])
        and found[2] in instruction
        and Decimal(found[3]) == rounded(exact, places)
    )


def temperature(instruction: str, _: str, output: str) -> bool:
    (degrees,) = numbers(instruction)
    value = Decimal(re.findall(r"it is (-?[\d.]+) degrees", output)[0])
    exact = degrees * 1.8 + 32 if output.endswith("Fahrenheit.") else (degrees - 32) / 1.8
    return abs(float(value) - exact) < 0.0501


def rectangle(instruction: str, _: str, output: str) -> bool:
    long, wide = numbers(instruction)
    border = 2 * long + 2 * wide
    return numbers(output)[-1] == (long * wide if "area" in instruction else border)


def _day_number(text: str) -> int:
    """The Julian day number of a date such as "3 March 2021", by the usual integer formula."""
    day, month, year = text.split()
    before = 1 if MONTHS.index(month) < 2 else 0
    y, m = int(year) + 4800 - before, MONTHS.index(month) + 1 + 12 * before - 3
    return int(day) + (153 * m + 2) // 5 + 365 * y + y // 4 - y // 100 + y // 400 - 32045


def _dates(text: str) -> list[str]:
    return re.findall(rf"\d+ (?:{'|'.join(MONTHS)}) \d{{4}}", text)


def weekday(instruction: str, _: str, output: str) -> bool:
    names = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
    return output.split()[-1].rstrip(".") == names[_day_number(_dates(instruction)[0]) % 7]


def days_between(instruction: str, _: str, output: str) -> bool:
    first, last = map(_day_number, _dates(instruction))
    return f" is {last - first} days after " in output


def date_after(instruction: str, _: str, output: str) -> bool:
    count = int(re.findall(r"(\d+) days", instruction)[0])
    gap = _day_number(_dates(output)[-1]) - _day_number(_dates(instruction)[0])
    return gap == (count if " after " in output else -count)


def leap_year(instruction: str, _: str, output: str) -> bool:
    year = numbers(instruction)[-1]
    try:
        datetime(year, 2, 29)
    except ValueError:
        return output.startswith(f"{year} is not a leap year and has 365 ")
    return output.startswith(f"{year} is a leap year of 366 ")


def clock_later(instruction: str, _: str, output: str) -> bool:
    begin, minutes = re.findall(r"\d\d:\d\d", instruction)[0], re.findall(r"(\d+) minutes", instruction)[0]
    end = re.findall(r"\d\d:\d\d", output)[-1]
    gap = datetime.strptime(end, "%H:%M") - datetime.strptime(begin, "%H:%M")
    return gap.total_seconds() % 86400 == 60 * int(minutes)


def twelve_hours(instruction: str, _: str, output: str) -> bool:
    asked, answer = (re.findall(r"\d+:\d\d(?: [ap]m)?", text)[-1].upper() for text in (instruction, output))
    twelve, other = (asked, answer) if "M" in asked else (answer, asked)
    return bool(datetime.strptime(twelve, "%I:%M %p").strftime("%H:%M") == other)


def iso_date(_: str, given: str, output: str) -> bool:
    plain = re.sub(r"(\d)(?:st|nd|rd|th) of", r"\1", given).removeprefix("The ")
    form = "%B %d, %Y" if "," in plain else "%d %B %Y"
    return datetime.strptime(plain, form).strftime("%Y-%m-%d") == output


def schedule(instruction: str, given: str, output: str) -> bool:
    hours, minutes = map(int, re.findall(r"(\d\d):(\d\d)", instruction)[0])
    durations = [numbers(line)[-1] for line in given.split("\n")]
    starts = [h * 60 + m for h, m in (map(int, each) for each in re.findall(r"(\d\d):(\d\d)", output))]
    return starts == [hours * 60 + minutes + gone for gone in itertools.accumulate(durations, initial=0)]


def shopping_total(_: str, given: str, output: str) -> bool:
    lines = (decimals(line) for line in given.split("\n"))
    return decimals(output)[-1] == sum((count * price for count, price in lines), Decimal(0))


def change(instruction: str, _: str, output: str) -> bool:
    price, note = sorted(decimals(instruction))
    return decimals(output)[-1] + price == note


def discount(instruction: str, _: str, output: str) -> bool:
    price = Decimal(re.findall(r"\$([\d.]+\d)", instruction)[0])
    percent = Decimal(re.findall(r"(\d+)%", instruction)[0])
    return decimals(output)[-1] == price * (100 - percent) / 100


def saving(instruction: str, _: str, output: str) -> bool:
    price, have = max(numbers(instruction)), 0
    weekly = int(re.findall(r"(?:saves|aside) \$(\d+)", instruction)[0])
    have = int(re.findall(r"(?:has|owns) \$(\d+)", instruction)[0])
    weeks = 0
    while have < price:
        have += weekly
        weeks += 1
    return numbers(output)[-1] == weeks


def alphabetical(instruction: str, given: str, output: str) -> bool:
    back = "reverse" in instruction or "from Z to A" in instruction
    found = [each.lower() for each in items(output)]
    ordered = all((one >= two) if back else (one <= two) for one, two in itertools.pairwise(found))
    return ordered and Counter(items(given)) == Counter(items(output))


def numeric_order(instruction: str, given: str, output: str) -> bool:
    falling = "descending" in instruction or "largest" in instruction
    found = numbers(output)
    ordered = all((one > two) if falling else (one < two) for one, two in itertools.pairwise(found))
    return ordered and Counter(found) == Counter(numbers(given))


def average(_: str, given: str, output: str) -> bool:
    return numbers(output)[-1] == statistics.fmean(numbers(given))


def median(_: str, given: str, output: str) -> bool:
    return numbers(output)[-1] == statistics.median(numbers(given))


def without_repeats(_: str, given: str, output: str) -> bool:
    kept: list[str] = []
    for each in items(given):
        if each not in kept:
            kept.append(each)
    return items(output) == kept


def in_both(instruction: str, given: str, output: str) -> bool:
    left, right = (set(items(line.partition(": ")[2])) for line in given.split("\n"))
    one, two = (line.partition(": ")[0] for line in given.split("\n"))
    common = left & right if re.search(r"\b(both|common|as well as)\b", instruction) else left - right
    return one in instruction and two in instruction and set(prose(output)) == {each.lower() for each in common}


def missing_item(_: str, given: str, output: str) -> bool:
    wanted, ticked = (set(items(line.partition(": ")[2])) for line in given.split("\n"))
    return output == f"The missing one is {(wanted - ticked).pop()}."


def tally(_: str, given: str, output: str) -> bool:
    lines = [line.rpartition(": ") for line in output.split("\n")]
    counts = [int(count) for _, _, count in lines]
    return counts == sorted(counts, reverse=True) and all(
        items(given).count(name) == int(count) for name, _, count in lines
    )


def letter_count(instruction: str, _: str, output: str) -> bool:
    letter, word = sorted(quoted(instruction), key=len)
    times = {"once": 1, "twice": 2}.get(output.split()[4]) or NUMBER_WORDS[output.split()[4]]
    return times == len(word.split(letter)) - 1 and quoted(output) == [letter, word]


def nth_word(instruction: str, given: str, output: str) -> bool:
    (at,) = numbers(instruction)
    return quoted(output) == [re.findall(r"[\w-]+", given)[at - 1]]


def one_pick(instruction: str, _: str, output: str) -> bool:
    counts = {colour: int(count) for count, colour in re.findall(r"(\d+) ([a-z]+)", instruction)}
    (colour,) = re.findall(r"are ([a-z]+), so|is ([a-z]+), so", output)
    top, bottom = numbers(output)[-2:]
    return Fraction(top, bottom) == Fraction(counts["".join(colour)], sum(counts.values()))


def two_dice(instruction: str, _: str, output: str) -> bool:
    faces = int(
        (re.findall(r"(\d+)-sided|of (\d+) faces", instruction)[0][0]) or re.findall(r"of (\d+) faces", instruction)[0]
    )
    (wanted,) = re.findall(r"(?:total of|add up to) (\d+)", instruction)
    throws = itertools.product(range(1, faces + 1), repeat=2)
    ways = sum(one + two == int(wanted) for one, two in throws)
    top, bottom = numbers(output)[-2:]
    return Fraction(top, bottom) == Fraction(ways, faces**2)


def acronym(instruction: str, given: str, output: str) -> bool:
    title, _, short = output.removesuffix(".").rpartition(" is shortened to ")
    return title in (given or instruction) and short == "".join(re.findall(r"\b[A-Z]", title))


def shifted(instruction: str, _: str, output: str) -> bool:
    step = next(NUMBER_WORDS[word] for word in re.findall(r"(\w+) places?\b", instruction) if word in NUMBER_WORDS)
    plain, coded = quoted(output)[0], quoted(f"{instruction} {output}")[-1]
    if output.startswith("The hidden"):
        plain, coded = quoted(output)[0], quoted(instruction)[0]
    return "".join(chr((ord(each) - 97 - step) % 26 + 97) for each in coded) == plain


def _value(words: str) -> int:
    whole = part = 0
    for word in re.findall(r"[a-z]+", words.lower()):
        if word == "thousand":
            whole, part = whole + part * 1000, 0
        elif word == "hundred":
            part *= 100
        elif word != "and":
            part += NUMBER_WORDS[word]
    return whole + part


def spelled_number(instruction: str, given: str, output: str) -> bool:
    return numbers(given or instruction) == [_value(output)]


def digits(instruction: str, given: str, output: str) -> bool:
    known = "|".join([*NUMBER_WORDS, "hundred", "thousand", "and"])
    runs = re.findall(rf"\b(?:(?:{known})(?:[ -](?={known})|\b))+", given or instruction)
    return _value(max(runs, key=len)) == numbers(output)[-1]


def csv_to_json(_: str, given: str, output: str) -> bool:
    rows = [
        {name: int(x) if x.isdigit() else x for name, x in row.items()} for row in csv.DictReader(io.StringIO(given))
    ]
    return bool(json.loads(output) == rows)


def json_to_csv(_: str, given: str, output: str) -> bool:
    head, *rows = csv.reader(io.StringIO(output))
    return [dict(zip(head, row, strict=True)) for row in rows] == [
        {name: str(value) for name, value in row.items()} for row in json.loads(given)
    ]


def markdown_to_csv(_: str, given: str, output: str) -> bool:
    lines = [line.strip("| ").split(" | ") for line in given.split("\n")]
    return [lines[0], *lines[2:]] == list(csv.reader(io.StringIO(output)))


def column_total(_: str, given: str, output: str) -> bool:
    return numbers(output)[-1] == sum(numbers(given))


def roman_numeral(instruction: str, _: str, output: str) -> bool:
    text = f"{instruction} {output}"
    (numeral,) = set(re.findall(r"\b[MDCLXVI]{1,15}\b", text))
    values = [NUMERALS[letter] for letter in numeral]
    signed = [-one if one < two else one for one, two in zip(values, [*values[1:], 0], strict=True)]
    return {sum(signed)} == set(numbers(text))


def polygon(instruction: str, _: str, output: str) -> bool:
    gons = ["penta", "hexa", "hepta", "octa", "nona", "deca", "hendeca", "dodeca"]
    names = ["triangle", "quadrilateral", *(f"{each}gon" for each in gons)]
    asked, told = (
        [each for each in re.findall(r"\w+", text.lower()) if each in names] for text in (instruction, output)
    )
    sides = [names.index(each) + 3 for each in asked]
    if "degrees" in output:
        return asked == told and numbers(output)[:2] == [(side - 2) * 180 for side in sides]
    gap = sides[0] - sides[1]
    word = f"has {list(NUMBER_WORDS)[abs(gap)]} {'more' if gap > 0 else 'fewer'}."
    return asked == told and numbers(output)[:2] == sides and output.endswith(word)


def trip(_: str, given: str, output: str) -> bool:
    return numbers(output)[-1] == sum(numbers(given))


def seats(instruction: str, _: str, output: str) -> bool:
    each, guests = sorted(numbers(instruction))
    needed = len(range(0, guests, each))
    return f"needed: {needed} in all" in output or (guests % each == 0 and f"so {needed} are enough" in output)


def reading(instruction: str, _: str, output: str) -> bool:
    daily, pages = sorted(numbers(instruction))
    names = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
    days = itertools.cycle(names)
    today = next(each for each in days if each in instruction)
    while (pages := pages - daily) > 0:
        today = next(days)
    return output.endswith(f"a {today}.")


def printed(_: str, given: str, output: str) -> bool:
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        exec(compile(given, "snippet", "exec"), {})
    return said.getvalue().strip() in (*quoted(output), *map(str, numbers(output)))


def list_methods(_: str, given: str, output: str) -> bool:
    scope: dict[str, object] = {}
    exec(compile(given, "snippet", "exec"), scope)
    return bool(json.loads(output) == scope[given.split()[0]])


def slicing(instruction: str, given: str, output: str) -> bool:
    (shown,) = re.findall(r'"\w+"(?:\.upper\(\))?\[[^\]]*\]', given or instruction)
    return quoted(output) == [eval(shown)]


def binary(instruction: str, _: str, output: str) -> bool:
    bases = {"decimal": 10, "binary": 2, "hexadecimal": 16}
    found = re.fullmatch(r"The (\w+) number (\w+) is (\w+) in (\w+)\.", output)
    assert found is not None
    return found[2] in instruction.split("?")[0] + instruction and int(found[2], bases[found[1]]) == int(
        found[3], bases[found[4]]
    )


def sql_query(instruction: str, _: str, output: str) -> bool:
    found = re.fullmatch(r"SELECT name FROM (\w+) WHERE town = '(\w+)' AND (\w+) [<>] \d+;", output)
    assert found is not None
    table, town, column = found.groups()
    limit = numbers(instruction)[-1]
    with contextlib.closing(sqlite3.connect(":memory:")) as db:
        db.execute(f"CREATE TABLE {table} (name TEXT, town TEXT, {column} INTEGER)")
        rows = [("low", town, limit - 1), ("same", town, limit), ("high", town, limit + 1), ("far", "?", limit - 1)]
        db.executemany(f"INSERT INTO {table} VALUES (?, ?, ?)", [*rows, ("off", "?", limit + 1)])
        names = [name for (name,) in db.execute(output)]
    return names == (["high"] if "greater" in instruction else ["low"]) and table in instruction and town in instruction


def heights(instruction: str, given: str, output: str) -> bool:
    facts = re.findall(r"(\w+) is taller than (\w+)", given)
    named = {name for fact in facts for name in fact}
    (order,) = (
        each for each in itertools.permutations(sorted(named)) if all(each.index(a) < each.index(b) for a, b in facts)
    )
    return output.endswith(
        f"so {order[0]} is the tallest." if "tallest" in instruction else f"so {order[-1]} is the shortest."
    )


def ages(instruction: str, _: str, output: str) -> bool:
    age, more, less = numbers(instruction)
    return numbers(output)[-1] == age + more - less


def fractions(instruction: str, _: str, output: str) -> bool:
    one, two = (Fraction(each) for each in re.findall(r"\d+/\d+", instruction))
    if one == two:
        return output.startswith("They are equal")
    (found,) = re.findall(r"so (\d+/\d+) is (larger|smaller)", output)
    return Fraction(found[0]) == (max(one, two) if found[1] == "larger" else min(one, two)) and found[1] in instruction


ORACLES: dict[str, Oracle] = {
    **{
        oracle.__name__: oracle
        for oracle in (
            *(total, rows, share_out, percentage, expression, sequence, simplify_fraction, ratio),
            *(prime_or_not, share_as_percent, rounding, common_factor, temperature, rectangle, weekday),
            *(days_between, date_after, leap_year, clock_later, twelve_hours, iso_date, schedule),
            *(shopping_total, change, discount, saving, alphabetical, numeric_order, average, median),
            *(without_repeats, in_both, missing_item, tally, letter_count, nth_word, one_pick, two_dice),
            *(acronym, shifted, spelled_number, digits, csv_to_json, json_to_csv, markdown_to_csv),
            *(column_total, roman_numeral, polygon, trip, seats, reading, list_methods, slicing, binary),
            *(sql_query, heights, ages, fractions),
        )
    },
    "length": converted,
    "weight": converted,
    "loop_sum": printed,
    "conditions": printed,
}

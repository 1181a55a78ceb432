"""Small pieces of Python and SQL, whose results are computed by the same rules the languages follow."""

from __future__ import annotations

import json
import random

from alpaca_cli.rehearsal.chance import choice, happens, integer, sample
from alpaca_cli.rehearsal.english import plural, with_article
from alpaca_cli.rehearsal.frames import framed, posed
from alpaca_cli.rehearsal.lexicon import SPELLING_WORDS
from alpaca_cli.rehearsal.scenes import doing, name, place
from alpaca_cli.rehearsal.task import Family, Task
from alpaca_cli.rehearsal.words import OBJECTS, QUALITIES, ROLES, TOWNS

NAMES = (
    "total",
    "count",
    "score",
    "result",
    "points",
    "price",
    "height",
    "stock",
    "level",
    "number",
    "weight",
    "answer",
)
ONE_WORD_OBJECTS = tuple(each for each in OBJECTS if " " not in each)


def _loop_sum(rng: random.Random) -> Task:
    var, start, first, step = choice(rng, NAMES), integer(rng, 0, 40), integer(rng, 1, 9), integer(rng, 1, 5)
    last, who = first + integer(rng, 3, 9) * step, name(rng)
    double = happens(rng, 0.4)
    added = "2 * i" if double else "i"
    code = f"{var} = {start}\nfor i in range({first}, {last}, {step}):\n    {var} += {added}\nprint({var})"
    value = start + sum((2 * i if double else i) for i in range(first, last, step))
    task = doing(rng)
    text = framed(
        rng,
        (
            f"say which value of {var} the Python code below prints",
            f"trace the loop that {who} wrote and give the final value of {var}",
            f"run this snippet in your head and report its output, a number about {task}",
        ),
        (f"what does the following Python loop print as {var}", f"which value has {var} at the end of {who}'s loop"),
    )
    return Task(text, code, f"It prints {value}.")


def _slicing(rng: random.Random) -> Task:
    word, who = choice(rng, SPELLING_WORDS), name(rng)
    start = integer(rng, 0, 3)
    stop = integer(rng, start + 2, len(word))
    shown, value = choice(
        rng,
        (
            (f'"{word}"[{start}:{stop}]', word[start:stop]),
            (f'"{word}"[::-1]', word[::-1]),
            (f'"{word}"[{start}:]', word[start:]),
            (f'"{word}"[-{start + 2}:]', word[-(start + 2) :]),
            (f'"{word}".upper()[:{stop}]', word.upper()[:stop]),
        ),
    )
    asked, given = posed(rng, shown, "expression")
    text = framed(
        rng,
        (
            f"evaluate {asked} as Python does",
            f"tell {who} which string Python returns for {asked}",
            f"work out {asked} as Python would",
        ),
        (f"what is the value of {asked} in Python", f"which string does {asked} give in Python"),
    )
    return Task(text, given, f'The result is the string "{value}".')


def _list_methods(rng: random.Random) -> Task:
    items = sample(rng, ONE_WORD_OBJECTS, 4)
    extra, at = choice(rng, [each for each in ONE_WORD_OBJECTS if each not in items]), integer(rng, 0, 3)
    var, who = plural(choice(rng, ("thing", "item", "word", "label"))), name(rng)
    steps = [f"{var} = {json.dumps(items)}"]
    values = list(items)
    for step in sample(rng, ("append", "remove", "insert", "pop", "reverse", "sort"), 2):
        if step == "append":
            values.append(extra)
            steps.append(f'{var}.append("{extra}")')
        elif step == "remove":
            values.remove(items[at])
            steps.append(f'{var}.remove("{items[at]}")')
        elif step == "insert":
            values.insert(1, "box")
            steps.append(f'{var}.insert(1, "box")')
        elif step == "pop" and values[0] != items[at]:
            values.pop(0)
            steps.append(f"{var}.pop(0)")
        elif step == "reverse":
            values.reverse()
            steps.append(f"{var}.reverse()")
        else:
            values.sort()
            steps.append(f"{var}.sort()")
    text = framed(
        rng,
        (
            f'give the list "{var}" after the Python statements below',
            f'follow {who}\'s statements and write down the final list "{var}"',
            f'say which elements the list "{var}" holds in the end, in order',
        ),
        (f'what does the Python list "{var}" look like after these statements',),
    )
    return Task(text, "\n".join(steps), json.dumps(values))


def _binary(rng: random.Random) -> Task:
    number, kind = integer(rng, 9, 1023), integer(rng, 0, 3)
    who = name(rng)
    shown, name_, value, target = (
        (str(number), "decimal", f"{number:b}", "binary"),
        (f"{number:b}", "binary", str(number), "decimal"),
        (str(number), "decimal", f"{number:X}", "hexadecimal"),
        (f"{number:X}", "hexadecimal", str(number), "decimal"),
    )[kind]
    text = framed(
        rng,
        (
            f"convert the {name_} number {shown} to {target}",
            f"write {name_} {shown} as a {target} number",
            f"show {who} how {shown} in {name_} notation reads in {target}",
        ),
        (f"what is {name_} {shown} in {target}", f"how is the {name_} number {shown} written in {target} notation"),
    )
    return Task(text, "", f"The {name_} number {shown} is {value} in {target}.")


def _small_function(rng: random.Random) -> Task:
    verb, noun = choice(rng, ("add", "scale", "shift", "weigh", "price", "rate")), choice(rng, ONE_WORD_OBJECTS)
    called, a, b = f"{verb}_{plural(noun)}", integer(rng, 2, 19), integer(rng, 1, 99)
    test = integer(rng, 2, 12)
    text = framed(
        rng,
        (
            f"define a Python function {called} of one number that returns {a} times it plus {b}, and say what {called}"
            f"({test}) is",
            f"code {called}(x) in Python: it multiplies x by {a} and adds {b}; state the value for {test}",
            f"implement {called}(x), which gives x times {a} plus {b}, and its value at {test}",
        ),
        bare=0.3,
    )
    return Task(
        text, "", f"def {called}(x):\n    return {a} * x + {b}\n\nThe value {called}({test}) is {a * test + b}."
    )


def _sql_query(rng: random.Random) -> Task:
    table = plural(choice(rng, [each for each in ROLES if " " not in each and "-" not in each]))
    column, limit = (
        choice(rng, ("wage", "score", "salary", "income", "rating", "turnover", "rent")),
        integer(rng, 5, 900),
    )
    town, more = choice(rng, TOWNS), happens(rng, 0.5)
    word, sign = ("greater", ">") if more else ("smaller", "<")
    text = framed(
        rng,
        (
            f"write an SQL query for the names of all {table} in {town} whose {column} is {word} than {limit}",
            f"select in SQL the name of each row of {table} with town {town} and {column} {word} than {limit}",
        ),
        (
            f"which SQL query finds the names in {table} with the town {town} and {with_article(column)} {word} "
            f"than {limit}",
        ),
        bare=0.3,
    )
    return Task(text, "", f"SELECT name FROM {table} WHERE town = '{town}' AND {column} {sign} {limit};")


def _conditions(rng: random.Random) -> Task:
    var, value, low, high = choice(rng, NAMES), integer(rng, 1, 100), integer(rng, 20, 45), integer(rng, 50, 85)
    labels = sample(rng, QUALITIES, 3)
    code = (
        f'{var} = {value}\nif {var} > {high}:\n    print("{labels[0]}")\nelif {var} > {low}:\n    '
        f'print("{labels[1]}")\n'
        f'else:\n    print("{labels[2]}")'
    )
    printed = labels[0] if value > high else labels[1] if value > low else labels[2]
    who, room = name(rng), place(rng)
    text = framed(
        rng,
        (
            f"say which word {who}'s Python code about {var} prints",
            f"follow the branches below and give the word that is printed for the {room} sign",
            f"decide which branch runs in this code and what it prints about {var}",
        ),
        (f"what does the code below print, given its value of {var}", f"which word comes out of {who}'s if statement"),
    )
    return Task(text, code, f'It prints the word "{printed}", as {var} is {value}.')


FAMILIES = (
    Family("loop_sum", _loop_sum),
    Family("slicing", _slicing),
    Family("list_methods", _list_methods),
    Family("binary", _binary),
    Family("small_function", _small_function),
    Family("sql_query", _sql_query),
    Family("conditions", _conditions),
)

"""Answers about numbers, data, code and formats: each check works the answer out again and finds it stated."""

import ast
import csv
import datetime as dt
import io
import itertools
import json
import math
import os
import random
import re
import shutil
import sqlite3
import statistics
import subprocess
import tempfile
import unittest
from collections import Counter, defaultdict
from collections.abc import Callable
from contextlib import redirect_stdout
from fractions import Fraction
from typing import Any

Task = dict[str, Any]
Row = dict[str, str]


def source(task: Task) -> str:
    """Return the input of the task's only instance."""
    return task["instances"][0]["input"]


def answer(task: Task) -> str:
    """Return the output of the task's only instance."""
    return task["instances"][0]["output"]


def states(text: str, value: str) -> bool:
    """Tell whether value occurs in text and is not merely part of a longer number or word."""
    return re.search(r"(?<![\w.,])" + re.escape(value) + r"(?!\w|[.,]\d)", text) is not None


def require(text: str, *values: str) -> None:
    """Assert that text states every value."""
    for value in values:
        assert states(text, value), f"not stated: {value!r}"


def require_lines(text: str, *parts: tuple[str, ...]) -> None:
    """Assert that, for each tuple, one line of text states all of its values."""
    for values in parts:
        assert any(all(states(line, value) for value in values) for line in text.splitlines()), f"no line with {values}"


def numbers(text: str) -> list[Fraction]:
    """Return the numbers in text, as exact fractions."""
    return [Fraction(found.replace(",", "")) for found in re.findall(r"\d[\d,]*(?:\.\d+)?", text)]


def only_number(pattern: str, text: str) -> Fraction:
    """Return the number captured by the only match of pattern."""
    found = re.findall(pattern, text)
    assert len(found) == 1, f"{pattern!r} matches {len(found)} times"
    return Fraction(found[0].replace(",", ""))


def fixed(value: Fraction | float, digits: int = 2) -> str:
    """Format value with thousands separators and a fixed number of decimals."""
    scaled = math.floor(Fraction(value) * 10**digits + Fraction(1, 2))
    return f"{scaled / 10**digits:,.{digits}f}"


def number_value(text: str) -> Fraction:
    """Read a number such as 2,060.00, 12%, 3/4 or 1 1/4."""
    parts = text.replace(",", "").rstrip("%").split()
    return sum(map(Fraction, parts), Fraction()) / (100 if text.endswith("%") else 1)


def side_value(side: str) -> Fraction:
    """Evaluate one side of an equation, with × and ÷ before + and −."""
    total, product, sign = Fraction(), Fraction(1), 1
    operator = "×"
    for token in re.split(r" ([×÷+−]) ", side):
        if token in "×÷":
            operator = token
        elif token in "+−":
            total, product, sign, operator = total + sign * product, Fraction(1), 1 if token == "+" else -1, "×"
        elif operator == "×":
            product *= number_value(token)
        else:
            product /= number_value(token)
    return total + sign * product


def require_equations(text: str, count: int) -> None:
    """Assert that text contains count equations (chains of = or ≈) and that each of them holds.

    The last side of a chain may be rounded to the decimals it shows.
    """
    plain = re.sub(r"[£$€]", "", text)
    plain = re.sub(r"(\d) ?(?:m²|km/h|km|ml|kg|litres|h|m)\b|(\d) m²", r"\1\2", plain).replace("% of ", "% × ")
    number = r"\d+(?:,\d{3})*(?:\.\d+|(?: \d+)?/\d+)?%?"
    side = rf"{number}(?: [×÷+−] {number})*"
    chains = re.findall(rf"(?<![\w.,:]){side}(?: [=≈] {side})+", plain)
    assert len(chains) == count, f"{len(chains)} equations: {chains}"
    for chain in chains:
        *sides, last = re.split(r" [=≈] ", chain)
        values = [side_value(each) for each in sides]
        assert len(set(values)) == 1, chain
        decimals = re.search(r"\.(\d+)$", last)
        tolerance = Fraction(1, 2 * 10 ** len(decimals[1])) if decimals else 0
        assert abs(values[0] - side_value(last)) <= tolerance, chain


def code(text: str, language: str = "python") -> str:
    """Return the only fenced block in the given language."""
    found = re.findall(rf"```{language}\n(.*?)\n```", text, re.S)
    assert len(found) == 1, f"{len(found)} {language} blocks"
    return found[0]


def define(program: str) -> dict[str, Any]:
    """Execute Python definitions and return their namespace."""
    namespace: dict[str, Any] = {"__name__": "seed"}
    exec(compile(program, "seed", "exec"), namespace)
    return namespace


def csv_rows(text: str) -> list[Row]:
    """Parse CSV text with a header."""
    rows = list(csv.DictReader(io.StringIO(text), strict=True))
    assert all(None not in row and None not in row.values() for row in rows), "ragged CSV"
    return rows


def markdown_rows(text: str) -> list[list[str]]:
    """Parse a Markdown table into rows of plain cells, heading first."""
    lines = [line.strip() for line in text.strip().splitlines()]
    assert all(line.startswith("|") and line.endswith("|") for line in lines), "not a table"
    rows = [[cell.strip().strip("*") for cell in line[1:-1].split("|")] for line in lines]
    assert len({len(row) for row in rows}) == 1, "ragged table"
    assert all(re.fullmatch(r":?-{3,}:?", cell) for cell in rows[1]), "no separator row"
    return [rows[0], *rows[2:]]


def yaml_scalar(text: str) -> Any:
    """Read a YAML scalar: quoted or plain string, number or boolean."""
    if text.startswith('"'):
        return json.loads(text)
    if text.lower() in ("true", "yes", "on", "false", "no", "off"):
        return text.lower() in ("true", "yes", "on")
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def yaml_value(text: str) -> Any:
    """Read the block-style subset of YAML made of mappings, lists and scalars."""
    lines = [(len(line) - len(line.lstrip()), line.strip()) for line in text.splitlines() if line.strip()]

    def block(indent: int) -> Any:
        if lines[0][1].startswith("- "):
            items: list[Any] = []
            while lines and lines[0][0] == indent and lines[0][1].startswith("- "):
                rest = lines[0][1][2:]
                if re.match(r"\w+:( |$)", rest):
                    lines[0] = (indent + 2, rest)
                    items.append(block(indent + 2))
                else:
                    lines.pop(0)
                    items.append(yaml_scalar(rest))
            return items
        mapping: dict[str, Any] = {}
        while lines and lines[0][0] == indent:
            key, colon, rest = lines.pop(0)[1].partition(":")
            assert colon and key not in mapping, f"bad YAML key {key!r}"
            mapping[key] = yaml_scalar(rest.strip()) if rest.strip() else block(lines[0][0])
        return mapping

    value = block(0)
    assert not lines, f"unread YAML: {lines}"
    return value


def check_hallway_tile_boxes(task: Task) -> None:
    require_equations(answer(task), 6)
    length, width, tile_a, tile_b, per_box, price, extra = numbers(source(task))
    tiles = length * width / (tile_a * tile_b / 10000)
    wanted = math.ceil(tiles * (1 + extra / 100))
    boxes = math.ceil(Fraction(wanted) / per_box)
    require(answer(task), f"{tiles} tiles", f"{wanted} tiles", f"{boxes * per_box} tiles")
    assert f"Buy {boxes} boxes for €{fixed(boxes * price)}." in answer(task)


def check_coat_double_discount(task: Task) -> None:
    require_equations(answer(task), 3)
    price, first, second = numbers(task["instruction"])
    keep = (1 - first / 100) * (1 - second / 100)
    assert answer(task).startswith(f"You pay ${price * keep}.")
    assert float(only_number(r"take off ([\d.]+)%", answer(task))) == float(100 * (1 - keep))
    assert "order makes no difference" in answer(task)


def check_kayak_average_speed(task: Task) -> None:
    require_equations(answer(task), 5)
    up, up_speed, minutes, down, down_speed = numbers(source(task))
    hours = up / up_speed + minutes / 60 + down / down_speed
    require(answer(task), f"{float((up + down) / hours):g} km/h", f"= {hours} h", f"= {up + down} km")


def check_savings_compound_interest(task: Task) -> None:
    require_equations(answer(task), 3)
    principal, rate = numbers(task["instruction"])
    assert "three years" in task["instruction"]
    balances = [principal * (1 + rate / 100) ** year for year in (1, 2, 3)]
    require_lines(answer(task), *((f"After year {n}", fixed(value)) for n, value in enumerate(balances, 1)))
    assert answer(task).startswith(f"There will be about £{fixed(balances[-1])}.")
    require(answer(task), fixed(balances[-1] - principal), fixed(balances[-1] - principal * (1 + 3 * rate / 100)))


def check_scale_lentil_soup(task: Task) -> None:
    require_equations(answer(task), 5)
    old, new = numbers(task["instruction"])
    amount = re.compile(r"((?:\d+ )?\d+(?:/\d+)?) (cup|tablespoon)s?$")

    def parse(text: str) -> tuple[Fraction, str]:
        found = amount.search(text)
        assert found, text
        return sum((Fraction(part) for part in found[1].split()), Fraction()), found[2]

    wanted = {line.split(":")[0]: parse(line) for line in source(task).splitlines()}
    lines = [re.sub(r" \(.*\)$", "", line) for line in answer(task).splitlines() if line.startswith("- ")]
    given = {line[2:].split(":")[0]: parse(line.split("= ")[-1]) for line in lines}
    assert given == {name: (value * new / old, unit) for name, (value, unit) in wanted.items()}


def check_food_parcel_packing_time(task: Task) -> None:
    require_equations(answer(task), 5)
    hours_a, parcels, hours_b, again, *clock = (int(number) for number in numbers(source(task)))
    assert again == parcels == clock[0]
    start, join = (dt.timedelta(hours=h, minutes=m) for h, m in (clock[1:3], clock[3:5]))
    rate_a, rate_b = Fraction(parcels, hours_a), Fraction(parcels, hours_b)
    left = parcels - rate_a * Fraction((join - start).seconds, 3600)
    end = join + dt.timedelta(hours=float(left / (rate_a + rate_b)))
    text = f"{end.seconds // 3600}:{end.seconds % 3600 // 60:02d}"
    assert answer(task).endswith(f"the last parcel is packed at {text}.")


def check_final_exam_mark_needed(task: Task) -> None:
    require_equations(answer(task), 5)
    target = only_number(r"(\d+)%", task["instruction"])
    weight_1, mark_1, weight_2, mark_2, weight_exam = numbers(source(task))[:5]
    assert weight_1 + weight_2 + weight_exam == 100
    earned = (weight_1 * mark_1 + weight_2 * mark_2) / 100
    needed = (target - earned) / (weight_exam / 100)
    assert answer(task).startswith(f"You need {float(needed):g} out of 100.")
    require(answer(task), f"{float(earned):g} points", f"{float(target - earned):g} points")


def check_split_dinner_bill(task: Task) -> None:
    require_equations(answer(task), 4)
    bill, tax, tip = numbers(source(task))
    assert "four of us" in source(task)
    net = bill / (1 + tax / 100)
    total = bill + net * tip / 100
    assert answer(task).endswith(f"Everyone pays ${fixed(total / 4)}.")
    require_lines(answer(task), ("Price before tax", fixed(net)), ("Total", fixed(total)), ("Tip", fixed(total - bill)))


def check_dilute_vinegar_cleaner(task: Task) -> None:
    require_equations(answer(task), 4)
    volume, strong, weak = numbers(task["instruction"])
    total = volume * strong / weak
    assert answer(task).startswith(f"Add {total - volume} ml of water.")
    require(answer(task), f"{total} ml", f"{volume * strong / 100} ml")


def check_market_fruit_totals(task: Task) -> None:
    require_equations(answer(task), 3)
    totals: dict[str, Fraction] = defaultdict(Fraction)
    for row in csv_rows(source(task)):
        totals[row["fruit"]] += Fraction(row["kg"])
    ranked = sorted(totals.items(), key=lambda item: -item[1])
    lines = answer(task).splitlines()
    for rank, (fruit, total) in enumerate(ranked, 1):
        line = lines[rank - 1]
        assert line.startswith(f"{rank}. {fruit.capitalize()}: ") and line.endswith(f"= {fixed(total, 1)} kg"), line
        assert sum(numbers(line.split(":")[1].split("=")[0])) == total
    assert len([line for line in lines if line.endswith(" kg")]) == len(ranked)
    require(lines[-1], f"{fixed(sum(totals.values()), 1)} kg")


def check_overdue_tool_loans(task: Task) -> None:
    today = dt.date(2025, 3, 14)
    assert f"{today.day} March {today.year}" in task["instruction"]
    rows = [line.split(" | ") for line in source(task).splitlines()[1:]]
    late = {tool: (today - dt.date.fromisoformat(due)).days for tool, due, returned in rows if returned == "no"}
    given = {tool: int(days) for tool, days in re.findall(r"^- (.+): (\d+) days", answer(task), re.M)}
    assert list(given.items()) == sorted(((t, d) for t, d in late.items() if d > 0), key=lambda item: -item[1])
    for tool, due, _ in rows:
        if tool in given:
            day = dt.date.fromisoformat(due)
            assert f"{tool}: {given[tool]} days (due {day.day} {day:%B})" in answer(task)


def check_rank_race_times(task: Task) -> None:
    runners = csv_rows(source(task))
    ranked = sorted(runners, key=lambda row: ([int(part) for part in row["time"].split(":")], row["name"]))
    wanted = [{"rank": str(rank), **row} for rank, row in enumerate(ranked, 1)]
    assert csv_rows(answer(task)) == wanted
    assert answer(task).splitlines()[0] == "rank,name,time"


def check_ticket_status_counts(task: Task) -> None:
    counts = Counter((row["team"], row["status"]) for row in csv_rows(source(task)))
    wanted = [["Team", "Open", "Closed", "Total"]]
    for team in sorted({team for team, _ in counts}):
        opened, closed = counts[team, "open"], counts[team, "closed"]
        wanted.append([team, str(opened), str(closed), str(opened + closed)])
    wanted.append(["Total"] + [str(sum(int(row[column]) for row in wanted[1:])) for column in (1, 2, 3)])
    assert markdown_rows(answer(task)) == wanted


def check_museum_mean_and_median(task: Task) -> None:
    require_equations(answer(task), 2)
    visitors = [int(number) for number in numbers(source(task))]
    assert len(visitors) == 7
    mean, median = Fraction(sum(visitors), 7), statistics.median(visitors)
    require_lines(answer(task), ("Mean", f"= {mean} visitors a day"), ("Median", f"The middle one is {median}"))
    require(answer(task), ", ".join(map(str, sorted(visitors))), str(sum(visitors)))
    assert mean > median
    assert "mean is higher" in answer(task)


def check_farm_box_amounts_owed(task: Task) -> None:
    require_equations(answer(task), 4)
    price_part, order_part = source(task).split("\n\n")
    prices = {row["item"]: Fraction(row["price_usd"]) for row in csv_rows(price_part)}
    owed: dict[str, Fraction] = defaultdict(Fraction)
    for row in csv_rows(order_part):
        owed[row["flat"]] += prices[row["item"]] * int(row["quantity"])
    lines = answer(task).splitlines()
    given = {line[2:].split(":")[0]: line.split("= $")[-1] for line in lines if line.startswith("- ")}
    assert given == {flat: fixed(value) for flat, value in owed.items()}
    assert lines[-1].endswith(f"= ${fixed(sum(owed.values()))}.")


def check_arrival_order_puzzle(task: Task) -> None:
    people = re.findall(r"[A-Z]\w+", source(task).splitlines()[0])
    assert len(people) == 5
    solutions = []
    for order in itertools.permutations(people):
        place = {name: number for number, name in enumerate(order)}
        if (
            place["Elif"] == place["Bo"] + 1
            and place["Dimitri"] < place["Bo"]
            and place["Femi"] < place["Clara"]
            and abs(place["Dimitri"] - place["Clara"]) == 2
        ):
            solutions.append(order)
    assert len(solutions) == 1
    assert answer(task).startswith(f"Order of arrival: {', '.join(solutions[0])}.")


def check_neighbours_vegetables_puzzle(task: Task) -> None:
    people = ("Ines", "Kofi", "Lena", "Raj")
    assert all(name in source(task) for name in people)
    solutions = []
    for crops in itertools.permutations(("beans", "kale", "squash", "tomatoes")):
        grows = dict(zip(people, crops, strict=False))
        if (
            grows["Ines"] not in ("kale", "tomatoes")
            and "squash" in (grows["Kofi"], grows["Lena"])
            and grows["Raj"] not in ("beans", "kale")
            and grows["Lena"] != "squash"
        ):
            solutions.append(grows)
    assert len(solutions) == 1
    pairs = ", ".join(f"{name} – {crop}" for name, crop in solutions[0].items())
    assert answer(task).endswith(f"Answer: {pairs}.")


def check_last_coffee_truth_teller(task: Task) -> None:
    people = re.findall(r"^(\w+):", source(task), re.M)
    solutions = []
    for culprit in people:
        statements = [culprit == "Oscar", culprit != "Oscar", culprit != "Petra"]
        truths = sum(statements)
        require_lines(answer(task), (f"If {culprit} did it",))
        if truths == 1:
            solutions.append(culprit)
    assert len(people) == 3
    assert len(solutions) == 1
    assert answer(task).startswith(f"{solutions[0]} finished the coffee.")


def check_doubling_sequence_next_term(task: Task) -> None:
    require_equations(answer(task), 6)
    terms = [int(number) for number in numbers(task["instruction"])]
    assert all(after == 2 * before - 1 for before, after in itertools.pairwise(terms))
    following = 2 * terms[-1] - 1
    assert answer(task).startswith(f"The next number is {following}.")
    steps = [f"2 × {before} − 1 = {after}" for before, after in zip(terms, [*terms[1:], following], strict=False)]
    require(answer(task), *steps, ", ".join(str(b - a) for a, b in itertools.pairwise(terms)))


def check_busy_minutes_function(task: Task) -> None:
    function = define(code(answer(task)))["busy_minutes"]
    shuffled = random.Random(7)
    for _ in range(300):
        starts = [shuffled.randrange(0, 120) for _ in range(shuffled.randrange(0, 7))]
        meetings = [(start, start + shuffled.randrange(0, 40)) for start in starts]
        before = list(meetings)
        assert function(meetings) == len({minute for pair in meetings for minute in range(*pair)})
        assert meetings == before
    call, result = re.search(r"`(busy_minutes\(.*?\))` returns (\d+)", answer(task)).groups()
    assert eval(call, {"busy_minutes": function}) == int(result)


def check_fix_table_seating_bug(task: Task) -> None:
    broken, corrected = define(source(task))["seat"], define(code(answer(task)))["seat"]
    for count, size in itertools.product(range(12), range(1, 6)):
        guests = [f"guest {number}" for number in range(count)]
        tables = corrected(guests, size)
        assert [guest for table in tables for guest in table] == guests
        assert all(len(table) == size for table in tables[:-1])
        assert all(0 < len(table) <= size for table in tables)
    assert broken(list(range(7)), 3) == [[0, 1, 2], [3, 4, 5]]
    assert len(corrected(list(range(7)), 3)) == 3
    assert "seven guests in threes gave only two tables" in answer(task)


def check_explain_drink_tally(task: Task) -> None:
    printed = io.StringIO()
    namespace: dict[str, Any] = {}
    with redirect_stdout(printed):
        exec(source(task), namespace)
    assert answer(task).startswith(f"It prints `{printed.getvalue().strip()}`.")
    assert f"`totals` is `{namespace['totals']}`" in answer(task)
    ranked = sorted(namespace["totals"].items(), key=lambda item: -item[1])
    (first, most), (second, fewer) = ranked
    assert f"{first.capitalize()}, with {most} cups, beats {second} with {fewer}" in answer(task)


def check_sql_june_volunteer_hours(task: Task) -> None:
    database = sqlite3.connect(":memory:")
    for table in re.findall(r"^\w+\(.*\)$", source(task), re.M):
        database.execute(f"CREATE TABLE {table}")
    people = ["Zoe", "Ali", "Mia", "Ali", "Bob"]
    database.executemany("INSERT INTO volunteers VALUES (?, ?)", enumerate(people, 1))
    shifts = [
        (1, "2025-06-01", 2.5),
        (1, "2025-06-30", 3.0),
        (2, "2025-05-31", 4.0),
        (2, "2025-07-01", 1.0),
        (3, "2025-06-15", 7.0),
        (4, "2025-06-10", 1.5),
        (4, "2024-06-10", 9.0),
    ]
    database.executemany("INSERT INTO shifts (volunteer_id, shift_date, hours) VALUES (?, ?, ?)", shifts)
    hours = dict.fromkeys(range(1, 6), 0.0)
    for person, day, amount in shifts:
        hours[person] += amount if day.startswith("2025-06-") else 0.0
    wanted = sorted(((people[number - 1], total) for number, total in hours.items()), key=lambda row: (-row[1], row[0]))
    found = database.execute(code(answer(task), "sql")).fetchall()
    database.close()
    assert found == wanted, found


def check_regex_24_hour_time(task: Task) -> None:
    pattern = re.compile(code(answer(task), ""))
    valid = {f"{hour:02d}:{minute:02d}" for hour in range(24) for minute in range(60)}
    assert all(pattern.search(text) for text in valid)
    wrong = {f"{hour:02d}:{minute:02d}" for hour in range(100) for minute in range(100)} - valid
    wrong |= {"7:45", "07:5", "0745", " 07:45", "07:45 ", "107:45", "07:450", "07-45", "", "ab:cd"}
    assert not any(pattern.search(text) for text in wrong)
    accepted, rejected = task["instruction"].split("rejects")
    assert all(pattern.search(text) for text in re.findall(r"\d+:\d+", accepted))
    assert not any(pattern.search(text) for text in re.findall(r"\d+:\d+", rejected))


def check_shell_failed_deliveries(task: Task) -> None:
    command = code(answer(task), "bash")
    assert "\n" not in command
    assert "deliveries.log" in command
    failed = Counter(line.split()[1] for line in source(task).splitlines() if line.split()[2] == "FAILED")
    wanted = [(str(count), van) for van, count in sorted(failed.items(), key=lambda item: -item[1])]
    shown = [tuple(line.split()) for line in answer(task).split("```")[-2].strip().splitlines()]
    assert shown == wanted, shown
    if shutil.which("bash") and shutil.which("awk"):
        with tempfile.TemporaryDirectory() as folder:
            with open(os.path.join(folder, "deliveries.log"), "w", encoding="utf-8") as log:
                log.write(source(task) + "\n")
            done = subprocess.run(["bash", "-c", command], cwd=folder, capture_output=True, text=True, check=True)
        assert [tuple(line.split()) for line in done.stdout.splitlines()] == wanted, done.stdout


def check_javascript_format_duration(task: Task) -> None:
    def wanted(total: int) -> str:
        minutes, seconds = divmod(total, 60)
        hours, minutes = divmod(minutes, 60)
        return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"

    examples = re.findall(r'`formatDuration\((\d+)\)` returns `"([\d:]+)"`', answer(task))
    assert len(examples) == 2
    assert all(wanted(int(total)) == text for total, text in examples)
    program = code(answer(task), "javascript")
    assert program.count("{") == program.count("}")
    assert program.count("(") == program.count(")")
    if shutil.which("node"):
        values = [0, 5, 59, 60, 75, 599, 600, 3599, 3600, 3661, 3909, 35999, 86400, 360000]
        script = f"{program}\nconsole.log(JSON.stringify({values}.map(formatDuration)));"
        done = subprocess.run(["node", "-e", script], capture_output=True, text=True, check=True)
        assert json.loads(done.stdout) == [wanted(value) for value in values], done.stdout


class CountedCode:
    """A hashable code that counts the comparisons made."""

    comparisons = 0

    def __init__(self, value: int) -> None:
        self.value = value

    def __hash__(self) -> int:
        return hash(self.value)

    def __eq__(self, other: object) -> bool:
        CountedCode.comparisons += 1
        return isinstance(other, CountedCode) and self.value == other.value


def comparisons(function: Callable[[list[CountedCode]], Any], size: int) -> int:
    """Return how many comparisons the function makes on distinct codes."""
    CountedCode.comparisons = 0
    function([CountedCode(number) for number in range(size)])
    return CountedCode.comparisons


def check_first_repeat_complexity(task: Task) -> None:
    slow, fast = define(source(task))["first_repeat"], define(code(answer(task)))["first_repeat"]
    shuffled = random.Random(11)
    for _ in range(300):
        codes = [shuffled.randrange(8) for _ in range(shuffled.randrange(0, 10))]
        assert fast(codes) == slow(codes)
    assert comparisons(slow, 200) == 200 * 199 // 2
    assert comparisons(fast, 200) <= 200
    assert "it takes O(n²) time" in answer(task)
    assert "runs in O(n) expected time" in answer(task)


def check_refactor_stock_listing(task: Task) -> None:
    old, new = define(source(task))["f"], define(code(answer(task)))["products_in_stock"]
    shuffled = random.Random(13)
    for _ in range(300):
        stock = [(shuffled.choice("abcdef"), shuffled.randrange(-1, 3)) for _ in range(shuffled.randrange(0, 9))]
        assert new(stock) == old(stock)


def check_unit_tests_parse_price(task: Task) -> None:
    def passes(function: str) -> bool:
        case = define(function + "\n\n" + code(answer(task)))["ParsePriceTest"]
        suite = unittest.defaultTestLoader.loadTestsFromTestCase(case)
        assert suite.countTestCases() == 3
        return unittest.TextTestRunner(stream=io.StringIO()).run(suite).wasSuccessful()

    assert passes(source(task))
    changes = {".strip()": "", '.lstrip("€$£")': "", '.replace(",", "")': "", "if not": "if 0 and not"}
    for part, change in changes.items():
        assert part in source(task)
        assert not passes(source(task).replace(part, change)), f"tests miss the change of {part}"


def check_mpg_to_litres_per_100_km(task: Task) -> None:
    require_equations(answer(task), 4)
    mpg = float(re.search(r"(\d+) miles", task["instruction"])[1])
    litres_per_gallon, km_per_mile = 231 * 0.0254**3 * 1000, 1.609344
    litres = 100 * litres_per_gallon / (mpg * km_per_mile)
    assert answer(task).startswith(f"{mpg:g} miles per US gallon is about {litres:.2f} L/100 km.")
    require(answer(task), f"{mpg * km_per_mile:.3f}", f"{litres_per_gallon:.4f}", f"{litres / 100:.4f}")
    require(answer(task), f"{100 * litres_per_gallon / km_per_mile:.2f} ÷ {mpg:g} ≈ {litres:.2f}")


def check_hundred_day_challenge_end(task: Task) -> None:
    require_equations(answer(task), 1)
    first = dt.date(2025, 3, 3)
    assert f"{first:%A}, {first.day} {first:%B} {first.year}" in task["instruction"]
    last = first + dt.timedelta(days=int(only_number(r"(\d+)-day", task["instruction"])) - 1)
    assert answer(task).startswith(f"It ends on {last:%A}, {last.day} {last:%B} {last.year}.")
    steps = re.findall(r"^- (\d+ \w+) \+ (\d+) days = (\d+ \w+)", answer(task), re.M)
    day = first
    for begin, days, end in steps:
        assert begin == f"{day.day} {day:%B}"
        day += dt.timedelta(days=int(days))
        assert end == f"{day.day} {day:%B}"
    assert day == last


def check_lisbon_sao_paulo_flight_time(task: Task) -> None:
    found = re.findall(r"(\w+day) (\d+):(\d+) local time \(UTC([+−])(\d+)\)", source(task))
    week = ["Monday", "Tuesday", "Wednesday"]
    moments = [
        dt.timedelta(days=week.index(day), hours=int(h) - int(sign.replace("−", "-") + zone), minutes=int(m))
        for day, h, m, sign, zone in found
    ]
    hours, seconds = divmod((moments[1] - moments[0]).seconds, 3600)
    assert len(moments) == 2
    assert (moments[1] - moments[0]).days == 0
    assert answer(task).startswith(f"The journey takes {hours} hours {seconds // 60} minutes.")
    assert answer(task).endswith(f"{hours} h {seconds // 60} min.")
    clock = [f"{each.seconds // 3600:02d}:{each.seconds % 3600 // 60:02d}" for each in moments]
    require_lines(answer(task), ("Departure", f"{clock[0]} UTC"), ("Arrival", f"{clock[1]} UTC"))


def check_invoice_payment_due_date(task: Task) -> None:
    require_equations(answer(task), 1)
    invoice = dt.datetime.strptime(re.search(r"\d+ \w+ \d{4}", source(task))[0], "%d %B %Y").date()
    month_end = (invoice.replace(day=1) + dt.timedelta(days=32)).replace(day=1) - dt.timedelta(days=1)
    nominal = month_end + dt.timedelta(days=int(only_number(r"Terms: (\d+) days", source(task))))
    due = nominal
    while due.weekday() >= 5:
        due += dt.timedelta(days=1)
    assert answer(task).startswith(f"Payment is due on {due:%A}, {due.day} {due:%B} {due.year}.")
    require(answer(task), f"{month_end.day} {month_end:%B} {month_end.year}", f"{due:%A}, {due.day} {due:%B}")
    require(answer(task), f"{nominal.day} {nominal:%B} {nominal.year} is a {nominal:%A}")


def check_sensor_csv_to_json(task: Task) -> None:
    wanted = [
        {
            "sensor": row["sensor"],
            "room": row["room"],
            "temp_c": float(row["temp_c"]) if row["temp_c"] else None,
            "online": {"true": True, "false": False}[row["online"]],
        }
        for row in csv_rows(source(task))
    ]
    given = json.loads(answer(task))
    assert given == wanted
    assert [list(item) for item in given] == [list(item) for item in wanted]
    assert all(type(item["online"]) is bool for item in given)


def check_booking_message_to_json(task: Task) -> None:
    given = json.loads(answer(task))
    assert list(given) == ["name", "date", "time", "guests", "requests"]
    day = dt.datetime.strptime(re.search(r"\d+ \w+ \d{4}", source(task))[0], "%d %B %Y").date()
    assert given["date"] == day.isoformat()
    assert "half past seven in the evening" in source(task)
    assert given["time"] == "19:30"
    assert "table for six" in source(task)
    assert given["guests"] == 6
    assert given["name"] == re.search(r"this is (\w+)", source(task))[1]
    assert len(given["requests"]) == 2
    assert "wheelchair" in given["requests"][0]
    assert "one" in given["requests"][0]
    assert "vegetarian" in given["requests"][1]
    assert "two" in given["requests"][1]


def check_departures_json_to_markdown(task: Task) -> None:
    trains = [train for train in json.loads(source(task)) if not train["cancelled"]]
    wanted = [[train["train"], train["to"], train["dep"], str(train["platform"])] for train in trains]
    assert markdown_rows(answer(task)) == [["Train", "Destination", "Departure", "Platform"], *wanted]


def check_settings_json_to_yaml(task: Task) -> None:
    wanted = json.loads(source(task))
    given = yaml_value(code(answer(task), "yaml"))
    assert given == wanted, given
    assert json.dumps(given) == json.dumps(wanted)


def check_tip_table_markdown(task: Task) -> None:
    rates = [Fraction(found) for found in re.findall(r"(\d+)%", task["instruction"])]
    bills = [Fraction(found) for found in re.findall(r"\$(\d+)", task["instruction"])]
    wanted = [["Bill"] + [f"{rate}% tip" for rate in rates]]
    wanted += [[f"${fixed(bill)}"] + [f"${fixed(bill * rate / 100)}" for rate in rates] for bill in bills]
    assert markdown_rows(answer(task)) == wanted


def check_club_notes_to_csv(task: Task) -> None:
    wanted = io.StringIO()
    writer = csv.writer(wanted, lineterminator="\n")
    writer.writerow(["name", "role", "note"])
    for line in source(task).splitlines():
        name, role, note = line.split(" – ")
        writer.writerow([name, role, "" if note == "(no note)" else note])
    assert answer(task) + "\n" == wanted.getvalue()


def check_transpose_plan_table(task: Task) -> None:
    flipped = [list(column) for column in zip(*markdown_rows(source(task)), strict=False)]
    flipped[0][0] = "Plan"
    assert markdown_rows(answer(task)) == flipped


def check_repair_recipe_json(task: Task) -> None:
    try:
        json.loads(source(task))
    except ValueError:
        pass
    else:
        raise AssertionError("the input already parses")
    cleaned = re.sub(r"^\s*//.*\n", "", source(task), flags=re.M)
    cleaned = re.sub(r"\b0(\d+)", r"\1", re.sub(r'(\d)\n(\s*")', r"\1,\n\2", cleaned))
    program = code(answer(task), "json")
    assert json.loads(program) == ast.literal_eval(cleaned)
    assert list(json.loads(program)) == list(ast.literal_eval(cleaned))
    changes = [line for line in answer(task).splitlines() if line.startswith("- ")]
    for word in ("title", "055", "False", "comment", "missing comma after `8`", "trailing comma"):
        assert sum(word in line for line in changes) == 1, word


def check_chore_rota_yaml(task: Task) -> None:
    entries = yaml_value(code(answer(task), "yaml"))["rota"]
    assert len(entries) == 3
    assert len({entry["flatmate"] for entry in entries}) == 3
    days = {"Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"}
    for entry in entries:
        assert list(entry) == ["flatmate", "day", "tasks"]
        assert entry["day"] in days
        assert len(entry["tasks"]) == 2
        assert all(isinstance(chore, str) for chore in entry["tasks"])


CHECKS: dict[str, Callable[[Task], None]] = {
    name.removeprefix("check_"): function
    for name, function in list(globals().items())
    if name.startswith("check_") and callable(function)
}

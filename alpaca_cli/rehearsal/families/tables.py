"""Small tables in their usual dresses: CSV, JSON, Markdown, lines and sentences, and what they add up to."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass

from alpaca_cli.rehearsal.chance import choice, happens, integer, sample
from alpaca_cli.rehearsal.english import capitalised, in_words, listing, money, plural, with_article
from alpaca_cli.rehearsal.frames import framed
from alpaca_cli.rehearsal.scenes import name, occasion, people, place
from alpaca_cli.rehearsal.task import Family, Task
from alpaca_cli.rehearsal.words import OBJECTS, PLACES, QUALITIES, ROLES, TOWNS


@dataclass(frozen=True)
class Table:
    """Rows under column names; `about` says in a plural noun what the rows are."""

    about: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str | int, ...], ...]

    def csv(self) -> str:
        return "\n".join(",".join(map(str, row)) for row in (self.columns, *self.rows))

    def json(self) -> str:
        return json.dumps([dict(zip(self.columns, row, strict=True)) for row in self.rows])

    def markdown(self) -> str:
        rows = (self.columns, ("---",) * len(self.columns), *self.rows)
        return "\n".join(f"| {' | '.join(map(str, row))} |" for row in rows)


def _table(rng: random.Random) -> Table:
    count = integer(rng, 3, 4)
    numbers = sample(rng, range(18, 79), count)
    names, towns = [who.name for who in people(rng, count)], sample(rng, TOWNS, count)
    columns, about, first, second = choice(
        rng,
        (
            (("name", "trade", "age"), "workers", names, sample(rng, ROLES, count)),
            (("item", "type", "stock"), "goods", sample(rng, OBJECTS, count), sample(rng, QUALITIES, count)),
            (("town", "venue", "visitors"), "towns", towns, sample(rng, PLACES, count)),
            (("guest", "town", "nights"), "guests", names, towns),
            (("owner", "item", "price"), "owners", names, sample(rng, OBJECTS, count)),
        ),
    )
    return Table(about, columns, tuple(zip(first, second, numbers, strict=True)))


def _csv_to_json(rng: random.Random) -> Task:
    table, who = _table(rng), name(rng)
    text = framed(
        rng,
        (
            f"convert the CSV list of {table.about} to a JSON array",
            f"turn {who}'s comma-separated {table.about} below into JSON objects with {listing(table.columns)}",
            "rewrite the CSV rows as a JSON array that uses the column names as keys",
            f"give {who} these {table.about} as JSON, one object for each row",
        ),
        (f"what do {who}'s {table.about} look like as a JSON array of objects",),
    )
    return Task(text, table.csv(), table.json())


def _json_to_csv(rng: random.Random) -> Task:
    table, who = _table(rng), name(rng)
    text = framed(
        rng,
        (
            f"convert the JSON array of {table.about} to CSV with a header line",
            f"save space for {who} by writing this JSON as CSV, header first",
            f"write {who}'s JSON records as comma-separated lines under the column names",
            f"turn these JSON objects into CSV with the columns {listing(table.columns)}",
        ),
        (f"how is the JSON list of {table.about} written as CSV with a header",),
    )
    return Task(text, table.json(), table.csv())


def _csv_to_markdown(rng: random.Random) -> Task:
    table, event = _table(rng), occasion(rng)
    text = framed(
        rng,
        (
            f"make a Markdown table of the {table.about} listed below as CSV",
            f"format the comma-separated {table.about} as a Markdown table for {event}",
            f"lay out this CSV with the columns {listing(table.columns)} as a Markdown table",
        ),
        (f"how would a Markdown table of these {table.about} be written",),
    )
    return Task(text, table.csv(), table.markdown())


def _markdown_to_csv(rng: random.Random) -> Task:
    table, who = _table(rng), name(rng)
    text = framed(
        rng,
        (
            f"turn the Markdown table of {table.about} into CSV",
            f"give {who} the table below as comma-separated lines, header first",
            "strip the bars from this Markdown table and separate the cells by commas, without spaces",
        ),
        (f"what is the CSV form of the Markdown table of {table.about}",),
    )
    return Task(text, table.markdown(), table.csv())


def _look_up(rng: random.Random) -> Task:
    table = _table(rng)
    row, column = choice(rng, table.rows), integer(rng, 1, 2)
    form = choice(rng, (table.csv(), table.markdown(), table.json()))
    key, wanted = table.columns[0], table.columns[column]
    event = occasion(rng)
    text = framed(
        rng,
        (
            f"look up the {wanted} of {row[0]} in the table below",
            f"read from the records of {event} what {row[0]} has under {wanted}",
            f"find the row whose {key} is {row[0]} and state its {wanted}",
        ),
        (f"which {wanted} does the table give for {row[0]}", f"what is noted as {wanted} for {row[0]}"),
    )
    return Task(text, form, f"The {wanted} given for {row[0]} is {row[column]}.")


def _column_total(rng: random.Random) -> Task:
    table = _table(rng)
    column = table.columns[-1]
    numbers = [int(row[-1]) for row in table.rows]
    who, room = name(rng), place(rng)
    text = framed(
        rng,
        (
            f"add up the {column} column of the table below",
            f"sum the values under {column} for all {in_words(len(numbers))} {table.about}",
            f"help {who} total the {column} figures of the {room} records",
        ),
        (f"what is the sum of the {column} column", f"what do the numbers under {column} add up to"),
    )
    form = table.csv() if happens(rng, 0.5) else table.markdown()
    return Task(text, form, f"{' + '.join(map(str, numbers))} = {sum(numbers)}.")


def _sorted_rows(rng: random.Random) -> Task:
    table, who = _table(rng), name(rng)
    column, falling = choice(rng, (0, 2)), happens(rng, 0.5)
    if column:
        order = "from the largest to the smallest" if falling else "from the smallest to the largest"
        rows = tuple(sorted(table.rows, key=lambda row: int(row[2]), reverse=falling))
    else:
        order = "from Z to A" if falling else "from A to Z"
        rows = tuple(sorted(table.rows, key=lambda row: str(row[0]), reverse=falling))
    text = framed(
        rng,
        (
            f"sort the {table.about} in this CSV by {table.columns[column]}, {order}, and keep the header",
            f"reorder {who}'s rows by their {table.columns[column]}, {order}, below the same header",
        ),
        (f"how does the CSV look when its {table.about} are sorted by {table.columns[column]}, {order}",),
    )
    given = (*rows[1:], rows[0]) if table.rows == rows else table.rows
    return Task(text, Table(table.about, table.columns, given).csv(), Table(table.about, table.columns, rows).csv())


def _filtered_rows(rng: random.Random) -> Task:
    table, who = _table(rng), name(rng)
    column = table.columns[-1]
    limit = sorted(int(row[-1]) for row in table.rows)[integer(rng, 0, 1)]
    kept = [str(row[0]) for row in table.rows if int(row[-1]) > limit]
    text = framed(
        rng,
        (
            f"list each {table.columns[0]} whose {column} value is greater than {limit}",
            f"pick for {who} the {table.about} with more than {limit} under {column}, by {table.columns[0]} only",
        ),
        (f"which {table.about} have more than {limit} under {column}",),
    )
    return Task(text, table.csv(), f"{capitalised(listing(kept))}.")


def _sentence_to_json(rng: random.Random) -> Task:
    who, town, trade, age = name(rng), choice(rng, TOWNS), choice(rng, ROLES), integer(rng, 19, 88)
    keys = (
        choice(rng, ("name", "person", "worker", "guest", "member")),
        choice(rng, ("age", "years", "years_old")),
        choice(rng, ("trade", "job", "occupation", "profession", "work", "calling")),
        choice(rng, ("town", "home", "city", "residence", "place", "location")),
    )
    wanted = sample(rng, tuple(zip(keys, (who, age, trade, town), strict=True)), integer(rng, 3, 4))
    named = listing([key for key, _ in wanted])
    event = occasion(rng)
    sentence = choice(
        rng,
        (
            f"{who}, aged {age}, lives in {town} and works as {with_article(trade)}.",
            f"At {age}, {who} from {town} still earns a living as {with_article(trade)}.",
            f"The {trade} {who} is {age} years old and comes from {town}.",
        ),
    )
    text = framed(
        rng,
        (
            f"extract {named} from the sentence into one JSON object",
            f"write the sentence for the guest list of {event} as JSON with {named} in this order",
            f"turn what is said about {who} into JSON with the keys {named}",
            f"record {named} of the person below as a JSON object",
        ),
        (f"what does a JSON object with the keys {named} look like for the sentence below",),
    )
    return Task(text, sentence, json.dumps(dict(wanted)))


def _json_to_sentence(rng: random.Random) -> Task:
    thing, price, town = choice(rng, OBJECTS), 5 * integer(rng, 30, 1900), choice(rng, TOWNS)
    count, room, who, event = integer(rng, 2, 90), place(rng), name(rng), occasion(rng)
    given = json.dumps({"item": thing, "price": price / 100, "stock": count, "warehouse": town})
    text = framed(
        rng,
        (
            f"say in one sentence what {who}'s JSON record tells about stock, place and price",
            f"put the JSON entry from the {room} into a plain sentence",
            "express this record in words, with all of its values",
            f"tell {who} in plain English what the JSON below holds",
            f"write one sentence for {event} that says what the JSON record says",
        ),
        (
            f"what does {who}'s JSON record say, in one sentence with all its values",
            f"how would the {room} announce this JSON entry in words",
        ),
    )
    return Task(text, given, f"The warehouse in {town} has {count} {plural(thing)} in stock at {money(price)} each.")


FAMILIES = (
    Family("csv_to_json", _csv_to_json),
    Family("json_to_csv", _json_to_csv),
    Family("csv_to_markdown", _csv_to_markdown),
    Family("markdown_to_csv", _markdown_to_csv),
    Family("look_up", _look_up),
    Family("column_total", _column_total),
    Family("sorted_rows", _sorted_rows),
    Family("filtered_rows", _filtered_rows),
    Family("sentence_to_json", _sentence_to_json),
    Family("json_to_sentence", _json_to_sentence),
)

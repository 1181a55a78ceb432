"""Weekdays, date differences, clock times and plans that add up, all by the Gregorian calendar."""

from __future__ import annotations

import calendar
import random
from datetime import date, timedelta

from alpaca_cli.rehearsal.chance import choice, happens, integer, sample
from alpaca_cli.rehearsal.english import amount, capitalised, clock, in_words, ordinal
from alpaca_cli.rehearsal.frames import framed, opening
from alpaca_cli.rehearsal.scenes import doing, name, occasion, place
from alpaca_cli.rehearsal.task import Family, Task
from alpaca_cli.rehearsal.words import DAYS, MONTHS, TOWNS

FIRST_DAY = date(1901, 1, 1)
ERRANDS = (
    *("water the plants", "feed the hens", "check the post", "sweep the stairs", "fold the laundry", "bake the bread"),
    *("answer letters", "mend the gate", "wash the windows", "count the stock", "oil the hinges", "rake the leaves"),
    *("call the plumber", "tune the piano", "peel the potatoes", "set the tables", "walk the dog", "stack the logs"),
    *("iron the shirts", "clean the stove", "sort the keys", "polish the shoes", "prune the roses", "pack the van"),
)
LINES = ("bus", "train", "ferry", "tram", "coach", "shuttle", "cable car", "steamer", "night bus", "water taxi")


def _day(rng: random.Random) -> date:
    return FIRST_DAY + timedelta(days=integer(rng, 0, 54_000))


def _shown(day: date) -> str:
    return f"{day.day} {MONTHS[day.month - 1]} {day.year}"


def _weekday(rng: random.Random) -> Task:
    day, event = _day(rng), occasion(rng)
    text = framed(
        rng,
        (
            f"name the weekday of {_shown(day)}",
            f"find out on which day of the week {_shown(day)} falls",
            f"tell me the day of the week for {event}, dated {_shown(day)}",
        ),
        (
            f"which day of the week is {_shown(day)}",
            f"on what weekday does {_shown(day)} fall in the Gregorian calendar",
            f"if {event} is fixed for {_shown(day)}, which weekday is that",
        ),
    )
    return Task(text, "", f"{_shown(day)} is a {DAYS[day.weekday()]}.")


def _days_between(rng: random.Random) -> Task:
    first = _day(rng)
    last = first + timedelta(days=integer(rng, 8, 700))
    count, task = (last - first).days, doing(rng)
    text = framed(
        rng,
        (
            f"count the days from {_shown(first)} to {_shown(last)}, without the first one",
            f"work out the number of days between {_shown(first)} and {_shown(last)}",
        ),
        (
            f"how many days after {_shown(first)} is {_shown(last)}",
            f"how many days lie between starting {task} on {_shown(first)} and finishing on {_shown(last)}",
        ),
    )
    return Task(text, "", f"{_shown(last)} is {count} days after {_shown(first)}.")


def _date_after(rng: random.Random) -> Task:
    day, count, event = _day(rng), integer(rng, 10, 400), occasion(rng)
    later = happens(rng, 0.6)
    other = day + timedelta(days=count if later else -count)
    word = "after" if later else "before"
    text = framed(
        rng,
        (
            f"give the date {count} days {word} {_shown(day)}",
            f"find the calendar day that comes {count} days {word} {_shown(day)}",
            f"fix the date for {event}, which is {count} days {word} {_shown(day)}",
        ),
        (f"what is the date {count} days {word} {_shown(day)}", f"which day is {count} days {word} {_shown(day)}"),
    )
    return Task(text, "", f"{count} days {word} {_shown(day)} is {_shown(other)}.")


def _leap_year(rng: random.Random) -> Task:
    who, event = name(rng), occasion(rng)
    year = 100 * integer(rng, 15, 26) if happens(rng, 0.2) else integer(rng, 1583, 2680)
    text = framed(
        rng,
        (
            f"decide whether {year} is a leap year and say by which rule",
            f"check if February has an extra day in {year}",
            f"say how many days {who}'s calendar for {year} must have, and why",
            f"find out for {event} of {year} if that is a leap year",
            f"explain to {who} why {year} has or has not a leap day",
        ),
        (
            f"is the year {year} a leap year, and why",
            f"does the Gregorian calendar give {year} a leap day",
            f"{who} saw the date 29 February {year} somewhere; can it be right",
            f"how many days does the year of {event}, {year}, have",
        ),
    )
    if year % 400 == 0:
        why = "it is divisible by 400"
    elif year % 100 == 0:
        why = "it is divisible by 100 but not by 400"
    elif year % 4 == 0:
        why = "it is divisible by 4 but not by 100"
    else:
        why = "it is not divisible by 4"
    if calendar.isleap(year):
        return Task(text, "", f"{year} is a leap year of 366 days, because {why}.")
    return Task(text, "", f"{year} is not a leap year and has 365 days, because {why}.")


def _clock_later(rng: random.Random) -> Task:
    start, begin, long = opening(rng), integer(rng, 300, 1200), integer(rng, 35, 230)
    task = doing(rng)
    text = choice(
        rng,
        (
            f"{start.text} started {task} at {clock(begin)} and took {long} minutes. When was the job done?",
            f"{start.text} began {task} at {clock(begin)}. Add {long} minutes and give the time on a 24-hour clock.",
            f"{start.text} spent {long} minutes {task}, from {clock(begin)} on. What time was it then?",
        ),
    )
    return Task(text, "", f"{clock(begin)} plus {long} minutes is {clock(begin + long)}.")


def _twelve_hours(rng: random.Random) -> Task:
    minutes, event = integer(rng, 0, 1439), occasion(rng)
    hour = minutes // 60
    shown = f"{hour % 12 or 12}:{minutes % 60:02d} {'am' if hour < 12 else 'pm'}"
    if happens(rng, 0.5):
        text = framed(
            rng,
            (
                f"write {clock(minutes)} as a time with am or pm",
                f"announce {event} at {clock(minutes)} on the 12-hour clock",
            ),
            (
                f"what is {clock(minutes)} on a 12-hour clock",
                f"how does one write {clock(minutes)} with am or pm",
            ),
        )
        return Task(text, "", f"{clock(minutes)} is {shown}.")
    text = framed(
        rng,
        (
            f"give {shown} in 24-hour notation",
            f"announce {event} at {shown} on the 24-hour clock",
        ),
        (f"what is {shown} on the 24-hour clock", f"how does a 24-hour timetable write {shown}"),
    )
    return Task(text, "", f"{shown} is {clock(minutes)}.")


def _iso_date(rng: random.Random) -> Task:
    day, who, event = _day(rng), name(rng), occasion(rng)
    month = MONTHS[day.month - 1]
    spelled = choice(
        rng, (_shown(day), f"{month} {day.day}, {day.year}", f"the {ordinal(day.day)} of {month} {day.year}")
    )
    text = framed(
        rng,
        (
            "rewrite the date in the input in the form YYYY-MM-DD",
            f"put the date that {who} noted below into ISO form",
            f"convert the date given for {event} to the format YYYY-MM-DD",
            f"write {who}'s date with four digits for the year, two for the month and two for the day",
            f"bring the date of {event} into the shape that sorts well, year first",
        ),
        (
            "how is the date below written in the ISO format YYYY-MM-DD",
            f"which ISO date should {who} type for {event}",
        ),
    )
    return Task(text, capitalised(spelled), day.isoformat())


def _schedule(rng: random.Random) -> Task:
    jobs, begin = sample(rng, ERRANDS, integer(rng, 3, 5)), 15 * integer(rng, 28, 48)
    times = [5 * integer(rng, 2, 12) for _ in jobs]
    who = name(rng)
    text = framed(
        rng,
        (
            f"plan the {in_words(len(jobs))} jobs below one after another from {clock(begin)} on, and give each a "
            "start",
            f"turn {who}'s list into a schedule that begins at {clock(begin)} and has no breaks",
            f"write down when each listed job starts if the first one starts at {clock(begin)}, and when all is done",
        ),
        (f"when does each of the jobs below start, if work begins at {clock(begin)} and never pauses",),
    )
    lines, now = [], begin
    for job, long in zip(jobs, times, strict=True):
        lines.append(f"{clock(now)} {capitalised(job)}")
        now += long
    given = "\n".join(f"{capitalised(job)}: {long} minutes" for job, long in zip(jobs, times, strict=True))
    return Task(text, given, "\n".join((*lines, f"Everything is done at {clock(now)}.")))


def _next_departure(rng: random.Random) -> Task:
    line, end, now = choice(rng, LINES), choice(rng, TOWNS), integer(rng, 400, 1200)
    gap = choice(rng, (12, 15, 18, 20, 25, 30, 35, 40, 45))
    first = 5 * integer(rng, 60, 78)
    departures = [first + gap * at for at in range((1439 - first) // gap + 1)]
    leaving = next(each for each in departures if each >= now)
    text = framed(
        rng,
        (
            f"find the next {line} to {end} after {clock(now)}, if they leave every {gap} minutes from "
            f"{clock(first)} on",
            f"say when the {line} to {end} leaves next: it is {clock(now)}, and one goes every {gap} minutes since "
            f"{clock(first)}",
        ),
        (
            f"from {clock(first)} on a {line} leaves for {end} every {gap} minutes; which is the next one at "
            f"{clock(now)}",
        ),
    )
    wait = f"a wait of {amount(leaving - now, 'minute')}" if leaving > now else "no wait at all"
    return Task(text, "", f"The next {line} to {end} leaves at {clock(leaving)}, after {wait}.")


def _shift_length(rng: random.Random) -> Task:
    start, begin, pause = opening(rng), integer(rng, 320, 660), 5 * integer(rng, 3, 12)
    end = begin + pause + integer(rng, 150, 560)
    worked = end - begin - pause
    room, both = place(rng), f"{amount(worked // 60, 'hour')} and {amount(worked % 60, 'minute')}"
    text = choice(
        rng,
        (
            f"{start.text} was in the {room} from {clock(begin)} to {clock(end)}, with {pause} minutes off. "
            f"How long was the working time?",
            f"{start.text} arrived at {clock(begin)}, left at {clock(end)} and rested {pause} minutes. "
            f"Work out the hours worked.",
            f"{start.text} opened the {room} at {clock(begin)}, shut it at {clock(end)} and closed for {pause} minutes "
            f"between. How long was it open?",
        ),
    )
    return Task(
        text, "", f"From {clock(begin)} to {clock(end)}, less {pause} minutes, are {worked} minutes, or {both}."
    )


def _days_in_months(rng: random.Random) -> Task:
    at, year = integer(rng, 0, 11), integer(rng, 1900, 2060)
    days = calendar.monthrange(year, at + 1)[1]
    chores = doing(rng)
    a_day = integer(rng, 2, 14)
    text = framed(
        rng,
        (
            f"work out how many hours {a_day} hours a day make over the whole of {MONTHS[at]} {year}",
            f"calculate the total for {MONTHS[at]} {year}, if {chores} takes {a_day} hours every day",
        ),
        (
            f"how many hours are {a_day} hours a day in {MONTHS[at]} {year}",
            f"with {a_day} hours spent {chores} on each day of {MONTHS[at]} {year}, what is the sum",
        ),
    )
    return Task(text, "", f"{MONTHS[at]} {year} has {days} days, so it is {days} x {a_day} = {days * a_day} hours.")


FAMILIES = (
    Family("weekday", _weekday),
    Family("days_between", _days_between),
    Family("date_after", _date_after),
    Family("leap_year", _leap_year),
    Family("clock_later", _clock_later),
    Family("twelve_hours", _twelve_hours),
    Family("iso_date", _iso_date),
    Family("schedule", _schedule),
    Family("next_departure", _next_departure),
    Family("shift_length", _shift_length),
    Family("days_in_months", _days_in_months),
)

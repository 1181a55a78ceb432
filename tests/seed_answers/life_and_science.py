"""Answers about plans, everyday life, work and science: whatever in them can be counted or computed."""

import re
from collections.abc import Callable
from fractions import Fraction
from itertools import combinations
from typing import Any

Task = dict[str, Any]
Check = Callable[[Task], None]

SPAN = re.compile(r"(\d{1,2}):(\d{2})–(\d{1,2}):(\d{2})")
CLOCK = re.compile(r"(\d{1,2}):(\d{2})")


def given(task: Task) -> str:
    """The input of the task's only instance."""
    return str(task["instances"][0]["input"])


def answer(task: Task) -> str:
    """The output of the task's only instance."""
    return str(task["instances"][0]["output"])


def expect(condition: bool, message: str) -> None:
    """Raise AssertionError with the message unless the condition holds."""
    if not condition:
        raise AssertionError(message)


def require(text: str, *parts: str) -> None:
    """Each part must occur in the text."""
    for part in parts:
        expect(part in text, f"missing: {part!r}")


def clock(text: str) -> int:
    """Minutes since midnight of the first time of day in the text."""
    found = CLOCK.search(text)
    if found is None:
        raise AssertionError(f"no time of day in {text!r}")
    return 60 * int(found[1]) + int(found[2])


def time_of_day(minutes: int) -> str:
    """Minutes since midnight written as HH:MM."""
    return f"{minutes // 60:02d}:{minutes % 60:02d}"


def spans(text: str) -> list[tuple[int, int]]:
    """All periods such as 9:00–10:00 in the text, in minutes since midnight."""
    numbers = [[int(part) for part in found] for found in SPAN.findall(text)]
    return [(60 * a + b, 60 * c + d) for a, b, c, d in numbers]


def number_after(text: str, words: str) -> Fraction:
    """The first number that follows the words in the text."""
    found = re.search(re.escape(words) + r"\D*?(-?\d+(?:\.\d+)?)", text)
    if found is None:
        raise AssertionError(f"no number after {words!r}")
    return Fraction(found[1])


def numbered(text: str) -> list[int]:
    """The numbers that open lines such as '2. Something'."""
    return [int(number) for number in re.findall(r"^(\d+)\. \S", text, flags=re.MULTILINE)]


def bullets(text: str) -> list[str]:
    """The lines that open with a dash, without it."""
    return [line[2:] for line in text.splitlines() if line.startswith("- ")]


def weights(line: str) -> dict[str, Fraction]:
    """Items and weights of a line such as 'Optional: torch 0.2 kg, book 0.3 kg'."""
    return {name: Fraction(kilos) for name, kilos in re.findall(r"([a-z][a-z -]*) (\d+\.\d) kg", line)}


def label_is(expected: str, *labels: str) -> Check:
    """A check that the answer is the expected one of the labels, and that the instruction offers each of them."""

    def check(task: Task) -> None:
        expect(expected in labels, f"{expected!r} is not one of the labels")
        expect(answer(task) == expected, f"the label is {answer(task)!r}, not {expected!r}")
        require(task["instruction"], *labels)
        expect(task["is_classification"] is True, "not marked as a classification")

    return check


def label_with_reason(expected: str, labels: tuple[str, ...]) -> Check:
    """A check that the answer is the expected label and a reason, together one sentence."""

    def check(task: Task) -> None:
        expect(expected in labels, f"{expected!r} is not one of the labels")
        label, colon, reason = answer(task).partition(": ")
        expect(colon != "" and label.lower() == expected, f"the label is {label!r}")
        expect(reason.endswith(".") and reason.count(".") == 1, "the reason is not one sentence")
        require(task["instruction"], *labels)
        expect(task["is_classification"] is True, "not marked as a classification")

    return check


def numbered_items(count: int) -> Check:
    """A check that the answer numbers exactly so many items."""

    def check(task: Task) -> None:
        expect(numbered(answer(task)) == list(range(1, count + 1)), f"not the items 1 to {count}")

    return check


def check_rainy_saturday(task: Task) -> None:
    blocks = spans(answer(task))
    expect(blocks == [(60 * hour, 60 * hour + 60) for hour in range(9, 13)], f"blocks: {blocks}")


def check_packing(task: Task) -> None:
    limit_line, essential_line, optional_line = given(task).splitlines()
    limit = number_after(limit_line, "Limit")
    essential, optional = weights(essential_line), weights(optional_line)
    spare = limit - sum(essential.values())
    fitting = [
        set(chosen)
        for size in range(len(optional) + 1)
        for chosen in combinations(optional, size)
        if sum(optional[name] for name in chosen) <= spare
    ]
    most = max(len(chosen) for chosen in fitting)
    best = [chosen for chosen in fitting if len(chosen) == most]
    expect(len(best) == 1, "more than one best choice")
    pack = next(line for line in answer(task).splitlines() if line.startswith("Pack"))
    leave = next(line for line in answer(task).splitlines() if line.startswith("Leave"))
    expect({name for name in optional if name in pack} == best[0], "another choice holds more items")
    expect({name for name in optional if name in leave} == set(optional) - best[0], "wrong items left behind")
    for name, kilos in optional.items():
        require(answer(task), f"{name} ({float(kilos)} kg)")
    extra = sum(optional[name] for name in best[0])
    total = limit - spare + extra
    addition = " + ".join(str(float(kilos)) for kilos in essential.values())
    require(answer(task), f"{addition} = {float(limit - spare)} kg", f"leaves {float(spare)} kg.")
    require(answer(task), f"together {float(extra)} kg")
    require(answer(task), f"Total: {float(total)} kg", f"{float(limit - total)} kg under")


def check_study_week(task: Task) -> None:
    lines = dict(line.split(": ", 1) for line in answer(task).splitlines())
    days = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday"]
    expect(list(lines) == [*days, "Totals"], f"lines: {list(lines)}")
    minutes = {"biology": 0, "history": 0}
    for day in days:
        for subject, period in re.findall(r"(\w+) (\d+:\d+–\d+:\d+)", lines[day]):
            start, end = spans(period)[0]
            minutes[subject] += end - start
    expect(lines["Wednesday"] == "free", "Wednesday is not free")
    expect(minutes == {"biology": 360, "history": 180}, f"minutes: {minutes}")
    expect(lines["Totals"] == "biology 6 hours, history 3 hours, together 9 hours.", "wrong totals")


def check_agenda(task: Task) -> None:
    topics = re.findall(r"([a-z][a-z ]+) \((\d+) minutes\)", given(task))
    start, expected = clock(task["instruction"]), []
    for topic, minutes in topics:
        end = start + int(minutes)
        expected.append(f"{time_of_day(start)}–{time_of_day(end)} {topic.capitalize()}")
        start = end
    expect(answer(task).splitlines()[1:-1] == expected, f"expected {expected}")
    require(answer(task).splitlines()[-1], time_of_day(start))


def check_dinner(task: Task) -> None:
    ready = clock(task["instruction"])
    lines = answer(task).splitlines()[:-1]
    starts = []
    for dish in given(task).splitlines():
        name, durations = dish.lower().split(": ")
        minutes = sum(int(number) for number in re.findall(r"(\d+) minutes", durations))
        line = next(line for line in lines if name in line)
        expect(clock(line) == ready - minutes, f"{name} starts at the wrong time")
        starts.append(clock(line))
    expect([clock(line) for line in lines] == sorted(starts), "not in the order of time")
    require(answer(task).splitlines()[-1], f"ready at {time_of_day(ready)}.")
    resting = int(re.findall(r"(\d+) minutes of resting", given(task))[0])
    require(lines[0], f"take it out at {time_of_day(ready - resting)}", f"rest until {time_of_day(ready)}")


def check_countdown(task: Task) -> None:
    lines = answer(task).splitlines()
    expect([line.split()[0] for line in lines] == ["Four", "Three", "Two", "One"], "not four weeks")
    for line in lines:
        expect(re.findall(r"\((\d)\)", line) == ["1", "2"], f"not two tasks: {line}")


def check_afternoon_plan(task: Task) -> None:
    durations = [int(number) for number in re.findall(r"(\d+) minutes", given(task))]
    begin, deadline = [60 * int(hour) + int(minute) for hour, minute in CLOCK.findall(given(task))]
    expected = "feasible" if begin + sum(durations) <= deadline else "not feasible"
    label_is(expected, "feasible", "not feasible")(task)


def amounts(text: str) -> list[tuple[Fraction, str]]:
    """Amounts and units of a recipe line such as '1 1/2 teaspoons sugar'."""
    found = re.findall(r"((?:\d+ )?\d+/\d+|\d+) ([^,.]+)", text.split(": ", 1)[1])
    return [
        (sum((Fraction(part) for part in amount.split()), Fraction()), re.sub(r"^teaspoons", "teaspoon", what))
        for amount, what in found
    ]


def check_pancakes(task: Task) -> None:
    before, after = amounts(given(task)), amounts(answer(task))
    expect(len(before) == 6, f"{len(before)} ingredients read")
    expected = [(amount * Fraction(6, 4), what) for amount, what in before]
    expect(after == expected, f"expected {expected}")
    expect(given(task).startswith("For 4 people: ") and answer(task).startswith("For 6 people: "), "wrong portions")


def check_night_worry(task: Task) -> None:
    numbered_items(3)(task)
    for line in answer(task).splitlines()[:3]:
        expect(line.count(": ") == 1, f"no reason: {line}")
    require(answer(task), "worr", "bed", "sleep")


def check_picnic(task: Task) -> None:
    numbered_items(4)(task)
    for line in answer(task).splitlines():
        expect(line.count(": ") == 1, f"no countermeasure: {line}")
    require(answer(task), "Rain", "food", "heat")


def check_bicycle(task: Task) -> None:
    price = number_after(given(task), "costs")
    saved = number_after(given(task), "I have")
    weekly = number_after(given(task), "put aside")
    sale = number_after(given(task), "bring in")
    without, selling = (price - saved) / weekly, (price - saved - sale) / weekly
    expect(without.denominator == selling.denominator == 1, "not whole weeks")
    rest = price - saved
    require(answer(task), f"{price} − {saved} = {rest} euros, which takes {rest} ÷ {weekly} = {without} weeks")
    require(answer(task), f"{rest} − {sale} = {rest - sale} euros, which takes {rest - sale} ÷")
    require(answer(task), f"÷ {weekly} = {selling} weeks")
    expect(without - selling == 2, "the difference is not two weeks")
    require(answer(task), "two weeks sooner")


def check_actions(task: Task) -> None:
    require(answer(task), "300 copies")
    owners = {"Jonas": "by Tuesday", "Amira": "by 12 May", "Petra": "on Friday"}
    lines = bullets(answer(task))
    expect(len(lines) == len(answer(task).splitlines()) == len(owners), "not three actions")
    for line, (owner, deadline) in zip(lines, owners.items(), strict=True):
        require(given(task), owner, deadline)
        expect(line.startswith(owner + ": ") and line.endswith(deadline + "."), f"wrong action: {line}")


def check_feedback(task: Task) -> None:
    require(answer(task), "summary", "page nine", "two days late", "before")
    for word in ("mess", "of course", "hunt"):
        require(given(task), word)
        expect(word not in answer(task), f"still says {word!r}")


def check_status_update(task: Task) -> None:
    limit = number_after(task["instruction"], "at most")
    expect(len(answer(task).split()) <= limit, f"{len(answer(task).split())} words")
    require(answer(task), "8 of 12", "Fernhill", "Thursday", "last four", "week of the 20th")
    expect("cake" not in answer(task), "mentions the cake")


def check_job_sentence(task: Task) -> None:
    require(answer(task).lower(), "library", "assistant", "20 hours a week", "evenings", "saturdays", "millbrook")
    require(answer(task).lower(), "train", "no experience")
    expect(re.findall(r"[.!?]", answer(task)) == ["."] and answer(task).endswith("."), "not one sentence")


def check_decline(task: Task) -> None:
    require(task["instruction"], "half an hour")
    require(answer(task), "Kirsten", "cannot", "half an hour")


def check_website_fixes(task: Task) -> None:
    fixes = re.findall(r"^(.+): (\d+) customers, ([\d.]+) hours?$", given(task), flags=re.MULTILINE)
    expect(len(fixes) == 4, f"{len(fixes)} fixes read")
    ranked = sorted(fixes, key=lambda fix: Fraction(fix[1]) / Fraction(fix[2]), reverse=True)
    expected = [
        f"{place}. {name}: {customers} ÷ {hours} = {Fraction(customers) / Fraction(hours)} customers per hour"
        for place, (name, customers, hours) in enumerate(ranked, 1)
    ]
    expect(answer(task).splitlines() == expected, f"expected {expected}")


def check_apology(task: Task) -> None:
    require(answer(task), "Dear Ms Lindqvist", "sorry", "free of charge")


def check_newsletters(task: Task) -> None:
    seconds = number_after(task["instruction"], "needs")
    pieces = 1200
    require(task["instruction"], f"{pieces:,}", "two people")
    total = pieces * seconds
    alone = total / 3600
    require(answer(task), f"{pieces:,} × {seconds} seconds = {int(total):,} seconds", f"{alone} hours for one person")
    require(answer(task), f"{alone / 2} hours for two", "about six hours in practice")
    expect(answer(task).startswith("About five hours") and alone / 2 == 5, "the answer is not five hours")


def check_archive(task: Task) -> None:
    days = sum(Fraction(number) for number in re.findall(r"(\d+(?:\.\d+)?) days", given(task)))
    expect(days > 0, "no durations")
    label_is("small" if days <= 1 else "medium" if days <= 5 else "large", "small", "medium", "large")(task)


def check_venus(task: Task) -> None:
    year = number_after(answer(task), "orbits the Sun in about")
    rotation = number_after(answer(task), "needs about")
    solar_day = number_after(answer(task), "it is about")
    expect(year == 225 and rotation == 243, "wrong periods")
    expect(round(1 / (1 / year + 1 / rotation)) == solar_day, "the periods do not fit together")
    expect(Fraction(1, 2) < solar_day / year < Fraction(3, 5), "not a little more than half a year")


def check_thunder(task: Task) -> None:
    expect(task["instruction"].startswith("Nine seconds"), "not nine seconds")
    speed = number_after(answer(task), "roughly")
    expect(330 <= speed <= 345, f"speed of sound: {speed}")
    metres = int(9 * speed)
    require(answer(task), "in 9 seconds")
    require(answer(task), f"{speed} × 9 = {metres:,} metres", f"about {round(metres / 1000)} kilometres")


def check_state(task: Task) -> None:
    melting, boiling = number_after(given(task), "melts at"), number_after(given(task), "boils at")
    room = number_after(task["instruction"], "At")
    label_is("solid" if room < melting else "liquid" if room < boiling else "gas", "solid", "liquid", "gas")(task)


def check_physical_change(task: Task) -> None:
    expect(answer(task) == "Physical", f"the label is {answer(task)!r}")
    require(task["instruction"], "physical", "chemical")
    expect(task["is_classification"] is True, "not marked as a classification")


def check_october(task: Task) -> None:
    months = ["March", "April", "May", "June", "July", "August", "September", "October"]
    expect(months.index("October") + 1 == 8, "October is not the eighth month from March")
    require(answer(task), "began in March", "eighth month", "tenth place")
    require(answer(task), '"septem" (seven)', '"novem" (nine)', '"decem" (ten)')


def check_false_friends(task: Task) -> None:
    lines = bullets(answer(task))
    words = [line.split('"')[1] for line in lines]
    expect(len(set(words)) == 3 == len(answer(task).splitlines()), f"words: {words}")
    for line in lines:
        require(line, " means ", ", not ")


def check_rosetta(task: Task) -> None:
    require(answer(task), "196 BC", "1799", "1822", "hieroglyphs", "Demotic", "Greek", "Champollion")


def check_kintsugi(task: Task) -> None:
    expect(len(re.findall(r"[.!?](?:\s|$)", answer(task))) == 2, "not two sentences")
    expect(answer(task).endswith("."), "does not end with a full stop")
    require(answer(task), "Kintsugi", "Japanese", "pottery", "gold")


def check_travel_sickness(task: Task) -> None:
    expect(answer(task).startswith("Yes"), "the question is not answered")
    expect(len(bullets(answer(task))) == 5, "not five hints")


CHECKS: dict[str, Check] = {
    "rainy_saturday_blocks": check_rainy_saturday,
    "pack_within_weight_limit": check_packing,
    "two_subject_study_week": check_study_week,
    "repaint_chair_steps": numbered_items(8),
    "allotment_meeting_agenda": check_agenda,
    "dinner_start_times": check_dinner,
    "flat_moving_countdown": check_countdown,
    "errand_urgency_label": label_is("today", "today", "this week", "whenever"),
    "afternoon_plan_feasible": check_afternoon_plan,
    "pancakes_for_six": check_pancakes,
    "night_worry_habits": check_night_worry,
    "bicycle_saving_weeks": check_bicycle,
    "winding_road_sickness": check_travel_sickness,
    "peace_lily_water_label": label_with_reason("too much", ("too much", "too little")),
    "leftover_keep_or_bin": label_is("throw away", "keep", "throw away"),
    "meeting_notes_to_actions": check_actions,
    "honest_report_feedback": check_feedback,
    "clinic_rollout_status": check_status_update,
    "library_job_sentence": check_job_sentence,
    "decline_report_takeover": check_decline,
    "website_fixes_by_ratio": check_website_fixes,
    "misspelt_engraving_apology": check_apology,
    "newsletter_folding_estimate": check_newsletters,
    "staff_picnic_risks": check_picnic,
    "archive_job_effort": check_archive,
    "job_advert_line_type": label_is("duty", "duty", "requirement", "benefit"),
    "venus_day_and_year": check_venus,
    "thunder_delay_distance": check_thunder,
    "state_at_room_temperature": check_state,
    "sealed_candle_claim": label_with_reason("implausible", ("plausible", "implausible")),
    "sugar_in_tea_change": check_physical_change,
    "october_means_eight": check_october,
    "german_false_friends": check_false_friends,
    "rosetta_stone_puzzle": check_rosetta,
    "kintsugi_two_sentences": check_kintsugi,
    "bucket_literal_or_idiom": label_is("literal", "literal", "idiomatic"),
}

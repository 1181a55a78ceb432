"""Answers about a given text: labels, extracted facts, comparisons and orderings, each checked from the input."""

import difflib
import functools
import itertools
import json
import operator
import re
from collections import Counter
from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

Task = dict[str, Any]
Check = Callable[[Task], None]

MONTHS = (
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
)
NUMBER_WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


def given(task: Task) -> str:
    """The input of the task's only instance."""
    text: str = task["instances"][0]["input"]
    return text


def answer(task: Task) -> str:
    """The output of the task's only instance."""
    text: str = task["instances"][0]["output"]
    return text


def expect(condition: object, message: str) -> None:
    """Raise AssertionError with the message unless the condition holds."""
    if not condition:
        raise AssertionError(message)


def expect_equal(found: object, wanted: object) -> None:
    """Raise AssertionError unless both values are equal."""
    expect(found == wanted, f"found {found!r}, wanted {wanted!r}")


def has_word(text: str, word: str) -> bool:
    """Whether the word or phrase occurs in the text as a whole, in any case."""
    return re.search(rf"(?<!\w){re.escape(word)}(?!\w)", text, re.IGNORECASE) is not None


def expect_words(text: str, *words: str) -> None:
    """Raise AssertionError unless the text contains all the words or phrases."""
    for word in words:
        expect(has_word(text, word), f"{word!r} is missing from {text!r}")


def expect_no_words(text: str, *words: str) -> None:
    """Raise AssertionError if the text contains any of the words or phrases."""
    for word in words:
        expect(not has_word(text, word), f"{word!r} should not be in {text!r}")


def expect_label(task: Task, wanted: str, labels: tuple[str, ...]) -> None:
    """Raise AssertionError unless all labels are offered to the reader and the answer is the wanted one."""
    expect_words(task["instruction"] + "\n" + given(task), *labels)
    expect(wanted in labels, f"{wanted!r} is not a label")
    expect_equal(answer(task), wanted)


def integers(text: str) -> list[int]:
    """All whole numbers in the text; commas between thousands are ignored."""
    return [int(number.replace(",", "")) for number in re.findall(r"\d+(?:,\d{3})*", text)]


def keyed_lines(text: str, separator: str) -> dict[str, str]:
    """The text's lines, each split at the first separator into key and value."""
    pairs: dict[str, str] = {}
    for line in text.splitlines():
        key, found, value = line.partition(separator)
        expect(found, f"no {separator!r} in {line!r}")
        expect(key not in pairs, f"{key!r} occurs twice")
        pairs[key.strip()] = value.strip()
    return pairs


def bullets(text: str) -> list[str]:
    """The contents of the lines that begin with a hyphen."""
    return [line[2:] for line in text.splitlines() if line.startswith("- ")]


def written_dates(text: str) -> list[date]:
    """All dates of the form "3 October 2022" in the text."""
    pattern = rf"(\d{{1,2}}) ({'|'.join(MONTHS)}) (\d{{4}})"
    return [date(int(year), MONTHS.index(month) + 1, int(day)) for day, month, year in re.findall(pattern, text)]


def minutes(clock: str) -> int:
    """Minutes since midnight of a time such as "9:05"."""
    hour, minute = clock.split(":")
    return int(hour) * 60 + int(minute)


def check_hotel_comment_tone(task: Task) -> None:
    text = given(task)
    praise = has_word(text, "spotless") or has_word(text, "best")
    blame = has_word(text, "sadly") or has_word(text, "picked bare")
    wanted = "mixed" if praise and blame else "satisfied" if praise else "disappointed"
    expect_label(task, wanted, ("satisfied", "disappointed", "mixed"))


def check_support_ticket_urgency(task: Task) -> None:
    definitions, ticket = given(task).split("\n\nTicket: ")
    levels = keyed_lines(definitions, ":")
    expect_words(ticket, "none of the six people in the payroll department", "rest of the company is working normally")
    wanted = [level for level, meaning in levels.items() if has_word(meaning, "department")]
    expect_equal([answer(task)], wanted)


def sentence_type(sentence: str) -> str:
    """The type of one of the sentences in the task, read from its ending and its first word."""
    if sentence.endswith("?"):
        return "interrogative"
    if sentence.endswith("!"):
        return "exclamatory"
    return "imperative" if sentence.startswith("Please ") else "declarative"


def check_sentence_types(task: Task) -> None:
    expect_words(task["instruction"], "declarative", "interrogative", "imperative", "exclamatory")
    wanted = {number: sentence_type(sentence) for number, sentence in keyed_lines(given(task), ".").items()}
    expect_equal(keyed_lines(answer(task), "."), wanted)


def check_animal_groups(task: Task) -> None:
    members = {
        "Mammals": {"otter", "hedgehog", "dolphin"},
        "Reptiles": {"gecko", "tortoise", "grass snake"},
        "Amphibians": {"newt", "tree frog", "salamander"},
    }
    expect_words(task["instruction"], *members)
    found = {group: animals.split(", ") for group, animals in keyed_lines(answer(task), ":").items()}
    expect_equal({group: set(animals) for group, animals in found.items()}, members)
    expect_equal(sorted(functools.reduce(operator.iadd, found.values(), [])), sorted(given(task).split(", ")))


def check_household_budget_heading(task: Task) -> None:
    expect_words(given(task), "bicycle", "ride to work")
    expect_label(task, "Transport", ("Groceries", "Transport", "Housing", "Health", "Leisure"))


def check_fact_or_opinion(task: Task) -> None:
    statements = keyed_lines(given(task), ")")
    wanted = {
        letter: "O" if has_word(statement, "should") or has_word(statement, "loveliest") else "F"
        for letter, statement in statements.items()
    }
    expect_equal(keyed_lines(answer(task), ")"), wanted)


def check_novel_shelf(task: Task) -> None:
    label, _, reason = answer(task).partition(". ")
    expect_equal(label, "Science fiction")
    expect_words(task["instruction"], label)
    expect_equal(len(re.findall(r"[.!?](?=\s|$)", reason)), 1)
    for clue in ("asteroid", "machines", "colonists", "asleep"):
        expect_words(given(task), clue)
        expect_words(reason, clue)


def check_note_register(task: Task) -> None:
    expect_words(given(task), "Hey", "gonna", "yeah")
    expect_label(task, "informal", ("formal", "neutral", "informal"))


def check_pool_notice_claim(task: Task) -> None:
    notice, claim = given(task).split("\n\nClaim: ")
    expect_words(claim, "café", "shut")
    stays_open = re.search(r"[^.]*\bcafé\b[^.]*\bstay open\b", notice)
    expect_label(task, "False" if stays_open else "Not stated", ("True", "False", "Not stated"))


def check_main_clause_tense(task: Task) -> None:
    main_clause = given(task).split(", ")[-1]
    wanted = "past perfect" if re.search(r"\bhad (?:already )?set\b", main_clause) else "simple past"
    expect_label(task, wanted, ("simple past", "present perfect", "past perfect", "simple future"))


def check_inbox_or_spam(task: Task) -> None:
    label, _, reason = answer(task).partition(": ")
    expect_equal(label, "Spam")
    expect_words(task["instruction"], label)
    expect_equal(len(re.findall(r"[.!?](?=\s|$)", reason)), 1)
    for clue in ("prize", "bank", "fee"):
        expect_words(given(task), clue)
        expect_words(reason, clue)


def check_shoe_shop_intent(task: Task) -> None:
    expect_words(given(task), "send them back", "next size up instead")
    expect_label(task, "exchange_item", ("track_order", "exchange_item", "change_address", "ask_about_product"))


def figure_of_speech(line: str) -> str:
    """The figure of speech in one of the lines in the task, read from its wording."""
    if has_word(line, "is like"):
        return "simile"
    if has_word(line, "a million times"):
        return "hyperbole"
    return "personification" if has_word(line, "grumbled") else "metaphor"


def check_figures_of_speech(task: Task) -> None:
    found = keyed_lines(answer(task), ".")
    expect_equal(sorted(found.values()), ["hyperbole", "metaphor", "personification", "simile"])
    expect_words(task["instruction"], *found.values())
    expect_equal(found, {number: figure_of_speech(line) for number, line in keyed_lines(given(task), ".").items()})


def check_likely_speaker(task: Task) -> None:
    expect_words(given(task), "Open a little wider", "should not hurt")
    expect_label(task, "a dentist", ("a pilot", "a chef", "a dentist", "a tour guide"))


def sequence_kind(terms: list[int]) -> str:
    """Whether the terms form an arithmetic sequence, a geometric one or neither."""
    pairs = list(itertools.pairwise(terms))
    if len({after - before for before, after in pairs}) == 1:
        return "arithmetic"
    if all(after * terms[0] == before * terms[1] for before, after in pairs):
        return "geometric"
    return "neither"


def check_number_sequence_kinds(task: Task) -> None:
    wanted = {name: sequence_kind(integers(terms)) for name, terms in keyed_lines(given(task), ":").items()}
    expect_equal(keyed_lines(answer(task), ":"), wanted)


def check_fair_action_items(task: Task) -> None:
    deadlines = re.findall(r"(?:by|before) \d+ April", given(task))
    items = bullets(answer(task))
    expect_equal(len(items), len(deadlines))
    for item, deadline in zip(items, deadlines, strict=False):
        person, _, action = item.partition(": ")
        expect(action.endswith(" " + deadline), f"the deadline of {item!r} is not {deadline!r}")
        work = action.removesuffix(" " + deadline)
        sentence = next(part for part in re.split(r"(?<=\.) ", given(task)) if deadline in part)
        expect(sentence.startswith(person + " "), f"{person!r} is not responsible for {work!r}")
        expect_words(sentence, work)


def check_bread_ingredients(task: Task) -> None:
    wanted: dict[str, str] = {}
    for quantity, name in re.findall(r"(\d+ (?:ml|g|\w*spoon)) of ((?:fresh )?\w+)", given(task)):
        wanted[name] = quantity
    eggs = re.search(r"(\d+) beaten egg\b", given(task))
    expect(eggs is not None, "no egg in the recipe")
    wanted["egg, beaten"] = eggs.group(1) if eggs else ""
    expect_equal(keyed_lines("\n".join(bullets(answer(task))), ":"), wanted)


def check_invoice_to_json(task: Task) -> None:
    text = given(task)
    found = json.loads(answer(task))
    number = re.search(r"Invoice (\S+),", text)
    expect(number is not None, "no invoice number in the input")
    *items, total = [float(amount) for amount in re.findall(r"(\d+\.\d\d) pounds", text)]
    expect_equal(sum(items), total)
    expect_equal(
        found,
        {
            "supplier": text.splitlines()[0],
            "invoice_number": number.group(1) if number else "",
            "date": written_dates(text)[0].isoformat(),
            "total": total,
        },
    )


def check_caller_contact_details(task: Task) -> None:
    text = given(task)
    found = keyed_lines(answer(task), ":")
    expect_equal(list(found), ["Name", "Company", "Phone number", "Preferred calling time"])
    expect_equal(re.findall(r"this is (.+?) from (.+?)\.", text), [(found["Name"], found["Company"])])
    expect_equal(re.findall(r"\d{3}-\d{4}", text), [found["Phone number"]])
    expect(f"best to try {found['Preferred calling time']}." in text, "wrong calling time")


def check_dinner_complaints(task: Task) -> None:
    items = bullets(answer(task))
    clues = ("table wobbled", "lukewarm", "fifty minutes", "bottle of water")
    expect_equal(len(items), len(clues))
    for item, clue in zip(items, clues, strict=False):
        expect_words(given(task), clue)
        expect_words(item, clue)
    expect_no_words(answer(task), "view", "waiter", "tart")


def check_heating_letter_dates(task: Task) -> None:
    wanted = [day.strftime("%d/%m/%Y") for day in sorted(written_dates(given(task)))]
    expect_equal(len(wanted), 4)
    expect_equal(answer(task).splitlines(), wanted)


def check_beekeeping_keywords(task: Task) -> None:
    keywords = answer(task).split(", ")
    expect_equal(len({keyword.lower() for keyword in keywords}), 5)
    expect_equal(len(keywords), 5)
    for keyword in keywords:
        expect(keyword in given(task), f"{keyword!r} is not in the abstract")
        expect(len(keyword.split()) <= 3, f"{keyword!r} is too long")


def check_day_trip_spending(task: Task) -> None:
    amounts = [float(amount) for amount in re.findall(r"(\d+(?:\.\d\d)?) euros", given(task))]
    lines = keyed_lines(answer(task), ":")
    expect_equal(list(lines)[-1], "Total")
    expect_equal(list(lines.values()), [f"{amount:.2f} euros" for amount in [*amounts, sum(amounts)]])
    for name in list(lines)[:-1]:
        expect_words(given(task), *name.split())


def check_theatre_people_roles(task: Task) -> None:
    roles = keyed_lines(answer(task), ":")
    people = re.findall(r"(?:Helga|Ivo|Nadia|Felix|Rosa) [A-Z]\w+", given(task))
    expect_equal(list(roles), people)
    clues = ("director", "lighthouse keeper", "daughter", "costume", "song")
    for role, clue in zip(roles.values(), clues, strict=False):
        expect(clue in role, f"{clue!r} is missing from {role!r}")
        expect(clue in given(task).lower(), f"{clue!r} is missing from the input")


def check_kettle_descaling_steps(task: Task) -> None:
    steps = keyed_lines(answer(task), ".")
    expect_equal(list(steps), [str(number) for number in range(1, 7)])
    clues = (
        "halfway with equal parts of white vinegar and water",
        "to the boil",
        "for an hour",
        "away",
        "three times",
        "plain water",
    )
    position = -1
    for step, clue in zip(steps.values(), clues, strict=False):
        expect_words(step, clue)
        following = given(task).find(clue, position + 1)
        expect(following > position, f"{clue!r} is missing from the input or out of order")
        position = following
    expect_no_words(answer(task), "bleach", "aunt")


def check_failing_backup_host(task: Task) -> None:
    failures = Counter(re.findall(r"host=(\S+) status=fail code=(\S+)", given(task)))
    (((host, code), count),) = failures.items()
    expect_words(answer(task), host, f"error code {code}", f"{NUMBER_WORDS[count]} failures")
    expect_equal(re.findall(r"atlas-\d", answer(task)), [host])


def check_job_advert_requirements(task: Task) -> None:
    essential, welcome = answer(task).split("\n\n")
    expect(essential.startswith("Essential:\n"), "no heading for the essential requirements")
    expect(welcome.startswith("Welcome:\n"), "no heading for the welcome ones")
    sentences = re.split(r"(?<=\.) ", given(task))
    for part, clues, markers in (
        (essential, ("valid driving licence", "lift 20 kg", "18"), ("need", "must", "have to")),
        (welcome, ("some knowledge of shrubs", "experience with a cash register"), ("bonus", "welcome")),
    ):
        items = bullets(part)
        expect_equal(len(items), len(clues))
        for item, clue in zip(items, clues, strict=False):
            expect_words(item, clue)
            sentence = next(text for text in sentences if has_word(text, clue))
            expect(any(has_word(sentence, marker) for marker in markers), f"{clue!r} stands in the wrong part")


def check_library_fine(task: Task) -> None:
    cents, maximum = (integers(given(task))[index] for index in (0, 1))
    expect_words(given(task), "three weeks", "15 cents", "maximum of 4 euros", "two books on 1 May", "both on 1 June")
    due = date(2023, 5, 1) + timedelta(weeks=3)
    late = (date(2023, 6, 1) - due).days
    per_book = min(late * cents, maximum * 100)
    expect_words(answer(task), f"{due.day} May", f"{late} days late", f"{late} × {cents} cents")
    expect_words(answer(task), f"{per_book / 100:.2f} euros per book", f"must pay {2 * per_book // 100} euros")
    expect(f" {2 * per_book // 100} euros for both." in answer(task), "wrong amount for both books")


def check_cold_kitchen_dough(task: Task) -> None:
    expect_equal(len(re.findall(r"[.!?](?=\s|$)", answer(task))), 2)
    for clue in ("yeast", "sluggish", "carbon dioxide", "gluten", "trapped", "chilly"):
        expect_words(given(task), clue)
        expect_words(answer(task), clue)
    expect_words(answer(task), "less", "fewer", "more slowly")


def check_latest_bus_to_clinic(task: Task) -> None:
    rows = {line.split(":")[0]: re.findall(r"\d+:\d\d", line) for line in given(task).splitlines()[1:]}
    trips = list(zip(rows["Fern Road"], rows["Clinic"], strict=False))
    limit = re.search(r"by (\d+:\d\d)", task["instruction"])
    expect(limit is not None, "no limit in the instruction")
    in_time = [trip for trip in trips if limit and minutes(trip[1]) <= minutes(limit.group(1))]
    latest, following = in_time[-1], trips[len(in_time)]
    expect_equal(re.findall(r"\d+:\d\d", answer(task)), [*latest, *following])


def check_town_without_bridge(task: Task) -> None:
    _, lost, opened = (int(year) for year in re.findall(r"\b1\d{3}\b", given(task)))
    expect_words(answer(task), f"for {NUMBER_WORDS[opened - lost]} years", f"from {lost} to {opened}")
    expect_words(given(task), "flat-bottomed ferry")
    expect_words(answer(task), "flat-bottomed ferry")


def check_lamp_in_heavy_rain(task: Task) -> None:
    expect(answer(task).startswith("No."), "the answer does not begin with No")
    for clue in ("splash-proof housing", "light drizzle", "must not be exposed to heavy rain"):
        expect_words(given(task), clue)
        expect_words(answer(task), clue)


def check_flat_advert_heating_cost(task: Task) -> None:
    rent, extras = (int(amount) for amount in re.findall(r"(\d+) euros", given(task)))
    heating = next(part for part in given(task).split(". ") if part.startswith("Heating"))
    expect(not re.search(r"\d", heating), "the advert gives the cost of heating")
    expect(answer(task).startswith("No,"), "the answer does not begin with No")
    expect_words(answer(task), "supplier", "water, waste collection and stair cleaning", "two months' rent")
    expect_equal(re.findall(r"([\d,]+) euros", answer(task)), [str(rent), str(extras), f"{2 * rent:,}"])


def check_shopkeeper_closes_early(task: Task) -> None:
    expect_words(answer(task), "storm")
    for clue in ("sky", "apples", "inside", "awning", "shutters", "soaked"):
        expect_words(given(task), clue)
        expect_words(answer(task), clue)


def check_goat_farm_questions(task: Task) -> None:
    passage, questions = given(task).split("\n\n")
    found = keyed_lines(answer(task), ".")
    expect_equal(list(found), list(keyed_lines(questions, ".")))
    for number, clue in (("1", "at five in the morning and at four in the afternoon"), ("2", "Saturday market")):
        expect_words(passage, clue)
        expect_words(found[number], clue)
    expect_words(passage, "Two thirds of the milk is made into cheese", "The rest goes to a dairy")
    expect_words(found["3"], "One third")
    for sentence in found.values():
        expect_equal(len(re.findall(r"[.!?](?=\s|$)", sentence)), 1)


def check_hot_or_worm_composting(task: Task) -> None:
    for term in ("hot composting", "worm composting"):
        expect_words(task["instruction"], term)
        expect_words(answer(task), term)
    last_sentence = re.split(r"(?<=\.) ", answer(task))[-1]
    expect_words(last_sentence, "small flat", "worm composting", "better choice")


def check_cheaper_phone_plan(task: Task) -> None:
    plan_a, plan_b = given(task).splitlines()
    base_a, included_a, extra = integers(plan_a)
    base_b, included_b = integers(plan_b)
    (used,) = integers(task["instruction"])
    expect(included_b >= used, "Plan B does not include enough data")
    further = used - included_a
    cost_a = base_a + further * extra
    cheaper = "Plan B" if base_b < cost_a else "Plan A"
    expect(answer(task).startswith(f"{cheaper} is cheaper by {abs(cost_a - base_b)} euros a month."), "wrong result")
    expect_words(answer(task), f"Plan A costs {base_a} + {further} × {extra} = {cost_a} euros")
    expect_words(answer(task), f"Plan B costs {base_b} euros")


def check_notice_version_changes(task: Task) -> None:
    old, new = (part.split(": ", 1)[1].split() for part in given(task).split("\n\n"))
    changes = [item.split(": ", 1)[1].split(" -> ") for item in bullets(answer(task))]
    rebuilt = " ".join(old)
    for before, after in changes:
        expect_equal(rebuilt.count(before), 1)
        rebuilt = rebuilt.replace(before, after)
    expect_equal(rebuilt, " ".join(new))
    steps = difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes()
    expect(0 < len(changes) <= sum(step[0] != "equal" for step in steps), "more changes than differences")
    for before, after in changes:
        expect(before != after, f"{before!r} has not changed")


def check_vacuum_reviews_compared(task: Task) -> None:
    first, second = given(task).split("\n\n")
    agree, differ = answer(task).split(" They differ on ")
    expect_words(first, "suction is superb", "noise", "carpet", "full hour")
    expect_words(second, "lifts every crumb", "loud", "rugs", "twenty minutes")
    expect_words(agree, "picks up dirt very well", "carpets and rugs", "loud")
    expect_no_words(agree, "battery")
    expect(differ.startswith("the battery"), "the difference is not the battery")
    expect(-1 < differ.find("full hour") < differ.find("second") < differ.find("twenty minutes"), "wrong durations")


def check_summer_jobs_weighed(task: Task) -> None:
    kiosk, orchard = given(task).splitlines()
    wage_1, hours_1, weeks_1 = integers(kiosk)[1:]
    wage_2, hours_2, weeks_2, taxi, days = integers(orchard)[2:]
    pay_1, pay_2, fares = wage_1 * hours_1 * weeks_1, wage_2 * hours_2 * weeks_2, taxi * days * weeks_2
    left = pay_2 - fares
    expect_words(
        answer(task),
        f"{wage_1} × {hours_1} × {weeks_1} = {pay_1:,} euros",
        f"{wage_2} × {hours_2} × {weeks_2} = {pay_2:,} euros",
        f"{taxi} × {days} × {weeks_2} = {fares} euros",
        f"leaves {left:,} euros",
        f"should choose the {'orchard' if left > pay_1 else 'kiosk'}",
        f"{abs(left - pay_1)} euros more",
        f"{hours_2 * weeks_2 - hours_1 * weeks_1} extra hours",
    )


def check_parts_of_speech_tagging(task: Task) -> None:
    tags = {
        "the": "article",
        "tired": "adjective",
        "baker": "noun",
        "quickly": "adverb",
        "opened": "verb",
        "heavy": "adjective",
        "windows": "noun",
    }
    expect_equal(re.sub(r" \(\w+\)", "", answer(task)), given(task))
    pairs = re.findall(r"(\w+) \((\w+)\)", answer(task))
    expect_equal([word for word, _ in pairs], re.findall(r"\w+", given(task)))
    expect_equal([tag for _, tag in pairs], [tags[word.lower()] for word, _ in pairs])


def check_time_spans_in_order(task: Task) -> None:
    hours = {
        "hour": 1,
        "weekend": 48,
        "fortnight": 14 * 24,
        "quarter of a year": 2190,
        "leap year": 366 * 24,
        "decade": 87660,
        "century": 876600,
    }
    listed = task["instruction"].rstrip(".").split(": ")[1].split(", ")
    expect_equal(sorted(listed), sorted(hours))
    expect_equal(answer(task).split(", "), sorted(listed, key=hours.__getitem__))


def check_tools_and_jobs(task: Task) -> None:
    tools = dict(re.findall(r"(\d)\. ([\w ]+)", given(task)))
    jobs = dict(re.findall(r"([a-d])\) ([\w ]+)", given(task)))
    clues = {"spirit level": "horizontal", "trowel": "hole", "whetstone": "sharpening", "colander": "draining"}
    wanted = []
    for number, tool in tools.items():
        letter = next(key for key, job in jobs.items() if has_word(job, clues[tool]))
        wanted.append(f"{number} {letter}: {tool}, {jobs[letter]}")
    expect_equal(len(wanted), 4)
    expect_equal(answer(task).splitlines(), wanted)


def check_conjunction_gaps(task: Task) -> None:
    words, text = given(task).removeprefix("Words: ").split("\n\nText: ")
    pattern = re.escape(text).replace("___", r"(\w+)")
    filled = re.fullmatch(pattern, answer(task))
    expect(filled is not None, "the text between the gaps has changed")
    found = [word.lower() for word in filled.groups()] if filled else []
    expect_equal(sorted(found), sorted(words.split(", ")))
    expect_equal(found, ["because", "although", "so", "until"])


CHECKS: dict[str, Check] = {
    name.removeprefix("check_"): function
    for name, function in list(globals().items())
    if name.startswith("check_") and callable(function)
}

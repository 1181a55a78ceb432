"""What the rehearsal teacher reads from a prompt, the forms of its answers, and the rates of its flaws."""

from __future__ import annotations

import itertools
import os
import random
import re
import subprocess
import sys
from collections import Counter

import pytest

from alpaca_cli.rehearsal import compose as composing
from alpaca_cli.rehearsal import flaws
from alpaca_cli.rehearsal.compose import NO_TASKS, Wanted, compose, wanted
from alpaca_cli.rehearsal.families.registry import FAMILIES
from alpaca_cli.rehearsal.task import Task

SHOWN = "".join(
    f"###\n{at}. Instruction: Name a bird.\n{at}. Input:\n<noinput>\n{at}. Output:\nA heron.\n" for at in (1, 2, 3)
)
PROMPT = f"Come up with a list of 20 varied tasks.\n\nList of 20 tasks:\n{SHOWN}###\n4. Instruction:"
PLAIN = Task("Count the letters of the word in the input.", "heron", "It has five letters.")

GOLDEN = (
    " The canteen in Visby hosts the library expedition. How is the date below written in the ISO format YYYY-MM-DD?\n"
    "4. Input:\n"
    "24 February 1937\n"
    "4. Output:\n"
    "1937-02-24\n"
    "###\n"
    '5. Instruction: How does the passage read with "telescope" in place of "handbag"? Nobody near the unheated '
    "lodge could help a cartwright with this.\n"
    "5. Input:\n"
    "The quiet upholsterer bought the handbag in the lookout. Elsa saw the handbag after dinner.\n"
    "5. Output:\n"
    "The quiet upholsterer bought the telescope in the lookout. Elsa saw the telescope after dinner.\n"
)


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        (PROMPT, Wanted(4, 20, labelled=True)),
        (PROMPT + " \n", Wanted(4, 20, labelled=True)),
        ("come up with a set of 20 diverse task instructions.", Wanted(1, 20, labelled=False)),
        ("Give me 3 tasks, please.", Wanted(1, 3, labelled=False)),
        ("Some tasks, please.", Wanted(1, 20, labelled=False)),
        ("A list of 12 tasks.\n###\n**7. Instruction:**", Wanted(7, 12, labelled=True)),
        ("First 5 tasks, then 8 tasks in all.\n6. Instruction:", Wanted(6, 8, labelled=True)),
        ("List of 5000 tasks:\n3. Instruction:", Wanted(3, 20, labelled=True)),
        ("List of 20 tasks:\n31. Instruction:", Wanted(31, 31, labelled=True)),
        ("4. Instruction: Name a bird.\nGive 2 tasks.", Wanted(1, 2, labelled=False)),
        ("What is the capital of Peru?", None),
        ("", None),
    ],
)
def test_what_a_prompt_asks_for(prompt: str, expected: Wanted | None) -> None:
    assert wanted(prompt) == expected


@pytest.mark.parametrize("filler", [" ", "1 ", "9", "a-", "1 a a a a ", "\n", "4. Instruction:"])
def test_reading_a_huge_prompt_takes_linear_time(filler: str) -> None:
    assert wanted(filler * (2_000_000 // len(filler))) in (None, wanted(filler * 100))  # or the suite's time runs out


def test_a_question_is_answered_by_a_polite_sentence() -> None:
    assert compose("What is the capital of Peru?") == NO_TASKS
    assert "without any intelligence" in NO_TASKS


def test_a_completion_goes_on_where_the_prompt_ends() -> None:
    for seed in range(40):
        text = compose(PROMPT, seed=seed, chat=False)
        assert re.match(r" \S|\n4\. Input:", text)
        assert "1. Instruction" not in re.findall(r"^\d+\. Instruction", text, re.MULTILINE)
        blocks = f"4. Instruction:{text}".split("\n###\n")
        assert len(blocks) == 17
        for number, block in enumerate(blocks, 4):
            assert block.startswith(f"{number}. Instruction:")
            assert f"\n{number}. Input:\n" in block


def test_a_list_from_the_beginning_starts_with_its_label() -> None:
    for chat in (False, True):
        for seed in range(20):
            text = compose("Give me 3 tasks.", seed=seed, chat=chat)
            assert re.search(r"^\W*1\. Instruction:", text, re.MULTILINE)
            assert len(re.findall(r"^\W*\d+\. Instruction:", text, re.MULTILINE)) in (2, 3)


def test_chat_answers_take_every_liberty_and_completions_none() -> None:
    seen: Counter[str] = Counter()
    for seed in range(400):
        text = compose(PROMPT, seed=seed)
        assert text != compose(PROMPT, seed=seed, chat=False)
        labels = [int(each) for each in re.findall(r"^\**(\d+)\. Instruction:", text, re.MULTILINE)]
        seen["plain"] += text.startswith((" ", "\n"))
        seen["label"] += text.startswith("4. Instruction:")
        seen["preface"] += text[0].isalpha()
        seen["bold"] += "**Input:**" in text
        seen["restart"] += labels[0] == 1
        seen["hashes"] += "\n##\n" in text and "\n###\n" not in text
        seen["skip"] += any(after - before == 2 for before, after in itertools.pairwise(labels))
        seen["no input"] += "<noinput>" not in text
    shares = {name: count / 400 for name, count in seen.items()}
    assert 0.4 < shares["plain"] < 0.7
    assert shares["label"] > 0.08
    assert 0.06 < shares["preface"] < 0.25
    assert all(0.02 < shares[name] < 0.2 for name in ("bold", "restart", "hashes", "skip")), shares
    assert 0.15 < shares["no input"] < 0.35


def test_answers_depend_on_every_argument_and_on_nothing_else() -> None:
    base = compose(PROMPT, chat=False)
    assert base == compose(PROMPT, seed=0, choice=0, chat=False)
    others = [
        compose(PROMPT, seed=1, chat=False),
        compose(PROMPT, choice=1, chat=False),
        compose(f" {PROMPT}", chat=False),
    ]
    assert len({base, *others}) == 4


def test_answers_are_the_same_in_another_process_with_other_hashes() -> None:
    code = (
        "import sys, hashlib\nfrom alpaca_cli.rehearsal.compose import compose\n"
        "texts = [compose(sys.argv[1], seed=seed) for seed in range(20)]\n"
        "print(hashlib.sha256('\\n'.join(texts).encode()).hexdigest())"
    )
    said = {
        subprocess.run(
            [sys.executable, "-c", code, PROMPT],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
            text=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(said) == 1


def test_the_beginning_of_one_answer() -> None:
    """Changes with any change of families, words or rates; then a run that is gone on with meets other answers."""
    assert compose(PROMPT, chat=False).startswith(GOLDEN)


def test_rates_of_flaws() -> None:
    rng, rounds = random.Random("rates"), 20_000
    stock = dict(flaws.stock())
    seen: Counter[str] = Counter()
    for _ in range(rounds):
        each = flaws.draft(rng, PLAIN)
        if each.without:
            seen[f"without {each.without}"] += 1
        elif each.task == PLAIN:
            seen["good"] += 1
        elif each.task in stock:
            seen["duplicate"] += 1
        elif any(each.task.output == task.output and each.task.input == task.input for task in stock):
            seen["near"] += 1
        else:
            seen["refusable"] += 1
    shares = {name: count / rounds for name, count in seen.items()}
    assert shares["duplicate"] == pytest.approx(0.03, abs=0.006)
    assert shares["near"] == pytest.approx(0.06, abs=0.008)
    assert shares["without instruction"] + shares["without output"] == pytest.approx(0.02, abs=0.005)
    assert min(shares["without instruction"], shares["without output"]) > 0.005
    assert shares["refusable"] == pytest.approx(0.05, abs=0.007)


def test_near_duplicates_differ_in_one_word_that_the_answer_does_not_hang_on() -> None:
    rng = random.Random("near")
    assert len(flaws.stock()) == flaws.STOCK_SIZE
    for task, name in flaws.stock():
        assert name in task.instruction and name not in task.input + task.output
    found = 0
    while found < 100:
        each = flaws.draft(rng, PLAIN).task
        for task, _ in flaws.stock():
            if each != task and (each.input, each.output) == (task.input, task.output):
                old, new = task.instruction.split(), each.instruction.split()
                assert sum(one != two for one, two in zip(old, new, strict=True)) == 1
                found += 1


def test_every_kind_of_refusable_task_is_of_its_kind() -> None:
    rng = random.Random("kinds")
    made = {kind.__name__: kind(rng, PLAIN) for kind in flaws.REFUSABLE}
    assert len(made["_too_short"].instruction.split()) == 2
    assert made["_drawing"].instruction.startswith("Draw a picture of ")
    assert made["_program"].instruction.startswith("Write a program ")
    assert made["_quoted"].instruction.startswith('"')
    assert made["_empty"].output == ""
    assert made["_no_output"].output == "No output"
    assert " AI " in made["_excuse"].output or made["_excuse"].output.startswith("I'm sorry")
    assert made["_address"].input.startswith("https://www.example.com/")
    assert "see the attached" in made["_attachment"].instruction
    assert made["_cut"].output[-1].isalpha()
    assert made["_echo"].input == made["_echo"].instruction
    assert len(made) == 11


def test_malformed_tasks_lack_just_one_part() -> None:
    lines = composing._block(flaws.Draft(PLAIN, "output"), 7, composing.Form()).split("\n")
    assert lines == ["7. Instruction: " + PLAIN.instruction, "7. Input:", PLAIN.input]
    lines = composing._block(flaws.Draft(PLAIN, "instruction"), 7, composing.Form()).split("\n")
    assert lines == ["7. Instruction:", "7. Input:", PLAIN.input, "7. Output:", PLAIN.output]


def test_there_is_a_family_for_each_task_of_the_longest_list() -> None:
    assert len(FAMILIES) >= composing.MOST_TASKS

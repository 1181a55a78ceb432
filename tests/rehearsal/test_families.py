"""Every family of the rehearsal teacher: well-formed, deterministic, true, and various enough to stay novel."""

from __future__ import annotations

import random
import re

import pytest
from rapidfuzz.distance import Indel
from rapidfuzz.process import extractOne

from alpaca_cli.rehearsal import flaws, frames, scenes
from alpaca_cli.rehearsal.chance import sample
from alpaca_cli.rehearsal.families.registry import FAMILIES
from alpaca_cli.rehearsal.task import Family
from alpaca_cli.rehearsal.words import AUNTS, UNCLES, WOMEN
from rehearsal.oracles import ORACLES

LABEL = re.compile(r"^\W*(?:\d+\.\s*)?(?:instruction|input|output)\W*:", re.IGNORECASE | re.MULTILINE)
UNSUITABLE = re.compile(
    r"\b(?:images?|graphs?|pictures?|files?|maps?|draw|plot|go to|videos?|audio|music|flowcharts?|diagrams?|photos?"
    r"|charts?|posters?|paintings?|attached|link)\b",
    re.IGNORECASE,
)
BY_NAME = {family.name: family for family in FAMILIES}


def _rng(family: Family, number: int) -> random.Random:
    return random.Random(f"test {family.name} {number}")


def test_there_are_enough_families_and_their_names_differ() -> None:
    assert len(FAMILIES) >= 60
    assert len(BY_NAME) == len(FAMILIES)


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_tasks_are_well_formed(family: Family) -> None:
    for number in range(100):
        task = family.make(_rng(family, number))
        assert task == family.make(_rng(family, number))
        assert 8 <= len(task.instruction.split()) <= 40, task
        assert task.instruction[0].isascii() and task.instruction[0].isupper(), task
        assert task.instruction[-1] in ".?" and task.instruction[-2] not in ".?!", task
        assert 0 < len(task.output.split()) < 100, task
        assert task.output[-1].isalnum() or task.output[-1] in '.?!]}|;"', task
        assert task.output.strip() != task.input.strip(), task
        assert not UNSUITABLE.search(task.instruction), task
        for text in (task.instruction, task.input, task.output):
            assert text == text.strip() and text.isascii(), task
            assert "###" not in text and not LABEL.search(text), task
        assert "  " not in task.instruction and "\n" not in task.instruction and "{" not in task.instruction, task


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_articles_go_with_their_nouns(family: Family) -> None:
    for number in range(60):
        task = family.make(_rng(family, number))
        plain = re.sub(r'"[^"]*"', "", f"{task.instruction} {task.output}")
        wrong = re.findall(r"\ba (?=[aeio])(?!one\b|once\b|eu)\w+|\ban (?=[bcdfgjklmnpqrstvwxyz])\w+", plain)
        assert not [each for each in wrong if each[:4] != "a, e"], (wrong, task)


@pytest.mark.parametrize("name", ORACLES)
def test_answers_are_true(name: str) -> None:
    family, oracle = BY_NAME[name], ORACLES[name]
    for number in range(60):
        task = family.make(_rng(family, number))
        assert oracle(task.instruction, task.input, task.output), task


@pytest.mark.parametrize("name", ORACLES)
def test_oracles_notice_a_wrong_answer(name: str) -> None:
    """No oracle passes an answer that belongs to another task of the same family."""
    family, oracle = BY_NAME[name], ORACLES[name]
    task = family.make(_rng(family, 0))
    others = (family.make(_rng(family, number)).output for number in range(1, 40))
    passed = 0
    tried = 0
    for output in others:
        if output == task.output:
            continue
        tried += 1
        try:
            passed += oracle(task.instruction, task.input, output)
        except (ValueError, LookupError, AssertionError):
            continue
    assert tried >= 1 and passed <= tried / 3


def test_at_least_twenty_families_have_an_oracle() -> None:
    assert len(ORACLES) >= 20
    assert set(ORACLES) <= set(BY_NAME)


def test_share_of_tasks_with_an_input() -> None:
    tasks = [family.make(_rng(family, number)) for family in FAMILIES for number in range(20)]
    assert 0.4 <= sum(bool(task.input) for task in tasks) / len(tasks) <= 0.6


def test_families_use_nothing_but_random() -> None:
    class OnlyRandom(random.Random):
        def getrandbits(self, k: int) -> int:
            raise AssertionError("only random() is the same in every Python")

        def _randbelow(self, n: int) -> int:
            raise AssertionError("only random() is the same in every Python")

    for family in FAMILIES:
        assert family.make(OnlyRandom(5)) == family.make(random.Random(5)), family.name


def test_frames_hold_no_numbers_of_their_own() -> None:
    rng = random.Random(3)
    digits = re.compile(r"\d|\b(?:two|three|four|five|six|seven|eight|nine|ten|Monday|Sunday|January|May)\b")
    for _ in range(3000):
        text = frames.framed(rng, ("xyz",), ("xyz",), bare=0.0)
        assert "xyz" in text.lower() and not digits.search(text), text
        assert not digits.search(frames.opening(rng).text)


def test_relations_go_with_the_person() -> None:
    rng = random.Random(4)
    for _ in range(2000):
        who = scenes.person(rng)
        assert (who.she == "she") == (who.name in WOMEN)
        relation = scenes.relation(rng, who)
        assert relation not in (UNCLES if who.she == "she" else AUNTS)


def test_most_of_the_first_tasks_are_novel() -> None:
    """Greedy novelty as the consumer has it, over 1,500 tasks with their flaws: ROUGE-L F at most 0.7."""
    codes: dict[str, str] = {}
    kept: list[str] = []
    made = 0
    for request in range(89):
        rng = random.Random(f"novelty {request}")
        for family in sample(rng, FAMILIES, 17):
            instruction = flaws.draft(rng, family.make(rng)).task.instruction.lower()
            words = re.findall(r"[a-z0-9]+", instruction)
            text = "".join(codes.setdefault(word, chr(0x100 + len(codes))) for word in words)
            made += 1
            near = extractOne(text, kept, scorer=Indel.normalized_similarity, score_cutoff=0.7001)
            if near is None:
                kept.append(text)
    assert made >= 1500
    assert len(kept) / made >= 0.6

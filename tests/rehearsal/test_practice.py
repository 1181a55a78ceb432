"""The practice set: as many as were asked for, each once, the same every time."""

from __future__ import annotations

from collections import Counter

from alpaca_cli.rehearsal.families.registry import FAMILIES
from alpaca_cli.rehearsal.practice import practice

LABELS = ("delivery", "payment", "return", "repair", "praise")


def test_what_is_asked_is_not_learnt_from() -> None:
    made = practice(["message_topic", "iso_date"], 301, 20)
    everything = [*made.train, *(example for asked in made.asked.values() for example in asked)]

    assert len(made.train) == 301
    assert {family: len(asked) for family, asked in made.asked.items()} == {"message_topic": 20, "iso_date": 20}
    assert len({(example.instruction, example.input) for example in everything}) == len(everything)
    kinds = Counter(example.output.startswith("The message is about") for example in made.train)
    assert kinds == {True: 151, False: 150}
    topics = {example.output for example in made.train if example.output.startswith("The message")}
    assert topics == {f"The message is about {label}." for label in LABELS}
    assert {example.output for example in made.asked["message_topic"]} <= topics
    assert not all(example.output.startswith("The message") for example in made.train[:20])  # shuffled


def test_a_seed_means_the_same_every_time() -> None:
    assert practice(["capital"], 30, 5, seed=3) == practice(["capital"], 30, 5, seed=3)
    assert practice(["capital"], 30, 5, seed=3) != practice(["capital"], 30, 5, seed=4)
    assert all(practice([family.name], 2, 1).asked[family.name] for family in FAMILIES[:5])

"""The replay: a pure function of recipe, seeds and completions, whatever the order in which they come."""

from __future__ import annotations

import math
import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rouge_score import rouge_scorer

from alpaca_cli.data.example import Example, SeedTask, parse_seed_tasks
from alpaca_cli.data.journal import Completion
from alpaca_cli.data.shipped import shipped_dir
from alpaca_cli.dedup.pool import Pool
from alpaca_cli.generate.replay import NOT_NOVEL, REASONS, Provenance, Refused, Replay
from alpaca_cli.generate.rules import RULES
from alpaca_cli.recipe.generate import GenerateRecipe

SCORER = rouge_scorer.RougeScorer(["rougeL"], use_stemmer=False)
SEEDS_FILE = shipped_dir("prompts") / "seed_tasks.jsonl"
SEED_TASKS = [
    SeedTask(f"s{number}", f"name_{number}", Example(instruction, "", "Yes."), False)
    for number, instruction in enumerate(
        [
            "Name a bird that swims well.",
            "Explain how glass is made.",
            "Sort these numbers by size.",
            "Write a haiku on fog.",
        ]
    )
]


def recipe(**novelty: object) -> GenerateRecipe:
    return GenerateRecipe.model_validate(
        {"kind": "generate", "teacher": {"kind": "rehearsal"}, "rules": {"empty_output": True}, "novelty": novelty}
    )


def completion(k: int, text: str, finish_reason: str | None = "stop") -> Completion:
    return Completion(
        k=k,
        seed_ids=("s0", "s1", "s2"),
        prompt_sha256="0" * 64,
        text=text,
        finish_reason=finish_reason,
        usage=None,
        model="m",
        request_id=None,
        started="2025-01-01T00:00:00.000+00:00",
        seconds=1.0,
    )


def told(*instructions: str, output: str = "Fine.") -> str:
    """What a teacher writes who goes on after "4. Instruction:"."""
    parts = [
        f"{n}. Instruction: {text}\n{n}. Input:\n<noinput>\n{n}. Output:\n{output}\n"
        for n, text in enumerate(instructions, 4)
    ]
    return "###\n".join(parts).removeprefix("4. Instruction:")


def replayed(completions: list[Completion], num: int = 10**6, **novelty: object) -> Replay:
    replay = Replay(recipe(**novelty), SEED_TASKS, num)
    for each in completions:
        replay.offer(each)
    return replay


def result(replay: Replay) -> tuple[object, ...]:
    return (
        replay.accepted,
        replay.places,
        list(replay.provenance()),
        replay.refused,
        replay.used,
        replay.num_barren,
        replay.reasons,
    )


def instructions(replay: Replay) -> list[str]:
    return [example.instruction for example in replay.accepted]


_WORDS = ["red", "blue", "sun", "moon", "bird", "fish", "Name", "Sort", "why", "how"]


def random_completions(seed: int, count: int) -> list[Completion]:
    """Answers with new tasks, near-duplicates, tasks that rules refuse, broken ones, and nothing at all."""
    rng = random.Random(seed)
    completions = []
    for k in range(count):
        lines = [" ".join(rng.choices(_WORDS, k=rng.randrange(2, 9))) for _ in range(rng.randrange(0, 6))]
        text = told(*lines, output=rng.choice(["Fine.", "Fine.", ""])) if lines else "Sorry?"
        text = text.replace("5. Output:\n", "") if rng.random() < 0.2 else text
        cut = rng.random() < 0.3
        completions.append(
            completion(k, text[: rng.randrange(len(text) + 1)] if cut else text, "length" if cut else "stop")
        )
    return completions


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.permutations(range(8)), st.integers(1, 20))
def test_the_order_in_which_completions_come_changes_nothing(seed: int, order: list[int], num: int) -> None:
    completions = random_completions(seed, 8)
    in_order = replayed(completions, num)
    shuffled = replayed([completions[k] for k in order], num)
    assert result(shuffled) == result(in_order)
    assert shuffled.num_waiting == in_order.num_waiting == 8 - len(in_order.used)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 12), st.integers(0, 12))
def test_a_larger_num_goes_on_where_a_smaller_one_stopped(seed: int, num: int, more: int) -> None:
    completions = random_completions(seed, 8)
    small, large = replayed(completions, num), replayed(completions, num + more)
    assert len(small.accepted) <= num
    assert small.is_done == (len(small.accepted) == num)
    assert large.accepted[: len(small.accepted)] == small.accepted
    assert list(large.provenance())[: len(small.accepted)] == list(small.provenance())
    assert large.refused[: len(small.refused)] == small.refused
    assert large.used[: len(small.used)] == small.used


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 20), st.sampled_from([0.5, 0.6, 0.7, 1.0]))
def test_acceptance_and_provenance_are_those_of_a_slow_computation(seed: int, num: int, threshold: float) -> None:
    replay = replayed(random_completions(seed, 8), num, threshold=threshold)
    pool = [task.example.instruction for task in SEED_TASKS]
    for example, provenance in zip(replay.accepted, replay.provenance(), strict=True):
        scores = [SCORER.score(other, example.instruction)["rougeL"].fmeasure for other in pool]
        assert max(scores) <= threshold
        order = sorted(range(len(pool)), key=lambda index: -scores[index])[:10]
        expected = {pool[index]: round(scores[index], 6) for index in order}
        assert list(provenance.most_similar.items()) == list(expected.items())
        assert provenance.average_similarity == pytest.approx(sum(scores) / len(scores), abs=1e-6)
        pool.append(example.instruction)
    seeds = [task.example.instruction for task in SEED_TASKS]
    for refused in replay.refused:
        if refused.reason == NOT_NOVEL:
            before = [
                example.instruction
                for example, place in zip(replay.accepted, replay.places, strict=True)
                if place < (refused.k, refused.task.position)
            ]
            instruction = refused.task.example.instruction
            scores = [SCORER.score(other, instruction)["rougeL"].fmeasure for other in seeds + before]
            assert refused.score == max(scores) > threshold
            assert refused.repeats == (seeds + before)[scores.index(max(scores))]


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.lists(st.booleans(), min_size=8, max_size=8))
def test_provenance_asked_for_at_any_time_is_that_of_what_is_accepted_so_far(seed: int, asked: list[bool]) -> None:
    completions = random_completions(seed, 8)
    expected = list(replayed(completions).provenance())
    replay = replayed([])
    for each, is_asked in zip(completions, asked, strict=True):
        replay.offer(each)
        assert not is_asked or list(replay.provenance()) == expected[: len(replay.accepted)]


def test_nothing_is_compared_for_provenance_before_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a run which is taken up again asks at once."""

    def compare(*_: object) -> None:
        raise AssertionError("compared")

    monkeypatch.setattr(Pool, "neighbours", compare)
    replay = replayed(random_completions(5, 8))
    assert replay.accepted and len(replay.places) == len(replay.accepted)
    with pytest.raises(AssertionError, match="compared"):
        list(replay.provenance())


def test_tasks_accepted_while_provenance_is_read_change_nothing_in_it() -> None:
    completions = random_completions(5, 8)
    replay = replayed(completions[:4])
    expected = list(replay.provenance())
    reading = replay.provenance()
    first = next(reading)
    for each in completions[4:]:
        replay.offer(each)
    assert [first, *reading] == expected and len(replay.accepted) > len(expected)


def test_every_task_that_was_looked_at_is_accepted_or_refused_with_a_known_reason() -> None:
    replay = replayed(random_completions(3, 40))
    places = replay.places
    assert places == [(each.k, each.position) for each in replay.provenance()]
    refused = [(each.k, each.task.position) for each in replay.refused]
    assert len(set(places) | set(refused)) == len(places) + len(refused)
    assert places == sorted(places) and refused == sorted(refused)
    assert set(replay.reasons) == {"malformed", "truncated", "too_short", "empty_output", NOT_NOVEL}
    assert replay.reasons == Counter(each.reason for each in replay.refused)
    assert ("malformed", "truncated", *RULES, NOT_NOVEL) == REASONS


def test_exactly_num_are_accepted_and_what_follows_is_not_looked_at() -> None:
    first = completion(0, told("Draw up a plan.", "Why do cats purr?", "Count all the stairs."))
    replay = replayed([first, completion(1, told("Tell a long joke."))], num=2)
    assert instructions(replay) == ["Draw up a plan.", "Why do cats purr?"]
    assert (replay.is_done, replay.used, replay.refused) == (True, [first], [])
    assert (replay.next_k, replay.num_waiting) == (1, 1)


def test_a_completion_waits_for_those_before_it() -> None:
    replay = replayed([completion(2, told("Why do cats purr?")), completion(1, told("Draw up a plan."))])
    assert (replay.accepted, replay.used, replay.num_waiting, replay.next_k) == ([], [], 2, 0)
    replay.offer(completion(0, told("Count all the stairs.")))
    assert instructions(replay) == ["Count all the stairs.", "Draw up a plan.", "Why do cats purr?"]
    assert (replay.num_waiting, replay.next_k) == (0, 3)


def test_a_task_that_repeats_a_seed_is_refused_with_what_it_repeats() -> None:
    replay = replayed([completion(0, told("Name a BIRD that swims well!", "Name a bird that sings badly."))])
    (refused,) = replay.refused
    assert instructions(replay) == ["Name a bird that sings badly."]
    assert (refused.k, refused.task.position, refused.reason) == (0, 0, NOT_NOVEL)
    assert (refused.repeats, refused.score) == ("Name a bird that swims well.", 1.0)


def test_tasks_of_one_completion_are_new_against_each_other() -> None:
    text = told(
        "Why do cats purr at night?", "Why do cats purr by night?", "Why do dogs bark?", "Why do cats purr at night?"
    )
    replay = replayed([completion(0, text)])
    assert instructions(replay) == ["Why do cats purr at night?", "Why do dogs bark?"]
    assert [each.repeats for each in replay.refused] == ["Why do cats purr at night?"] * 2
    assert list(replay.provenance())[1].most_similar["Why do cats purr at night?"] == 0.4


def test_a_task_that_a_rule_refused_does_not_keep_a_later_one_out() -> None:
    refused, accepted = told("Why do cats purr?", output=""), told("Why do cats purr?")
    replay = replayed([completion(0, refused), completion(1, accepted)])
    assert [(each.k, each.reason) for each in replay.refused] == [(0, "empty_output")]
    assert instructions(replay) == ["Why do cats purr?"]


def test_a_tie_is_new() -> None:
    near = "Name a bird that swims well and fast."
    tie = SCORER.score(SEED_TASKS[0].example.instruction, near)["rougeL"].fmeasure
    assert instructions(replayed([completion(0, told(near))], threshold=tie)) == [near]
    assert instructions(replayed([completion(0, told(near))], threshold=math.nextafter(tie, 0))) == []


def test_the_unicode_tokenizer_tells_instructions_of_other_scripts_apart() -> None:
    texts = ["写 一首 关于 春天的诗", "写 一首 关于 秋天的诗"]
    off = {"opens_with_non_ascii": False, "too_short": 0}
    accepted = {}
    for tokenizer in ("rouge", "unicode"):
        settings_ = recipe(tokenizer=tokenizer)
        settings_ = settings_.model_copy(update={"rules": settings_.rules.model_copy(update=off)})
        replay = Replay(settings_, SEED_TASKS, 10)
        replay.offer(completion(0, told(*texts)))
        accepted[tokenizer] = len(replay.accepted)
    assert accepted == {"rouge": 2, "unicode": 1}


def test_completions_in_a_row_without_an_accepted_task_are_counted() -> None:
    replay = Replay(recipe(), SEED_TASKS, 10)
    barren = []
    for k, text in enumerate(["I cannot.", told("Sing"), told("Why do cats purr?"), told("Why do cats purr?"), ""]):
        replay.offer(completion(k, text))
        barren.append(replay.num_barren)
    assert barren == [1, 2, 0, 1, 2]
    replay.offer(completion(6, told("Tell a long joke.")))
    assert replay.num_barren == 2
    replay.offer(completion(5, ""))
    assert replay.num_barren == 0


def test_the_first_instruction_bears_the_number_after_the_shown_tasks() -> None:
    replay = replayed([completion(0, " Why do cats purr?\n4. Output:\nThey like it.\n5. Instruction: Sing")])
    assert replay.accepted == [Example("Why do cats purr?", "", "They like it.")]
    assert replay.refused[0].task.number == 5
    assert replay.refused == [Refused(0, replay.refused[0].task, "malformed")]


def test_an_answer_cut_in_its_first_instruction_is_a_refused_task() -> None:
    (refused,) = replayed([completion(0, " Why do ca", "length")]).refused
    assert (refused.task.number, refused.task.example.instruction, refused.reason) == (4, "Why do ca", "truncated")


def test_a_cut_answer_loses_its_last_task_alone() -> None:
    text = told("Why do cats purr?", "Draw up a plan.")
    replay = replayed([completion(0, text, "length"), completion(1, text, "stop")])
    assert instructions(replay) == ["Why do cats purr?", "Draw up a plan."]
    assert [(each.k, each.reason) for each in replay.refused] == [(0, "truncated"), (1, NOT_NOVEL)]
    assert replay.places == [(0, 0), (1, 1)]


def test_the_ten_most_similar_of_a_large_pool_are_named_in_order() -> None:
    seeds = parse_seed_tasks(SEEDS_FILE.read_bytes(), SEEDS_FILE)
    replay = Replay(recipe(), seeds, 10)
    words = [
        "How",
        "many",
        "tables",
        "in",
        "a",
        "week",
        "does",
        "the",
        "baker",
        "of",
        "bread",
        "need",
        "for",
        "sentence",
    ]
    asked = [" ".join(words), " ".join(reversed(words))]
    replay.offer(completion(0, told(*asked)))
    pool = [task.example.instruction for task in seeds]
    assert instructions(replay) == asked
    for instruction, provenance in zip(asked, replay.provenance(), strict=True):
        scores = [SCORER.score(other, instruction)["rougeL"].fmeasure for other in pool]
        order = sorted(range(len(pool)), key=lambda index: (-scores[index], index))[:10]
        assert provenance == Provenance(
            0,
            provenance.position,
            {pool[index]: round(scores[index], 6) for index in order},
            round(sum(scores) / len(scores), 6),
        )
        assert list(provenance.most_similar) == [pool[index] for index in order]
        pool.append(instruction)

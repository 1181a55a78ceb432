"""What a request says: the text to the byte, and the seed tasks that a number draws, on every Python."""

from __future__ import annotations

import hashlib
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alpaca_cli.data.example import Example, SeedTask, parse_seed_tasks
from alpaca_cli.data.shipped import shipped_dir
from alpaca_cli.generate.parse import parse
from alpaca_cli.generate.prompt import NO_INPUT, Request, RequestMaker, draw, render

SEEDS = shipped_dir("prompts") / "seed_tasks.jsonl"
PROMPT = (shipped_dir("prompts") / "generate.txt").read_text(encoding="utf-8").strip()


def seed_task(number: int, instruction: str = "Name a bird.", given: str = "", output: str = "A robin.") -> SeedTask:
    return SeedTask(f"s{number}", f"name_{number}", Example(instruction, given, output), False)


TASKS = [seed_task(number, f"Do task {number}.") for number in range(175)]


def test_the_list_is_rendered_to_the_byte() -> None:
    tasks = [
        seed_task(0, "  Sort these\n numbers\t by size: ", "\n3 1\n\n2 \n", " 1 2 3\n"),
        seed_task(1, "Name a bird.", " \n", "A robin.\n\n- or a wren"),
    ]
    assert render("Write {num_tasks} tasks.\nList of {num_tasks}:", tasks, 9) == (
        "Write 9 tasks.\nList of 9:\n"
        "###\n"
        "1. Instruction: Sort these numbers by size\n"
        "1. Input:\n3 1\n\n2\n"
        "1. Output:\n1 2 3\n"
        "###\n"
        "2. Instruction: Name a bird.\n"
        "2. Input:\n<noinput>\n"
        "2. Output:\nA robin.\n\n- or a wren\n"
        "###\n"
        "3. Instruction:"
    )


def test_a_list_without_tasks_begins_at_one() -> None:
    assert render("Go.", [], 5) == "Go.\n###\n1. Instruction:"


def test_braces_that_mean_nothing_are_left_alone() -> None:
    prompt = "{num_tasks} {} {0} {num_task} {{num_tasks}} {seeds!r} %s \\1 {num_tasks}"
    assert render(prompt, [], 7).splitlines()[0] == "7 {} {0} {num_task} {7} {seeds!r} %s \\1 7"
    task = seed_task(0, "Explain {num_tasks}.", "{num_tasks}", "{num_tasks} \\g<0>")
    assert render("x", [task], 7).count("{num_tasks}") == 3


def test_the_shipped_prompt_asks_for_as_many_tasks_as_the_recipe_says() -> None:
    text = render(PROMPT, TASKS[:3], 20)
    assert "{" not in text
    assert text.count("20 tasks") == 2 and "to task 20," in text
    assert [f"\n{number}. " in PROMPT for number in range(1, 10)] == [True] * 8 + [False]
    assert text.endswith("List of 20 tasks:\n" + text.partition("List of 20 tasks:\n")[2])
    assert text.partition("List of 20 tasks:\n")[2].startswith("###\n1. Instruction: Do task 0.\n")
    assert NO_INPUT in PROMPT


def test_a_request_is_a_function_of_seed_and_number() -> None:
    maker = RequestMaker("List of {num_tasks}:", TASKS, 20, 3, seed=0)
    first = maker.request(5)
    again = RequestMaker("List of {num_tasks}:", list(TASKS), 20, 3, seed=0).request(5)
    assert first == again == Request(5, first.seed_ids, first.text, 4)
    shown = [TASKS[int(seed_id[1:])] for seed_id in first.seed_ids]
    assert first.text == render("List of {num_tasks}:", shown, 20)
    assert first.prompt_sha256 == hashlib.sha256(first.text.encode()).hexdigest()
    others = {maker.request(k).seed_ids for k in range(200)}
    other_seed = {RequestMaker("", TASKS, 20, 3, seed=1).request(k).seed_ids for k in range(200)}
    assert len(others) == len(other_seed) == 200
    assert not others & other_seed


# Golden: a request that was paid for must be recognised by every later version on every Python.
GOLDEN = {
    (0, 0): ("s102", "s99", "s103"),
    (0, 1): ("s33", "s38", "s129"),
    (0, 4999): ("s137", "s30", "s75"),
    (7, 0): ("s122", "s5", "s171"),
    (-1, 3): ("s20", "s9", "s149"),
}


@pytest.mark.parametrize(("seed", "k"), GOLDEN)
def test_which_seed_tasks_a_number_shows_never_changes(seed: int, k: int) -> None:
    assert RequestMaker("", TASKS, 20, 3, seed).request(k).seed_ids == GOLDEN[seed, k]


def test_how_requests_are_drawn_never_changes() -> None:
    """The same with other counts: a digest of the ids of 1,000 requests."""
    digest = hashlib.sha256()
    for k in range(1000):
        maker = RequestMaker("", TASKS[: 10 + k % 166], 60, 1 + k % 10, seed=k % 7)
        digest.update(repr(maker.request(k).seed_ids).encode())
    assert digest.hexdigest() == "2c81004b76232a3caafe97425c63d3c2675bbdf3dbdc825590b5bbeaf1ead62e"


@given(st.integers(1, 60), st.data(), st.text(max_size=8))
def test_a_draw_repeats_no_task(size: int, data: st.DataObject, seed: str) -> None:
    count = data.draw(st.integers(0, size))
    drawn = draw(TASKS[:size], count, seed)
    assert len({task.id for task in drawn}) == len(drawn) == count
    assert draw(TASKS[:size], count, seed) == drawn
    assert set(drawn) <= set(TASKS[:size])


def test_drawing_all_is_a_shuffle_and_leaves_the_tasks_as_they_were() -> None:
    tasks = list(TASKS)
    shuffled = draw(tasks, 175, "x")
    assert tasks == TASKS
    assert shuffled != TASKS and sorted(shuffled, key=TASKS.index) == TASKS


def test_a_draw_uses_the_sequence_that_python_promises_to_keep() -> None:
    rng, left, expected = random.Random("0:3"), list(range(175)), []
    for _ in range(3):
        expected.append(left.pop(int(rng.random() * len(left))))
    assert [TASKS.index(task) for task in draw(TASKS, 3, "0:3")] == expected


def test_every_seed_task_is_shown_about_as_often_as_any_other() -> None:
    maker = RequestMaker("", TASKS, 20, 3, seed=0)
    counts = dict.fromkeys([task.id for task in TASKS], 0)
    for k in range(3500):
        for seed_id in maker.request(k).seed_ids:
            counts[seed_id] += 1
    assert sum(counts.values()) == 10_500  # 60 each, give or take 8
    assert min(counts.values()) > 30 and max(counts.values()) < 95


def test_a_teacher_that_goes_on_in_the_same_form_is_understood() -> None:
    tasks = parse_seed_tasks(SEEDS.read_bytes(), SEEDS)
    for begin in range(0, 175, 17):
        shown, told = tasks[50:53], tasks[begin : begin + 17]
        text = render("", [*shown, *told], 20)
        asked = render("", shown, 20)
        answer = text.removeprefix(asked).removesuffix(f"###\n{len(shown + told) + 1}. Instruction:")
        parsed = parse(answer, next_number=len(shown) + 1, finish_reason="stop")
        assert text.startswith(asked)
        assert [task.number for task in parsed] == list(range(4, 4 + len(told)))
        assert [task.example for task in parsed] == [task.example for task in told]
        assert {task.defect for task in parsed} == {None}

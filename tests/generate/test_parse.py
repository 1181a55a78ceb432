"""Parsing what teachers really write: golden answers, and every rendering of random tasks read back exactly."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alpaca_cli.data.example import Example
from alpaca_cli.generate.parse import Task, is_no_input, parse

Found = tuple[int | None, str, str, str, str | None]

CLAIM = "In which year?"
BIRD = (4, "Name a bird.", "", "A robin.", None)
YEAR = (5, CLAIM, "It opened in 2020.", "The library opened in 2020.", None)


def found(text: str, finish_reason: str | None = "stop", next_number: int = 4) -> list[Found]:
    """The parsed tasks as rows of number, instruction, input, output, defect."""
    tasks = parse(text, next_number=next_number, finish_reason=finish_reason)
    assert [task.position for task in tasks] == list(range(len(tasks)))
    return [(task.number, *task.example.as_dict().values(), task.defect) for task in tasks]  # type: ignore[misc]


def numbered(number: int, instruction: str, given: str, output: str) -> str:
    """A task in the prompt's own form."""
    return f"{number}. Instruction: {instruction}\n{number}. Input:\n{given}\n{number}. Output:\n{output}\n"


def task(number: int, output: str = "Fine.") -> str:
    return numbered(number, f"Do task {number}.", "<noinput>", output)


def row(number: int | None, output: str = "Fine.", defect: str | None = None) -> Found:
    return (number, f"Do task {number}.", "", output, defect)


TWO_TASKS = {
    "the prompt's own form": """\
4. Instruction: Name a bird.
4. Input:
<noinput>
4. Output:
A robin.
###
5. Instruction: In which year?
5. Input:
It opened in 2020.
5. Output:
The library opened in 2020.
""",
    "a continuation that begins with the first instruction": """\
 Name a bird.
4. Input:
<noinput>
4. Output:
A robin.
###
5. Instruction: In which year?
5. Input:
It opened in 2020.
5. Output:
The library opened in 2020.
###
""",
    "a preface, and two hashes": """\
Sure! Here are some varied tasks:

4. Instruction: Name a bird.
4. Input: <noinput>
4. Output: A robin.
##
5. Instruction: In which year?
5. Input: It opened in 2020.
5. Output: The library opened in 2020.
##
""",
    "all labels bold, a rule between": """\
**4. Instruction:** Name a bird.
**4. Input:**
<noinput>
**4. Output:**
A robin.

---

**5. Instruction:** In which year?
**5. Input:**
It opened in 2020.
**5. Output:**
The library opened in 2020.
""",
    "bold labels without numbers below a numbered one": """\
4. **Instruction:** Name a bird.
   **Input:** None
   **Output:** A robin.

5. **Instruction:** In which year?
   **Input:** It opened in 2020.
   **Output:** The library opened in 2020.
""",
    "the colon outside the bold marks": """\
**4. Instruction**: Name a bird.
**Input**: N/A
**Output**: A robin.

**5. Instruction**: In which year?
**Input**: It opened in 2020.
**Output**: The library opened in 2020.
""",
    "number and name marked one by one": """\
**4.** **Instruction:** Name a bird.
**Input:** (none)
**Output:** A robin.

**5.** **Instruction:** In which year?
**Input:** It opened in 2020.
**Output:** The library opened in 2020.
""",
    "marks that close after the text": """\
**4. Instruction: Name a bird.**
*4. Input: <noinput>*
__4. Output: A robin.__

**5. Instruction: In which year?**
*5. Input: It opened in 2020.*
__5. Output: The library opened in 2020.__
""",
    "the number after the name": """\
**Instruction 4:** Name a bird.
**Input 4:** No input.
**Output 4:** A robin.

**Instruction 5:** In which year?
**Input 5:** It opened in 2020.
**Output 5:** The library opened in 2020.
""",
    "headings with a title": """\
### Task 4: Birds

**Instruction:** Name a bird.

**Input:** No input required.

**Output:**

A robin.

### Task 5: Libraries

**Instruction:** In which year?

**Input:** It opened in 2020.

**Output:**

The library opened in 2020.
""",
    "headings and bullets": """\
### Task 4
- **Instruction:** Name a bird.
- **Input:** `<noinput>`
- **Output:** A robin.

### Task 5
- **Instruction:** In which year?
- **Input:** It opened in 2020.
- **Output:** The library opened in 2020.
""",
    "bold headings, wide bullets, indented texts": """\
**Task 4**
*   **Instruction:** Name a bird.
*   **Input:**
    [noinput]
*   **Output:**
    A robin.

**Task 5**
*   **Instruction:** In which year?
*   **Input:**
    It opened in 2020.
*   **Output:**
    The library opened in 2020.
""",
    "plain headings between rules": """\
Task 4:
Instruction: Name a bird.
Input: -
Output: A robin.
===
Task 5:
Instruction: In which year?
Input: It opened in 2020.
Output: The library opened in 2020.
===
""",
    "a number alone above the labels": """\
4.
Instruction: Name a bird.
Input:

Output: A robin.

5.
Instruction: In which year?
Input: It opened in 2020.
Output: The library opened in 2020.
""",
    "the number of the task before the name": """\
**Task 4: Instruction:** Name a bird.
**Task 4: Input:** <noinput>
**Task 4: Output:** A robin.

**Task 5: Instruction:** In which year?
**Task 5: Input:** It opened in 2020.
**Task 5: Output:** The library opened in 2020.
""",
    "headings as labels": """\
### 4. Instruction:
Name a bird.
### 4. Input:
< noinput >
### 4. Output:
A robin.

### 5. Instruction:
In which year?
### 5. Input:
It opened in 2020.
### 5. Output:
The library opened in 2020.
""",
    "bullets before numbers": """\
- 4. Instruction: Name a bird.
- 4. Input: noinput
- 4. Output: A robin.
- 5. Instruction: In which year?
- 5. Input: It opened in 2020.
- 5. Output: The library opened in 2020.
""",
    "every label on one line": """\
4. Instruction: Name a bird. 4. Input: <noinput> 4. Output: A robin. ### 5. Instruction: In which year? \
5. Input: It opened in 2020. 5. Output: The library opened in 2020.
""",
    "a block of code around all of it, a quotation, wide blanks": """\
```text
> 4.\u00a0Instruction: Name a bird.
> 4.\u00a0Input: <noinput>
> 4.\u00a0Output: A robin.
###
5)  INSTRUCTION : In which year?
5)  input : It opened in 2020.
5)  Output: The library opened in 2020.
```
""",
    "reasoning left in, with drafts": """\
<think>
I could write:
4. Instruction: A draft.
4. Output: Nothing.
</think>
4. Instruction: Name a bird.
4. Input: <noinput>
4. Output: A robin.
***
5. Instruction: In which year?
5. Input: It opened in 2020.
5. Output: The library opened in 2020.
""",
    "the end of reasoning whose beginning the server kept": """\
4. Instruction: A draft.
</think>

4. Instruction：Name a bird.
4. Input：<noinput>
4. Output：A robin.
###
5. Instruction：In which year?
5. Input：It opened in 2020.
5. Output：The library opened in 2020.
###

I hope these tasks are of use! Shall I write more?
""",
}


@pytest.mark.parametrize("text", TWO_TASKS.values(), ids=TWO_TASKS)
def test_two_tasks_are_read_from_every_form(text: str) -> None:
    assert found(text) == [BIRD, YEAR]


@pytest.mark.parametrize("text", TWO_TASKS.values(), ids=TWO_TASKS)
def test_line_ends_of_windows_and_of_old_macs_change_nothing(text: str) -> None:
    assert found(text.replace("\n", "\r\n")) == found(text.replace("\n", "\r")) == [BIRD, YEAR]


def test_bare_labels_make_tasks_without_a_number() -> None:
    bird = "**Instruction:** Name a bird.\n**Input:**\n**Output:** A robin.\n"
    text = f"{bird}\n**Instruction:** Name a fish.\n**Output:** Cod."
    assert found(text) == [(None, "Name a bird.", "", "A robin.", None), (None, "Name a fish.", "", "Cod.", None)]


@pytest.mark.parametrize("separator", ["###", "##", "####", "---", "***", "=====", "", "\n"])
@pytest.mark.parametrize(
    "numbers", [(4, 5, 6), (1, 2, 3), (4, 7, 19), (4, 4, 4), (6, 5, 4), (4, 5, 120)], ids=lambda numbers: f"{numbers}"
)
def test_tasks_bear_their_own_numbers_and_keep_their_order(numbers: tuple[int, ...], separator: str) -> None:
    text = f"{separator}\n".join(task(number) for number in numbers)
    assert found(text) == [row(number) for number in numbers]


def test_a_task_that_misnumbers_its_parts_is_whole() -> None:
    text = "5. Instruction: Add.\n4. Input:\n1 2\n4. Output:\n3\n###\n6. Instruction: Say hi.\n6. Output:\nhi"
    assert found(text) == [(5, "Add.", "1 2", "3", None), (6, "Say hi.", "", "hi", None)]


def test_two_merged_tasks_are_two() -> None:
    text = task(17, "Last line.\n##\n18. Instruction: Do task 18.\n18. Input:\n<noinput>\n18. Output:\nFine.")
    assert found(text, next_number=17) == [row(17, "Last line."), row(18)]


OUTPUTS = {
    "a year": "The library opened in 2020.\n20. It closed again.",
    "headings": "# Tips\n\n### First\nSleep.\n\n### Task 2: eat\nOften.",
    "a numbered list": "1. Wake.\n2. Rise.\n\n3. Shine.",
    "a list of tasks": "Task 1: wake\nTask 2: rise",
    "a rule": "Title\n---\nBody",
    "front matter": "---\ntitle: A\n---\nBody",
    "labels of its own": "Input: 3\nOutput: 9\n\nInput: 4\nOutput: 16",
    "bold labels of its own": "**Input:** 3\n**Output:** 9",
    "an instruction of its own": "Below is a prompt.\nInstruction: add\nInput: 1 2\nOutput: 3",
    "a heading Instruction": "### Instruction:\nadd\n\n### Response:\n3",
    "numbered instructions of its own": "Instruction 1: Preheat.\nInstruction 2: Bake.",
    "labels within lines": "The words Input: and Output: and 7. Instructions: are labels.",
    "code": "```python\n# Input: n\n\ndef f(n):\n    return n  # Output: n\n\n###\nprint(f(1))\n```",
    "emphasis at its ends": "**Robin** is a bird, *not* a **fish**",
    "a blank to fill": "___ is the capital of ___",
    "a table": "| a | b |\n| --- | --- |\n| 1 | 2 |",
    "fewer than three hashes below it": "Say it\n#",
    "labels in other words": "Example Input: 3\nExpected Output: 9\nOutputs: many\nInput\nOutput",
}


@pytest.mark.parametrize("output", OUTPUTS.values(), ids=OUTPUTS)
@pytest.mark.parametrize("separator", ["###\n", "##\n", "---\n", ""])
def test_nothing_inside_an_output_ends_it(output: str, separator: str) -> None:
    text = separator.join([task(4), task(5, output), task(6)])
    assert found(text) == [row(4), row(5, output), row(6)]


@pytest.mark.parametrize("output", OUTPUTS.values(), ids=OUTPUTS)
def test_nothing_inside_the_last_output_ends_it(output: str) -> None:
    assert found(task(4, output)) == [row(4, output)]


def test_an_output_label_before_the_input_label_means_that_there_is_no_input() -> None:
    text = "Square these.\n4. Output:\nFor example:\nInput: 3\nOutput: 9\n###\n" + task(5)
    assert found(text) == [(4, "Square these.", "", "For example:\nInput: 3\nOutput: 9", None), row(5)]


def test_an_input_may_hold_labels() -> None:
    text = "4. Instruction: Go on.\n4. Input:\nInput: 3\nOutput: 9\nInput: 4\nOutput:\n4. Output:\n16"
    assert found(text) == [(4, "Go on.", "Input: 3\nOutput: 9\nInput: 4\nOutput:", "16", None)]


def test_emphasis_that_the_texts_open_stays_theirs() -> None:
    text = "4. Instruction: **Name** a bird.\n4. Input: ___ sings.\n4. Output: **Robin** is one."
    assert found(text) == [(4, "**Name** a bird.", "___ sings.", "**Robin** is one.", None)]
    text = "**4. Instruction:** *Name* it.\n**4. Input:** **it**\n**4. Output:** x = a**b"
    assert found(text) == [(4, "*Name* it.", "**it**", "x = a**b", None)]


def test_code_that_is_indented_below_its_label_keeps_its_shape() -> None:
    text = "4. **Instruction:** Write it.\n   **Output:**\n     def f():\n         return 1\n\n     f()\n"
    assert found(text) == [(4, "Write it.", "", "def f():\n    return 1\n\nf()", None)]


def test_the_lines_of_an_instruction_stay_lines() -> None:
    text = "4. Instruction:\nSort these:\n- b\n- a\n4. Output: a, b"
    assert found(text) == [(4, "Sort these:\n- b\n- a", "", "a, b", None)]


def test_a_label_without_a_number_opens_a_task_where_a_separator_sets_it_off() -> None:
    text = task(4) + "###\nInstruction: Name a bird.\nInput:\n<noinput>\nOutput:\nA robin.\n###\n" + task(6)
    assert found(text) == [row(4), (None, "Name a bird.", "", "A robin.", None), row(6)]


@pytest.mark.parametrize("output", ["6 times 7 is\n42.", "It is\n**42**", "In short:\n42", "Steps:\n\n4."])
def test_a_number_at_the_end_of_an_output_is_no_heading_of_the_next_task(output: str) -> None:
    text = f"Instruction: Tell me.\nOutput: {output}\n\nInstruction: Name a bird.\nOutput: A robin."
    assert found(text) == [(None, "Tell me.", "", output, None), (None, "Name a bird.", "", "A robin.", None)]


def test_the_first_label_opens_a_task_even_if_only_the_later_ones_are_numbered() -> None:
    assert found("Instruction: Name a bird.\n4. Output:\nA robin.\n###\n" + task(5) + task(6)) == [
        (None, "Name a bird.", "", "A robin.", None),
        row(5),
        row(6),
    ]


def test_one_numbered_label_does_not_silence_a_list_without_numbers() -> None:
    bare = "Instruction: Name a {}.\nOutput: {}.\n\n"
    text = bare.format("bird", "Robin") + "18. Instruction: Odd.\n18. Output: Yes.\n\n" + bare.format("fish", "Cod")
    text += bare.format("tree", "Oak")
    assert [instruction for _, instruction, *_ in found(text)] == [
        "Name a bird.",
        "Odd.",
        "Name a fish.",
        "Name a tree.",
    ]


def test_what_a_teacher_says_after_the_last_separator_is_not_of_the_task() -> None:
    assert found(task(4) + "###\n\nI hope this helps! Let me know.\n\n- bye") == [row(4)]


# Every spelling that was counted in Stanford's released data, and those of today's chat models.
NO_INPUT = """
<noinput> | No input | Noinput | No input. | <no input> | < noinput > | [noinput] | (No input) | "<noinput>" |
\\<noinput\\> | {\\noinput} | No input required. | None | N/A | No Input | <No Input> | <Noinput>. | No input needed. |
<ninput> | `<noinput>` | **<noinput>** | <no_input> | no-input | No input is required for this task. | n/a | N / A |
none. | (none) | None required. | (no input provided) | No additional input needed | Not applicable | not required |
null | - | – | — | ... | "" | <empty> | [empty] | No context provided. | <NOINPUT> | N.A.
"""


@pytest.mark.parametrize("spelling", [*(part.strip() for part in NO_INPUT.split("|")), "", " \n", "<noinput>\n"])
def test_every_spelling_of_no_input_becomes_an_empty_input(spelling: str) -> None:
    assert is_no_input(f" {spelling}\n")
    assert found(numbered(4, "Name a bird.", spelling, "A robin.")) == [BIRD]


@pytest.mark.parametrize(
    "given",
    [
        "None of the above",
        "No input, no output: the motto of the bureau",
        "No inputs were lost.",
        "empty",
        "Noise",
        "+",
        "!",
        ".-. --- -...",
        "--",
        "🙏🙏",
        "[]",
        "{}",
        "________",
        "not required reading",
        "0",
        "nullify",
        "Input: 2",
        "nothing",
        "Na",
        "N. A. Smith",
    ],
)
def test_what_only_resembles_no_input_stays(given: str) -> None:
    assert not is_no_input(given)
    assert found(numbered(4, "Look.", given, "Seen.")) == [(4, "Look.", given, "Seen.", None)]


CUT = task(4) + "###\n" + task(5) + "###\n"


@pytest.mark.parametrize("reason", ["length", "max_tokens", "content_filter"])
@pytest.mark.parametrize(
    ("tail", "instruction", "given"),
    [
        ("6. Instruction: Write a po", "Write a po", ""),
        ("6. Instruction:", "", ""),
        ("6. Instruction: Write.\n6. Inp", "Write.\n6. Inp", ""),
        ("6. Instruction: Write.\n6. Input:", "Write.", ""),
        ("6. Instruction: Write.\n6. Input:\nsome notes\n---", "Write.", "some notes\n---"),
        ("6. Instruction: Write.\n6. Input:\nnotes\n6. Output:\nThe li", "Write.", "notes"),
        ("6. Instruction: Write.\n6. Input:\nnotes\n6. Output:\nTitle\n---\nThe li", "Write.", "notes"),
        ("6. Instruction: Write.\n6. Input:\nnotes\n6. Output:\nTitle\n---", "Write.", "notes"),
        ("6. Instruction: Write.\n6. Input:\nnotes\n6. Output:\n\n## He", "Write.", "notes"),
        ("6. Instruction: Write.\n6. Input:\nnotes\n6. Output:\n```\n# a\n#", "Write.", "notes"),
    ],
)
def test_a_task_that_was_cut_is_dropped_and_only_it(tail: str, instruction: str, given: str, reason: str) -> None:
    *whole, last = found(CUT + tail, reason)
    assert whole == [row(4), row(5)]
    assert (last[0], last[1], last[2], last[4]) == (6, instruction, given, "truncated")


@pytest.mark.parametrize(
    "tail", ["", "\n", "6", "6.", "6. ", "6. Ins", "6. Instruction", "**6. Inst", "**", "Task 6", "#"]
)
def test_a_cut_between_two_tasks_takes_none(tail: str) -> None:
    assert found(CUT + tail, "length") == [row(4), row(5)]


@pytest.mark.parametrize("rule", ["###", "##", "---", "***", "====="])
def test_a_cut_after_the_separator_of_this_list_takes_none(rule: str) -> None:
    text = f"{task(4)}{rule}\n{task(5)}{rule}"
    assert found(text, "length") == found(f"{text}\n\n6. Instr", "length") == [row(4), row(5)]


def test_a_cut_after_the_first_task_takes_none_if_the_separator_is_the_prompts() -> None:
    assert found(" Do task 4.\n4. Output:\nFine.\n###", "length") == [row(4)]
    assert found(" Do task 4.\n4. Output:\nFine.\n---", "length") == [row(4, "Fine.", "truncated")]


def test_a_cut_without_any_sign_takes_the_last_task() -> None:
    assert found(task(4) + task(5), "length") == [row(4), row(5, "Fine.", "truncated")]


@pytest.mark.parametrize("reason", ["stop", None, "eos", "tool_calls"])
def test_nothing_is_dropped_where_nothing_was_cut(reason: str | None) -> None:
    assert found(task(4) + "###\n" + task(5, "Until December"), reason) == [row(4), row(5, "Until December")]


def test_a_cut_first_instruction_is_a_truncated_task() -> None:
    assert found(" Name a bi", "length") == [(4, "Name a bi", "", "", "truncated")]
    assert found(" Name a bi", "stop") == []


@pytest.mark.parametrize(
    "text", ["", " \n\n", "###", "I cannot help with that.", "<think>\nNothing but thoughts: 4. Instruct"]
)
def test_an_answer_without_tasks_gives_none(text: str) -> None:
    assert found(text) == found(text, None) == []


def test_an_empty_answer_gives_none_even_if_cut() -> None:
    assert found("", "length") == found("\n", "length") == found("<think>\nIt was", "length") == []


@pytest.mark.parametrize(
    "text",
    [
        "4. Instruction: Name a bird.\n",
        "4. Instruction: Name a bird.\n4. Input:\nx\n",
        "4. Instruction:\n4. Output:\nx\n",
    ],
)
def test_a_task_without_a_part_is_malformed_and_the_next_is_not(text: str) -> None:
    first, second = found(f"{text}###\n{task(5)}")
    assert (first[0], first[4], second) == (4, "malformed", row(5))


def test_an_empty_output_is_for_the_rules_to_judge() -> None:
    assert found("4. Instruction: Name a bird.\n4. Input:\n<noinput>\n4. Output:\n###\n" + task(5)) == [
        (4, "Name a bird.", "", "", None),
        row(5),
    ]


def test_a_model_that_runs_wild_is_read_in_time() -> None:
    wild = [
        " " * 20_000,
        "\n" * 20_000,
        "-" * 20_000,
        "\n---" * 5_000,
        "\n###" * 5_000,
        "**" * 10_000,
        "* " * 10_000,
        "1" * 20_000,
        "4. " * 7_000,
        "\n### Task 4" * 2_000,
        "\nInput: x" * 2_000,
        "\t\u00a0" * 10_000,
        f"- {' ' * 9_000}4{' ' * 9_000}.",
    ]
    for text in wild:  # cubic time, as it once was, would run into the suite's limit
        for reason in ("stop", "length"):
            assert found(f"{task(4)}###\n5. Instruction: Go.\n5. Output:\n{text}x", reason)[0] == row(4)
            assert is_no_input(f"{text}x") is False


# Texts without labels, rules or anything else that means something to a reader of lists.
_LINE = st.text(st.characters(exclude_categories=("Cs", "Cc", "Zl", "Zp"), exclude_characters="`"), max_size=40)


def _means_nothing(line: str) -> bool:
    looks_special = re.search(r"instruction|input|output|task|example|</?think>", line, re.IGNORECASE)
    return not looks_special and not re.fullmatch(r"\W*\d*\W*", line)


LINES = _LINE.filter(_means_nothing).map(str.strip)
INSTRUCTIONS = LINES.map(lambda line: " ".join(line.split()))
INDENTED = st.tuples(st.sampled_from(["", "    ", "\t"]), LINES).map("".join)
TEXTS = st.lists(st.one_of(INDENTED, st.just("")), min_size=1, max_size=5).map("\n".join).map(str.strip).filter(bool)
INPUTS = st.one_of(st.just(""), TEXTS.filter(lambda text: not is_no_input(text)))
EXAMPLES = st.builds(Example, INSTRUCTIONS, INPUTS, TEXTS)

STYLES: dict[str, Callable[[int, Example], str]] = {
    "prompt": lambda n, e: numbered(n, e.instruction, e.input or "<noinput>", e.output),
    "bold": lambda n, e: (
        f"**{n}. Instruction:** {e.instruction}\n**Input:**\n{e.input or 'None'}\n**Output:**\n{e.output}\n"
    ),
    "bold numbers": lambda n, e: (
        f"**{n}.** **Instruction**: {e.instruction}\n\n**{n}.** **Input**: {e.input}\n\n"
        f"**{n}.** **Output**: {e.output}\n"
    ),
    "heading": lambda n, e: (
        f"### Task {n}\n\n**Instruction:** {e.instruction}\n**Input:** {e.input or 'N/A'}\n**Output:** {e.output}\n"
    ),
    "titled": lambda n, e: (
        f"**Task {n}: Something**\n\n- Instruction: {e.instruction}\n- Input: {e.input}\n- Output: {e.output}\n"
    ),
    "heading labels": lambda n, e: (
        f"## {n}) Instruction:\n{e.instruction}\n## {n}) Input:\n{e.input}\n## {n}) Output:\n{e.output}\n"
    ),
    "after": lambda n, e: f"Instruction {n}: {e.instruction}\nInput {n}: {e.input}\nOutput {n}: {e.output}\n",
}


@settings(deadline=None)
@given(
    examples=st.lists(EXAMPLES, min_size=1, max_size=6),
    numbers=st.lists(st.integers(0, 9999), min_size=6, max_size=6),
    style=st.sampled_from(sorted(STYLES)),
    separator=st.sampled_from(["###\n", "##\n", "\n---\n\n", "***\n", "\n\n", "\n"]),
    newline=st.sampled_from(["\n", "\r\n"]),
    reason=st.sampled_from(["stop", None]),
)
def test_random_tasks_are_read_back_exactly(
    examples: list[Example], numbers: list[int], style: str, separator: str, newline: str, reason: str | None
) -> None:
    tasks = [STYLES[style](number, example) for number, example in zip(numbers, examples, strict=False)]
    text = separator.join(tasks).replace("\n", newline)
    expected = [Task(number, k, example) for k, (number, example) in enumerate(zip(numbers, examples, strict=False))]
    assert parse(text, next_number=4, finish_reason=reason) == expected


@settings(deadline=None)
@given(examples=st.lists(EXAMPLES, min_size=1, max_size=6), size=st.integers(0, 400))
def test_a_continuation_cut_anywhere_keeps_what_was_told(examples: list[Example], size: int) -> None:
    whole = "###\n".join(
        numbered(4 + k, e.instruction, e.input or "<noinput>", e.output) for k, e in enumerate(examples)
    )
    text = whole.removeprefix("4. Instruction:")[:size]
    tasks = parse(text, next_number=4, finish_reason="length")
    kept = [task for task in tasks if task.defect is None]
    assert kept == [Task(4 + k, k, example) for k, example in enumerate(examples[: len(kept)])]
    assert [task.defect for task in tasks[len(kept) :]] in ([], ["truncated"])
    assert len(kept) >= text.count("\n###\n")


_LABELS = ["4. Instruction:", "Instruction:", "**Input:**", "5. Output:", "Output 3:", "### Task 5", "Task 6:", "7."]
_OTHERS = ["###", "---", "```", "\n", "\r\n", " ", "x", "**", "_", "20.", "<noinput>", "<think>", "</think>"]
_PIECES = st.sampled_from([*_LABELS, *_OTHERS])
ANYTHING = st.one_of(st.text(max_size=200), st.lists(_PIECES, max_size=40).map("".join))


@settings(deadline=None)
@given(text=ANYTHING, number=st.integers(1, 99), reason=st.sampled_from(["stop", "length", None, "content_filter"]))
def test_any_text_is_parsed_without_an_error(text: str, number: int, reason: str | None) -> None:
    tasks = parse(text, next_number=number, finish_reason=reason)
    assert [task.position for task in tasks] == list(range(len(tasks)))
    assert all(task.defect in (None, "malformed", "truncated") for task in tasks)
    assert all(task.defect != "truncated" for task in tasks[:-1])
    assert all(task.example.instruction for task in tasks if task.defect is None)
    assert reason in ("length", "content_filter") or all(task.defect != "truncated" for task in tasks)


@settings(deadline=None)
@given(words=st.permutations([f"w{number}" for number in range(12)]), text=ANYTHING)
def test_tasks_stay_in_the_order_of_the_text(words: list[str], text: str) -> None:
    told = "".join(numbered(number, word, text, f"{word} {text}") for number, word in enumerate(words))
    tasks = parse(told.replace("think>", ""), next_number=1, finish_reason="stop")
    order = [task.example.instruction for task in tasks if task.example.instruction in words]
    assert order == words

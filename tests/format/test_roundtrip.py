"""Every row that is written comes back byte for byte, in every form; every other row is reported."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from alpaca_cli.data.example import Example
from alpaca_cli.errors import AlpacaError
from alpaca_cli.format.names import FORMAT_NAMES
from alpaca_cli.format.read import read_dataset
from alpaca_cli.format.template import Template, alpaca_template
from alpaca_cli.format.write import unwritable, write_dataset

quick = settings(max_examples=150, deadline=None, database=None)

# one opening for both texts, nothing between the fields but a space: as ambiguous as a template can be
LOOSE = Template(with_input="{input} {instruction}", without_input="{instruction}\n")
TEMPLATES = st.sampled_from([alpaca_template(), LOOSE])

MARKS = [
    "\n\nInput:\n",
    "\n",
    "\n\n### Input:\n",
    "\n\n### Response:",
    "### Instruction:\n",
    "{instruction}",
    "{input}",
]
CHARACTERS = list('"\\{}\r\x00\x7f\u2028\x85\ufeff\u0301🦙\ud83d\ude00')
SNIPPETS = st.sampled_from([*MARKS, *CHARACTERS, alpaca_template().with_input, alpaca_template().without_input])
ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=8)
TEXTS = st.lists(SNIPPETS | ANY_TEXT, max_size=5).map("".join)
FILLED = TEXTS.filter(lambda text: bool(text.strip()))
EXAMPLES = st.builds(Example, FILLED, st.just("") | TEXTS, FILLED)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("roundtrip")


@pytest.mark.parametrize("format_", FORMAT_NAMES)
def test_what_is_written_comes_back(folder: Path, format_: str) -> None:
    @quick
    @given(st.lists(EXAMPLES, min_size=1, max_size=4), TEMPLATES)
    def check(examples: list[Example], template: Template | None) -> None:
        path = folder / format_
        if format_ in ("prompt-completion", "text"):
            template = None  # what a template of one's own makes is not checked
        refused = unwritable(examples, format_, template=template)
        kept = [example for index, example in enumerate(examples) if index not in refused]
        if not kept:
            return
        write_dataset(path, kept, format_, template=template, force=True)
        dataset = read_dataset(path, template=template)
        assert dataset.examples == kept
        assert dataset.format == format_
        assert dataset.notes == ()

    check()


@pytest.mark.parametrize("format_", ["alpaca", "jsonl"])
def test_stanfords_forms_hold_every_text_that_json_can_say(format_: str) -> None:
    @quick
    @given(EXAMPLES)
    def check(example: Example) -> None:
        sayable = json.loads(json.dumps(example.as_dict())) == example.as_dict()
        assert bool(unwritable([example], format_)) == (not sayable)

    check()


@quick
@given(EXAMPLES)
def test_parquet_holds_every_text_that_utf8_can_say(example: Example) -> None:
    try:
        "".join(example.as_dict().values()).encode()
        sayable = True
    except UnicodeEncodeError:
        sayable = False
    assert bool(unwritable([example], "parquet")) == (not sayable)


@pytest.mark.parametrize("format_", FORMAT_NAMES)
def test_an_ordinary_row_is_never_refused(format_: str) -> None:
    ordinary = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
    filled = ordinary.filter(lambda text: bool(text.strip()))

    @quick
    @given(st.builds(Example, filled, ordinary, filled))
    def check(example: Example) -> None:
        if not any(mark in text for text in example.as_dict().values() for mark in ("Input:\n", "###")):
            assert unwritable([example], format_) == {}

    check()


@quick
@given(st.sampled_from(["messages", "sharegpt"]), FILLED, FILLED)
def test_a_foreign_chat_is_written_back_as_it_was(folder: Path, format_: str, asked: str, answer: str) -> None:
    rows = {
        "messages": {"messages": [{"role": "user", "content": asked}, {"role": "assistant", "content": answer}]},
        "sharegpt": {"conversations": [{"from": "human", "value": asked}, {"from": "gpt", "value": answer}]},
    }
    path, again = folder / "foreign", folder / "again"
    path.write_text(json.dumps(rows[format_]) + "\n")
    before, _, after = asked.partition("\n\nInput:\n")
    if after and not before.strip():
        with pytest.raises(AlpacaError, match="the instruction in it is empty"):
            read_dataset(path)
        return
    dataset = read_dataset(path)
    write_dataset(again, dataset.examples, dataset.format, force=True)
    assert json.loads(again.read_text()) == json.loads(path.read_text())


@quick
@given(TEMPLATES, TEXTS)
def test_invert_gives_what_renders_to_the_same_or_nothing(template: Template, text: str) -> None:
    if (fields := template.invert(text)) is not None:
        assert template.render(Example(*fields, output="")) == text
    if (example := template.invert_text(text)) is not None:
        assert template.render(example) + example.output == text


@quick
@given(TEMPLATES, EXAMPLES)
@example(LOOSE, Example("0", " ", "x"))
def test_invert_always_finds_something_in_a_prompt(template: Template, filled: Example) -> None:
    assert template.invert(template.render(filled)) is not None


KEYS = ["instruction", "input", "output", "prompt", "completion", "text", "messages", "role", "content", "system"]
KEYS += ["conversations", "from", "value"]
VALUES = st.recursive(
    st.none() | st.booleans() | st.floats() | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS) | TEXTS, inner, max_size=4),
    max_leaves=12,
)


@quick
@given(st.binary(max_size=80) | VALUES.map(lambda value: json.dumps(value).encode()))
def test_no_file_at_all_makes_anything_but_examples_or_an_error_with_a_place(folder: Path, raw: bytes) -> None:
    path = folder / "any"
    path.write_bytes(raw)
    try:
        dataset = read_dataset(path)
    except AlpacaError as error:
        for problem in error.problems:
            assert (problem.where or "").startswith(str(path))
            assert problem.message.isprintable()
    else:
        assert len(dataset.examples) == len(dataset.places) >= 1
        assert unwritable(dataset.examples, "jsonl") == {}

"""The Alpaca template to the byte, its inversion, and what a template file may get wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from alpaca_cli.data.example import Example
from alpaca_cli.data.shipped import find
from alpaca_cli.errors import RecipeError, UsageError
from alpaca_cli.format.template import Template, alpaca_template, load_template

WITH_INPUT = (
    "Below is an instruction that describes a task, paired with an input that provides further context. "
    "Write a response that appropriately completes the request.\n\n"
    "### Instruction:\n{instruction}\n\n### Input:\n{input}\n\n### Response:"
)
WITHOUT_INPUT = (
    "Below is an instruction that describes a task. "
    "Write a response that appropriately completes the request.\n\n"
    "### Instruction:\n{instruction}\n\n### Response:"
)
# one opening for both texts, the input before the instruction, and braces that are no fields
OTHER = Template(with_input="{{x}} {input} | {instruction} =>", without_input="{{x}} {instruction} =>")


def test_shipped_template_is_stanfords_to_the_byte() -> None:
    template = load_template(find("alpaca.yaml", "prompts"))
    assert template.with_input == WITH_INPUT
    assert template.without_input == WITHOUT_INPUT


def test_default_template_is_the_shipped_one_wherever_the_user_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "alpaca.yaml").write_text("with_input: '{instruction}{input}'\nwithout_input: '{instruction}'\n")
    monkeypatch.chdir(tmp_path)
    alpaca_template.cache_clear()
    assert alpaca_template().with_input == WITH_INPUT


def test_render_with_and_without_input() -> None:
    template = alpaca_template()
    assert template.render(Example("Add.", "1 2", "3")) == WITH_INPUT.format(instruction="Add.", input="1 2")
    assert template.render(Example("Say hi.", "", "hi")) == WITHOUT_INPUT.format(instruction="Say hi.")


def test_an_input_of_one_space_is_an_input() -> None:
    assert alpaca_template().render(Example("Add.", " ", "3")) == WITH_INPUT.format(instruction="Add.", input=" ")


def test_render_is_one_pass_and_leaves_other_braces_alone() -> None:
    example = Example("say {input} and {output}", "{instruction} {0} {", "x")
    assert OTHER.render(example) == "{{x}} {instruction} {0} { | say {input} and {output} =>"


@pytest.mark.parametrize("template", [alpaca_template(), OTHER], ids=["alpaca", "other"])
@pytest.mark.parametrize("input_", ["", " ", "two\n\nlines\n"])
def test_invert_undoes_render(template: Template, input_: str) -> None:
    example = Example("Do {this}\nnow.", input_, "### Response:\n\ndone")
    prompt = template.render(example)
    assert template.invert(prompt) == (example.instruction, example.input)
    assert template.invert_text(prompt + example.output) == example


@pytest.mark.parametrize(
    "prompt",
    [
        "",
        "Say hi.",
        WITHOUT_INPUT.format(instruction="Say hi.") + "\n",
        " " + WITHOUT_INPUT.format(instruction="Say hi."),
        WITH_INPUT.format(instruction="Say hi.", input=""),  # `render` takes the shorter text for it
        "Below is an instruction that describes a task.\n\n### Instruction:\nSay hi.\n\n### Response:",
    ],
)
def test_invert_knows_what_it_did_not_make(prompt: str) -> None:
    assert alpaca_template().invert(prompt) is None


def test_invert_does_not_let_literals_overlap() -> None:
    template = Template(with_input="a{instruction}b{input}b", without_input="a{instruction}a")
    assert template.invert("ab") is None
    assert template.invert("a") is None
    assert template.invert("aa") == ("", "")


def test_every_mistake_in_a_template_file_is_told_with_its_place(tmp_path: Path) -> None:
    path = tmp_path / "t.yaml"
    path.write_text("with_input: '{instruction} {instruction}'\nwithout_input: |-\n  {instruction} {input}\nwith: x\n")
    with pytest.raises(RecipeError) as raised:
        load_template(path)
    first, second, third = raised.value.problems
    assert first.where == f"{path}:1:13"
    assert first.message.startswith("with_input: expected {instruction} once, found it 2 times")
    assert second.where == f"{path}:2:16"
    assert second.message.startswith("without_input: {input} has no place here")
    assert third.where == f"{path}:4:1"
    assert third.message == "with: unknown key"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("with_input: '{instruction}'\nwithout_input: '{instruction}'", "expected {input} once, found it 0 times"),
        ("with_input: '{instruction}{input}'\nwithout_input: 'Hello'", "expected {instruction} once, found it 0"),
        ("with_input: '{instruction}{input}'\nwithout_input: '{instruction}{output}'", "{output} has no place here"),
        ("with_input: '{instruction}{input}'", "without_input: required, and not given"),
        ("with_input: '{instruction}{input}'\nwithout_input: 3", "without_input: input should be a valid string"),
        ("- a", "expected a mapping"),
    ],
)
def test_bad_template_file(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "t.yaml"
    path.write_text(text)
    with pytest.raises(RecipeError) as raised:
        load_template(path)
    assert message in str(raised.value)
    assert str(raised.value).startswith(f"{path}:")


def test_missing_template_file(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such YAML file"):
        load_template(tmp_path / "none.yaml")

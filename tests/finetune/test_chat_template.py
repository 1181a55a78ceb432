"""Whoever asks through the chat template asks as the model was trained, whatever is in the texts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alpaca_cli.data.example import Example
from alpaca_cli.errors import UsageError
from alpaca_cli.finetune.tokens.chat_template import chat_template, render_chat
from alpaca_cli.finetune.tokens.tokenizer import Tokenizer, open_tokenizer
from alpaca_cli.format.template import Template, alpaca_template
from finetune.tokenizer_folders import byte_level, generic, sentencepiece_folder

AWKWARD = [
    "{{ x }}",
    "{% if %}",
    "{# a #}",
    "{instruction}",
    "'",
    '"',
    "\\n",
    "\\",
    "\n\n",
    " ",
    "\t",
    "%s",
    "</s>",
    "é",
]
WORDS = st.lists(st.sampled_from(AWKWARD) | st.text(max_size=8), max_size=6).map("".join)
# Control characters but for line breaks and tabs cannot stand in a YAML file.
LITERALS = WORDS.filter(lambda text: "{instruction}" not in text and not any(c in text for c in "\0\1"))
KINDS = ["opening", "none", "pieces"]


def user(text: str, input_: str = "") -> dict[str, str]:
    return {"role": "user", "content": text, **({"input": input_} if input_ else {})}


def assistant(text: str) -> dict[str, str]:
    return {"role": "assistant", "content": text}


@pytest.fixture(scope="module")
def tokenizers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Tokenizer]:
    folder = tmp_path_factory.mktemp("chat")
    made = {
        "opening": generic(folder / "opening"),
        "none": generic(folder / "none", byte_level(opening=False)),
        "pieces": sentencepiece_folder(folder / "pieces", tokenizer_class="LlamaTokenizer"),
    }
    return {name: open_tokenizer(model, "none", cache=folder / "cache") for name, model in made.items()}


@pytest.fixture(scope="module")
def chats(tokenizers: dict[str, Tokenizer]) -> dict[str, str]:
    """The chat templates that render the Alpaca template."""
    return {kind: chat_template(alpaca_template(), tokenizer) for kind, tokenizer in tokenizers.items()}


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=50)
@given(instruction=WORDS.filter(bool), input_=WORDS, output=WORDS)
def test_a_question_is_asked_with_the_tokens_that_were_trained(
    tokenizers: dict[str, Tokenizer], chats: dict[str, str], kind: str, instruction: str, input_: str, output: str
) -> None:
    template, tokenizer, text = alpaca_template(), tokenizers[kind], chats[kind]
    prompt = template.render(Example(instruction, input_, output))
    asked, whole = tokenizer.encode([prompt, prompt + output + tokenizer.eos])
    chat = [user(instruction, input_), assistant(output)]

    assert tokenizer.encode([render_chat(text, chat[:1])], is_opened=True) == [asked]
    assert tokenizer.encode([render_chat(text, chat)], is_opened=True) == [whole]
    assert tokenizer.encode([render_chat(text, chat + chat[:1])], is_opened=True) == [whole + asked]


@settings(max_examples=25)
@given(pieces=st.tuples(*[LITERALS] * 5), is_turned=st.booleans(), instruction=WORDS, input_=WORDS.filter(bool))
def test_any_template_comes_out_to_the_letter(
    tokenizers: dict[str, Tokenizer], pieces: tuple[str, ...], is_turned: bool, instruction: str, input_: str
) -> None:
    fields = ("{input}", "{instruction}") if is_turned else ("{instruction}", "{input}")
    template = Template(
        with_input=pieces[0] + fields[0] + pieces[1] + fields[1] + pieces[2],
        without_input=pieces[3] + "{instruction}" + pieces[4],
    )
    text = chat_template(template, tokenizers["opening"])

    for example in (Example(instruction, input_, ""), Example(instruction, "", "")):
        asked = render_chat(text, [user(instruction, example.input)])
        assert asked == "<s>" + template.render(example)


def test_a_system_message_goes_before_the_first_instruction(chats: dict[str, str]) -> None:
    text = chats["opening"]
    system = {"role": "system", "content": "Be brief."}

    assert render_chat(text, [system, user("Add.", "1 2")]) == render_chat(text, [user("Be brief.\n\nAdd.", "1 2")])
    assert render_chat(text, [system, user("Add."), assistant("3"), user("Again.")]) == render_chat(
        text, [user("Be brief.\n\nAdd."), assistant("3"), user("Again.")]
    )


@pytest.mark.parametrize(
    ("messages", "message"),
    [
        ([{"role": "tool", "content": "x"}], "expected user and assistant in turns"),
        ([assistant("x")], "expected user and assistant in turns"),
        ([user("x"), user("y")], "expected user and assistant in turns"),
        ([user("x"), {"role": "system", "content": "y"}], "expected user and assistant in turns"),
        ([{"role": "user", "content": [{"type": "text", "text": "x"}]}], "expected the content of each message as a"),
        ([user("x"), {"role": "assistant", "content": None}], "expected the content of each message as a text"),
    ],
)
def test_a_chat_that_no_example_is_like_is_refused(
    chats: dict[str, str], messages: list[dict[str, Any]], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        render_chat(chats["opening"], messages)


def test_transformers_renders_it_alike(tokenizers: dict[str, Tokenizer], chats: dict[str, str], tmp_path: Path) -> None:
    from transformers import PreTrainedTokenizerFast

    for kind in KINDS:
        tokenizer, text = tokenizers[kind], chats[kind]
        tokenizer.save(tmp_path / kind, text)
        theirs = PreTrainedTokenizerFast.from_pretrained(tmp_path / kind)
        chat = [user("Add.\n{{ x }} ", " 1 2"), assistant(" 3"), user("Näme\tthem: 'a\\n'")]
        assert theirs.apply_chat_template(chat, tokenize=False, add_generation_prompt=True) == render_chat(text, chat)
        found = theirs.apply_chat_template(chat[:1], add_generation_prompt=True, return_dict=False)
        assert [found] == tokenizer.encode([alpaca_template().render(Example("Add.\n{{ x }} ", " 1 2", ""))])


def test_a_tokenizer_for_which_there_is_none_is_refused(tokenizers: dict[str, Tokenizer]) -> None:
    tokenizer = replace(tokenizers["opening"], opening="")  # it puts <s> before a text all the same

    with pytest.raises(UsageError, match="no chat template gives the tokens that are trained") as caught:
        chat_template(alpaca_template(), tokenizer)
    assert caught.value.problems[0].hint is not None

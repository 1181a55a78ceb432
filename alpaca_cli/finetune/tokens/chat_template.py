"""The training template as a chat template, so that whatever serves the model asks it as it was trained."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

import jinja2
from jinja2.sandbox import ImmutableSandboxedEnvironment

from alpaca_cli.data.example import Example
from alpaca_cli.errors import UsageError
from alpaca_cli.finetune.tokens.tokenizer import Tokenizer
from alpaca_cli.format.template import Template

# Plain statements only: llama.cpp and others read Jinja with programs of their own.  Nothing of a message is trimmed.
_CHAT = """\
{%%- if messages[0]['role'] == 'system' -%%}
    {%%- set preface = messages[0]['content'] + '\\n\\n' -%%}
    {%%- set turns = messages[1:] -%%}
{%%- else -%%}
    {%%- set preface = '' -%%}
    {%%- set turns = messages -%%}
{%%- endif -%%}
{%%- for message in turns -%%}
    {%%- if message['content'] is not string -%%}
        {{- raise_exception('expected the content of each message as a text') -}}
    {%%- endif -%%}
    {%%- if message['role'] == 'user' and loop.index0 %% 2 == 0 -%%}
        {%%- set instruction = message['content'] -%%}
        {%%- if loop.index0 == 0 -%%}
            {%%- set instruction = preface + instruction -%%}
        {%%- endif -%%}
        {%%- if message['input'] -%%}
            {{- %(with_input)s -}}
        {%%- else -%%}
            {{- %(without_input)s -}}
        {%%- endif -%%}
    {%%- elif message['role'] == 'assistant' and loop.index0 %% 2 == 1 -%%}
        {{- message['content'] + %(eos)s -}}
    {%%- else -%%}
        {{- raise_exception('expected user and assistant in turns, at most one system message before') -}}
    {%%- endif -%%}
{%%- endfor -%%}
"""
_FIELDS = {"\0": "instruction", "\1": "message['input']"}
_PROBES = (
    Example("Name three birds.", "", "Hen, owl, robin."),
    Example("Add these numbers.\nSay only the sum.", "1 2", "3"),
    Example("É: {{ x }} {instruction}", "  a\n\nb ", " 日本 "),
)


def chat_template(template: Template, tokenizer: Tokenizer) -> str:
    """Jinja text that renders a chat as the examples that the model was trained on, one after another.

    A user's message is an instruction; a key `input` in it, if it says something, is the input.  A system message
    is put before the first instruction, for which training had no place of its own.
    Checked: what it makes of an example, tokenized without special tokens added, is what was trained.
    Raises UsageError if it is not, as a tokenizer may see to it.
    """
    text = _chat(template, tokenizer)
    if not _is_as_trained(text, template, tokenizer):
        hint = "take a base model with another tokenizer, and report this one"
        raise UsageError("no chat template gives the tokens that are trained with this tokenizer", hint=hint)
    return text


def render_chat(text: str, messages: list[dict[str, Any]]) -> str:
    """What `text` makes of a chat, as transformers renders it.  Raises UsageError where the text refuses it."""
    return _compiled(text).render(messages=messages, add_generation_prompt=True)


def _chat(template: Template, tokenizer: Tokenizer) -> str:
    opening = tokenizer.opening
    return _CHAT % {
        "with_input": _expression(opening + template.render(Example("\0", "\1", ""))),
        "without_input": _expression(opening + template.render(Example("\0", "", ""))),
        "eos": _literal(tokenizer.eos),
    }


def _expression(text: str) -> str:
    """A Jinja expression for a text with _FIELDS in it."""
    pieces = [_FIELDS.get(piece) or _literal(piece) for piece in re.split("([\0\1])", text) if piece]
    return " + ".join(pieces)


def _literal(text: str) -> str:
    r"""A Jinja text.

    >>> print(_literal("it's\n"))
    'it\'s\n'
    """
    for plain, escaped in (("\\", "\\\\"), ("'", "\\'"), ("\n", "\\n"), ("\r", "\\r"), ("\t", "\\t")):
        text = text.replace(plain, escaped)
    return f"'{text}'"


def _is_as_trained(text: str, template: Template, tokenizer: Tokenizer) -> bool:
    """Whether single examples come out as trained, and a chat as one after another."""
    messages: list[dict[str, Any]] = []
    chat: list[int] = []
    for example in _PROBES:
        asked = {"role": "user", "content": example.instruction, "input": example.input}
        prompt = template.render(example)
        trained, whole = tokenizer.encode([prompt, prompt + example.output + tokenizer.eos])
        for before, ids in (([], trained), (messages, chat + trained)):
            if tokenizer.encode([render_chat(text, [*before, asked])], is_opened=True) != [ids]:
                return False
        messages += [asked, {"role": "assistant", "content": example.output}]
        chat += whole
    return tokenizer.encode([render_chat(text, messages)], is_opened=True) == [chat]


@lru_cache(maxsize=1)
def _compiled(text: str) -> jinja2.Template:
    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    environment.globals["raise_exception"] = _refuse
    return environment.from_string(text)


def _refuse(message: str) -> None:
    raise UsageError(message)

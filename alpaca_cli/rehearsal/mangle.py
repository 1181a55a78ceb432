"""Answers as some faults leave them: cut, declined, dressed in Markdown, the same list again, or short of a field."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from alpaca_cli.rehearsal import protocol, tokens
from alpaca_cli.rehearsal.compose import wanted
from alpaca_cli.rehearsal.protocol import Answer, Json, Question

REFUSAL = "I'm sorry, but I can't help with putting together a list of tasks like this."
HTML = """<!DOCTYPE html>
<html><head><title>Gateway</title></head>
<body><h1>Something went wrong</h1><p>The proxy could not reach the server that you asked for.</p></body></html>
"""
_LABEL = re.compile(r"^(\d+)\. (Instruction|Input|Output):", re.MULTILINE)
_INSIDE_A_TASK = re.compile(r"\w(?= \w)")


def answers_of(fault: str | None, question: Question, *, seed: int) -> list[Answer]:
    """The texts that a question is answered with under a fault."""
    if fault == "duplicates":
        same = tuple(map(_without_its_tasks, question.prompts))
        return protocol.answer(replace(question, prompts=same), seed=seed)
    found = protocol.answer(question, seed=seed)
    match fault:
        case "truncated":
            return [_cut(each) for each in found]
        case "refusal":
            return [_reworded(question, each, REFUSAL) for each in found]
        case "markdown":
            return [_reworded(question, each, _in_markdown(question, each)) for each in found]
        case "content_filter_finish":
            return [replace(each, text="", finish_reason="content_filter") for each in found]
    return found


def completion(fault: str | None, question: Question, answers: Sequence[Answer]) -> Json:
    """The answer's JSON, as a fault leaves it."""
    body = protocol.completion(question, answers)
    match fault:
        case "missing_choices":
            del body["choices"]
        case "missing_usage":
            del body["usage"]
        case "null_usage":
            body["usage"] = None
        case "content_filter_finish" if question.chat:
            for choice in body["choices"]:
                choice["message"]["content"] = None
    return body


def _without_its_tasks(prompt: str) -> str:
    """A prompt for as many tasks that is the same for all prompts of its form."""
    asked = wanted(prompt)
    if asked is None:
        return prompt
    label = f"\n###\n{asked.first}. Instruction:" if asked.labelled else ""
    return f"A list of {asked.last} tasks.{label}"


def _cut(answer: Answer) -> Answer:
    """Without its end, from inside a sentence of its second half on."""
    ends = [found.end() for found in _INSIDE_A_TASK.finditer(answer.text)]
    half = [at for at in ends if at >= len(answer.text) // 2] or ends
    text = answer.text[: half[0]] if half else answer.text
    return replace(answer, text=text, finish_reason="length")


def _reworded(question: Question, answer: Answer, text: str) -> Answer:
    """Another text in an answer's place, which ends where the question says."""
    text, reason = tokens.ended(text, question.stops, question.most_tokens)
    return replace(answer, text=text, finish_reason=reason)


def _in_markdown(question: Question, answer: Answer) -> str:
    asked = wanted(question.prompts[answer.index // question.num_choices])
    text = answer.text
    if asked is not None and not _LABEL.match(text) and not text.startswith("**"):
        text = f"{asked.first}. Instruction:{text}"  # it went on behind the prompt's label
    return _LABEL.sub(_markdown_label, text)


def _markdown_label(found: re.Match[str]) -> str:
    heading = f"### Task {found[1]}\n\n" if found[2] == "Instruction" else "\n"
    return f"{heading}**{found[2]}:**"

"""Why a task is refused: each rule has a name, which is its key in the recipe and its reason in the report.

Adding a rule: a field with its meaning in `recipe.RuleSettings`, an entry in RULES, a test that it can refuse and
what it spares.  Rules are pure and are asked in the order of RULES; the first that refuses names the reason.

Source: the first six are stanford_alpaca generate_instruction.py L68-113; the others answer the defects that
AlpacaDataCleaned and our own counting found in its released data.
"""

from __future__ import annotations

import re
import string
from collections.abc import Callable

from alpaca_cli.data.example import Example
from alpaca_cli.recipe import RuleSettings

Rule = Callable[[Example, RuleSettings], bool]

_ANOTHER_LABEL = re.compile(
    r"(?:^|\n|\s)(?:#{2,}\s*)?\**\d{1,3}\s*[.):]\s*\**(?:instruction|input|output)\**\s*:", re.IGNORECASE
)
_NO_OUTPUT = re.compile(
    r"[\W_]*(?:no[ _-]?(?:out|in)put(?: (?:is )?(?:required|needed|provided|necessary|given))?|n/a|none|null|nil"
    r"|not applicable|output|\.{3,}|)[\W_]*",
    re.IGNORECASE,
)
_URL = re.compile(r"https?://|\bwww\.[a-z0-9-]+\.|\b[a-z0-9-]+\.(?:com|org|net|edu|gov|io)(?:/|\b)", re.IGNORECASE)
_EMAIL = re.compile(r"\S+@\S+")
_VISIBLE = (
    r"(?:images?|pictures?|photos?|photographs?|drawings?|(?<!character )(?<!biographical )sketch(?:es)?"
    r"|illustrations?|paintings?|logos?|posters?|infographics?|memes?|gifs?|icons?|diagrams?|flow ?charts?|charts?"
    r"|graphs?|screenshots?|videos?|animations?|audio(?: clips?| recordings?)?|sound clips?|podcast episodes?"
    r"|slideshows?)"
)
_MAKE = (
    r"(?:draw|sketch|paint|plot|design|create|make|generate|produce|construct|build|illustrate|render|record|film"
    r"|take|play|show|add|insert|upload|edit|crop|resize|colou?r|watch|view|look at|listen to|display|animate)"
)
_MAKE_VISIBLE = re.compile(
    rf"\b{_MAKE}\b(?: (?:me|us|up))?(?: (?:a|an|the|some|this|that|these|your|my|one|two|three|simple|short|new))*"
    rf"(?: [\w-]+){{0,3}}? {_VISIBLE}\b(?! (?:description|caption|idea|title|concept|brief|script|outline|prompt|"
    r"theory|database|table|class|function|node|library|of accounts))",
    re.IGNORECASE,
)
_DRAW = re.compile(
    r"^(?:please )?(?:draw|sketch|paint)\b(?! (?:up|on|from|out|attention|(?:a |the |your |some |any )?"
    r"(?:\w+ )?(?:conclusions?|inferences?|comparisons?|parallels?|distinctions?|lessons?|analog(?:y|ies)|verbal)))",
    re.IGNORECASE,
)
_IN_THE_PICTURE = re.compile(
    rf"\b(?:in|of|from|about|describe|identify|caption|analy[sz]e) (?:the|this|these|that) (?:\w+ )?{_VISIBLE}\b"
    r"(?! (?:of (?:the |this )?(?:text|word|data|story)|title|idea|script))",
    re.IGNORECASE,
)
_ATTACHMENT = re.compile(
    r"\battached\b(?! to\b)|\battachments?\b(?! (?:style|theory|to|figure|issues))|\b(?:the|this|that|these|an?) "
    r"(?:\w+ )?(?:file|pdf|spreadsheet|excel sheet|screenshot|link)s? (?:below|above|provided|given|attached|shown)\b"
    r"|\bopen (?:the|this) (?:file|link|document|pdf|attachment)\b"
    r"|\b(?:click|follow) (?:on )?(?:the|this) link\b|\b(?:upload|download)ed (?:file|document|image)\b",
    re.IGNORECASE,
)
_REFUSAL = re.compile(
    r"^\W*(?:"
    r"(?:i(?:'|’)?m|i am) (?:very |really |so )?(?:sorry|afraid),? (?:but |that )?(?:i|as|this)\b"
    r"|(?:sorry|apologies|unfortunately),? (?:but )?(?:i (?:can|am|do)|as an?)\b"
    r"|as an? (?:ai|artificial|large language)\b"
    r"|i (?:cannot|can(?:'|’)t|can not|am unable to|am not able to|won(?:'|’)t) (?:directly |actually )?"
    r"(?:provide|help|assist|do (?:this|that)|fulfil|complete|generate|create|access|answer|comply|perform|process"
    r"|view|see|browse|open|write|respond|draw|play)"
    r"|i (?:do not|don(?:'|’)t) have (?:access|the ability)"
    r"|my apologies, (?:but )?i (?:cannot|can)"
    r")|\bas an? (?:ai|artificial intelligence)(?: language)? (?:model|assistant),",
    re.IGNORECASE,
)
# Words after which no English sentence ends: an output that stops at one was cut.
# fmt: off
_DANGLING = frozenset(
    [
        "a", "an", "the", "and", "or", "but", "than", "that", "which", "whose", "because", "if", "when",
        "while", "is", "are", "was", "were", "be", "been", "has", "have", "had", "will", "would", "could",
        "should", "may", "might", "must", "its", "their", "his", "her", "your", "our", "my", "these", "those",
        "such", "very", "between", "during", "including",
    ]
)
# fmt: on
_CUT_YEAR = re.compile(
    r"\b(?:in|by|since|from|to|until|of|and|(?:january|february|march|april|may|june|july|august|september|october"
    r"|november|december)(?: \d{1,2}(?:st|nd|rd|th)?,?)?) 20$",
    re.IGNORECASE,
)
_WORDS_BEFORE_A_CUT = 8  # shorter outputs are labels, titles and fragments that were asked for


def refuse(example: Example, settings: RuleSettings) -> str | None:
    """The name of the first rule that refuses a task, or None.  Pure."""
    return next((name for name, rule in RULES.items() if getattr(settings, name) and rule(example, settings)), None)


def holds_word(text: str, words: tuple[str, ...]) -> bool:
    """Whether one of `words` (each may be several, as "go to") stands in a text as whole words, in any case."""
    return any(re.search(rf"\b{re.escape(word)}\b", text, re.IGNORECASE) for word in words)


def _is_cut(example: Example, _: RuleSettings) -> bool:
    output = example.output.rstrip()
    if output.count("```") % 2:
        return True
    last_line = output.rpartition("\n")[2]
    words = last_line.split()
    if output.endswith("```") or len(output.split()) < _WORDS_BEFORE_A_CUT or not words:
        return False
    # The original's stop text "20." cut answers in the middle of a year: "... until December 20"
    if _CUT_YEAR.search(last_line):
        return True
    last = words[-1]
    if last[-1] in ",-–" and last_line[:1].isalpha() and len(words) >= _WORDS_BEFORE_A_CUT:
        return True
    return last.islower() and last in _DANGLING and len(words) >= _WORDS_BEFORE_A_CUT


def _repeats_instruction(example: Example, _: RuleSettings) -> bool:
    given = _normal(example.input)
    if not given:
        return False
    instruction = _normal(example.instruction)
    return given == instruction or (len(given.split()) >= 5 and given in instruction)


def _repeats_input(example: Example, _: RuleSettings) -> bool:
    return bool(example.input) and example.output.strip() == example.input.strip()


def _asks_for_picture(example: Example, _: RuleSettings) -> bool:
    text = example.instruction
    return any(pattern.search(text) is not None for pattern in (_MAKE_VISIBLE, _DRAW, _IN_THE_PICTURE))


def _has_url(example: Example, _: RuleSettings) -> bool:
    return any(_URL.search(_EMAIL.sub("", text)) is not None for text in (example.instruction, example.input))


def _has_attachment(example: Example, _: RuleSettings) -> bool:
    placeholder = len(example.input.split()) <= 6 and "attached" in example.input.lower()
    return placeholder or _ATTACHMENT.search(example.instruction) is not None


def _has_label(example: Example, _: RuleSettings) -> bool:
    return any(_ANOTHER_LABEL.search(text) for text in (example.instruction, example.input, example.output))


def _normal(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.lower()))


RULES: dict[str, Rule] = {
    "too_short": lambda example, settings: len(example.instruction.split()) < settings.too_short,
    "too_long": lambda example, settings: len(example.instruction.split()) > settings.too_long,
    "unsuitable_word": lambda example, settings: holds_word(example.instruction, settings.unsuitable_word),
    "write_a_program": lambda example, _: example.instruction.startswith("Write a program"),
    "opens_with_punctuation": lambda example, _: example.instruction[:1] in string.punctuation,
    "opens_with_non_ascii": lambda example, _: not example.instruction[:1].isascii(),
    "empty_output": lambda example, _: not example.output.strip(),
    "no_output": lambda example, _: _NO_OUTPUT.fullmatch(example.output.strip()) is not None,
    "merged_tasks": _has_label,
    "cut_ending": _is_cut,
    "repeats_instruction": _repeats_instruction,
    "repeats_input": _repeats_input,
    "asks_for_picture": _asks_for_picture,
    "attachment": _has_attachment,
    "url": _has_url,
    "refusal": lambda example, _: _REFUSAL.search(example.output[:200]) is not None,
}

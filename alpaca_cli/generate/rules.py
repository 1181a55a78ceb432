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
from alpaca_cli.recipe.generate import RuleSettings

Rule = Callable[[Example, RuleSettings], bool]

_ANOTHER_LABEL = re.compile(
    r"(?:^|\s)(?:#{2,}\s*)?\**\d{1,3}\s*[.):]\s*\**instruction\**\s*:"
    r"|(?:^|\s)\**(?P<number>\d{1,3})\.\s*\**input\**\s*:.*?\s\**(?P=number)\.\s*\**output\**\s*:",
    re.IGNORECASE | re.DOTALL,
)
_NO_OUTPUT = re.compile(
    r"[\W_]*(?:no[ _-]?(?:out|in)put(?: (?:is |was )?(?:required|needed|provided|necessary|given|available))?"
    r"|n/a|not applicable)[\W_]*"
    r"|<\s*no[ _-]?(?:out|in)put\b.*"
    r"|[<(\[](?:output|none|null|nil|empty)[>)\]]|\.{3,}|…|[-–—]?|\"\"|''",
    re.IGNORECASE | re.DOTALL,
)

_URL = re.compile(r"(?:https?://|\bwww\.[a-z0-9-]+\.|\b[a-z0-9-]{1,63}\.(?:com|org|net|edu|gov|io)/)\S*", re.IGNORECASE)
_MOST_WORDS_BESIDE_A_URL = 20  # a text of more words says what it is about by itself
_ON_URLS = re.compile(
    r"\b(?:html|css|markdown|regex|regular expressions?|hyperlink|domain|protocol|query string)\b"
    r"|\b(?:extract|find|list|count|validate|parse|encode|decode|shorten|split|explain) "
    r"(?:(?:all|any|each|every|the|this|following|parts? of) )*(?:links?|urls?|web addresses|domains?)\b",
    re.IGNORECASE,
)

_VISIBLE = (
    r"(?:images?|pictures?|photos?|photographs?|drawings?|(?<!character )(?<!biographical )sketch(?:es)?"
    r"|illustrations?|paintings?|logos?|posters?|banners?|infographics?|memes?|gifs?|icons?|diagrams?|flow ?charts?"
    r"|charts?|graphs?|heat ?maps?|visuali[sz]ations?|visual representations?|cartoons?|collages?|holograms?"
    r"|screenshots?|videos?|animations?|audio(?: clips?| recordings?)?|sound clips?|podcast episodes?|slideshows?)"
)
_MAKE = (
    r"(?:draw|sketch|paint|plot|(?:re)?design|(?:re)?create|make|generate|produce|construct|build|illustrate|render"
    r"|record|film|take|play|show|post|add|insert|upload|edit|crop|resize|colou?r(?:ize)?|watch|view|look at|listen to"
    r"|display|animate)"
)
_WORD = r"(?: (?!(?:for|of|about|to|in|on|from|with|that|how|why|what|which|when|text|table|ascii)\b)[\w'’-]+)"
# What may follow where the visible thing is meant itself, unlike in "video game" or "image classifier".
_ITSELF = (
    r"(?= ?(?:$|[\n.,;:!?()\"”])| (?:of(?! accounts)|for|that(?! compares?)|which|with|about|in|on|to(?! compare)|from"
    r"|using|based|and|or|by|at|as|so|design|album|showing|illustrating|depicting|representing|displaying|describing"
    r"|featuring|promoting|advertising|summari[sz]ing|visuali[sz]ing|explaining|associated|below|above|provided|shown"
    r"|attached|is|are)\b)"
)
_MAKE_VISIBLE = re.compile(
    rf"(?:^|[.,;:!?\n] *|\b(?:and|please|then) )(?:please )?{_MAKE}\b"
    r"(?: (?:me|us|up|in))?(?: (?:a |the |some )?(?:set|series|collection|couple|design|mock-?up|draft) (?:of|for))?"
    rf"{_WORD}{{0,5}}? {_VISIBLE}\b{_ITSELF}"
    rf"|^(?:embody|replace)\b.* (?:in|with) an?{_WORD}{{0,2}} {_VISIBLE}\b{_ITSELF}",
    re.IGNORECASE,
)
_A_VISIBLE = re.compile(rf" {_VISIBLE}")  # in lower case; part of all that _MAKE_VISIBLE and _LOOK_AT find
_DRAW = re.compile(
    r"^(?:please )?(?:draw|sketch|paint)\b(?! (?:up|on|upon|from|out|attention|(?:a |an |the |your |some |any )?"
    r"(?:[\w-]+ ){0,2}(?:conclusions?|inferences?|comparisons?|parallels?|distinctions?|lessons?|analog(?:y|ies)|verbal"
    r"|tables?|plans?|outlines?|characters?|scenes?|stor(?:y|ies)|plots?|biograph\w+|dialogues?|proofs?|arguments?"
    r"|solutions?|timelines?))\b)",
    re.IGNORECASE,
)
_GIVEN = r"(?:this|these|(?:the|that) (?:following|given|provided|attached|accompanying))"
_THERE = r"(?= ?(?:$|[\n.,;:!?()])| (?:below|above|provided|shown|attached)\b"
_LOOK_AT = re.compile(
    r"\b(?:(?:describe|identify|caption|analy[sz]e|label|interpret|summari[sz]e|improve) "
    rf"(?:{_GIVEN}|the)(?: [\w-]+)? {_VISIBLE}{_THERE}| (?:in|and|about|with)\b)"
    rf"|(?:in|of|from|about|for|on) {_GIVEN}(?: [\w-]+)? {_VISIBLE}{_THERE}| (?:in|and|about|with)\b)"
    rf"|(?:in|from|for|on) (?:the|that)(?: [\w-]+)? {_VISIBLE}{_THERE}| in [\w-]+ (?:words?|sentences?)\b)"
    rf"|(?:of|about) (?:the|that)(?: [\w-]+)? (?:image|picture|photo|screenshot)s?{_THERE}))",
    re.IGNORECASE,
)
_LEAST_WORDS_OF_A_DESCRIPTION = 5  # an input of so many words says what is in the picture
_SHOWS_PICTURE = re.compile(r"!\[[^\]\n]*\]\(\s*(?:https?:|data:)")
# Pictures that are made of text, or that words are to paint.
_AS_TEXT = re.compile(
    r"\b(?:ascii|mermaid|plantuml|graphviz|svg|latex|tikz|html|css|code|python|matplotlib|javascript|sql|markdown"
    r"|text-based|plain text|as text|emojis?|in words|with words|word picture|verbal|pseudocode)\b",
    re.IGNORECASE,
)

_THING = (
    r"(?:files?|documents?|pdfs?|spreadsheets?|excel sheets?|sheets?|images?|pictures?|photos?|screenshots?|tables?"
    r"|reports?|texts?|articles?|letters?|data|code|links?|videos?|audio|recordings?|maps?|charts?)"
)
_ATTACHED = re.compile(
    rf"\battached (?:\w+ )?{_THING}\b|\b(?:see|is|are) attached\b(?! to\b)"
    r"|\b(?:the|this|that|these) (?:\w+ )?attachments?\b(?! (?:style|theory|to|figure|issue))"
    r"|\bopen (?:the|this) (?:file|link|document|pdf|attachment)\b"
    r"|\b(?:click|follow) (?:on )?(?:the|this) link\b|\b(?:upload|download)ed (?:file|document|image)s?\b",
    re.IGNORECASE,
)
_GIVEN_ELSEWHERE = re.compile(
    r"\b(?:the|this|that|these|an?) (?:\w+ )?(?:file|pdf|spreadsheet|excel sheet|screenshot|link)s? "
    r"(?:below|above|provided|given|shown)\b",
    re.IGNORECASE,
)
_IN_ATTACHED = ("attach", "open", "link", "loaded")  # one of them is part of all that it finds
_IN_GIVEN_ELSEWHERE = ("below", "above", "provided", "given", "shown")
_LEAST_WORDS_OF_A_TEXT = 12  # an input of so many words may be the thing itself
# An input that only names what should stand there: [Image of a logo], <link to flag>, (insert article).
_PLACEHOLDER = re.compile(
    r"(?:\w+ ?: )?[<(\[{](?:[^<>()\[\]{}\"'=]*\b)?(?:insert|link|url|website|attach\w*|clip|painting|figure|essay|story"
    rf"|poem|passage|paragraph|{_THING})\b[^<>()\[\]{{}}\"'=]*[>)\]}}]\W*"
    r"|(?:please )?(?:see )?(?:the )?attached(?: \w+){0,2}\W*",
    re.IGNORECASE,
)
_MOST_WORDS_OF_A_PLACEHOLDER = 9

_CANNOT = (
    r"i(?: am|['’]m) (?:currently )?(?:unable|not able) to"
    r"|i (?:cannot|can not|can['’]t|won['’]t be able to|(?:do not|don['’]t) have the ability to)"
)
_AS_AN_AI = (
    r"as an? (?:ai|artificial intelligence|(?:large )?language model)(?: (?:language )?(?:model|assistant|system))?,?"
)
_SORRY = (
    r"(?:(?:i['’]?m|i am)(?: very| really| so| truly)? (?:sorry|afraid)|sorry|unfortunately|(?:my )?apologies"
    r"|i apologi[sz]e(?: for (?:the|any) \w+)?),? ?(?:but |that |however,? )?"
)
# What a teacher cannot do, rather than somebody in a letter or a song that it wrote: "I'm sorry, but I can't come".
_DO_IT = (
    r"(?:(?:assist|help)(?: you)? with|fulfil\w*|comply|browse|access|do (?:this|that)|complete (?:this|that|your)"
    r"|(?:provide|generate|create|answer|perform|process|view|see|hear|open|read|write|respond|draw|display|execute|play"
    r"|produce|identify|determine|analy[sz]e|summari[sz]e|translate|edit)\b[^.\n]{0,80}?\b(?:requests?|requested|tasks?"
    r"|images?|pictures?|photos?|videos?|audio|music|files?|links?|urls?|websites?|web ?pages?|internet|real[- ]time"
    r"|external|attachments?|contents?|(?:medical|legal|financial) advice|opinions?|without (?:the|more|any|an?)))\b"
)
_REFUSAL = re.compile(
    rf"\b{_AS_AN_AI} (?:\w+ )?(?:{_CANNOT}|i (?:do not|don['’]t) (?:have|possess)|i lack)\b"
    rf"|^\W*(?:{_SORRY})?(?:{_AS_AN_AI} )?(?:{_CANNOT}) (?:directly |actually |currently )?{_DO_IT}"
    rf"|^\W*(?:{_SORRY})?(?:this|the|your) (?:task|request|instruction) (?:cannot|can not|can['’]t) be"
    rf"|^\W*{_SORRY}(?:there (?:is|was|are|were) no|you (?:did not|didn['’]t|have not|haven['’]t) provide)",
    re.IGNORECASE,
)

# Words after which no English sentence ends: an output that stops at one was cut.
_DANGLING = frozenset(
    ["a", "an", "the", "and", "or", "but", "than", "because", "whose", "its", "their", "your", "our", "my", "these"]
)
_MONTH = (
    "(?:january|february|march|april|may|june|july|august|september|october|november|december)"
    r"(?: \d{1,2}(?:st|nd|rd|th)?,?)?"
)
_CUT_YEAR = re.compile(
    rf"(?:(?<!\d )\bin|\bsince|\buntil|\bas of|\b(?:19|20)\d\d ?(?:to|and|until|through|-|–)|\b{_MONTH}) 20$",
    re.IGNORECASE,
)
_WORDS_BEFORE_A_CUT = 8  # shorter outputs are labels, titles and fragments that were asked for


def refuse(example: Example, settings: RuleSettings) -> str | None:
    """The name of the first rule that refuses a task, or None.  Pure."""
    return next((name for name, rule in RULES.items() if getattr(settings, name) and rule(example, settings)), None)


def holds_word(text: str, words: tuple[str, ...]) -> bool:
    """Whether one of `words` (each may be several, as "go to") stands in a text as whole words, in any case."""
    return any(re.search(rf"(?<!\w){re.escape(word)}(?!\w)", text, re.IGNORECASE) for word in words)


def _is_cut(example: Example, _: RuleSettings) -> bool:
    output = example.output.rstrip()
    if output.count("```") % 2:
        return True
    last_line = output.rpartition("\n")[2]
    words = last_line.split()
    if output.endswith("```") or len(output.split()) < _WORDS_BEFORE_A_CUT or not words:
        return False
    # The original's stop text "20." cut answers in the middle of a year: "... until December 20"
    if last_line.endswith(" 20") and _CUT_YEAR.search(last_line):
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
    return given == instruction or (len(given.split()) >= 3 and f" {given} " in f" {instruction} ")


def _repeats_input(example: Example, _: RuleSettings) -> bool:
    return bool(example.input) and example.output.strip() == example.input.strip()


def _asks_for_picture(example: Example, _: RuleSettings) -> bool:
    text = example.instruction
    may_name = not text.isascii() or _A_VISIBLE.search(text.lower()) is not None  # the other searches are slow
    is_asked = (may_name and _MAKE_VISIBLE.search(text)) or _DRAW.search(text) or _SHOWS_PICTURE.search(example.output)
    if not is_asked:
        if not may_name or not _LOOK_AT.search(text):
            return False
        if len(_URL.sub("", example.input).split()) >= _LEAST_WORDS_OF_A_DESCRIPTION:
            return False
    is_table = example.output.count("|") >= 4 and re.search(r"\bcharts?\b", text, re.IGNORECASE)
    return not is_table and not _AS_TEXT.search(text)


def _has_attachment(example: Example, _: RuleSettings) -> bool:
    text, words = example.instruction, len(example.input.split())
    return (
        (_may_hold(text, _IN_ATTACHED) and _ATTACHED.search(text) is not None)
        or (
            words < _LEAST_WORDS_OF_A_TEXT
            and _may_hold(text, _IN_GIVEN_ELSEWHERE)
            and _GIVEN_ELSEWHERE.search(text) is not None
        )
        or (_PLACEHOLDER.fullmatch(example.input.strip()) is not None and words <= _MOST_WORDS_OF_A_PLACEHOLDER)
    )


def _has_url(example: Example, _: RuleSettings) -> bool:
    """An address within a longer text is a part of it; one that stands for a text is not."""
    stands_for_text = any(
        _URL.search(text) is not None and len(_URL.sub("", text).split()) <= _MOST_WORDS_BESIDE_A_URL
        for text in (example.instruction, example.input)
        if "/" in text or "www." in text.lower()  # every address has one of them, and the search is slow
    )
    return stands_for_text and not _ON_URLS.search(example.instruction)


def _has_label(example: Example, _: RuleSettings) -> bool:
    texts = (example.instruction, example.input, example.output)
    return any(":" in text and _ANOTHER_LABEL.search(text) is not None for text in texts)  # the search is slow


def _may_hold(text: str, parts: tuple[str, ...]) -> bool:
    """A quick look before a slow search, in any case, for what has one of `parts` in it."""
    lower = text.lower()
    return any(part in lower for part in parts) or not text.isascii()  # whose letters have other ways to be equal


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

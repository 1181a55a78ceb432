"""Tokens as the rehearsal teacher counts them: runs of letters, digits and underscores, and runs of punctuation.

No real tokenizer counts so; but the count is stable, and enough to try out budgets and limits.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import islice

_TOKEN = re.compile(r"\w+|[^\w\s]+")


def count(text: str) -> int:
    """The number of tokens in a text.  Linear."""
    return len(_TOKEN.findall(text))


def ended(text: str, stops: Sequence[str], most: int | None) -> tuple[str, str]:
    """The text up to the first stop text or after `most` tokens, whichever comes first, and OpenAI's finish_reason."""
    ends = [at for at in (text.find(stop) for stop in stops) if at >= 0]
    text = text[: min(ends, default=len(text))]
    if most is None:
        return text, "stop"
    beyond = next(islice(_TOKEN.finditer(text), most, None), None)
    if beyond is None:
        return text, "stop"
    return text[: beyond.start()].rstrip(), "length"

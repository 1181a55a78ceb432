"""Tokens as the rehearsal teacher counts them: runs of letters, digits and underscores, and runs of punctuation.

No real tokenizer counts so; but the count is stable, and enough to try out budgets and limits.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import islice

_TOKEN = re.compile(r"\w+|[^\w\s]+")
# In ASCII a token begins wherever the kind of character changes, but to a blank: counted so, it takes a tenth.
_KINDS = bytes(ord(" " if not _TOKEN.match(chr(at)) else "a" if re.match(r"\w", chr(at)) else ".") for at in range(128))
_KIND_OF = _KINDS.ljust(256)


def count(text: str) -> int:
    """The number of tokens in a text.  Linear."""
    if not text.isascii():
        return len(_TOKEN.findall(text))
    kinds = b" " + text.encode("ascii").translate(_KIND_OF)
    return sum(map(kinds.count, (b" a", b" .", b"a.", b".a")))


def ended(text: str, stops: Sequence[str], most: int | None) -> tuple[str, str]:
    """The text up to the first stop text or after `most` tokens, whichever comes first, and OpenAI's finish_reason."""
    ends = [at for at in (text.find(stop) for stop in stops) if at >= 0]
    text = text[: min(ends, default=len(text))]
    if most is None or count(text) <= most:
        return text, "stop"
    beyond = next(islice(_TOKEN.finditer(text), most, None))
    return text[: beyond.start()].rstrip(), "length"

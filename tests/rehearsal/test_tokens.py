"""How the rehearsal teacher counts tokens, against counting them one by one."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from alpaca_cli.rehearsal import tokens


def _one_by_one(text: str) -> int:
    return len(re.findall(r"\w+|[^\w\s]+", text))


@given(st.one_of(st.text(st.characters(max_codepoint=127)), st.text(st.sampled_from("aB_9 .,\n\x1c\x7fé"))))
def test_tokens_are_counted_as_they_stand(text: str) -> None:
    assert tokens.count(text) == _one_by_one(text)


@given(st.text(st.sampled_from("ab .\n")), st.integers(1, 12))
def test_a_text_ends_after_so_many_tokens(text: str, most: int) -> None:
    found, reason = tokens.ended(text, (), most)
    assert reason == ("length" if _one_by_one(text) > most else "stop")
    assert found == text if reason == "stop" else _one_by_one(found) == most and text.startswith(found)

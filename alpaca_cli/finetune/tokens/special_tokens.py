"""The tokens that stand for no text: where an example begins and ends, what is not known, what fills up."""

from __future__ import annotations

from collections.abc import Collection, Mapping

NAMES = ("bos_token", "eos_token", "unk_token", "pad_token")

# What is taken where none is named: conversions of LLaMA in wide use name "", and their vocabulary has them all.
_USUAL = {
    "bos_token": ("<s>", "<|begin_of_text|>", "<bos>"),
    "eos_token": ("</s>", "<|end_of_text|>", "<|endoftext|>", "<eos>"),
    "unk_token": ("<unk>",),
}


def found_in(vocabulary: Collection[str], named: Mapping[str, str | None]) -> dict[str, str]:
    """The usual tokens of a vocabulary for those that are not named; padding is left alone.

    >>> found_in({"<s>", "</s>", "a"}, {"bos_token": "", "eos_token": "</s>"})
    {'bos_token': '<s>'}
    """
    found = {}
    for name, usual in _USUAL.items():
        if not named.get(name) and (token := next((token for token in usual if token in vocabulary), None)):
            found[name] = token
    return found

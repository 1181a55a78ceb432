"""A base model's tokenizer without torch: opened, mended where its special tokens are missing, and written again.

What a folder's files come to is kept in the cache as one tokenizer.json, so that no later run has to find it out.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import tokenizers
from tokenizers.pre_tokenizers import Metaspace
from tokenizers.processors import TemplateProcessing

from alpaca_cli.data.files import sha256, write_atomically, write_text
from alpaca_cli.errors import UsageError
from alpaca_cli.finetune.tokens.cache import cache_dir, keep
from alpaca_cli.finetune.tokens.special_tokens import found_in
from alpaca_cli.finetune.tokens.tokenizer_files import TokenizerFiles, read_files

_FORMAT = 1  # of what is kept; to be raised when the same files come to something else
_PAD = "[PAD]"
_PIECES = "tokenizer.model"


@dataclass(frozen=True)
class Tokenizer:
    """Text to ids, as the base model's own tokenizer does it but for an end-of-sequence token that it adds itself."""

    folder: Path
    """Where it is kept."""
    bos_id: int | None
    eos_id: int
    eos: str
    """The text that stands for the end of a sequence."""
    pad_id: int | None
    num_tokens: int
    """All ids lie below it, those of added tokens too."""
    added_pad: bool
    """Whether `[PAD]` was added, so that the model needs a row for it."""
    opening: str
    """The special tokens that `encode` puts before every text, written out; often that of `bos_id`, or nothing."""
    named: dict[str, str]
    """By the names of `special_tokens.NAMES`, those that there are."""
    model_max_length: int | None
    """The most tokens, as the base model's folder has it."""
    notes: tuple[str, ...]
    """What the user should know of it, a sentence each."""
    digest: str
    """SHA-256 over all that decides what it makes of a text."""

    @cached_property
    def _backend(self) -> tokenizers.Tokenizer:
        return tokenizers.Tokenizer.from_file(str(self.folder / "tokenizer.json"))

    def encode(self, texts: list[str], *, is_opened: bool = False) -> list[list[int]]:
        """The ids of whole texts: `opening` first, unless it is written out in them, as a chat template does.

        Special tokens that a text writes out become their ids.  Cost: about 100 us for the text of an Alpaca example
        on one core; all cores are used.
        """
        return [found.ids for found in self._backend.encode_batch_fast(texts, add_special_tokens=not is_opened)]

    def save(self, folder: Path, chat_template: str) -> None:
        """Write it in Hugging Face layout: `AutoTokenizer` gives the same ids there, also with the model beside it."""
        config: dict[str, Any] = {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "add_bos_token": bool(self.opening),
            "add_eos_token": False,
            "clean_up_tokenization_spaces": False,
            "padding_side": "left",
            **self.named,
        }
        if self.model_max_length is not None:
            config["model_max_length"] = self.model_max_length
        _write_json(folder / "tokenizer_config.json", config)
        _write_json(folder / "special_tokens_map.json", self.named)
        write_text(folder / "chat_template.jinja", chat_template)
        for path in sorted(self.folder.glob("tokenizer.*")):
            with write_atomically(folder / path.name) as stream:
                stream.write(path.read_bytes())
        if self.added_pad and (self.folder / _PIECES).exists():  # which knows nothing of it
            _write_json(folder / "added_tokens.json", {_PAD: self.pad_id})


def open_tokenizer(model: Path, pad_token: Literal["add", "none"], *, cache: Path | None = None) -> Tokenizer:
    """The tokenizer of a model folder; with `add`, `[PAD]` becomes a token of it where it has none for padding.

    Cost: a reading of its files; the first time about 1.5 s more for a kind that only transformers can open.
    Raises UsageError if there is none, if it cannot be opened, or if nothing marks the end of a sequence.
    """
    files = read_files(model)
    parts = [_FORMAT, files.digest, pad_token, version("tokenizers"), version("transformers")]
    folder = (cache or cache_dir()) / "tokenizers" / sha256(json.dumps(parts).encode())
    facts = keep(folder, lambda new: _make(files, pad_token, new))
    return Tokenizer(folder, **{**facts, "notes": tuple(facts["notes"])})


def _make(files: TokenizerFiles, pad_token: str, folder: Path) -> dict[str, Any]:
    """Fill `folder`, and give the facts of the tokenizer in it."""
    backend, named = files.open()
    vocabulary = backend.get_vocab()
    named |= (found := found_in(vocabulary, named))
    if "eos_token" not in named:
        hint = "name it in its tokenizer_config.json, as eos_token"
        raise UsageError("no end-of-sequence token in this tokenizer", where=str(files.model), hint=hint)
    notes = [
        f"the tokenizer names no {name}: {named[name]} of its vocabulary is taken"
        for name in ("bos_token", "eos_token")
        if name in found or (name in files.empty and name in named)
    ]
    notes += [f"{name} {token} is in no vocabulary: added" for name, token in named.items() if token not in vocabulary]
    added_pad = False
    if pad_token == "add" and "pad_token" not in named:
        named["pad_token"] = _PAD
        added_pad = _PAD not in vocabulary
    special = {token.content for token in backend.get_added_tokens_decoder().values() if token.special}
    backend.add_special_tokens([token for token in dict.fromkeys(named.values()) if token not in special])
    opening, closing = _settle_ends(backend)
    _settle_spaces(backend)
    if closing:
        notes.append(f"the tokenizer ends every text with {closing}: it does so no more")
    text = backend.to_str()
    (folder / "tokenizer.json").write_text(text, encoding="utf-8")
    if _PIECES in files.contents:
        (folder / _PIECES).write_bytes(files.contents[_PIECES])
    ids = {name: backend.token_to_id(token) for name, token in named.items()}
    return {
        "bos_id": ids.get("bos_token"),
        "eos_id": ids["eos_token"],
        "eos": named["eos_token"],
        "pad_id": ids.get("pad_token"),
        "num_tokens": max(backend.get_vocab().values()) + 1,
        "added_pad": added_pad,
        "opening": opening,
        "named": named,
        "model_max_length": files.model_max_length,
        "notes": notes,
        "digest": sha256(json.dumps([text, ids]).encode()),
    }


def _settle_ends(backend: tokenizers.Tokenizer) -> tuple[str, str]:
    """The special tokens that it puts before every text, and those that it put behind: it no longer does."""
    encoding = backend.encode("a")
    mask = encoding.special_tokens_mask
    begin, end = mask.index(0), len(mask) - mask[::-1].index(0)
    opening, closing = encoding.tokens[:begin], encoding.tokens[end:]
    if closing:
        backend.post_processor = TemplateProcessing(
            single=[*opening, "$A"], special_tokens=list(zip(opening, encoding.ids, strict=False))
        )
    return "".join(opening), "".join(closing)


def _settle_spaces(backend: tokenizers.Tokenizer) -> None:
    """Let a text that follows a special token begin as any text does.

    Otherwise a prompt would have other tokens where its opening is written out, as in a chat template, than where it
    is put before it.  llama.cpp does the same, and so did transformers in the original's time.
    """
    before = backend.pre_tokenizer
    if isinstance(before, Metaspace) and before.prepend_scheme == "first":
        before.prepend_scheme = "always"
        backend.pre_tokenizer = before


def _write_json(path: Path, value: dict[str, Any]) -> None:
    write_text(path, f"{json.dumps(value, indent=2, ensure_ascii=False)}\n")

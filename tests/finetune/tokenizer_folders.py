"""Model folders with small tokenizers of the kinds that base models have, and text to try them on."""

from __future__ import annotations

import io
import json
from functools import lru_cache
from pathlib import Path
from typing import Any

import sentencepiece
from tokenizers import Tokenizer, decoders, pre_tokenizers, trainers
from tokenizers.models import BPE
from tokenizers.processors import TemplateProcessing

SENTENCES = [
    "Below is an instruction that describes a task. Write a response that appropriately completes the request.",
    "paired with an input that provides further context. ### Instruction: ### Input: ### Response:",
    "Name three birds that swim well. Penguin, duck, swan. Sort these numbers: 3 1 2, 10, 45.",
    "def add(a, b):\n    return a + b  # {x} <b>bold</b>\n\n\tTwo  spaces, déjà vu, naïve – “quoted”.",
] * 5
TEXTS = [
    *SENTENCES[:4],
    "a",
    " leading and trailing ",
    "\n\n### Response:",
    "日本語 😀 \x07",
    "1234567890",
    "ends</s>",
    "'s 've  \t\n \n",
]


def model_folder(folder: Path, files: dict[str, bytes | dict[str, Any]], **config: Any) -> Path:
    """A folder with these files, and the config.json of a LLaMA unless `config` says otherwise."""
    folder.mkdir(parents=True)
    for name, content in {"config.json": {"model_type": "llama", **config}, **files}.items():
        (folder / name).write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    return folder


@lru_cache(maxsize=1)
def pieces() -> bytes:
    """A sentencepiece model as LLaMA's: BPE with bytes, <unk> <s> </s> first, no padding."""
    out = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(" ".join(SENTENCES).split("\n")),
        model_writer=out,
        vocab_size=400,
        model_type="bpe",
        byte_fallback=True,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        allow_whitespace_only_pieces=True,
        split_digits=True,
        pad_id=-1,
        minloglevel=2,
    )
    return out.getvalue()


def byte_level(*, special: tuple[str, ...] = ("<s>", "</s>"), opening: bool = True, closing: bool = False) -> Tokenizer:
    """A byte-level BPE tokenizer as GPT-2's and Llama 3's, which puts <s> and </s> around a text as told."""
    tokenizer = Tokenizer(BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=420, special_tokens=list(special), initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(SENTENCES, trainer)
    around = [(token, tokenizer.token_to_id(token)) for token in ("<s>", "</s>") if token in special]
    if opening or closing:
        single = [*(["<s>"] if opening else []), "$A", *(["</s>"] if closing else [])]
        tokenizer.post_processor = TemplateProcessing(single=single, special_tokens=around)
    return tokenizer


def generic(folder: Path, tokenizer: Tokenizer | None = None, **config: Any) -> Path:
    """A folder with a tokenizer.json that no class of transformers builds anew."""
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<s>", "eos_token": "</s>", **config}
    raw = (tokenizer or byte_level()).to_str().encode()
    return model_folder(folder, {"tokenizer.json": raw, "tokenizer_config.json": settings})


def sentencepiece_folder(folder: Path, **config: Any) -> Path:
    """A folder with a sentencepiece model alone, as the first conversions of LLaMA."""
    return model_folder(folder, {"tokenizer.model": pieces(), "tokenizer_config.json": config})


def opt(folder: Path) -> Path:
    """A folder as OPT's: vocab.json and merges.txt, one token for beginning, end and what is not known."""
    model = json.loads(byte_level(special=("<s>", "<pad>", "</s>"), opening=False).to_str())["model"]
    merges = "".join(f"{' '.join(merge)}\n" for merge in model["merges"])
    settings = {
        "tokenizer_class": "GPT2Tokenizer",
        **dict.fromkeys(("bos_token", "eos_token", "unk_token"), "</s>"),
        "pad_token": "<pad>",
        "add_bos_token": True,
        "model_max_length": 2048,
    }
    files = {"vocab.json": model["vocab"], "merges.txt": merges.encode(), "tokenizer_config.json": settings}
    return model_folder(folder, files, model_type="opt")

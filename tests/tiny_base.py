"""A base model of a few thousand parameters with a tokenizer of its own, and a dataset, made in a second."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

WORDS = """red green blue one two three cat dog hen owl fast slow big small sea sky sun moon tree leaf""".split()  # noqa: SIM905


def make_data(path: Path, count: int = 60) -> Path:
    """Examples of all lengths, some with an input."""
    rows = []
    for number in range(count):
        some = [WORDS[(number * k) % len(WORDS)] for k in range(1, 3 + number % 9)]
        told = " ".join(some) if number % 3 else ""
        rows.append({"instruction": f"Say {some[0]} {number} times.", "input": told, "output": " ".join(some[::-1])})
    path.write_text(json.dumps(rows), encoding="utf-8")
    return path


def make_base(folder: Path, data: Path, **changes: Any) -> Path:
    """A LLaMA with a byte-level tokenizer trained on the data; `changes`: of its configuration."""
    backend = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True))
    backend.pre_tokenizer, backend.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    pieces = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    text = data.read_text(encoding="utf-8") + "Below is an instruction that describes a task. ### Response:"
    backend.train_from_iterator([text], trainers.BpeTrainer(vocab_size=500, special_tokens=pieces, show_progress=False))
    backend.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, bos_token="<s>", eos_token="</s>", unk_token="<unk>")
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    told = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
    config = LlamaConfig(**{**told, "vocab_size": len(tokenizer), "bos_token_id": 1, "eos_token_id": 2, **changes})
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder

"""A tiny base model for a first run: a tokenizer trained on the data itself, and weights drawn at random.

It knows nothing, not even that words follow words: all that it can do after a fine-tuning, it learnt there.
"""

from __future__ import annotations

import io
from collections.abc import Iterable
from pathlib import Path

import sentencepiece
import torch
from transformers import LlamaConfig, LlamaForCausalLM, LlamaTokenizer
from transformers.utils.logging import disable_progress_bar

from alpaca_cli.data.files import write_folder_atomically

VOCAB = 2000
HIDDEN = 160
LAYERS = 2
HEADS = 4
MAX_TOKENS = 512
README = """# A tiny base model that knows nothing

Made by `alpaca quickstart`: a LLaMA of {num_parameters:,} random weights, and a tokenizer of {vocab:,} pieces trained
on the data that it is about to be fine-tuned on.  It is of no use but to see fine-tuning work on any machine.
"""


def make_tiny_model(texts: Iterable[str], folder: Path, *, seed: int = 0) -> int:
    """Make a LLaMA of about a million parameters in Hugging Face layout; returns how many.

    `texts`: what the tokenizer is trained on, in which at least `VOCAB` different pieces must be found.  The same
    arguments make the same files.  An existing folder is replaced.
    """
    disable_progress_bar()
    pieces = _pieces(texts)
    with write_folder_atomically(folder) as new:
        _tokenizer(pieces).save_pretrained(new)
        (new / "tokenizer.model").write_bytes(pieces)
        model = _model(seed)
        model.save_pretrained(new)
        num_parameters: int = model.num_parameters()
        (new / "README.md").write_text(README.format(num_parameters=num_parameters, vocab=VOCAB), encoding="utf-8")
    return num_parameters


def _pieces(texts: Iterable[str]) -> bytes:
    """A sentencepiece model with LLaMA's settings: BPE, bytes for what is not known, text as it is, single digits."""
    out = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=(line for text in texts for line in text.split("\n") if line),
        model_writer=out,
        model_type="bpe",
        vocab_size=VOCAB,
        byte_fallback=True,
        character_coverage=1.0,
        normalization_rule_name="identity",
        add_dummy_prefix=True,
        remove_extra_whitespaces=False,
        allow_whitespace_only_pieces=True,
        split_digits=True,
        unk_id=0,
        bos_id=1,
        eos_id=2,
        pad_id=-1,
        num_threads=1,
        minloglevel=2,
    )
    return out.getvalue()


def _tokenizer(pieces: bytes) -> LlamaTokenizer:
    """The same as transformers has it: a merge for each way to make a piece of two, the earliest piece first."""
    model = sentencepiece.SentencePieceProcessor(model_proto=pieces)
    ids = {model.id_to_piece(number): number for number in range(len(model))}
    made = [piece for piece, number in ids.items() if not (model.is_control(number) or model.is_byte(number))]
    merges = [
        (piece[:cut], piece[cut:])
        for piece in made
        for cut in range(1, len(piece))
        if piece[:cut] in ids and piece[cut:] in ids
    ]
    return LlamaTokenizer(vocab=ids, merges=merges, add_bos_token=True, model_max_length=MAX_TOKENS)


def _model(seed: int) -> LlamaForCausalLM:
    config = LlamaConfig(
        vocab_size=VOCAB,
        hidden_size=HIDDEN,
        intermediate_size=432,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        max_position_embeddings=MAX_TOKENS,
        bos_token_id=1,
        eos_token_id=2,
        dtype="float32",
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return LlamaForCausalLM(config)

"""Shapes of published models, and a dataset of the size of Alpaca's, for plans: no weights, no text."""

from __future__ import annotations

from typing import Any

import numpy as np

from alpaca_cli.finetune.tokens.token_set import TokenFacts, TokenSet

_LLAMA: dict[str, Any] = {
    "model_type": "llama", "hidden_size": 4096, "intermediate_size": 11008, "num_attention_heads": 32,
    "num_hidden_layers": 32, "vocab_size": 32000, "max_position_embeddings": 2048, "torch_dtype": "float16",
}  # fmt: skip
CONFIGS: dict[str, dict[str, Any]] = {
    "llama-7b": _LLAMA,
    "llama-13b": _LLAMA
    | {"hidden_size": 5120, "intermediate_size": 13824, "num_attention_heads": 40, "num_hidden_layers": 40},
    "llama-3-8b": _LLAMA
    | {"intermediate_size": 14336, "vocab_size": 128256, "num_key_value_heads": 8, "max_position_embeddings": 8192},
    "opt-6.7b": {
        "model_type": "opt", "hidden_size": 4096, "ffn_dim": 16384, "num_attention_heads": 32, "num_hidden_layers": 32,
        "vocab_size": 50272, "max_position_embeddings": 2048, "word_embed_proj_dim": 4096, "dropout": 0.1,
        "do_layer_norm_before": True, "activation_function": "relu",
    },
}  # fmt: skip
NUM_PARAMETERS = {
    "llama-7b": 6_738_415_616,
    "llama-13b": 13_015_864_320,
    "llama-3-8b": 8_030_261_248,
    "opt-6.7b": 6_658_473_984,
}


def tokens_of(lengths: Any, prompt_lengths: Any, *, preambles: tuple[int, ...] = ()) -> TokenSet:
    """Examples of these lengths; where there are preambles, each begins with one of them in turn."""
    lengths, prompts = np.asarray(lengths, np.int64), np.asarray(prompt_lengths, np.int32)
    count, real = len(lengths), int(lengths.sum())
    facts = TokenFacts(
        num_rows=count,
        num_examples=count,
        real_tokens=real,
        supervised_tokens=real - int(prompts.sum()),
        num_bad=0,
        num_truncated=0,
        num_dropped_overlong=0,
        num_unsupervised=0,
        num_shifted=0,
        longest=int(lengths.max()),
        notes=(),
        key="0" * 64,
    )
    kinds = np.arange(count) % len(preambles) if preambles else np.full(count, -1)
    return TokenSet(
        ids=np.zeros(1, np.int32),
        starts=np.concatenate([[0], np.cumsum(lengths)]),
        prompt_lengths=prompts,
        preamble_of=kinds.astype(np.int8),
        preambles=tuple(np.zeros(size, np.int32) for size in preambles),
        facts=facts,
    )


def alpaca_tokens() -> TokenSet:
    """52,002 examples of 130 tokens on average, from 45 to 512, half of them prompt."""
    drawn = np.random.default_rng(0).lognormal(np.log(130) - 0.125, 0.5, 52_002)
    lengths = np.clip(np.rint(drawn), 45, 512).astype(np.int64)
    return tokens_of(lengths, lengths * 48 // 100, preambles=(32, 40))

"""Model folders of a few thousand numbers, written without torch: a base, and what a fine-tuning made of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from alpaca_cli.diff.floats import from_float32, to_float32
from alpaca_cli.weights.safetensors import header_text

LAYERS, HIDDEN, INNER, TOKENS = 3, 32, 48, 60


def write_model(folder: Path, tensors: Mapping[str, NDArray[np.uint16]], **config: Any) -> Path:
    """A model in bf16 (bit patterns), with configuration and tokenizer."""
    folder.mkdir(parents=True)
    header = header_text([(name, "BF16", values.shape) for name, values in tensors.items()])
    raw = b"".join(values.tobytes() for values in tensors.values())
    (folder / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + raw)
    (folder / "config.json").write_text(json.dumps({"model_type": "llama", **config}))
    (folder / "tokenizer.json").write_text('{"version": "1.0"}')
    return folder


def make_pair(folder: Path, *, num_layers: int = LAYERS, num_new_rows: int = 1) -> tuple[Path, Path]:
    """A base, and a tuned model whose norms did not change, whose other matrices did, and which has more tokens."""
    rng, more = np.random.default_rng(0), np.random.default_rng(1)
    shapes = {"model.embed_tokens.weight": (TOKENS, HIDDEN)}
    for layer in range(num_layers):
        for name in ("q_proj", "k_proj", "v_proj", "o_proj"):
            shapes[f"model.layers.{layer}.self_attn.{name}.weight"] = (HIDDEN, HIDDEN)
        for name in ("gate_proj", "up_proj"):
            shapes[f"model.layers.{layer}.mlp.{name}.weight"] = (INNER, HIDDEN)
        shapes[f"model.layers.{layer}.mlp.down_proj.weight"] = (HIDDEN, INNER)
        for name in ("input_layernorm", "post_attention_layernorm"):
            shapes[f"model.layers.{layer}.{name}.weight"] = (HIDDEN,)
    shapes |= {"model.norm.weight": (HIDDEN,), "lm_head.weight": (TOKENS, HIDDEN)}
    base, tuned = {}, {}
    for name, shape in shapes.items():
        values = rng.normal(0, 0.02, shape).astype(np.float32)
        base[name] = from_float32(values, "BF16").reshape(shape)
        moved = to_float32(base[name], "BF16").reshape(shape)
        if len(shape) == 2:
            moved = moved + rng.normal(0, 2e-3, shape).astype(np.float32)
        if shape[0] == TOKENS:
            moved = np.concatenate([moved, more.normal(0, 0.02, (num_new_rows, HIDDEN)).astype(np.float32)])
        tuned[name] = from_float32(moved, "BF16").reshape(moved.shape)
    told = {"hidden_size": HIDDEN, "num_hidden_layers": num_layers, "num_attention_heads": 4}
    return (
        write_model(folder / "base", base, vocab_size=TOKENS, **told),
        write_model(folder / "tuned", tuned, vocab_size=TOKENS + num_new_rows, **told),
    )

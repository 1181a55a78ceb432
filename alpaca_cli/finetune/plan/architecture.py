"""What a base model is: its shape from config.json, its size from the headers of its weights, without torch."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from alpaca_cli.data.files import decode, nearest_name, read_bytes
from alpaca_cli.errors import DataError, UsageError
from alpaca_cli.finetune.plan.weightfiles import Tensors, read_tensors

KEYS = {  # of config.json, by what they say: most families share the first name
    "hidden": ("hidden_size", "n_embd", "d_model"),
    "layers": ("num_hidden_layers", "n_layer"),
    "heads": ("num_attention_heads", "n_head"),
    "vocab": ("vocab_size",),
    "max_positions": ("max_position_embeddings", "n_positions"),
    "intermediate": ("intermediate_size", "ffn_dim", "n_inner"),
}
BYTES = {"fp32": 4, "bf16": 2, "fp16": 2}
DTYPES = {"float32": "fp32", "bfloat16": "bf16", "float16": "fp16", "F32": "fp32", "BF16": "bf16", "F16": "fp16"}
TOLERANCE = 1e-3  # share of the parameters that may be missing before a folder is called broken


@dataclass(frozen=True)
class Family:
    """How the decoders of one `model_type` differ from LLaMA's, where config.json does not say it."""

    gated: bool = True
    """Whether the feed-forward part has a gate: three matrices, not two."""
    layer_norm: bool = False
    """Norms with mean and bias; otherwise RMS norms."""
    norms: int = 2
    """In each layer."""
    qk_norm: bool = False
    """Norms of queries and keys, of a head's width."""
    qkv_bias: bool = False
    out_bias: bool = False
    mlp_bias: bool = False
    head_bias: bool = False
    tied: bool = False
    """Whether the output shares the embedding's matrix, unless config.json says."""
    positions: int | None = None
    """Learned positions: how many rows there are beyond the longest text; None: rotary ones, which need no weights."""


_BIASED = {"qkv_bias": True, "out_bias": True, "mlp_bias": True}
FAMILIES = {
    "llama": Family(),
    "mistral": Family(),
    "phi3": Family(),
    "qwen2": Family(qkv_bias=True),
    "qwen3": Family(qk_norm=True),
    "gemma": Family(tied=True),
    "opt": Family(gated=False, layer_norm=True, tied=True, positions=2, **_BIASED),
    "gpt2": Family(gated=False, layer_norm=True, tied=True, positions=0, **_BIASED),
    "gpt_neox": Family(gated=False, layer_norm=True, **_BIASED),
    "phi": Family(gated=False, layer_norm=True, norms=1, head_bias=True, **_BIASED),
}


@dataclass(frozen=True)
class Architecture:
    """A decoder, as far as memory, time and disk depend on it."""

    model_type: str
    family: Family
    hidden: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    intermediate: int
    vocab: int
    """Rows of the embedding."""
    embedding: int
    """Numbers in one of its rows: `hidden`, but in a few models."""
    tied: bool
    max_positions: int
    activation: str
    """Of the feed-forward part: silu, gelu, relu, ..."""
    layer_parameters: int
    """Of one layer."""
    num_parameters: int
    """Of the whole model, a tied matrix once."""
    dtype: str
    """Of the weights on disk: fp32, bf16, fp16, or `mixed`."""
    num_bytes: int
    """Of the files of weights; 0: not known."""
    has_dropout: bool
    notes: tuple[str, ...] = ()
    """What the user should know."""

    @property
    def outer_parameters(self) -> int:
        """Of all but the layers: embedding, output, last norm."""
        return self.num_parameters - self.layers * self.layer_parameters

    def grown(self, num_tokens: int) -> Architecture:
        """With embedding rows for `num_tokens` tokens, if it has fewer; rows are never taken away."""
        more = max(0, num_tokens - self.vocab)
        per_row = self.embedding * (1 if self.tied else 2) + self.family.head_bias
        return replace(self, vocab=self.vocab + more, num_parameters=self.num_parameters + more * per_row)


def read_architecture(model: Path) -> Architecture:
    """The architecture of a model folder in Hugging Face layout; of the weights only headers and sizes are read.

    Raises UsageError if the folder, its config.json or some of its weights are missing, or it is no decoder; DataError
    if a file is malformed, or the weights are not those that config.json describes.
    """
    path = model / "config.json"
    if not model.is_dir():
        raise UsageError("no such model folder", where=str(model), hint=_hint(model))
    if not path.exists():
        adapter = (model / "adapter_config.json").exists()
        hint = "this is a LoRA adapter: merge it into its base model first" if adapter else None
        raise UsageError(
            "no config.json in this model folder", where=str(model), hint=hint or "name a folder in Hugging Face layout"
        )
    try:
        config = json.loads(decode(read_bytes(path), path))
    except (ValueError, RecursionError) as error:
        raise DataError(f"expected JSON: {error}", where=str(path)) from None
    if not isinstance(config, dict):
        raise DataError("expected a JSON object", where=str(path))
    described = describe(config, where=str(path))
    return _with_weights(described, read_tensors(model), model)


def describe(config: Mapping[str, Any], *, where: str = "config.json") -> Architecture:
    """The architecture that a config.json describes, before any weights are seen.

    Raises UsageError if it is no decoder that can be trained; DataError if a key is missing or no positive integer.
    """
    for key, what in (("quantization_config", "quantised weights"), ("is_encoder_decoder", "an encoder and a decoder")):
        if config.get(key):
            hint = "fine-tune a decoder with weights in bf16, fp16 or fp32"
            raise UsageError(f"this model has {what}", where=where, hint=hint)
    model_type = str(config.get("model_type"))
    family = FAMILIES.get(model_type, FAMILIES["llama"])
    notes = []
    if model_type not in FAMILIES:
        notes.append(f"model_type {model_type!r} is not known here: memory is reckoned as for a LLaMA of its shape")
    hidden, layers, heads = (_number(config, what, where) for what in ("hidden", "layers", "heads"))
    vocab, max_positions = _number(config, "vocab", where), _number(config, "max_positions", where)
    intermediate = _number(config, "intermediate", where, default=4 * hidden if model_type == "gpt2" else None)
    head_dim = _positive(config.get("head_dim") or hidden // heads, "head_dim", where)
    kv_heads = _positive(config.get("num_key_value_heads") or heads, "num_key_value_heads", where)
    embedding = _positive(config.get("word_embed_proj_dim") or hidden, "word_embed_proj_dim", where)
    tied = bool(config.get("tie_word_embeddings", family.tied))
    family = replace(family, **_biases(config, model_type))
    shape = {"hidden": hidden, "heads": heads, "kv_heads": kv_heads, "head_dim": head_dim, "intermediate": intermediate}
    layer = _layer_parameters(family, **shape)
    per_norm = hidden * (1 + family.layer_norm)
    outer = vocab * embedding * (1 if tied else 2) + vocab * family.head_bias
    if config.get("do_layer_norm_before", True) and not config.get("_remove_final_layer_norm"):
        outer += per_norm
    if family.positions is not None:
        outer += (max_positions + family.positions) * hidden
    if embedding != hidden:
        outer += 2 * embedding * hidden  # projected in and out again
    dropouts = [value for key, value in config.items() if re.search(r"^(?!classifier|summary).*(dropout|_pdrop)$", key)]
    return Architecture(
        model_type=model_type,
        family=family,
        layers=layers,
        vocab=vocab,
        embedding=embedding,
        tied=tied,
        max_positions=max_positions,
        activation=str(config.get("hidden_act") or config.get("activation_function") or "silu"),
        layer_parameters=layer,
        num_parameters=layers * layer + outer,
        dtype=DTYPES.get(str(config.get("dtype", config.get("torch_dtype"))), "fp32"),
        num_bytes=0,
        has_dropout=any(isinstance(value, int | float) and value > 0 for value in dropouts),
        notes=tuple(notes),
        **shape,
    )


def _with_weights(described: Architecture, weights: Tensors, model: Path) -> Architecture:
    """What was described, with the size of the weights as they are."""
    count = weights.num_parameters - (weights.head_parameters if described.tied else 0)
    is_known = described.model_type in FAMILIES
    if is_known and count < (1 - TOLERANCE) * described.num_parameters:
        raise _other_weights(f"{count:,} parameters", described, model)
    notes = described.notes
    if is_known and count != described.num_parameters:
        notes += (f"the weights hold {count:,} parameters, config.json describes {described.num_parameters:,}",)
    dtypes = {DTYPES.get(each, each) for each in weights.dtypes}
    if odd := dtypes - set(BYTES):
        hint = "fine-tune weights in bf16, fp16 or fp32"
        raise UsageError(f"weights of type {', '.join(sorted(odd))}", where=str(model), hint=hint)
    layer = described.layer_parameters
    if not is_known and weights.layer_parameters:
        layer = weights.layer_parameters // described.layers
    return replace(
        described,
        layer_parameters=layer,
        num_parameters=count,
        dtype=dtypes.pop() if len(dtypes) == 1 else "mixed",
        num_bytes=weights.num_bytes,
        notes=notes,
    )


def _other_weights(found: str, described: Architecture, model: Path) -> DataError:
    return DataError(
        f"the weights hold {found}, but config.json describes {described.num_parameters:,} parameters",
        where=str(model),
        hint="a file of weights is missing, or config.json is of another model: download the folder again",
    )


def _layer_parameters(
    family: Family, *, hidden: int, heads: int, kv_heads: int, head_dim: int, intermediate: int
) -> int:
    qkv = (heads + 2 * kv_heads) * head_dim
    attention = hidden * qkv + heads * head_dim * hidden + family.qkv_bias * qkv + family.out_bias * hidden
    widths = (1 + family.gated) * intermediate
    mlp = hidden * (widths + intermediate) + family.mlp_bias * (widths + hidden)
    norms = family.norms * hidden * (1 + family.layer_norm) + family.qk_norm * 2 * head_dim
    return attention + mlp + norms


def _biases(config: Mapping[str, Any], model_type: str) -> dict[str, bool]:
    """Where config.json itself says which matrices have a bias."""
    if model_type == "opt" and not config.get("enable_bias", True):
        return {"qkv_bias": False, "out_bias": False, "mlp_bias": False}
    found: dict[str, bool] = {}
    if model_type != "qwen2" and isinstance(config.get("attention_bias"), bool):
        found |= {"qkv_bias": config["attention_bias"], "out_bias": config["attention_bias"]}
    if isinstance(config.get("mlp_bias"), bool):
        found["mlp_bias"] = config["mlp_bias"]
    return found


def _number(config: Mapping[str, Any], what: str, where: str, default: int | None = None) -> int:
    for key in KEYS[what]:
        if config.get(key) is not None:
            return _positive(config[key], key, where)
    if default is None:
        raise DataError(f"no {KEYS[what][0]}: expected the config.json of a decoder", where=where)
    return default


def _positive(value: object, key: str, where: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise DataError(f"{key}: expected a positive integer, found {value!r}", where=where)
    return value


def _hint(model: Path) -> str:
    """What may be meant by a folder that is not there."""
    if str(model).count("/") == 1 and not model.parent.exists():
        return f"if this is a name on the Hugging Face Hub, download it first: hf download {model} --local-dir DIR"
    return nearest_name(model) or "name a folder in Hugging Face layout"

"""A base model from its config.json and the headers of its weights; transformers' own models are the oracle."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from transformers import AutoConfig, AutoModelForCausalLM

from alpaca_cli.errors import AlpacaError, DataError, UsageError
from alpaca_cli.finetune.plan.architecture import describe, read_architecture
from published_models import CONFIGS, NUM_PARAMETERS

TINY: dict[str, Any] = {
    "hidden_size": 32, "num_attention_heads": 4, "num_hidden_layers": 2, "vocab_size": 101, "intermediate_size": 88,
    "max_position_embeddings": 64, "num_key_value_heads": 2, "head_dim": 8,
}  # fmt: skip
TINY_OPT = TINY | {"ffn_dim": 88, "num_key_value_heads": 4, "word_embed_proj_dim": 32}
SHAPES = {
    "llama": TINY,
    "llama, tied": TINY | {"tie_word_embeddings": True},
    "llama, biased": TINY | {"attention_bias": True, "mlp_bias": True},
    "mistral": TINY,
    "mistral, wide heads": TINY | {"head_dim": 16},
    "qwen2": TINY,
    "qwen3": TINY,
    "gemma": TINY,
    "phi3": TINY | {"pad_token_id": 0},
    "phi": TINY | {"num_key_value_heads": 4},
    "gpt_neox": TINY | {"num_key_value_heads": 4},
    "gpt_neox, unbiased": TINY | {"num_key_value_heads": 4, "attention_bias": False},
    "gpt2": {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64, "vocab_size": 101},
    "opt": TINY | {"ffn_dim": 88, "num_key_value_heads": 4, "word_embed_proj_dim": 32},
    "opt, projected": TINY | {"ffn_dim": 88, "num_key_value_heads": 4, "word_embed_proj_dim": 16},
    "opt, norm after": TINY
    | {"ffn_dim": 88, "num_key_value_heads": 4, "word_embed_proj_dim": 32, "do_layer_norm_before": False},
}


@pytest.mark.parametrize("name", CONFIGS)
def test_published_models_are_counted_exactly_from_their_config(name: str) -> None:
    assert describe(CONFIGS[name]).num_parameters == NUM_PARAMETERS[name]


@pytest.mark.parametrize("name", SHAPES)
def test_every_known_family_is_counted_as_transformers_makes_it(name: str, tmp_path: Path) -> None:
    """Its saved config.json, and its saved weights, say the same; and so do the layers by themselves."""
    config = AutoConfig.for_model(name.partition(",")[0], **SHAPES[name])
    model = AutoModelForCausalLM.from_config(config)
    model.save_pretrained(tmp_path)

    found = read_architecture(tmp_path)

    assert found.num_parameters == model.num_parameters()
    assert found.notes == ()
    assert found.dtype == "fp32"
    layers = next(each for each in model.modules() if isinstance(each, torch.nn.ModuleList))
    assert found.layers * found.layer_parameters == sum(each.numel() for each in layers.parameters())
    written = json.loads((tmp_path / "config.json").read_text())
    assert describe(written).num_parameters == model.num_parameters()
    model.resize_token_embeddings(103, mean_resizing=False)
    assert found.grown(103).num_parameters == model.num_parameters()
    assert found.grown(50) == found


def test_shards_and_old_buffers_and_bin_files_are_counted(tmp_path: Path) -> None:
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model("llama", **TINY)).to(torch.bfloat16)
    model.save_pretrained(tmp_path / "sharded", max_shard_size="20KB")
    assert len(list((tmp_path / "sharded").glob("*.safetensors"))) > 2
    sharded = read_architecture(tmp_path / "sharded")
    assert (sharded.num_parameters, sharded.dtype) == (model.num_parameters(), "bf16")

    tensors = {key: value.contiguous() for key, value in model.state_dict().items()}
    config = (tmp_path / "sharded" / "config.json").read_text()
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "config.json").write_text(config)
    save_file(
        tensors | {"model.layers.0.self_attn.rotary_emb.inv_freq": torch.ones(4)}, tmp_path / "one/model.safetensors"
    )
    assert read_architecture(tmp_path / "one").num_parameters == model.num_parameters()

    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "config.json").write_text(config)
    torch.save(tensors, tmp_path / "bin" / "pytorch_model.bin")
    old = read_architecture(tmp_path / "bin")
    assert (old.num_parameters, old.dtype) == (model.num_parameters(), "bf16")
    assert old.num_bytes == (tmp_path / "bin" / "pytorch_model.bin").stat().st_size
    torch.save({"a": torch.ones(10)}, tmp_path / "bin" / "pytorch_model.bin")
    refused(tmp_path / "bin", DataError, "the weights hold", hint="a file of weights is missing")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A folder with the config.json of a tiny Llama and weights that fit it."""
    made = AutoModelForCausalLM.from_config(AutoConfig.for_model("llama", **TINY))
    made.save_pretrained(tmp_path / "tiny")
    return tmp_path / "tiny"


def refused(model: Path, kind: type[AlpacaError], message: str, *, where: str = "", hint: str = "") -> None:
    with pytest.raises(kind) as caught:
        read_architecture(model)
    (problem,) = caught.value.problems
    assert message in problem.message
    assert where in str(problem.where)
    assert hint in str(problem.hint)


def test_a_folder_that_is_no_model_is_refused_with_what_to_do(model: Path) -> None:
    refused(Path("huggyllama/llama-7b"), UsageError, "no such model folder", hint="hf download huggyllama/llama-7b")
    refused(model.parent / "tinny", UsageError, "no such model folder", hint="did you mean")
    (model / "model.safetensors").rename(model / "elsewhere")
    refused(model, UsageError, "no weights", where="tiny", hint="model.safetensors")
    (model / "config.json").unlink()
    refused(model, UsageError, "no config.json")
    (model / "adapter_config.json").touch()
    refused(model, UsageError, "no config.json", hint="merge it")


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ("[1]", "expected a JSON object"),
        ("{", "expected JSON"),
        (json.dumps(TINY | {"hidden_size": "32"}), "hidden_size: expected a positive integer, found '32'"),
        (json.dumps(TINY | {"vocab_size": True}), "vocab_size: expected a positive integer, found True"),
        (json.dumps(TINY | {"num_hidden_layers": 0}), "num_hidden_layers: expected a positive integer, found 0"),
        (json.dumps({key: value for key, value in TINY.items() if key != "hidden_size"}), "no hidden_size"),
    ],
)
def test_a_malformed_config_is_refused(model: Path, config: str, message: str) -> None:
    (model / "config.json").write_text(config)
    refused(model, DataError, message, where="config.json")


@pytest.mark.parametrize("key", ["quantization_config", "is_encoder_decoder"])
def test_what_cannot_be_trained_is_refused(model: Path, key: str) -> None:
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps(config | {key: {"bits": 4}}))
    refused(model, UsageError, "this model has", where="config.json", hint="fine-tune")


def test_weights_of_integers_are_refused(model: Path) -> None:
    described = describe(json.loads((model / "config.json").read_text()))
    save_file({"packed": torch.zeros(described.num_parameters, dtype=torch.int8)}, model / "model.safetensors")
    refused(model, UsageError, "weights of type I8", hint="bf16")


def test_weights_of_another_model_are_refused_and_odd_ones_told(model: Path) -> None:
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps(config | {"vocab_size": 110}))
    refused(model, DataError, "but config.json describes", hint="download the folder again")
    (model / "config.json").write_text(json.dumps(config | {"vocab_size": 95}))
    found = read_architecture(model)
    assert "config.json describes" in found.notes[0]
    assert found.num_parameters == describe(config).num_parameters


def test_an_unknown_family_is_counted_by_its_weights_and_says_so(model: Path) -> None:
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps(config | {"model_type": "novel"}))
    found = read_architecture(model)
    known = describe(config)
    assert "'novel' is not known" in found.notes[0]
    assert (found.num_parameters, found.layer_parameters) == (known.num_parameters, known.layer_parameters)


def test_dropout_is_seen() -> None:
    assert describe(CONFIGS["opt-6.7b"]).has_dropout
    assert not describe(CONFIGS["llama-7b"] | {"attention_dropout": 0.0, "classifier_dropout": 0.1}).has_dropout


def test_missing_shards_and_hostile_indices_are_refused(model: Path) -> None:
    (model / "model.safetensors").rename(model / "a.safetensors")
    index = model / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"x": "a.safetensors", "y": "b.safetensors", "z": "c.safetensors"}}))
    refused(model, UsageError, "2 of 3 shards are missing: b.safetensors and 1 more", hint="download")
    for text in ('{"weight_map": {"x": "../a.safetensors"}}', '{"weight_map": {}}', '{"weight_map": [1]}', "[]", "{"):
        index.write_text(text)
        refused(model, DataError, "expected the", where="index.json")


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin"])
def test_what_is_downloaded_in_the_place_of_weights_is_named(model: Path, name: str) -> None:
    (model / "model.safetensors").unlink()
    (model / name).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:12\nsize 13476835328\n")
    refused(model, DataError, "a Git LFS pointer", where=name, hint="git lfs pull")
    (model / name).write_text("\n<!DOCTYPE html><html>not found</html>")
    refused(model, DataError, "a web page", where=name, hint="download it again")

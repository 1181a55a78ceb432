"""A model exported by two processes: it loads elsewhere and gives the same answers, and failures leave nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    GenerationConfig,
    LlamaConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

from alpaca_cli.errors import IntegrityError, TrainingError
from alpaca_cli.finetune.save.shardfile import ShardFile

TESTS = Path(__file__).resolve().parent.parent
WORDS = ["<unk>", "<s>", "</s>", *(f"w{number}" for number in range(60))]


@dataclass(frozen=True)
class Exported:
    folder: Path
    base: PreTrainedModel
    answers: list[dict[str, Any]]


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    folder = tmp_path_factory.mktemp("export")
    words = Tokenizer(models.WordLevel({word: number for number, word in enumerate(WORDS)}, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, bos_token="<s>", eos_token="</s>", unk_token="<unk>")
    tokenizer.chat_template = "{{ bos_token }}{% for message in messages %}{{ message['content'] }}{% endfor %}"
    tokenizer.save_pretrained(folder / "tokenizer")
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(WORDS), hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=64, initializer_range=0.5, eos_token_id=77, pad_token_id=5,
    )  # fmt: skip
    base = AutoModelForCausalLM.from_config(config)
    base.save_pretrained(folder / "base")
    environment = {**os.environ, "PYTHONPATH": f"{TESTS}{os.pathsep}{TESTS.parent}", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(TESTS / "export_work.py"), str(folder)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=110, check=False)
    assert done.returncode == 0, done.stderr
    return Exported(folder, base.eval(), json.loads(done.stdout))


@pytest.fixture(scope="module")
def prompt() -> torch.Tensor:
    return torch.tensor([[1, 4, 5, 6]])


def test_it_loads_with_the_same_logits(exported: Exported, prompt: torch.Tensor) -> None:
    model = AutoModelForCausalLM.from_pretrained(exported.folder / "first")

    assert model.dtype == torch.float32
    with torch.no_grad():
        assert torch.equal(model(prompt).logits, exported.base(prompt).logits)


def test_it_is_written_in_the_type_that_was_asked_for(exported: Exported) -> None:
    model = AutoModelForCausalLM.from_pretrained(exported.folder / "model")

    assert model.dtype == torch.bfloat16
    expected = exported.base.state_dict()
    assert all(torch.equal(found, expected[name].bfloat16()) for name, found in model.state_dict().items())


def test_it_generates_greedily_and_ends_where_it_should(exported: Exported, prompt: torch.Tensor) -> None:
    model = AutoModelForCausalLM.from_pretrained(exported.folder / "first")
    settings = GenerationConfig.from_pretrained(exported.folder / "first")

    assert (settings.bos_token_id, settings.eos_token_id, settings.pad_token_id) == (1, 2, 2)
    assert not settings.do_sample and settings.temperature is None and settings.max_length == 99
    expected = exported.base.generate(prompt, max_new_tokens=8, eos_token_id=2, pad_token_id=2, do_sample=False)
    assert torch.equal(model.generate(prompt, max_new_tokens=8), expected)


def test_the_tokenizer_comes_with_its_chat_template(exported: Exported) -> None:
    tokenizer = AutoTokenizer.from_pretrained(exported.folder / "model")

    asked = tokenizer.apply_chat_template([{"role": "user", "content": "w1 w2"}], return_dict=True)
    assert tokenizer.convert_ids_to_tokens(asked["input_ids"]) == ["<s>", "w1", "w2"]


def test_the_config_tells_class_type_and_special_tokens(exported: Exported) -> None:
    found = json.loads((exported.folder / "model" / "config.json").read_bytes())

    assert found["architectures"] == ["LlamaForCausalLM"] and found["dtype"] == "bfloat16"
    assert "torch_dtype" not in found
    assert (found["bos_token_id"], found["eos_token_id"], found["pad_token_id"]) == (1, 2, None)
    assert AutoConfig.from_pretrained(exported.folder / "model").hidden_size == 32


def test_files_are_no_larger_than_they_may_be(exported: Exported) -> None:
    index = json.loads((exported.folder / "first" / "model.safetensors.index.json").read_bytes())
    files = sorted((exported.folder / "first").glob("*.safetensors"))

    assert len(files) > 2  # more than processes
    assert [file.name for file in files] == [
        f"model-{i:05}-of-{len(files):05}.safetensors" for i in range(1, len(files) + 1)
    ]
    weights = exported.base.state_dict()
    places = {}
    for file in files:
        with safe_open(file, "pt") as stream:
            assert stream.metadata() == {"format": "pt"}
            sizes = [weights[name].nbytes for name in stream.keys()]  # noqa: SIM118
            assert sum(sizes) <= 20_000
            places |= dict.fromkeys(stream.keys(), file.name)
    assert index["weight_map"] == places
    assert index["metadata"] == {
        "total_parameters": sum(one.numel() for one in weights.values()),
        "total_size": sum(one.nbytes for one in weights.values()),
    }


def test_one_file_has_no_index_and_replaces_all(exported: Exported) -> None:
    """The second export, over the first."""
    names = sorted(path.name for path in (exported.folder / "model").iterdir())

    assert names == [
        "README.md", "chat_template.jinja", "config.json", "generation_config.json", "loss.png", "model.safetensors",
        "tokenizer.json", "tokenizer_config.json",
    ]  # fmt: skip
    assert (exported.folder / "model" / "README.md").read_text() == "# A model\n"


def test_every_process_tells_the_same_failure_and_the_model_stays(exported: Exported) -> None:
    where = str(exported.folder / "model")
    hint = "make room there, then run the same command again: it goes on from the newest complete checkpoint"
    others = "the weights are not those of the config's LlamaForCausalLM: "
    large = "set export.dtype to bf16 or fp32, which hold larger ones; if that fails too, training has diverged"
    assert len(exported.answers) == 2
    for answer in exported.answers:
        assert answer["well"] is None and answer["again"] is None
        assert answer["full"] == ["TrainingError", "cannot write the model: file too large", where, hint]
        assert answer["missing"] == ["IntegrityError", f"{others}model.embed_tokens.weight is missing", None, None]
        assert answer["unknown"] == ["IntegrityError", f"{others}more is in no such model", None, None]
        words = "model.embed_tokens.weight is of another shape (so are 1 more)"
        assert answer["shape"] == ["IntegrityError", f"{others}{words}", None, None]
        words = "model.norm.weight has values that are no numbers in float16"
        assert answer["too large"] == ["TrainingError", words, None, large]
        assert answer["as before"]
        assert answer["left"] == ["base", "first", "model", "tokenizer"]


def test_it_converts_to_another_engine_with_the_same_answers(exported: Exported, tmp_path: Path) -> None:
    ctranslate2 = pytest.importorskip("ctranslate2")
    converter = ctranslate2.converters.TransformersConverter(str(exported.folder / "first"))
    engine = ctranslate2.Generator(converter.convert(str(tmp_path / "engine")), compute_type="float32")
    prompt = torch.tensor([[1, 4, 5]])

    (answer,) = engine.generate_batch(
        [["<s>", "w1", "w2"]], max_length=8, sampling_topk=1, include_prompt_in_result=False
    )

    expected = exported.base.generate(prompt, max_new_tokens=8, eos_token_id=2, pad_token_id=2, do_sample=False)
    assert answer.sequences_ids[0] == expected[0, 3:].tolist()


def test_a_file_that_changed_after_writing_is_found(tmp_path: Path) -> None:
    shard = ShardFile(tmp_path / "model.safetensors", {"weight": (2, 3)}, torch.bfloat16)
    shard.write("weight", torch.ones(2, 3, dtype=torch.bfloat16))
    shard.close()
    shard.check()
    raw = bytearray(shard.path.read_bytes())
    raw[-1] ^= 1
    shard.path.write_bytes(raw)

    with pytest.raises(IntegrityError, match="weight is not what was written") as caught:
        shard.check()
    assert caught.value.problems[0].where == str(shard.path)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_no_number_is_not_exported(tmp_path: Path, value: float) -> None:
    shard = ShardFile(tmp_path / "model.safetensors", {"weight": (2,)}, torch.float32)

    with pytest.raises(TrainingError, match="weight has values that are no numbers in float32"):
        shard.write("weight", torch.tensor([1.0, value]))

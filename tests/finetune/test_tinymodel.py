"""The tiny base model: the same each time, as LLaMA's folders, with two tokenizers that agree; and what it answers."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import sentencepiece
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaForCausalLM, PreTrainedTokenizerBase

from alpaca_cli.data.example import Example
from alpaca_cli.data.files import sha256
from alpaca_cli.finetune.exactmatch import MAX_TOKENS, answers, num_exact
from alpaca_cli.finetune.plan.architecture import read_architecture
from alpaca_cli.finetune.tinymodel import VOCAB, make_tiny_model
from alpaca_cli.finetune.tokens.tokenizer import open_tokenizer
from alpaca_cli.format.template import alpaca_template
from alpaca_cli.rehearsal.practice import practice

MADE = practice(["message_topic", "iso_date"], 600, 20)
TEXTS = [alpaca_template().render(example) + example.output for example in MADE.train]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tiny") / "base"
    assert make_tiny_model(TEXTS, folder, seed=1) == read_architecture(folder).num_parameters
    return folder


@pytest.fixture(scope="module")
def tokenizer(tiny: Path) -> PreTrainedTokenizerBase:
    return AutoTokenizer.from_pretrained(tiny)


@pytest.fixture(scope="module")
def pieces(tiny: Path) -> sentencepiece.SentencePieceProcessor:
    return sentencepiece.SentencePieceProcessor(str(tiny / "tokenizer.model"))


def hashes(folder: Path) -> dict[str, str]:
    return {path.name: sha256(path.read_bytes()) for path in folder.iterdir()}


def test_it_is_the_same_each_time_and_another_for_another_seed(tiny: Path, tmp_path: Path) -> None:
    random_state = torch.get_rng_state()
    make_tiny_model(TEXTS, tmp_path / "same", seed=1)
    make_tiny_model(TEXTS, tmp_path / "other", seed=2)

    assert hashes(tmp_path / "same") == hashes(tiny)
    differing = dict(set(hashes(tmp_path / "other").items()) - set(hashes(tiny).items()))
    assert differing.keys() == {"model.safetensors"}
    assert torch.equal(torch.get_rng_state(), random_state)


def test_it_has_the_layout_of_a_llama(tiny: Path, tokenizer: PreTrainedTokenizerBase) -> None:
    model = AutoModelForCausalLM.from_pretrained(tiny)
    opened = open_tokenizer(tiny, "none")

    assert isinstance(model, LlamaForCausalLM)
    assert 1e6 <= model.num_parameters() <= 2e6
    assert model.get_input_embeddings().weight.shape[0] == len(tokenizer) == opened.num_tokens == VOCAB
    assert (tokenizer.unk_token_id, tokenizer.bos_token_id, tokenizer.eos_token_id) == (0, 1, 2)
    assert tokenizer.pad_token is None
    assert (opened.bos_id, opened.eos_id, opened.pad_id, opened.notes) == (1, 2, None, ())
    assert "knows nothing" in (tiny / "README.md").read_text()


def test_its_tokenizers_agree_on_what_it_is_trained_on(
    tiny: Path, tokenizer: PreTrainedTokenizerBase, pieces: sentencepiece.SentencePieceProcessor
) -> None:
    expected = [[1, *ids] for ids in pieces.encode(TEXTS)]

    assert tokenizer(TEXTS).input_ids == expected
    assert open_tokenizer(tiny, "none").encode(TEXTS) == expected
    assert sum(map(len, expected)) < 0.3 * sum(map(len, TEXTS))  # pieces, not letters


# Before a text that begins with a space transformers puts none, and sentencepiece one.
@given(st.text(st.characters(codec="utf-8", exclude_characters="\0▁"), min_size=1).filter(lambda text: text[0] != " "))
def test_its_tokenizers_agree_on_any_text(
    tokenizer: PreTrainedTokenizerBase, pieces: sentencepiece.SentencePieceProcessor, text: str
) -> None:
    assert tokenizer(text).input_ids == [1, *pieces.encode(text)]


def test_an_answer_is_the_most_likely_token_at_each_place(tiny: Path, tokenizer: PreTrainedTokenizerBase) -> None:
    """In batches with filling on the left, as one by one without."""
    model = AutoModelForCausalLM.from_pretrained(tiny)
    generator = torch.Generator().manual_seed(0)
    for parameter in model.parameters():  # so large that what it says depends on what it is asked
        if parameter.dim() > 1:
            torch.nn.init.normal_(parameter, std=0.3, generator=generator)
    examples = [*MADE.asked["message_topic"], *MADE.asked["iso_date"]]
    model.save_pretrained(tiny.parent / "loud")
    for path in tiny.glob("tokenizer*"):
        shutil.copy(path, tiny.parent / "loud")
    found = answers(tiny.parent / "loud", examples, alpaca_template())

    for example, answer in list(zip(examples, found, strict=True))[::8]:
        ids = tokenizer(alpaca_template().render(example), return_tensors="pt").input_ids
        prompt = ids.shape[1]
        while ids.shape[1] < prompt + MAX_TOKENS and ids[0, -1] != tokenizer.eos_token_id:
            with torch.no_grad():
                ids = torch.cat([ids, model(ids).logits[:, -1:].argmax(-1)], 1)
        assert answer == tokenizer.decode(ids[0, prompt:], skip_special_tokens=True)
    assert len(set(found)) > 1


def test_exact_is_word_for_word(tiny: Path) -> None:
    examples = list(MADE.asked["iso_date"][:4])
    given = answers(tiny, examples, alpaca_template())
    right = [Example(each.instruction, each.input, text) for each, text in zip(examples, given, strict=True)]

    assert num_exact(tiny, examples, alpaca_template()) == 0
    assert num_exact(tiny, [*right[:3], examples[3]], alpaca_template()) == 3
    assert answers(tiny, [], alpaca_template()) == []

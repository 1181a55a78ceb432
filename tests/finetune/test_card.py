"""The model's card: what hubs read, what people read, and nothing of the machine it was made on."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest
import yaml

from alpaca_cli.finetune.card import Facts, card
from alpaca_cli.format.template import Template, alpaca_template
from alpaca_cli.recipe.finetune import FinetuneRecipe


def recipe(**keys: Any) -> FinetuneRecipe:
    given = {
        "kind": "finetune",
        "model": {"path": "/home/someone/secret/llama-7b"},
        "data": {"path": "/home/someone/secret/alpaca_data.json"},
    }
    return FinetuneRecipe.model_validate({**given, **keys})


@pytest.fixture
def facts() -> Facts:
    return Facts(
        name="alpaca-7b",
        recipe=recipe(),
        template=alpaca_template(),
        model_type="llama",
        num_parameters=6_738_423_808,
        data_digest="0123abcd",
        num_examples=52_001,
        num_steps=1_218,
        epochs=3.0,
        num_last=20,
        real_tokens=20_400_000,
        supervised_tokens=10_600_000,
        loss=0.736,
        held_out=(1.5, 0.91),
        seconds=4_752,
        devices="4 x NVIDIA A100-SXM4-80GB",
        versions={"alpaca": "0.5.0", "torch": "2.13.0"},
    )


def header(text: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(text.split("---\n")[1])
    return found


def test_the_header_is_what_hubs_read(facts: Facts) -> None:
    found = header(card(facts))

    assert found["base_model"] == "llama-7b"
    assert found["datasets"] == ["alpaca_data.json"]
    assert found["library_name"] == "transformers" and found["pipeline_tag"] == "text-generation"
    assert "license" not in found


def test_numbers_and_recipe_are_told(facts: Facts) -> None:
    text = card(facts)

    for words in (
        "# alpaca-7b\n",
        "`llama-7b` (6,738,423,808 parameters), fine-tuned to follow instructions on 52,001 examples of "
        "`alpaca_data.json`. Every weight was trained.\n",
        "| data | `alpaca_data.json`, digest `0123abcd` |",
        "| examples a step | 128, packed",
        "| learning rate | 2e-05, cosine to 0, warm-up over 0.03 of all steps |",
        "| optimizer | AdamW (0.9, 0.999, 1e-08), weight decay 0, gradients clipped to a norm of 1 |",
        "| longest example | 512 tokens; longer ones were cut there |",
        "| steps | 1,218 |",
        "| tokens | 20,400,000, of them 10,600,000 with loss |",
        "| loss at the end | 0.7360, the mean of the last 20 steps |",
        "| held-out loss | 1.5000 before, 0.9100 after |",
        "| hardware | 4 x NVIDIA A100-SXM4-80GB |",
        "| versions | alpaca 0.5.0, torch 2.13.0 |",
        "![loss of each step](loss.png)",
    ):
        assert words in text, words


def test_what_was_not_done_is_not_told(facts: Facts) -> None:
    text = card(replace(facts, held_out=None, recipe=recipe(train={"grad_clip": None, "schedule": "constant"})))

    assert "held-out" not in text
    assert "clipped" not in text
    assert "constant, warm-up" in text


def test_paths_stay_on_the_machine(facts: Facts) -> None:
    assert "someone" not in card(facts)


def test_the_template_stands_there_to_the_last_character(facts: Facts) -> None:
    text = card(facts)

    assert f"```text\n{facts.template.without_input}\n```\n" in text
    assert f"```text\n{facts.template.with_input}\n```\n" in text


def test_a_template_with_a_code_block_ends_no_code_block(facts: Facts) -> None:
    fenced = "```\n{instruction}\n```\n````"
    template = Template(with_input=f"{fenced}{{input}}", without_input=fenced)

    assert f"`````text\n{fenced}\n`````\n" in card(replace(facts, template=template))


def test_the_code_is_python_that_loads_the_folder(facts: Facts) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", card(facts), re.DOTALL)

    compile(code, "card", "exec")
    assert code.count("from_pretrained(folder") == 2


@pytest.mark.parametrize(("model_type", "is_told"), [("llama", True), ("opt", False)])
def test_what_may_be_published_of_llama_is_told(facts: Facts, model_type: str, is_told: bool) -> None:
    text = card(replace(facts, model_type=model_type))

    assert "Not stated: whoever publishes this model states it." in text
    assert ("publish only what changed" in text) == is_told
    command = "```sh\nalpaca diff make --base llama-7b --tuned . --out ../alpaca-7b-diff\n```\n"
    assert (command in text) == is_told


def test_adapters_are_told(facts: Facts) -> None:
    text = card(replace(facts, recipe=recipe(method="lora")))

    assert "Low-rank adapters (rank 16, alpha 32) were trained and are merged in." in text
    assert "lora" in header(text)["tags"]


def test_a_name_cannot_break_the_tables(facts: Facts) -> None:
    strange = recipe(data={"path": "a|b`c\nd.json"})

    assert "| data | `a\\|b'c d.json`, digest" in card(replace(facts, recipe=strange))
    assert header(card(replace(facts, recipe=strange)))["datasets"] == ["a|b`c\nd.json"]

"""The packed loss and its gradients are those of a plain padded pass, for every architecture, layout and budget."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, LlamaConfig, MistralConfig, OPTConfig, Qwen2Config, Qwen3Config

from alpaca_cli.errors import UsageError
from alpaca_cli.finetune.step import attention
from alpaca_cli.finetune.step.learner import Learner, place
from token_sets import VOCAB, batches, plain_loss, token_set

TOKENS = token_set(24)
CPU = torch.device("cpu")
SMALL: dict[str, Any] = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": VOCAB}
WIDE: dict[str, Any] = SMALL | {"intermediate_size": 48}
CONFIGS = {
    "llama": LlamaConfig(**WIDE),
    "llama-grouped-tied": LlamaConfig(**WIDE, num_key_value_heads=2, tie_word_embeddings=True),
    "mistral": MistralConfig(**WIDE, num_key_value_heads=1, sliding_window=None),
    "qwen2": Qwen2Config(**WIDE, num_key_value_heads=2),
    "qwen3": Qwen3Config(**WIDE, num_key_value_heads=2, head_dim=8),
    "opt": OPTConfig(**SMALL, ffn_dim=48, word_embed_proj_dim=32, dropout=0.0),
}


def model_of(name: str, dtype: torch.dtype = torch.float32) -> Any:
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(CONFIGS[name], attn_implementation="sdpa").to(dtype)
    for parameter in model.parameters():
        if parameter.dim() > 1:
            torch.nn.init.normal_(parameter, std=0.2)
    return model


def gradients(model: Any) -> dict[str, torch.Tensor]:
    found = {name: parameter.grad.clone() for name, parameter in model.named_parameters()}
    model.zero_grad()
    return found


def ours(model: Any, *, chunk: int = 64, **options: Any) -> tuple[float, dict[str, torch.Tensor]]:
    """Loss and gradients of a step by our way, which is restored to the plain one afterwards."""
    model.set_attn_implementation(attention.NAME)
    learner = Learner(model, loss_chunk=chunk)
    step = batches(TOKENS, per_step=len(TOKENS), **options).step(0)
    total = 0.0
    for pack in step.packs:
        loss = learner(place(pack, CPU), step.supervised_tokens)
        loss.backward()
        total += loss.item()
    model.set_attn_implementation("sdpa")
    return total, gradients(model)


@pytest.mark.parametrize("shared", [False, True], ids=["whole", "shared-preamble"])
@pytest.mark.parametrize("name", CONFIGS)
def test_loss_and_gradients_are_those_of_the_padded_reference(name: str, shared: bool) -> None:
    model = model_of(name)
    reference = plain_loss(model, TOKENS, list(range(len(TOKENS))))
    reference.backward()
    expected = gradients(model)

    for budget in (1 << 30, 300):
        loss, found = ours(model, budget=budget, shared_preamble=shared)
        assert abs(loss - reference.item()) <= 1e-6 * reference.item()
        for key, gradient in expected.items():
            # k_proj's bias moves no attention weight: its gradient is rounding alone
            scale = 1.0 if key.endswith("k_proj.bias") else float(gradient.abs().max())
            assert float((found[key] - gradient).abs().max()) <= 1e-5 * scale, key


@pytest.mark.parametrize("shared", [False, True], ids=["whole", "shared-preamble"])
def test_in_fp64_they_agree_to_the_last_digits(shared: bool) -> None:
    model = model_of("llama-grouped-tied", torch.float64)
    reference = plain_loss(model, TOKENS, list(range(len(TOKENS))))
    reference.backward()
    expected = gradients(model)
    loss, found = ours(model, shared_preamble=shared, chunk=7)

    assert abs(loss - reference.item()) < 1e-13
    # transformers' norms are fp32 inside, whatever the rest is
    assert max(float((found[key] - expected[key]).abs().max() / expected[key].abs().max()) for key in expected) < 1e-6


def test_a_step_is_the_same_bits_each_time() -> None:
    model = model_of("llama-grouped-tied")
    once, again = ours(model, shared_preamble=True), ours(model, shared_preamble=True)

    assert once[0] == again[0]
    assert all(torch.equal(once[1][key], again[1][key]) for key in once[1])


def test_the_plain_way_of_the_learner_agrees_with_the_packed_one() -> None:
    model = model_of("llama")
    model.set_attn_implementation(attention.NAME)
    learner = Learner(model, loss_chunk=16)
    pack = batches(TOKENS, shared_preamble=False).pack([5], [-1])

    with torch.no_grad():
        assert float(learner(place(pack, CPU), plain=True)) == pytest.approx(float(learner(place(pack, CPU))), rel=1e-6)


def test_a_pack_that_learns_nothing_gives_zero_gradients_to_every_weight() -> None:
    model = model_of("llama")
    model.set_attn_implementation(attention.NAME)
    learner = Learner(model, loss_chunk=16)
    steps = [batches(TOKENS, rank=rank, world=3, per_step=1).step(0) for rank in range(3)]
    idle = next(step.packs[0] for step in steps if not len(step.packs[0].rows))
    loss = learner(place(idle, CPU), 1)
    loss.backward()

    assert loss.item() == 0.0
    assert all(float(gradient.abs().max()) == 0.0 for gradient in gradients(model).values())


def test_an_output_layer_with_a_bias_is_refused() -> None:
    model = model_of("llama")
    model.lm_head = torch.nn.Linear(32, VOCAB)

    with pytest.raises(UsageError, match="one matrix without a bias"):
        Learner(model, loss_chunk=16)

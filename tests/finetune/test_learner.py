"""The packed loss and its gradients are those of a plain padded pass, for every architecture, layout and budget."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    Gemma2Config,
    GPT2Config,
    LlamaConfig,
    MistralConfig,
    OPTConfig,
    Qwen2Config,
    Qwen3Config,
)

from alpaca_cli.errors import UsageError
from alpaca_cli.finetune.step import attention
from alpaca_cli.finetune.step.learner import Learner, place
from alpaca_cli.finetune.step.shard import drops_attention
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


def ours(
    model: Any, *, chunk: int = 64, is_varlen: bool = False, **options: Any
) -> tuple[float, dict[str, torch.Tensor]]:
    """Loss and gradients of a step by our way, which is restored to the plain one afterwards."""
    model.set_attn_implementation(attention.NAME)
    learner = Learner(model, loss_chunk=chunk)
    step = batches(TOKENS, per_step=len(TOKENS), **options).step(0)
    total = 0.0
    for pack in step.packs:
        loss = learner(place(pack, CPU, is_varlen=is_varlen), step.supervised_tokens)
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


def varlen_reference(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, ends_q: torch.Tensor, ends_k: torch.Tensor,
    longest_q: int, longest_k: int, *, scale: float | None, window_size: tuple[int, int], **_: object,
) -> torch.Tensor:  # fmt: skip
    """What FlashAttention computes on a GPU, a span at a time: causal, the last query seeing the last key."""
    assert window_size == (-1, 0)
    assert (ends_q.dtype, ends_k.dtype) == (torch.int32, torch.int32)
    assert (int(ends_q.diff().max()), int(ends_k.diff().max())) == (longest_q, longest_k)
    found = []
    for span in range(len(ends_q) - 1):
        q = query[ends_q[span] : ends_q[span + 1]].transpose(0, 1)
        k, v = (each[ends_k[span] : ends_k[span + 1]].transpose(0, 1) for each in (key, value))
        mask = torch.ones(q.shape[1], k.shape[1], dtype=torch.bool).tril(k.shape[1] - q.shape[1])
        out = torch.nn.functional.scaled_dot_product_attention(
            q, k, v, attn_mask=mask, scale=scale, enable_gqa=q.shape[0] != k.shape[0]
        )
        found.append(out.transpose(0, 1))
    return torch.cat(found)


@pytest.mark.parametrize("shared", [False, True], ids=["whole", "shared-preamble"])
def test_the_layout_for_variable_length_attention(shared: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a GPU, but for the kernel."""
    monkeypatch.setattr(attention, "varlen_attn", varlen_reference)
    model = model_of("llama-grouped-tied", torch.float64)
    expected, expected_gradients = ours(model, budget=300, shared_preamble=shared)
    loss, found = ours(model, budget=300, shared_preamble=shared, is_varlen=True)

    assert loss == pytest.approx(expected, rel=1e-12)
    for key, gradient in expected_gradients.items():  # a preamble's is summed in fp32
        assert float((found[key] - gradient).abs().max()) <= 1e-6 * float(gradient.abs().max()), key


@pytest.mark.parametrize(
    ("config", "what"),
    [
        (Gemma2Config(**WIDE, head_dim=8, num_key_value_heads=2), "scores of its own kind"),
        (MistralConfig(**WIDE, num_key_value_heads=1, sliding_window=20), "a window of 20 tokens"),
    ],
)
@pytest.mark.parametrize("plain", [False, True])
def test_attention_of_another_kind_is_refused(config: Any, what: str, plain: bool) -> None:
    learner = Learner(AutoModelForCausalLM.from_config(config, attn_implementation=attention.NAME), loss_chunk=16)
    pack = batches(TOKENS, shared_preamble=False).pack([5], [-1])

    assert len(pack.ids) > 20
    with pytest.raises(UsageError, match=f"the attention of this model has {what}"):
        learner(place(pack, CPU), plain=plain)


def test_a_window_as_long_as_the_examples_changes_nothing() -> None:
    model = model_of("mistral")
    expected, _ = ours(model)
    longest = max(int(length) for length in TOKENS.starts[1:] - TOKENS.starts[:-1])
    for layer in model.model.layers:
        layer.self_attn.sliding_window = model.config.sliding_window = longest

    assert ours(model)[0] == expected


def test_which_models_drop_attention() -> None:
    assert not drops_attention(OPTConfig(dropout=0.1, attention_dropout=0.0))
    assert drops_attention(OPTConfig(attention_dropout=0.1))
    assert drops_attention(GPT2Config(attn_pdrop=0.1))


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

"""The sum of all parameters, as the original checks it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from alpaca_cli.diff.additive.sums import Sums, check_sum, rotary_sum, sums
from alpaca_cli.errors import IntegrityError

LLAMA_7B = {"model_type": "llama", "num_hidden_layers": 32, "num_attention_heads": 32, "hidden_size": 4096}
PUBLISHED = 50637.1836  # of Alpaca 7B, with old versions of transformers


def test_what_the_rotary_buffers_of_alpaca_7b_count() -> None:
    assert rotary_sum(LLAMA_7B) == pytest.approx(238.7, abs=0.05)
    assert rotary_sum(LLAMA_7B | {"rope_parameters": {"rope_theta": 10_000.0}}) == rotary_sum(LLAMA_7B)
    assert rotary_sum(LLAMA_7B | {"rope_theta": 500_000.0}) < rotary_sum(LLAMA_7B)  # type: ignore[operator]
    assert rotary_sum(LLAMA_7B | {"head_dim": 64}) < rotary_sum(LLAMA_7B)  # type: ignore[operator]


@pytest.mark.parametrize(
    "changes",
    [
        {"model_type": "gpt2"}, {"num_hidden_layers": None}, {"num_hidden_layers": "32"}, {"hidden_size": 0},
        {"num_attention_heads": True}, {"head_dim": 8192}, {"rope_theta": "x"}, {"rope_theta": 0},
        {"rope_theta": 1e400}, {"rope_theta": 10**400},
    ],
)  # fmt: skip
def test_of_other_or_strange_configs_there_is_none(changes: dict[str, Any]) -> None:
    assert rotary_sum(LLAMA_7B | changes) is None


def test_fp32_is_off_by_no_more_than_is_allowed() -> None:
    """Sums of 323 tensors, added up one by one in fp32, as the original does."""
    for seed in range(200):
        parts = np.random.default_rng(seed).normal(150, 300, 323)
        in_fp32 = np.float32(0)
        for part in parts.astype(np.float32):
            in_fp32 += part
        found = sums(list(parts), {})

        assert found.with_rotary is None
        assert check_sum(found, float(in_fp32)).endswith(f"within {0.01 + found.rounding:.4f}")
        assert 0.01 < found.rounding < 0.2  # 238.7 is no rounding


def test_either_sum_may_be_the_published_one() -> None:
    rotary = rotary_sum(LLAMA_7B)
    assert rotary is not None
    found = sums([PUBLISHED - rotary], LLAMA_7B)

    assert "the latter expected 50637.1836" in check_sum(found, PUBLISHED)
    assert "with the rotary" not in check_sum(found, PUBLISHED - rotary)


@pytest.mark.parametrize("found", [Sums(1.0, None, 0.0), Sums(1.0, 3.0, 0.005), Sums(float("nan"), None, 0.0)])
@pytest.mark.parametrize("expected", [1.02, 0.98, 2.98, 3.02, float("nan"), float("inf")])
def test_any_other_sum_is_an_error(found: Sums, expected: float) -> None:
    with pytest.raises(IntegrityError, match=r"the sum of all parameters is \S+") as caught:
        check_sum(found, expected)

    assert caught.value.exit_code == 5
    assert caught.value.problems[0].hint

"""The memory that is reckoned is what real steps of real processes hold; what cannot be measured here is consistent."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alpaca_cli.finetune.plan.architecture import Architecture, describe
from alpaca_cli.finetune.plan.memory import Load, adapter_parameters, device_memory, state_bytes
from alpaca_cli.recipe.finetune import FinetuneRecipe
from memory_work import CASES
from published_models import CONFIGS

LLAMA = describe(CONFIGS["llama-7b"])
CLOSE = 0.1


@pytest.fixture(scope="module")
def measured() -> dict[str, tuple[int, int]]:
    """What the processes of `memory_work.py` held and what was reckoned, started once for all tests."""
    work = Path(__file__).parent.parent / "memory_work.py"
    environment = {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(work.parents[1])}
    ended = subprocess.run(
        [sys.executable, str(work)], capture_output=True, text=True, check=False, timeout=110, env=environment
    )
    assert ended.returncode == 0, ended.stderr
    found: dict[str, tuple[int, int]] = json.loads(ended.stdout.splitlines()[-1])
    return found


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_what_is_reckoned_is_what_a_step_holds_within_a_tenth(name: str, measured: dict[str, tuple[int, int]]) -> None:
    held, reckoned = measured[name]
    assert reckoned == pytest.approx(held, rel=CLOSE)


def settled(**changes: Any) -> FinetuneRecipe:
    told: dict[str, Any] = {
        "kind": "finetune",
        "memory": {"activation_checkpointing": "none"},
        "parallel": {"device": "cuda"},
        "compile": "off",
    }
    for key, value in changes.items():
        told[key] = {**told.get(key, {}), **value} if isinstance(value, dict) else value
    return FinetuneRecipe.model_validate(told)


def test_states_of_a_published_model_are_sixteen_bytes_a_parameter_over_all_processes() -> None:
    """Source: stanford_alpaca README, `about 7 x 4 x 4 = 112 GB`."""
    recipe, count = settled(), LLAMA.num_parameters
    for shards in (1, 4, 7):
        parts = state_bytes(LLAMA, recipe, shards=shards)
        assert parts == (-(-count // shards) * 4, -(-count // shards) * 4, -(-count // shards) * 8)
    rounded = settled(precision={"weights": "bf16_sr", "moments": "bf16"})
    assert sum(state_bytes(LLAMA, rounded, shards=1)) == 8 * count


def test_adapters_of_rank_16_on_every_linear_layer_are_40_million() -> None:
    recipe = settled(method="lora")
    assert LLAMA.layers * adapter_parameters(LLAMA, recipe) == 39_976_960
    only_q = settled(method="lora", lora={"targets": ["q_proj", "v_proj"]})
    assert LLAMA.layers * adapter_parameters(LLAMA, only_q) == 32 * 16 * 4 * 4096


def total(model: Architecture = LLAMA, tokens: int = 1 << 15, world: int = 1, **changes: Any) -> int:
    return device_memory(model, settled(**changes), Load(tokens, tokens // 2), world=world).total


def test_each_choice_that_is_meant_to_save_memory_does() -> None:
    plain = total()
    modes = [total(memory={"activation_checkpointing": mode}) for mode in ("none", "selective", "full")]
    assert modes == sorted(modes, reverse=True)
    assert len(set(modes)) == 3
    for change in (
        {"compile": "layers"},
        {"method": "lora"},
        {"memory": {"offload": "cpu"}},
        {"precision": {"moments": "bf16"}},
        {"precision": {"weights": "bf16_sr"}},
    ):
        assert total(**change) < plain, change
    assert total(world=4) < plain
    assert total(world=4, parallel={"replicate": 2}) > total(world=4)
    assert total(world=4, memory={"reshard": False}) > total(world=4)


@given(st.integers(1, 1 << 20), st.integers(1, 1 << 16), st.sampled_from([1, 2, 8]), st.booleans())
def test_more_tokens_never_need_less(tokens: int, more: int, world: int, is_several: bool) -> None:
    few, many = (
        device_memory(LLAMA, settled(), Load(count, count // 2, count // 4, is_several), world=world)
        for count in (tokens, tokens + more)
    )
    assert few.total <= many.total
    assert few.tensors == few.total - few.overhead
    assert min(few.as_dict().values()) >= 0

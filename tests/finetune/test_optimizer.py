"""AdamW is PyTorch's own in fp32; in bf16 a change is rounded so that it is right on average."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import get_cosine_schedule_with_warmup, get_linear_schedule_with_warmup

from alpaca_cli.finetune.step.optimizer import learning_rate, round_stochastically, warmup_steps
from alpaca_cli.recipe.finetune import TrainSettings


def test_stochastic_rounding_keeps_the_mean_and_picks_a_neighbour() -> None:
    exact = torch.tensor([1.0 + 2**-10, -3.0 - 2**-9, 0.1, 1e-30, 2.5e30]).repeat(20_000, 1)
    rounded = round_stochastically(exact, torch.Generator().manual_seed(0)).double()
    below = exact.view(torch.int32).bitwise_and(-65536).view(torch.float32).double()
    step = exact.double().abs().log2().floor().exp2() * 2**-7

    assert bool(((rounded == below) | ((rounded - below).abs() <= step)).all())
    assert bool(((rounded.mean(0) - exact[0].double()).abs() < 0.02 * step[0]).all())


@pytest.mark.parametrize("value", [float("inf"), float("-inf"), float("nan"), 0.0, -0.0, 1.0, -2.0])
def test_what_bf16_can_say_stays_what_it_is(value: float) -> None:
    exact = torch.full((100,), value)
    rounded = round_stochastically(exact, torch.Generator().manual_seed(1))

    assert torch.equal(rounded.isnan(), exact.isnan())
    assert torch.equal(rounded.float().nan_to_num(7), exact.nan_to_num(7))


@pytest.mark.parametrize("schedule", ["cosine", "linear"])
def test_the_learning_rate_is_that_of_transformers(schedule: Any) -> None:
    train = TrainSettings(lr=2e-5, schedule=schedule, warmup=0.03)
    make = get_cosine_schedule_with_warmup if schedule == "cosine" else get_linear_schedule_with_warmup
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=2e-5)
    reference = make(optimizer, warmup_steps(1219, train), 1219)

    assert warmup_steps(1219, train) == 37
    for step in range(1219):
        assert learning_rate(step, 1219, train) == pytest.approx(reference.get_last_lr()[0], abs=1e-15)
        optimizer.step()
        reference.step()


def test_a_constant_rate_has_a_warm_up_too() -> None:
    train = TrainSettings(lr=1.0, schedule="constant", warmup=0.5)

    assert [learning_rate(step, 8, train) for step in range(8)] == [0, 0.25, 0.5, 0.75, 1, 1, 1, 1]


@pytest.fixture(scope="module")
def answers() -> dict[str, Any]:
    """What the processes of `shard_work.py` found, started once for all tests."""
    work = Path(__file__).parent.parent / "shard_work.py"
    run = subprocess.run(
        [sys.executable, str(work)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert run.returncode == 0, run.stderr
    found: dict[str, Any] = json.loads(run.stdout.splitlines()[-1])
    return found


def test_fp32_steps_are_those_of_pytorchs_adamw_with_clipping_and_decay(answers: dict[str, Any]) -> None:
    assert answers["adamw"] < 1e-6


@pytest.mark.parametrize("way", ["full", "lora", "tied", "selective", "checkpointed"])
def test_any_number_of_processes_gives_the_same_curve(answers: dict[str, Any], way: str) -> None:
    curves = [answers[f"{way} {num}"] for num in (1, 2, 4) if f"{way} {num}" in answers]

    assert len(curves) >= (3 if way == "full" else 1)
    for curve in curves:
        reference = answers[f"{way} 1"] if f"{way} 1" in answers else answers["full 1"]
        assert curve["losses"] == pytest.approx(reference["losses"], rel=1e-5)
        assert curve["norms"] == pytest.approx(reference["norms"], rel=1e-4)
        assert curve["checksum"] == pytest.approx(reference["checksum"], rel=1e-5)


def test_copies_of_the_sharded_model_give_the_same_curve(answers: dict[str, Any]) -> None:
    assert answers["replicated 4"]["losses"] == pytest.approx(answers["full 1"]["losses"], rel=1e-5)


def test_two_runs_on_as_many_processes_are_the_same_bits(answers: dict[str, Any]) -> None:
    assert answers["full 2"] == answers["again 2"]


def test_bf16_weights_with_stochastic_rounding_follow_fp32(answers: dict[str, Any]) -> None:
    exact, rounded = answers["bf16 2"]["losses"], answers["bf16_sr 2"]["losses"]

    assert rounded[-1] < 0.95 * rounded[0]
    assert rounded == pytest.approx(exact, rel=0.02)
    assert rounded != exact


def test_a_new_token_gets_the_mean_of_the_other_rows(answers: dict[str, Any]) -> None:
    assert answers["mean row"] < 1e-7

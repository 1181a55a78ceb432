"""Checkpoints of real processes: what comes back, in how many, and what a full disk, a flipped bit and a kill leave."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from alpaca_cli.finetune.save.staging import Staging

TESTS = Path(__file__).resolve().parent.parent
AGAIN = "then run the same command again: it goes on from the newest complete checkpoint"
DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU"))]


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the processes of `checkpoint_work.py` tell, with the folder they worked in."""
    folder = tmp_path_factory.mktemp("checkpoint")
    environment = {**os.environ, "PYTHONPATH": f"{TESTS}{os.pathsep}{TESTS.parent}", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(TESTS / "checkpoint_work.py"), str(folder), "6", "1"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=110, check=False)
    assert done.returncode == 0, done.stderr
    return {**json.loads(done.stdout), "folder": folder / "checkpoints"}


def test_what_is_saved_is_what_the_tensors_were(told: dict[str, Any]) -> None:
    """They change right after `save`."""
    assert len(told["run"]) == 2
    for answer in told["run"]:
        assert answer["before"]
        assert answer["latest"] == [3, {"step": 3, "who": 0}]
        assert answer["same"]
        assert answer["in place"]


def test_so_many_are_kept(told: dict[str, Any]) -> None:
    for answer in told["run"]:
        assert answer["kept"] == ["step-000002", "step-000003"]


@pytest.mark.parametrize("num", [1, 2, 4])
def test_any_number_of_processes_loads_what_two_have_saved(told: dict[str, Any], num: int) -> None:
    assert told[f"load {num}"] == [{"step": 3, "same": True}] * num


def test_a_full_disk_of_one_is_told_by_all_and_costs_nothing(told: dict[str, Any]) -> None:
    where, hint = str(told["folder"] / "step-000004"), f"make room there, {AGAIN}"
    for answer in told["run"]:
        assert answer["full"] == ["TrainingError", "cannot write the checkpoint: file too large", where, hint]
        assert answer["after failure"] == ["step-000002", "step-000003"]
        assert answer["at last"] == 4


def test_another_mistake_of_one_is_told_by_all(told: dict[str, Any]) -> None:
    """Facts that are no JSON, which the first process writes."""
    first, second = (answer["facts"] for answer in told["run"])
    mistake = "TypeError: Object of type Checkpoints is not JSON serializable"

    assert first == ["TrainingError", f"cannot write the checkpoint: {mistake}"]
    assert second == ["TrainingError", f"process 0 failed: {mistake}"]


def test_a_flipped_bit_is_found_by_all(told: dict[str, Any]) -> None:
    where = told["folder"] / "step-000004" / "__1_0.distcp"
    hint = f"put it back from a copy; without {where.parent} the run goes on from step-000003"
    for answer in told["run"]:
        assert answer["flipped"] == ["IntegrityError", "not as it was written: its SHA-256 differs", str(where), hint]


@pytest.mark.parametrize(
    ("case", "difference"),
    [
        ("name", "bias: expected nothing, found float32 [9]"),
        ("shape", "half: expected float32 [8, 3], found bfloat16 [8, 3] (and 1 more)"),
        ("type", "half: expected float32 [8, 3], found bfloat16 [8, 3]"),
    ],
)
def test_a_checkpoint_of_another_model_is_refused(told: dict[str, Any], case: str, difference: str) -> None:
    where = str(told["folder"] / "step-000004")
    hint = "go on with the recipe and model that it was made with, or choose another --out"
    for answer in told["run"]:
        assert answer[case] == ["IntegrityError", f"the checkpoint is of another model: {difference}", where, hint]


def test_a_process_that_is_gone_is_told(told: dict[str, Any]) -> None:
    where, hint = str(told["folder"].parent / "gone" / "step-000002"), f"see to that, {AGAIN}"
    words = "cannot write the checkpoint: another process ended or does not answer"

    assert told["gone"] == [["TrainingError", words, where, hint], "gone"]


def test_a_process_that_ends_lets_the_checkpoint_finish(told: dict[str, Any]) -> None:
    assert told["left"] == [{"step": 1, "same": True}]


def test_what_a_kill_leaves_is_whole(told: dict[str, Any]) -> None:
    assert len(told["kill"]) == 6
    assert all(answer["same"] for answer in told["kill"]), told["kill"]
    steps = [answer["step"] for answer in told["kill"]]
    assert steps == sorted(steps) and steps[-1] > 0


@pytest.mark.parametrize("device", DEVICES)
def test_staged_tensors_keep_their_values(device: str) -> None:
    kinds = [torch.float32, torch.bfloat16, torch.int64, torch.bool]
    tensors = {str(kind): torch.arange(12, device=device).view(3, 4).to(kind) for kind in kinds}
    tensors |= {
        "scalar": torch.tensor(7.0, device=device),
        "empty": torch.empty(0, 4, device=device),
        "transposed": torch.arange(6.0, device=device).view(2, 3).t(),
        "weight": torch.nn.Parameter(torch.ones(5, device=device)),
    }
    expected = {name: tensor.detach().cpu().clone() for name, tensor in tensors.items()}
    staging = Staging()

    staging.copy({"smaller": tensors["weight"]})
    copies = staging.copy(tensors)
    with torch.no_grad():
        for tensor in tensors.values():
            tensor.zero_()

    for name, copy in copies.items():
        assert copy.device.type == "cpu" and not copy.requires_grad
        assert copy.dtype == expected[name].dtype and torch.equal(copy, expected[name]), name
        assert copy.untyped_storage().nbytes() == copy.nbytes, name  # what torch.save would write

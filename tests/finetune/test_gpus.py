"""GPUs that are named, and those that CUDA would show; a machine without any is no error."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alpaca_cli.errors import UsageError
from alpaca_cli.finetune.plan import gpus
from alpaca_cli.finetune.plan.gpus import NAMED, named_gpus, seen_gpus, visible_devices


def test_gpus_are_named_with_and_without_a_count() -> None:
    assert named_gpus("h200-141g") == (NAMED["h200-141g"],)
    assert [gpu.peak_flops for gpu in named_gpus(" A100-80G:8 ")] == [312e12] * 8
    assert not NAMED["v100-32g"].has_bf16


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("a100-80:2", "unknown GPU 'a100-80'", "did you mean a100-80g?"),
        ("mi300", "unknown GPU 'mi300'", "known: a100-40g, a100-80g"),
        ("a100-80g:0", "expected NAME:COUNT, found 'a100-80g:0'", "--gpu a100-80g:4"),
        ("a100-80g:", "expected NAME:COUNT, found 'a100-80g:'", "--gpu a100-80g:4"),
        ("a100-80g:x", "expected NAME:COUNT, found 'a100-80g:x'", "--gpu a100-80g:4"),
        ("", "unknown GPU ''", "known: "),
    ],
)
def test_other_names_are_refused_with_the_known_ones(text: str, message: str, hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        named_gpus(text)
    (problem,) = caught.value.problems
    assert (problem.message, problem.where) == (message, "--gpu")
    assert hint in str(problem.hint)


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        (None, [0, 1, 2]),
        ("", []),
        ("-1", []),
        ("2,0", [2, 0]),
        ("1,7,0", [1]),
        ("1,1,0", [1]),
        ("GPU-b", [1]),
        ("GPU-", []),
        (" 0 , GPU-c", [0, 2]),
    ],
)
def test_cuda_visible_devices_is_obeyed(setting: str | None, expected: list[int]) -> None:
    assert visible_devices(setting, ["GPU-aa", "GPU-bb", "GPU-cc"]) == expected


@given(st.text(alphabet="0123,-GPU ab", max_size=12))
def test_whatever_it_says_real_gpus_come_out_once(setting: str) -> None:
    found = visible_devices(setting, ["GPU-aa", "GPU-ab"])
    assert set(found) <= {0, 1}
    assert len(found) == len(set(found))


class Driver:
    """Stands in the place of NVIDIA's driver, which this machine may lack: two GPUs, one of them old and busy."""

    class NVMLError(Exception):
        """As the real one."""

    def __init__(self, *, is_there: bool = True) -> None:
        self.is_there, self.is_open = is_there, False

    def nvmlInit(self) -> None:
        if not self.is_there:
            raise self.NVMLError
        self.is_open = True

    def nvmlShutdown(self) -> None:
        self.is_open = False

    def __getattr__(self, name: str) -> Any:
        memory = [
            type("Memory", (), {"total": total, "used": used}) for total, used in ((150 << 30, 1), (32 << 30, 9 << 30))
        ]
        return {
            "nvmlDeviceGetCount": lambda: 2,
            "nvmlDeviceGetHandleByIndex": lambda number: number,
            "nvmlDeviceGetUUID": lambda number: f"GPU-{number}",
            "nvmlDeviceGetName": lambda number: ["NVIDIA H200", b"Tesla V100-SXM2-32GB"][number],
            "nvmlDeviceGetMemoryInfo": lambda number: memory[number],
            "nvmlDeviceGetCudaComputeCapability": lambda number: [(9, 0), (7, 0)][number],
        }[name]


def test_what_the_driver_shows_is_told_in_the_order_of_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    driver = Driver()
    monkeypatch.setattr(gpus, "pynvml", driver)
    new, old = seen_gpus({})
    assert (new.name, new.memory_bytes, new.peak_flops, new.has_bf16) == ("H200", 150 << 30, 989e12, True)
    assert (old.name, old.peak_flops, old.has_bf16, old.used_bytes) == ("Tesla V100-SXM2-32GB", 0, False, 9 << 30)
    assert seen_gpus({"CUDA_VISIBLE_DEVICES": "1"}) == (old,)
    assert not driver.is_open


def test_without_driver_or_library_none_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpus, "pynvml", Driver(is_there=False))
    assert seen_gpus({}) == ()
    monkeypatch.setattr(gpus, "pynvml", None)
    assert seen_gpus({}) == ()

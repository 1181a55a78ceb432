"""What a fine-tuning run shows, from the records it tells."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from alpaca_cli.cli import screen
from alpaca_cli.cli.finetune_view import View, summarise


def step(number: int, **changes: Any) -> dict[str, Any]:
    told = {
        "kind": "step", "step": number, "num_steps": 1219, "epoch": 0.5, "loss": 2.0 / number, "lr": 2e-5,
        "grad_norm": 1.25, "real_tokens": 10_000, "computed_tokens": 11_000, "supervised_tokens": 4_000,
        "seconds": 30.0 if number == 1 else 2.0, "memory_bytes": 61_234_000_000, "mfu": 0.456,
    }  # fmt: skip
    return {**told, **changes}


def lines(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return capsys.readouterr().err.splitlines()


def test_a_log_gets_plain_lines(capsys: pytest.CaptureFixture[str]) -> None:
    with View() as view:
        view.record({"kind": "phase", "phase": "loading", "time": 0.0})
        view.record({"kind": "phase", "phase": "evaluating", "time": 0.0})
        view.record({"kind": "eval", "step": 0, "loss": 2.5, "supervised_tokens": 9})
        view.record({"kind": "phase", "phase": "training", "time": 0.0})
        for number in (1, 2, 3):
            view.record(step(number))
            view.tick()
        view.record({"kind": "checkpoint", "step": 3, "path": "checkpoints/step-000003"})
        view.record(step(1219))
        view.record({"kind": "phase", "phase": "done", "time": 0.0})
        view.record({"kind": "something later versions tell"})

    assert lines(capsys) == [
        "loading the model",
        "held-out loss 2.5000 after step 0",
        "training",
        "MFU: 6 FLOPs (LoRA: 4) for each parameter and real token, of what the GPUs could do in bf16 without sparsity",
        "step 1 of 1,219 (0%), loss 2.0000, lr 2.00e-05, gradient norm 1.25, 333 real tokens/s, MFU 46%, 61.2 GB, "
        "10 h 09 min left",
        "checkpoint of step 3",
        "step 1,219 of 1,219 (100%), loss 0.0016, lr 2.00e-05, gradient norm 1.25, 5,000 real tokens/s, MFU 46%, "
        "61.2 GB, 0 s left",
    ]


def test_a_line_every_ten_seconds(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(screen, "LINE_EVERY_S", 0.0)
    with View() as view:
        view.tick()
        view.record(step(1, mfu=None))
        view.record(step(2, mfu=None))
        view.tick()

    starting, _, second = lines(capsys)
    assert starting == "starting the processes, 0 s"
    assert second.startswith("step 2 of 1,219 (0%), loss 1.0000, ")
    assert "MFU" not in second
    assert second.endswith(", 40 min 34 s left")  # as fast as the second step: the first one warms up


def test_a_terminal_gets_a_block(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[list[str]] = []
    monkeypatch.setattr(screen, "is_terminal", lambda: True)
    monkeypatch.setattr(screen.Ticker, "show", lambda self, line, block=(): shown.append(list(block)))
    with View() as view:
        view.record({"kind": "phase", "phase": "loading", "time": 0.0})
        view.tick()
        view.record({"kind": "phase", "phase": "training", "time": 0.0})
        view.record({"kind": "eval", "step": 0, "loss": 2.5, "supervised_tokens": 9})
        for number in range(1, 31):
            view.record(step(number))
        view.record({"kind": "checkpoint", "step": 30, "path": "checkpoints/step-000030"})
        view.tick()
        view.stopping()
        view.tick()

    assert shown[0] == ["  now      loading the model, for 0 s"]
    assert shown[1] == [
        "  step     30 of 1,219  ━─────────────────────────────  2%",
        "  loss     0.0667, mean of the last 20 0.1066, held out 2.5000",
        "  update   lr 2.00e-05, gradient norm 1.25, epoch 0.50",
        "  speed    5,000 real tokens/s, 5,500 computed, 2,000 supervised, MFU 46%",
        "  memory   61.2 GB at most in the first process",
        "  saved    of step 30",
        "  time     0 s gone, 39 min 38 s left",
        "  now      training, for 0 s",
    ]
    assert shown[2][-1] == "  now      training, for 0 s; stopping after a checkpoint"


def test_tokenizing(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(screen, "LINE_EVERY_S", 0.0)
    with View() as view:
        view.tokenizing(1200, 52002)

    assert lines(capsys) == ["tokenizing: 1,200 of 52,002 rows"]


@pytest.mark.parametrize(
    ("steps", "line"),
    [([], None), ([9], "2.5000 after step 9"), ([0, 5, 9], "2.5000 after step 0, 2.5000 after step 9")],
)
def test_the_end(capsys: pytest.CaptureFixture[str], steps: list[int], line: str | None) -> None:
    looks = [{"kind": "eval", "step": number, "loss": 2.5, "supervised_tokens": 9} for number in steps]
    summarise(Path("run"), [step(1), *looks])

    said = lines(capsys)
    assert said[:-3] == ([f"  held out {line}"] if line else [])
    assert said[-1] == "  model    run/model; its README.md shows how to use it"

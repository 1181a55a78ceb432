"""The loss curve: drawn of any metrics that a run may leave, also a killed one."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.image import imread

from alpaca_cli.errors import UsageError
from alpaca_cli.finetune.figure import draw_loss

BLUE, ORANGE = (0x0B, 0x6F, 0xA4), (0xD1, 0x59, 0x0A)


def write(path: Path, records: list[dict[str, Any]], *, tail: str = "") -> Path:
    path.write_text("".join(json.dumps(record) + "\n" for record in records) + tail, encoding="utf-8")
    return path


def steps(losses: list[float | None]) -> list[dict[str, Any]]:
    return [{"kind": "step", "step": number, "loss": loss} for number, loss in enumerate(losses, 1)]


def draw(folder: Path, records: list[dict[str, Any]], *, tail: str = "") -> np.ndarray[Any, Any]:
    """The picture, [height, width, red green blue]."""
    draw_loss(write(folder / "metrics.jsonl", records, tail=tail), folder / "loss.png")
    return np.rint(imread(folder / "loss.png")[..., :3] * 255).astype(int)


def has(picture: np.ndarray[Any, Any], colour: tuple[int, int, int]) -> bool:
    return bool((picture == colour).all(axis=-1).any())


def test_steps_and_held_out_points_are_drawn(tmp_path: Path) -> None:
    held_out = [{"kind": "eval", "step": step, "loss": 2.0, "supervised_tokens": 9} for step in (0, 100)]
    picture = draw(tmp_path, [{"kind": "phase", "phase": "training", "time": 1.0}, *steps([1.5] * 200), *held_out])

    assert picture.shape == (675, 1200, 3)
    assert has(picture, BLUE) and has(picture, ORANGE)


def test_no_held_out_points_no_line(tmp_path: Path) -> None:
    picture = draw(tmp_path, steps([1.5, 1.2, 1.1]))

    assert has(picture, BLUE) and not has(picture, ORANGE)


@pytest.mark.parametrize("losses", [[], [1.0], [None, None], [float("nan"), 2.0, float("inf")], [0.0, 0.0]])
def test_whatever_a_run_leaves_is_drawn(tmp_path: Path, losses: list[float | None]) -> None:
    assert draw(tmp_path, steps(losses)).shape == (675, 1200, 3)


def test_a_torn_last_line_and_a_step_done_twice(tmp_path: Path) -> None:
    once = draw(tmp_path, steps([3.0, 2.0, 1.0]))
    again = draw(tmp_path, [*steps([3.0, 9.0, 9.0]), *steps([3.0, 2.0, 1.0])[1:]], tail='{"kind": "step", "lo')

    assert (once == again).all()


def test_one_wild_step_does_not_flatten_the_rest(tmp_path: Path) -> None:
    tame = draw(tmp_path, steps([1.0] * 40))
    wild = draw(tmp_path, steps([1.0] * 39 + [1e6]))

    heights = [np.argwhere((picture == BLUE).all(axis=-1))[:, 0].max() for picture in (tame, wild)]
    assert heights[1] < 400, heights  # pixels from above: not down on the axis


def test_where_it_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    metrics = write(tmp_path / "metrics.jsonl", steps([1.0]))

    with pytest.raises(UsageError, match="cannot write"):
        draw_loss(metrics, tmp_path / "file" / "loss.png")


def test_nothing_of_pyplot_is_touched(tmp_path: Path) -> None:
    before = "matplotlib.pyplot" in sys.modules  # another test's doing

    draw(tmp_path, steps([1.0]))

    assert ("matplotlib.pyplot" in sys.modules) == before

"""The picture of a run: loss over steps, and on held-out examples, drawn from `metrics.jsonl`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from alpaca_cli.data.files import write_atomically

_BLUE, _ORANGE = "#0b6fa4", "#d1590a"


def draw_loss(metrics: Path, out: Path) -> None:
    """Draw the loss of each step, its running mean and the held-out points as a PNG file, whole or not at all.

    Of a step that was done twice, since the run was killed after it, the later counts.  What is no number leaves a gap.
    Raises UsageError if `out` cannot be written.
    """
    records = list(_records(metrics))
    step = _curve(records, "step")
    held_out = _curve(records, "eval")
    figure = Figure(figsize=(8, 4.5), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    if len(step):
        width = len(step) // 50
        thin = {"alpha": 0.3, "linewidth": 0.8} if width > 1 else {"linewidth": 2}
        axes.plot(step[:, 0], step[:, 1], color=_BLUE, label="loss of a step", **thin)
        if width > 1:
            words = f"mean over {width} steps"
            axes.plot(step[:, 0], _smooth(step[:, 1], width), color=_BLUE, linewidth=2, label=words)
    if len(held_out):
        joined = "o-" if len(held_out) > 2 else "o"  # two points are no curve
        axes.plot(
            held_out[:, 0], held_out[:, 1], joined, color=_ORANGE, markersize=5, linewidth=1, label="held-out loss"
        )
    axes.set_xlabel("step")
    axes.set_ylabel("loss per supervised token")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    if len(step) or len(held_out):
        axes.set_ylim(*_limits(np.concatenate([step[:, 1], held_out[:, 1]])))
        axes.legend(frameon=False)
    with write_atomically(out) as stream:
        figure.savefig(stream, format="png")


def _records(metrics: Path) -> Iterator[dict[str, Any]]:
    """All records but a torn last line."""
    with metrics.open(encoding="utf-8") as stream:
        for line in stream:
            if line.endswith("\n"):
                yield json.loads(line)


def _curve(records: list[dict[str, Any]], kind: str) -> npt.NDArray[np.float64]:
    """Step and loss, a row each [n, 2], in order of the steps."""
    points = {record["step"]: record["loss"] for record in records if record["kind"] == kind}
    rows = [(step, np.nan if loss is None else loss) for step, loss in sorted(points.items())]
    return np.array(rows, dtype=np.float64).reshape(-1, 2)


def _smooth(losses: npt.NDArray[np.float64], width: int) -> npt.NDArray[np.float64]:
    """The mean of each value and those about it, `width` in all, fewer at the ends; of what is a number."""
    kernel, is_number = np.ones(width), np.isfinite(losses)
    total = np.convolve(np.where(is_number, losses, 0), kernel, "same")
    count = np.convolve(is_number.astype(np.float64), kernel, "same")
    total[count == 0] = np.nan
    return total / np.maximum(count, 1)


def _limits(losses: npt.NDArray[np.float64]) -> tuple[float, float]:
    """From 0 to a little above all but the wildest: one step that went wrong does not flatten the rest."""
    losses = losses[np.isfinite(losses)]
    if not len(losses):
        return 0.0, 1.0
    usual, highest = float(np.percentile(losses, 95)), float(losses.max())
    return 0.0, 1.08 * (highest if highest < 3 * usual else 2 * usual) or 1.0

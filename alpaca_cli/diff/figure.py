"""The picture of a diff: how much of each kind of matrix changed in each layer, and what each layer takes."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import numpy.typing as npt
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from alpaca_cli.data.files import write_atomically
from alpaca_cli.diff.summary import Summary
from alpaca_cli.errors import UsageError

ENDINGS = ("png", "svg", "pdf")
_FEW = 12
"""Parts whose names and numbers have room beside each other."""
_BLUE, _GREY = "#0b6fa4", "#d9d9d9"
_COLOURS = "YlGnBu"
_WITHOUT_DATE = {"png": {}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}  # the same diff, the same bytes


def figure_format(out: Path) -> str:
    """What the ending of a name asks for.  Raises UsageError if that cannot be drawn."""
    ending = out.suffix.lower().removeprefix(".")
    if ending not in ENDINGS:
        message = f"expected a name that ends in {', '.join(f'.{each}' for each in ENDINGS)}"
        raise UsageError(message, where=str(out), hint="for example changes.png")
    return ending


def draw(summary: Summary, out: Path) -> None:
    """Draw a diff, in the format that the name of `out` ends in, whole or not at all.

    Where nobody knows what changed, only sizes are drawn.  Raises UsageError if `out` cannot be written.
    """
    ending = figure_format(out)
    knows_changes = summary.total.num_changed is not None and bool(summary.cells)
    width = min(16.0, max(7.0, 2.6 + 0.3 * len(summary.parts)))
    heights = ([0.6 + 0.24 * min(40, len(summary.kinds))] if knows_changes else []) + [2.4]
    figure = Figure(figsize=(width, 1.2 + sum(heights)), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(heights), 1, sharex=True, height_ratios=heights, squeeze=False)[:, 0]
    figure.suptitle(_title(summary), fontsize=11, parse_math=False)
    if knows_changes:
        _draw_changes(figure, axes[0], summary)
    _draw_sizes(axes[-1], summary)
    with write_atomically(out) as stream, rc_context({"svg.hashsalt": "alpaca"}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph")  # a name in letters that the font lacks
        figure.savefig(stream, format=ending, metadata=_WITHOUT_DATE[ending])


def _title(summary: Summary) -> str:
    if summary.tuned_name is None:
        return f"Weight diff {summary.path.resolve().name} ({summary.kind})"
    return f"What changed from {summary.base_name} to {summary.tuned_name} ({summary.kind} diff)"


def _draw_changes(figure: Figure, axes: Axes, summary: Summary) -> None:
    """A cell for each kind in each layer; what is in no layer is one column, as high as all kinds."""
    first, kinds = len(summary.before), summary.kinds
    shares = np.full((len(kinds), len(summary.parts)), np.nan)
    for column, part in enumerate(summary.parts):
        is_layer = first <= column < first + len(summary.layers)
        for row, kind in enumerate(kinds):
            cell = summary.cells.get((part.name, kind.name)) if is_layer else part
            shares[row, column] = np.nan if cell is None or cell.changed_share is None else cell.changed_share
    image = axes.imshow(shares, aspect="auto", cmap=_COLOURS, vmin=0, vmax=1, interpolation="nearest")
    axes.set_yticks(range(len(kinds)), [kind.name for kind in kinds], fontsize=8, parse_math=False)
    axes.set_title("values that changed, of all", fontsize=9, loc="left")
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    _part_cells(axes, shares.shape, first, first + len(summary.layers))
    if len(summary.parts) <= _FEW:
        _tell_numbers(axes, shares, first, first + len(summary.layers))
    bar = figure.colorbar(image, ax=axes, format=PercentFormatter(1.0), pad=0.01, fraction=0.05, aspect=20)
    bar.ax.tick_params(labelsize=8)
    bar.outline.set_visible(False)


def _part_cells(axes: Axes, shape: tuple[int, ...], first: int, end: int) -> None:
    """White lines between cells: across only where there are layers."""
    num_rows, num_columns = shape
    axes.vlines(np.arange(1, num_columns) - 0.5, -0.5, num_rows - 0.5, color="white", linewidth=1)
    axes.hlines(np.arange(1, num_rows) - 0.5, first - 0.5, end - 0.5, color="white", linewidth=1)


def _tell_numbers(axes: Axes, shares: npt.NDArray[np.float64], first: int, end: int) -> None:
    for column, row in np.ndindex(shares.T.shape):
        is_layer, share = first <= column < end, shares[row, column]
        if np.isfinite(share) and (is_layer or row == 0):
            height = row if is_layer else (len(shares) - 1) / 2
            colour = "white" if share > 0.6 else "black"
            axes.text(column, height, f"{share:.1%}", ha="center", va="center", fontsize=8, color=colour)


def _draw_sizes(axes: Axes, summary: Summary) -> None:
    parts = summary.parts
    places = np.arange(len(parts))
    diff = np.array([part.diff_bytes for part in parts], np.float64)
    unit, word = _unit(max(diff, default=0.0))
    if summary.total.tuned_bytes is not None:
        tuned = np.array([part.tuned_bytes for part in parts], np.float64)
        unit, word = _unit(max(tuned.max(initial=0.0), diff.max(initial=0.0)))
        axes.bar(places, tuned / unit, width=0.9, color=_GREY, label="tuned weights")
    share = summary.total.size_share
    told = "diff" if share is None else f"diff: {share:.1%} of the tuned weights"
    axes.bar(places, diff / unit, width=0.5, color=_BLUE, label=told)
    axes.set_ylabel(word, fontsize=9)
    axes.set_xlim(-0.6, len(parts) - 0.4)
    axes.set_ylim(0, 1.22 * max(axes.get_ylim()[1], 1e-9))
    axes.set_title("bytes of each part", fontsize=9, loc="left")
    places_told, names = _ticks(summary)
    axes.set_xticks(places_told, names, fontsize=8, parse_math=False)
    if len(parts) > _FEW:
        for label in axes.get_xticklabels():
            label.set_rotation(0 if label.get_text().isdigit() else 90)
    axes.set_xlabel("layers by number, and what is in none", fontsize=9)
    axes.tick_params(axis="y", labelsize=8)
    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.grid(axis="y", alpha=0.25)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8, ncols=2, loc="upper right")


def _ticks(summary: Summary) -> tuple[npt.NDArray[np.int64], list[str]]:
    """The name of each part; of layers the number, and not more than there is room for."""
    first, count = len(summary.before), len(summary.layers)
    step = 1 + count // 40
    names = [part.name for part in summary.parts]
    chosen = [at for at in range(len(names)) if not first <= at < first + count or (at - first) % step == 0]
    told = [names[at].removeprefix("layer ") if first <= at < first + count else names[at] for at in chosen]
    return np.array(chosen, np.int64), told


def _unit(largest: float) -> tuple[float, str]:
    for unit, word in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if largest >= unit:
            return unit, word
    return 1.0, "bytes"

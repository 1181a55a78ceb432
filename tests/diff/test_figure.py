"""The picture of a diff: drawn of models of every depth, whatever is known of them."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

from alpaca_cli.diff.additive.additive import make_additive
from alpaca_cli.diff.figure import draw, figure_format
from alpaca_cli.diff.make import make_exact
from alpaca_cli.diff.manifest import MANIFEST
from alpaca_cli.diff.summary import Summary, read_summary
from alpaca_cli.errors import UsageError
from small_models import make_pair, write_model

BLUE, GREY, UNCHANGED = (0x0B, 0x6F, 0xA4), (0xD9, 0xD9, 0xD9), (0xFF, 0xFF, 0xD9)


def has(picture: np.ndarray, colour: tuple[int, int, int]) -> bool:
    """As an area, and not at the rim of a letter."""
    return bool((np.rint(picture[..., :3] * 255) == colour).all(axis=-1).sum() > 500)


def exact(folder: Path, num_layers: int) -> Summary:
    make_exact(*make_pair(folder, num_layers=num_layers), folder / "diff")
    return read_summary(folder / "diff")


@pytest.mark.parametrize(("num_layers", "height", "width"), [(0, 540, 1050), (2, 954, 1050), (32, 954, 1965)])
def test_a_model_of_any_depth(tmp_path: Path, num_layers: int, height: int, width: int) -> None:
    draw(exact(tmp_path, num_layers), tmp_path / "diff.png")
    picture = imread(tmp_path / "diff.png")

    assert picture.shape[:2] == (height, width)
    assert has(picture, BLUE) and has(picture, GREY)
    assert has(picture, UNCHANGED) == (num_layers > 0)  # of the norms


def test_where_nobody_knows_what_changed_sizes_are_drawn(tmp_path: Path) -> None:
    make_additive(*make_pair(tmp_path), tmp_path / "diff")
    (tmp_path / "diff" / MANIFEST).unlink()
    draw(read_summary(tmp_path / "diff"), tmp_path / "diff.png")
    picture = imread(tmp_path / "diff.png")

    assert has(picture, BLUE)
    assert not has(picture, GREY) and not has(picture, UNCHANGED)


@pytest.mark.parametrize(("ending", "start"), [("png", b"\x89PNG"), ("svg", b"<?xml"), ("PDF", b"%PDF")])
def test_the_ending_says_the_format_and_the_same_diff_gives_the_same_bytes(
    tmp_path: Path, ending: str, start: bytes
) -> None:
    summary = exact(tmp_path, 2)
    for name in ("one", "two"):
        draw(summary, tmp_path / f"{name}.{ending}")

    raws = [(tmp_path / f"{name}.{ending}").read_bytes() for name in ("one", "two")]
    assert raws[0].startswith(start)
    assert raws[0] == raws[1]


@pytest.mark.parametrize("name", ["diff", "diff.gif", "diff.png.tmp", ".png"])
def test_other_endings_are_refused(name: str) -> None:
    with pytest.raises(UsageError, match=r"ends in \.png, \.svg, \.pdf"):
        figure_format(Path(name))


def test_names_are_text_and_no_formulas(tmp_path: Path) -> None:
    for name, values in (("base", 0), ("$调_{", 1)):
        tensors = {f"model.layers.0.$x^{{.{kind}": np.full((2, 2), values, np.uint16) for kind in ("$a_", "b$")}
        write_model(tmp_path / name, {**tensors, "$": np.zeros(2, np.uint16)})
    make_exact(tmp_path / "base", tmp_path / "$调_{", tmp_path / "diff")
    draw(read_summary(tmp_path / "diff"), tmp_path / "diff.svg")

    assert "$调_{" in (tmp_path / "diff.svg").read_text()


def test_where_it_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(UsageError, match="cannot write"):
        draw(exact(tmp_path, 1), tmp_path / "file" / "diff.png")


def test_nothing_of_pyplot_is_touched(tmp_path: Path) -> None:
    before = "matplotlib.pyplot" in sys.modules  # another test's doing

    draw(exact(tmp_path, 1), tmp_path / "diff.png")

    assert ("matplotlib.pyplot" in sys.modules) == before

"""What a user may not have meant is told, or refused where it would give nonsense."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from alpaca_cli.diff import make
from alpaca_cli.diff.additive.additive import make_additive, recover_additive
from alpaca_cli.diff.make import make_exact
from alpaca_cli.diff.verify import verify_additive
from alpaca_cli.errors import IntegrityError, UsageError
from alpaca_cli.weights.safetensors import header_text
from small_models import make_pair


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    return make_pair(tmp_path)


def notes_of(base: Path, tuned: Path, out: Path) -> str:
    notes: list[str] = []
    make_exact(base, tuned, out, on_note=notes.append)
    return "\n".join(notes)


def test_a_likely_pair_needs_no_word(pair: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(make, "LEAST_TOLD", 0)
    monkeypatch.setattr(make, "LARGE_16", 0.95)  # these changes are large, and these models small

    assert notes_of(*pair, tmp_path / "diff") == ""


def test_that_nothing_differs_is_told(pair: tuple[Path, Path], tmp_path: Path) -> None:
    copy = Path(shutil.copytree(pair[0], tmp_path / "copy"))

    assert re.fullmatch(
        r"nothing differs: the weights are those of .*base, bit for bit", notes_of(pair[0], copy, tmp_path / "diff")
    )


def test_that_a_config_is_missing_is_told(pair: tuple[Path, Path], tmp_path: Path) -> None:
    (pair[1] / "config.json").unlink()

    assert notes_of(*pair, tmp_path / "diff").startswith("the tuned model has no config.json: what is recovered")


def random_model(folder: Path, seed: int) -> Path:
    folder.mkdir()
    header = header_text([("a.weight", "BF16", (1024, 1024))])
    values = np.random.default_rng(seed).normal(0, 0.02, (1024, 1024)).astype(np.float32)
    raw = (values.view(np.uint32) >> 16).astype(np.uint16).tobytes()
    (folder / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + raw)
    (folder / "config.json").write_text("{}")
    return folder


def test_a_base_of_another_model_is_told_before_its_diff_is_published(tmp_path: Path) -> None:
    told = notes_of(random_model(tmp_path / "base", 0), random_model(tmp_path / "tuned", 1), tmp_path / "diff")

    assert re.fullmatch(r"the diff is \d\d% of the model, as between .*: is .*base what it was tuned from\?", told)


def test_a_model_in_the_place_of_an_additive_diff_is_refused(pair: tuple[Path, Path], tmp_path: Path) -> None:
    base, tuned = pair

    with pytest.raises(
        UsageError, match=r"tuned: this is a model, and no diff: its model\.\S+norm\.weight is as large"
    ):
        recover_additive(base, tuned, tmp_path / "out", new_rows="mean")

    assert {entry.name for entry in tmp_path.iterdir()} == {"base", "tuned"}


def test_of_a_rounded_diff_both_models_are_known(pair: tuple[Path, Path], tmp_path: Path) -> None:
    base, tuned = pair
    made = make_additive(base, tuned, tmp_path / "diff", dtype="F16")
    recover_additive(base, tmp_path / "diff", tmp_path / "out")
    assert made.num_unequal > 0

    assert not verify_additive(tmp_path / "diff", tuned=tuned).is_rounded
    assert verify_additive(tmp_path / "diff", tuned=tmp_path / "out").is_rounded
    with pytest.raises(IntegrityError, match="this is not the model that the diff gives"):
        verify_additive(tmp_path / "diff", tuned=base)

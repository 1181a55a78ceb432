"""`alpaca quickstart` from argv to files."""

from __future__ import annotations

import filecmp
import json
import re
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from alpaca_cli.cli import diff, quickstart
from alpaca_cli.errors import IntegrityError
from conftest import Outcome
from small_models import make_pair

Alpaca = Callable[..., Outcome]


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_whole_way_makes_everything_it_names(alpaca: Alpaca) -> None:
    """With a tenth of the examples, from which a model learns next to nothing."""
    run = alpaca("quickstart", "a b", "--num", 20)

    made = [Path(line) for line in run.out.splitlines()]
    rows = json.loads(Path("a b/run/alpaca_data.json").read_text())
    assert run.code == 0, run.err
    names = ("run/alpaca_data.json", "new.json", "train.jsonl", "tuned/model", "diff", "recovered")
    assert made == [Path("a b", name) for name in names]
    assert all(path.exists() for path in made)
    assert len({row["instruction"] for row in rows}) == len(rows) == 20
    named = re.findall(r"^  (a b/\S+)  ", run.err.partition("What you have")[2], re.MULTILINE)
    assert set(map(Path, named)) == {path for path in Path("a b").iterdir() if path.suffix != ".lock"}

    practice, questions = (
        [json.loads(line) for line in Path(f"a b/{name}.jsonl").read_text().splitlines()]
        for name in ("practice", "questions")
    )
    assert (len(practice), len(questions)) == (200, 120)
    assert not [row for row in questions if row in practice]
    report = json.loads(Path("a b/tuned/report.json").read_text())
    told = re.findall(r"^held-out loss (\S+) after step", run.err, re.MULTILINE)
    losses = report["held_out_loss"]
    assert [f"{losses['before']:.4f}", f"{losses['after']:.4f}"] == told
    assert losses["after"] < 0.5 * losses["before"]
    counts = dict(re.findall(r"^  (subject of a message|date as YYYY-MM-DD) +([\d ]+)$", run.err, re.MULTILINE))
    assert [counts[kind].split()[0] for kind in counts] == ["0", "0"]
    assert [len(numbers.split()) for numbers in counts.values()] == [3, 3]

    _, differing, missing = filecmp.cmpfiles(
        "a b/tuned/model", "a b/recovered", [path.name for path in Path("a b/tuned/model").iterdir()], shallow=False
    )
    assert (differing, missing) == ([], [])
    assert re.search(r"^  All \d+ files of the model came back bit for bit", run.err, re.MULTILINE)


def make_folder() -> Path:
    """What the quickstart has when it comes to the diff."""
    base, tuned = make_pair(Path("drawn"))
    for path, name in ((base, "base"), (tuned, "tuned/model")):
        shutil.copytree(path, Path("a b", name))
    return Path("a b")


def test_a_model_that_does_not_come_back_is_no_success(
    alpaca: Alpaca, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, recover = make_folder(), diff.recover

    def spoil(*words: Path) -> None:
        recover(*words)
        (folder / "recovered/config.json").write_text("{}")

    monkeypatch.setattr(diff, "recover", spoil)

    with pytest.raises(IntegrityError, match=r"a b/recovered: config\.json did not come back as it was"):
        quickstart._diff(folder, force=False)

    assert "bit for bit: they were compared" not in capsys.readouterr().err


def test_a_model_comes_back_bit_for_bit(alpaca: Alpaca, capsys: pytest.CaptureFixture[str]) -> None:
    lies = quickstart._diff(make_folder(), force=False)
    told = capsys.readouterr().err

    assert all(path.is_dir() for path in lies)
    assert "All 3 files of the model came back bit for bit" in told
    assert re.search(r"^  The weights are \d\d\.\d kB, their diff \d\d\.\d kB \(\d\d\.\d%\)", told, re.MULTILINE)
    commands = [line for line in told.splitlines() if line.startswith("$ alpaca ")]
    assert len(commands) == 2
    for line in commands:
        words = [word.replace("a b/diff", "new").replace("a b/recovered", "back") for word in shlex.split(line)[2:]]
        assert alpaca(*words).code == 0
    assert quickstart._diff(Path("a b"), force=True) == lies


def test_the_commands_that_it_shows_do_the_same_when_pasted(alpaca: Alpaca) -> None:
    shown = alpaca("quickstart", "first", "--no-finetune").err
    assert "finetune tiny_cpu" not in shown
    before = {path.relative_to("first"): path.read_bytes() for path in Path("first").rglob("*.json*")}
    for line in shown.splitlines():
        if line.startswith("$ alpaca "):
            words = [word.replace("first/", "second/") for word in shlex.split(line)[2:]]
            assert alpaca(*words).code == 0

    after = {path.relative_to("second"): path.read_bytes() for path in Path("second").rglob("*.json*")}
    assert before.keys() == after.keys()
    assert before[Path("train.jsonl")] == after[Path("train.jsonl")]


def test_what_lies_there_is_not_overwritten_unasked(alpaca: Alpaca) -> None:
    Path("mine").mkdir()
    Path("mine/new.json").write_text("precious")
    refused = alpaca("quickstart", "mine")

    assert refused.code == 2
    assert "there is something here already" in refused.err
    assert [path.name for path in Path("mine").iterdir()] == ["new.json"]
    assert Path("mine/new.json").read_text() == "precious"
    assert alpaca("quickstart", "mine", "--no-finetune", "--force").code == 0

"""Convert: every format to every other, splits, reports, and outputs that are all there or not at all."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from alpaca_cli.data.example import Example
from alpaca_cli.errors import AlpacaError, DataError, UsageError
from alpaca_cli.format.convert import convert, validation_path
from alpaca_cli.format.names import FORMAT_NAMES
from alpaca_cli.format.read import read_dataset
from alpaca_cli.format.template import Template
from alpaca_cli.format.write import write_dataset, write_parts

ROWS = [Example(f"Task {number}.", "on this" * (number % 2), f"{number}") for number in range(20)]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source.json"
    write_dataset(path, ROWS, "alpaca")
    return path


def left_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def put_bad(folder: Path) -> Path:
    """A file whose rows 2 and 4 are bad, row 4 in two fields, and whose row 3 no chat can hold."""
    rows: list[dict[str, object]] = [example.as_dict() for example in ROWS[:6]]
    rows[1]["output"] = ""
    rows[2]["instruction"] = "a\n\nInput:\nb"
    rows[3] = {"instruction": None, "output": None}
    path = folder / "bad.jsonl"
    path.write_text("".join(json.dumps({**row, "id": 1}) + "\n" for row in rows))
    return path


@pytest.mark.parametrize("to", FORMAT_NAMES)
@pytest.mark.parametrize("via", FORMAT_NAMES)
def test_from_every_format_to_every_other(tmp_path: Path, source: Path, via: str, to: str) -> None:
    convert(source, via, tmp_path / "via")
    report = convert(tmp_path / "via", to, tmp_path / "to")
    assert (report.source_format, report.format) == (via, to)
    assert (report.read, report.written, report.validation, report.skipped) == (20, 20, 0, 0)
    assert report.bytes == (tmp_path / "to").stat().st_size
    assert (report.problems, report.notes, report.out, report.validation_out) == ((), (), tmp_path / "to", None)
    convert(tmp_path / "to", "alpaca", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == source.read_bytes()


def test_another_template_goes_both_ways(tmp_path: Path, source: Path) -> None:
    template = Template(with_input="{instruction} ({input}):", without_input="{instruction}:")
    convert(source, "text", tmp_path / "text", template=template)
    assert json.loads((tmp_path / "text").read_text().splitlines()[1]) == {"text": "Task 1. (on this):1"}
    convert(tmp_path / "text", "alpaca", tmp_path / "back", template=template)
    assert (tmp_path / "back").read_bytes() == source.read_bytes()


def test_a_split_is_two_files_of_one_form_and_the_same_rows_in_every_form(tmp_path: Path, source: Path) -> None:
    outputs = set()
    for format_ in FORMAT_NAMES:
        out = tmp_path / format_ / "data.x"
        report = convert(source, format_, out, val_fraction=0.25, seed=3)
        assert report.validation_out == tmp_path / format_ / "data.val.x"
        assert (report.read, report.written, report.validation) == (20, 15, 5)
        training, validation = read_dataset(out), read_dataset(report.validation_out)
        assert (training.format, validation.format) == (format_, format_)
        assert sorted(training.examples + validation.examples, key=ROWS.index) == ROWS
        assert report.bytes == out.stat().st_size + report.validation_out.stat().st_size
        outputs.add(tuple(example.output for example in validation.examples))
        assert left_in(out.parent) == ["data.val.x", "data.x"]
    assert len(outputs) == 1


@pytest.mark.parametrize(("out", "expected"), [("a.json", "a.val.json"), ("a", "a.val"), ("a.b.json", "a.b.val.json")])
def test_where_the_validation_part_goes(out: str, expected: str) -> None:
    assert validation_path(Path("x") / out) == Path("x") / expected


def test_bad_rows_stop_everything(tmp_path: Path) -> None:
    path = put_bad(tmp_path)
    with pytest.raises(DataError) as raised:
        convert(path, "messages", tmp_path / "out", val_fraction=0.5)
    assert [str(problem) for problem in raised.value.problems] == [
        f"{path}:2: output: empty",
        f"{path}:4: instruction: expected a string, found null",
        f"{path}:4: output: expected a string, found null",
    ]
    assert left_in(tmp_path) == ["bad.jsonl"]


def test_bad_rows_are_left_out_and_told_when_asked(tmp_path: Path) -> None:
    path = put_bad(tmp_path)
    report = convert(path, "messages", tmp_path / "out", skip_bad=True)
    assert (report.read, report.written, report.skipped) == (6, 3, 3)
    assert [str(problem) for problem in report.problems] == [
        f"{path}:2: output: empty",
        f"{path}:4: instruction: expected a string, found null",
        f"{path}:4: output: expected a string, found null",
        f"{path}:3: instruction and input cannot be told apart when read back from messages",
    ]
    assert report.notes == ("keys left out: id (4 rows)",)
    assert read_dataset(tmp_path / "out").examples == [ROWS[0], ROWS[4], ROWS[5]]


def test_rows_that_the_format_cannot_hold_stop_everything(tmp_path: Path) -> None:
    path = tmp_path / "source"
    write_dataset(path, [ROWS[0], Example("a\n\nInput:\nb", "", "x"), Example("\ud83d", "", "x")], "jsonl")
    with pytest.raises(DataError, match=f"{path}:2: instruction and input cannot be told apart when read back from"):
        convert(path, "sharegpt", tmp_path / "out")
    with pytest.raises(DataError, match=f"{path}:3: instruction: a lone surrogate"):
        convert(path, "parquet", tmp_path / "out")
    assert left_in(tmp_path) == ["source"]


def test_nothing_left_to_write(tmp_path: Path) -> None:
    path = tmp_path / "source"
    write_dataset(path, [Example("a\n\nInput:\nb", "", "x")], "jsonl")
    with pytest.raises(DataError) as raised:
        convert(path, "messages", tmp_path / "out", skip_bad=True)
    assert [problem.message for problem in raised.value.problems] == [
        "no example is left that messages can hold",
        "instruction and input cannot be told apart when read back from messages",
    ]
    assert left_in(tmp_path) == ["source"]


def test_one_row_cannot_be_split(tmp_path: Path) -> None:
    write_dataset(tmp_path / "source", ROWS[:1], "jsonl")
    with pytest.raises(DataError, match="expected at least 2 rows to split, found 1"):
        convert(tmp_path / "source", "jsonl", tmp_path / "out", val_fraction=0.5)
    assert left_in(tmp_path) == ["source"]


def test_usage_is_checked_before_the_source_is_read(tmp_path: Path) -> None:
    missing, out = tmp_path / "missing", tmp_path / "out"
    with pytest.raises(UsageError, match="no such format: parket"):
        convert(missing, "parket", out)
    with pytest.raises(UsageError, match="expected more than 0 and less than 1, found 2"):
        convert(missing, "jsonl", out, val_fraction=2)
    (tmp_path / "out.val").write_text("mine")
    with pytest.raises(UsageError, match=r"out\.val: output exists"):
        convert(missing, "jsonl", out, val_fraction=0.5)
    with pytest.raises(UsageError, match="no such dataset"):
        convert(missing, "jsonl", out)
    out.write_text("mine")
    with pytest.raises(UsageError, match="out: output exists"):
        convert(missing, "jsonl", out)
    assert (out.read_text(), (tmp_path / "out.val").read_text()) == ("mine", "mine")
    assert left_in(tmp_path) == ["out", "out.val"]


def test_the_source_is_overwritten_only_by_force_and_then_whole(tmp_path: Path, source: Path) -> None:
    before = source.read_bytes()
    with pytest.raises(UsageError, match="output exists"):
        convert(source, "messages", source)
    assert source.read_bytes() == before
    convert(source, "messages", source, force=True)
    assert read_dataset(source).examples == ROWS
    assert read_dataset(source).format == "messages"


def test_the_source_is_not_overwritten_by_a_validation_part_even_by_force(tmp_path: Path, source: Path) -> None:
    source = source.rename(tmp_path / "data.val.json")
    before = source.read_bytes()
    with pytest.raises(UsageError, match="would overwrite the file that is read"):
        convert(source, "alpaca", tmp_path / "data.json", val_fraction=0.5, force=True)
    assert source.read_bytes() == before
    assert left_in(tmp_path) == ["data.val.json"]


def test_force_replaces_both_files(tmp_path: Path, source: Path) -> None:
    for name in ("out", "out.val"):
        (tmp_path / name).write_text("old")
    convert(source, "jsonl", tmp_path / "out", val_fraction=0.5, force=True)
    assert len(read_dataset(tmp_path / "out").examples) == len(read_dataset(tmp_path / "out.val").examples) == 10
    assert left_in(tmp_path) == ["out", "out.val", "source.json"]


@pytest.mark.parametrize("before", [None, "old"])
def test_no_part_is_left_when_another_cannot_be_named(tmp_path: Path, before: str | None) -> None:
    out, val = tmp_path / "out", tmp_path / "out.val"
    (out / "in the way").mkdir(parents=True)  # a folder that appeared after `refuse_existing`
    if before is not None:
        val.write_text(before)
    with pytest.raises(UsageError, match="cannot write") as raised:
        write_parts([(out, ROWS[:10]), (val, ROWS[10:])], "jsonl")
    assert raised.value.problems[0].where == str(out)
    assert (val.read_text() if val.exists() else None) == before
    assert left_in(tmp_path) == (["out"] if before is None else ["out", "out.val"])


def test_no_part_is_left_when_the_second_cannot_be_made(tmp_path: Path) -> None:
    with pytest.raises(AlpacaError):
        write_parts([(tmp_path / "out", ROWS), (tmp_path / "out" / "val", ROWS), (tmp_path / "x", ROWS)], "jsonl")
    (tmp_path / "file").write_text("mine")
    with pytest.raises(UsageError, match="cannot write"):
        write_parts([(tmp_path / "new", ROWS), (tmp_path / "file" / "val", ROWS)], "jsonl")
    assert "new" not in left_in(tmp_path)
    assert (tmp_path / "file").read_text() == "mine"


def test_an_output_where_a_file_stands_instead_of_a_folder(tmp_path: Path, source: Path) -> None:
    with pytest.raises(UsageError, match="is not a directory"):
        convert(source, "jsonl", source / "out")
    assert left_in(tmp_path) == ["source.json"]

"""Which files a dataset is made of: one, those of a folder, those that a glob matches."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from alpaca_cli.errors import UsageError
from alpaca_cli.format.shards import find_shards


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    (folder / "deep.jsonl").mkdir(parents=True)
    for name in (
        "b.jsonl",
        "a.json",
        "B.parquet",
        "10.json",
        "9.json",
        ".hidden.jsonl",
        "notes.txt",
        "deep.jsonl/c.json",
    ):
        (folder / name).touch()
    return folder


def problem(data: str | Path) -> tuple[str, str | None, str | None]:
    with pytest.raises(UsageError) as raised:
        find_shards(data)
    (only,) = raised.value.problems
    return only.message, only.where, only.hint


def test_a_file_is_itself_whatever_its_name(folder: Path) -> None:
    assert find_shards(folder / "notes.txt") == [folder / "notes.txt"]
    assert find_shards(str(folder / ".hidden.jsonl")) == [folder / ".hidden.jsonl"]


def test_a_folder_is_its_datasets_by_code_points(folder: Path) -> None:
    assert [path.name for path in find_shards(folder)] == ["10.json", "9.json", "B.parquet", "a.json", "b.jsonl"]


def test_a_glob_is_what_it_matches(folder: Path) -> None:
    assert find_shards(folder / "*.json") == [folder / name for name in ("10.json", "9.json", "a.json")]
    assert find_shards(f"{folder}/[ab].*") == [folder / "a.json", folder / "b.jsonl"]
    assert find_shards(folder / "**" / "?.json") == [
        folder / name for name in ("9.json", "a.json", "deep.jsonl/c.json")
    ]


def test_a_glob_may_be_relative(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    assert find_shards("*.jsonl") == [Path("b.jsonl"), Path("deep.jsonl")]  # the folder is told when it is read
    assert find_shards(".") == [Path(name) for name in ("10.json", "9.json", "B.parquet", "a.json", "b.jsonl")]


def test_what_exists_under_this_name_is_no_glob(folder: Path) -> None:
    (folder / "[ab].json").touch()
    assert find_shards(folder / "[ab].json") == [folder / "[ab].json"]
    (folder / "x*").mkdir()
    (folder / "x*" / "c.json").touch()
    (folder / "xyz").touch()
    assert find_shards(folder / "x*") == [folder / "x*" / "c.json"]


def test_nothing_found_is_told(folder: Path) -> None:
    assert problem(folder / "a.jsn") == ("no such dataset", str(folder / "a.jsn"), f"did you mean {folder / 'a.json'}?")
    assert problem(folder / "*.csv") == (
        "no file matches this glob",
        str(folder / "*.csv"),
        "see the names there; ** stands for folders within folders",
    )
    assert problem(folder / "deep.jsonl" / "no" / "file")[0] == "no such dataset"
    (folder / "empty").mkdir()
    (folder / "empty" / "data.csv").touch()
    assert problem(folder / "empty") == (
        "no dataset in this folder: looked for *.jsonl, *.json, *.parquet",
        str(folder / "empty"),
        f"name the files by a glob, such as '{folder / 'empty' / '*'}'",
    )


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is forbidden to root")
def test_a_folder_without_permission_is_told(folder: Path) -> None:
    folder.chmod(0)
    assert problem(folder)[0] == "cannot read this folder: permission denied"

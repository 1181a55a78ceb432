"""Rows copied as they stand: from each container, to one file or a folder of them, whole or not at all."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alpaca_cli.data.example import Example
from alpaca_cli.data.jsonl import dumps
from alpaca_cli.errors import AlpacaError, IntegrityError, UsageError
from alpaca_cli.format import container, parquet
from alpaca_cli.format.read import read_dataset
from alpaca_cli.format.select import check_out, copy_kept, write_kept
from alpaca_cli.format.sharded import ShardedDataset
from alpaca_cli.format.write import write_dataset

quick = settings(max_examples=60, deadline=None, database=None)

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)
ROWS = st.lists(
    st.dictionaries(st.sampled_from(["id", "ä", ""]), VALUES).map(
        lambda more: {"instruction": "a", "output": "b\U0001f999", **more}
    ),
    min_size=1,
    max_size=10,
)
CHOICES = st.lists(st.booleans(), min_size=10, max_size=10)


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(container, "BATCH_ROWS", 3)
    monkeypatch.setattr(parquet, "_ROW_GROUP", 4)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("select")


def read(source: Path | str, *, skip_bad: bool = False) -> ShardedDataset:
    dataset = ShardedDataset(source, skip_bad=skip_bad)
    assert list(dataset.batches())
    return dataset


def copied(path: Path, kept: list[bool]) -> bytes:
    """The copy of a file."""
    stream = BytesIO()
    copy_kept(read(path).shards, [np.array(kept)], stream)
    return stream.getvalue()


@quick
@given(rows=ROWS, choices=CHOICES, end=st.sampled_from(["\n", "\r\n", "\n\n \n"]), mark=st.sampled_from(["", "\ufeff"]))
def test_lines_byte_for_byte(folder: Path, rows: list[Any], choices: list[bool], end: str, mark: str) -> None:
    texts = [json.dumps(row, ensure_ascii=index % 2 == 0) for index, row in enumerate(rows)]
    path, kept = folder / "lines", choices[: len(rows)]
    path.write_bytes((mark + end.join(texts)).encode())  # no newline at the end
    carriage = "\r" if end == "\r\n" else ""
    lines = [text + carriage for text in texts[:-1]] + texts[-1:]
    assert copied(path, kept).decode() == "".join(
        f"{line}\n" for line, is_kept in zip(lines, kept, strict=True) if is_kept
    )


@quick
@given(rows=ROWS, choices=CHOICES, indent=st.sampled_from([None, 1, 4]))
def test_a_list_as_stanford_writes_it(folder: Path, rows: list[Any], choices: list[bool], indent: int | None) -> None:
    path, kept = folder / "list", choices[: len(rows)]
    rows[0]["half \ud83d"] = "\udc00 \U0001f999\n\u2028\x00"
    path.write_text(json.dumps(rows, indent=indent))
    chosen = [row for row, is_kept in zip(rows, kept, strict=True) if is_kept]
    assert copied(path, kept).decode() == dumps(chosen, indent=4)


@settings(quick, max_examples=25)
@given(st.lists(st.text(max_size=3), min_size=1, max_size=10), CHOICES, st.integers(1, 11))
def test_a_table_with_its_schema(folder: Path, texts: list[str], choices: list[bool], group: int) -> None:
    path, kept = folder / "table", choices[: len(texts)]
    table = pa.table(
        {
            "n": pa.array(range(len(texts)), pa.int8()),
            "instruction": pa.array([f"a{text}" for text in texts]).dictionary_encode(),
            "output": pa.array([f"b{text}" for text in texts], pa.large_string()),
            "deep": [[{"x": text, "y": None}] for text in texts],
        }
    ).replace_schema_metadata({"whose": "mine"})
    pq.write_table(table, path, row_group_size=group)
    raw = copied(path, kept)
    written = pq.ParquetFile(BytesIO(raw))
    chosen = table.filter(pa.array(kept))
    assert written.read().equals(chosen)
    assert written.schema_arrow.equals(pq.read_schema(path), check_metadata=True)
    groups = [written.metadata.row_group(index).num_rows for index in range(written.num_row_groups)]
    assert groups == [4] * (sum(kept) // 4) + [sum(kept) % 4] * (sum(kept) % 4 > 0)
    pq.write_table(table, path, row_group_size=12)
    assert copied(path, kept) == raw  # however the rows were cut


def test_bad_rows_have_a_number_and_are_not_kept(tmp_path: Path) -> None:
    good = '{"instruction": "a", "output": "b"}\n'
    (tmp_path / "a.jsonl").write_text(f"{good}oops\n{good}")
    dataset = read(tmp_path / "a.jsonl", skip_bad=True)
    stream = BytesIO()
    copy_kept(dataset.shards, [np.array([False, False, True])], stream)
    assert stream.getvalue().decode() == good
    with pytest.raises(ValueError, match="a mask over the rows of each shard"):
        copy_kept(dataset.shards, [np.array([True, True])], stream)


# where it is written


def shards(folder: Path, *formats: str, rows: int = 3) -> list[Path]:
    """A shard for each format, of rows that tell where they stood."""
    folder.mkdir(exist_ok=True)
    suffixes = {"alpaca": ".json", "jsonl": ".jsonl", "parquet": ".parquet"}
    paths = [folder / f"{number}{suffixes[format_]}" for number, format_ in enumerate(formats)]
    for number, (path, format_) in enumerate(zip(paths, formats, strict=True)):
        write_dataset(path, [Example(f"{number} {row}", "", "x") for row in range(rows)], format_)
    return paths


def write(dataset: ShardedDataset, kept: list[list[bool]], out: Path, *, force: bool = False) -> int:
    check_out(dataset, out, force=force)
    return write_kept(dataset, [np.array(mask, dtype=np.bool_) for mask in kept], out)


def instructions(path: Path) -> list[str]:
    return [example.instruction for example in read_dataset(path).examples]


def refused(dataset: ShardedDataset, out: Path, *, force: bool = False) -> tuple[str, str | None]:
    with pytest.raises(UsageError) as raised:
        check_out(dataset, out, force=force)
    (problem,) = raised.value.problems
    assert problem.where == str(out)
    return problem.message, problem.hint


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_file_is_copied_to_a_file_of_any_name(tmp_path: Path) -> None:
    (source,) = shards(tmp_path / "in", "alpaca")
    size = write(read(source), [[True, False, True]], tmp_path / "out.txt")
    assert instructions(tmp_path / "out.txt") == ["0 0", "0 2"]
    assert size == (tmp_path / "out.txt").stat().st_size
    assert refused(read(source), tmp_path / "out.txt")[0] == "output exists"
    assert refused(read(source), tmp_path / "in", force=True)[0] == "expected a file to write, found a directory"
    write(read(source), [[True, True, False]], source, force=True)
    assert instructions(source) == ["0 0", "0 1"]


def test_shards_are_copied_to_a_folder_of_the_same_names(tmp_path: Path) -> None:
    shards(tmp_path / "in", "alpaca", "jsonl", "parquet", "jsonl")
    out = tmp_path / "deep" / "out"
    kept = [[True, False, True], [False] * 3, [False, True, True], [True] * 3]
    size = write(read(tmp_path / "in"), kept, out)
    assert sorted(tree(out)) == ["0.json", "1.jsonl", "2.parquet", "3.jsonl"]
    assert size == sum(map(len, tree(out).values()))
    assert instructions(out / "0.json") == ["0 0", "0 2"]
    assert (out / "1.jsonl").read_bytes() == b""
    assert instructions(out / "2.parquet") == ["2 1", "2 2"]
    assert (out / "3.jsonl").read_bytes() == (tmp_path / "in" / "3.jsonl").read_bytes()
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["out"]
    assert [shard.rows for shard in read(out).shards] == [2, 0, 2, 3]  # what is written can be read


@pytest.mark.parametrize("format_", ["alpaca", "jsonl", "parquet"])
def test_shards_without_a_kept_row_are_empty_in_their_form(tmp_path: Path, format_: str) -> None:
    (source,) = shards(tmp_path / "in", format_)
    write(read(tmp_path / "in"), [[False] * 3], tmp_path / "out")
    raw = (tmp_path / "out" / source.name).read_bytes()
    if format_ == "parquet":
        assert pq.read_table(BytesIO(raw)).equals(pq.read_table(source).slice(0, 0))
    else:
        assert raw == {"alpaca": b"[]", "jsonl": b""}[format_]


@pytest.mark.parametrize(
    ("format_", "name"), [("alpaca", "out.json"), ("jsonl", "out.jsonl"), ("parquet", "out.parquet")]
)
def test_shards_of_one_kind_are_joined_in_a_file(tmp_path: Path, format_: str, name: str) -> None:
    shards(tmp_path / "in", *[format_] * 3)
    (tmp_path / "in" / "none.jsonl").touch()  # a file without rows goes with all
    kept = [[True, False, True], [False] * 3, [False, True, True], []]
    write(read(tmp_path / "in"), kept, tmp_path / name)
    assert instructions(tmp_path / name) == ["0 0", "0 2", "2 1", "2 2"]
    write_dataset(tmp_path / "same", read_dataset(tmp_path / name).examples, format_)
    if format_ != "parquet":
        assert (tmp_path / name).read_bytes() == (tmp_path / "same").read_bytes()


def test_what_cannot_be_joined_is_refused(tmp_path: Path) -> None:
    source = tmp_path / "in"
    shards(source, "jsonl", "alpaca")
    message, hint = refused(read(source), tmp_path / "out.jsonl")
    assert message == f"cannot join {source / '0.jsonl'} (JSON Lines) and {source / '1.json'} (a JSON list)"
    assert hint == "name a folder, which gets a file for each"
    assert refused(read(source / "*.json"), tmp_path / "o.jsonl") == (
        "expected a file for a JSON list: *.json",
        "rename it",
    )
    found = refused(read(source / "*.jsonl"), tmp_path / "out.parquet")
    assert found == ("expected a file for JSON Lines: *.jsonl or .json", "rename it")
    other = tmp_path / "tables"
    shards(other, "parquet")
    pq.write_table(pa.table({"instruction": ["a"], "output": ["b"], "n": [1]}), other / "1.parquet")
    message, _ = refused(read(other), tmp_path / "out.parquet")
    kinds = f"{other / '0.parquet'} (parquet) and {other / '1.parquet'} (parquet)"
    assert message == f"cannot join {kinds}, whose columns differ"
    assert sorted(tmp_path.iterdir()) == [source, other]


def test_shards_of_one_name_cannot_stand_in_one_folder(tmp_path: Path) -> None:
    for name in "ab":
        shards(tmp_path / name, "jsonl")
    dataset = read(tmp_path / "?" / "0.jsonl")
    assert refused(dataset, tmp_path / "out") == (
        "expected shards of different names, found 0.jsonl twice",
        "name a file, into which all are joined, or take the folders one by one",
    )
    write(dataset, [[True] * 3, [True] * 3], tmp_path / "out.jsonl")
    assert instructions(tmp_path / "out.jsonl") == ["0 0", "0 1", "0 2"] * 2


def test_a_folder_that_is_there_is_replaced_by_force_if_nothing_else_is_in_it(tmp_path: Path) -> None:
    source, out = tmp_path / "in", tmp_path / "out"
    shards(source, "jsonl", "jsonl")
    dataset = read(source)
    shards(out, "jsonl")
    before = tree(tmp_path)
    assert refused(dataset, out) == (
        "the output folder is not empty",
        "choose another name, or replace the files with --force",
    )
    write(dataset, [[True] * 3, [False, False, True]], out, force=True)
    assert instructions(out / "1.jsonl") == ["1 2"]
    (out / "2.jsonl").touch()
    (out / "3.jsonl").touch()
    message, hint = refused(dataset, out, force=True)
    assert message == "the output folder holds what would not be replaced: 2.jsonl and 1 more"
    assert hint == "move it away, or choose another folder"
    assert tree(source) == {name[3:]: raw for name, raw in before.items() if name.startswith("in/")}
    write(dataset, [[True, False, False], [False] * 3], source, force=True)  # also what was read
    assert (instructions(source / "0.jsonl"), (source / "1.jsonl").read_bytes()) == (["0 0"], b"")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "out"]


@pytest.mark.parametrize("name", ["out", "out.jsonl"])
@pytest.mark.parametrize("format_", ["jsonl", "parquet"])
def test_a_shard_that_changed_is_told_and_nothing_is_written(tmp_path: Path, format_: str, name: str) -> None:
    source = tmp_path / "in"
    _, second = shards(source, format_, format_)
    dataset = read(source)
    out = tmp_path / name.replace("jsonl", format_)
    check_out(dataset, out, force=False)
    os.utime(second, ns=(1, 1))
    with pytest.raises(IntegrityError, match="this file changed while it was read") as raised:
        write_kept(dataset, [np.ones(3, bool)] * 2, out)
    assert raised.value.problems[0].where == str(second)
    assert list(tmp_path.iterdir()) == [source]


def test_a_shard_that_changes_while_it_is_copied_is_told_and_nothing_is_written(tmp_path: Path) -> None:
    class Meddling(BytesIO):
        def writelines(self, pieces: Any) -> None:
            for _ in pieces:
                source.write_text("{")

    (source,) = shards(tmp_path / "in", "jsonl")
    with pytest.raises(IntegrityError):
        copy_kept(read(source).shards, [np.ones(3, bool)], Meddling())


@pytest.mark.parametrize("out", ["out", "out.jsonl"])
def test_a_full_disk_is_told_and_nothing_is_written(tmp_path: Path, out: str) -> None:
    """A limit on the size of files stands for the full disk: the same failure of the same call."""
    source = tmp_path / "in"
    shards(source, "jsonl", "jsonl", rows=20)
    code = f"""
import resource
from pathlib import Path
import numpy as np
from alpaca_cli.errors import UsageError
from alpaca_cli.format.select import check_out, write_kept
from alpaca_cli.format.sharded import ShardedDataset
dataset, out = ShardedDataset({str(source)!r}), Path({str(tmp_path / out)!r})
list(dataset.batches())
check_out(dataset, out, force=False)
resource.setrlimit(resource.RLIMIT_FSIZE, (500, 500))
try:
    write_kept(dataset, [np.zeros(20, bool), np.ones(20, bool)], out)
except UsageError as error:
    print(error)
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (run.stdout, run.stderr) == (f"{tmp_path / out}: cannot write: file too large\n", "")
    assert list(tmp_path.iterdir()) == [source]


def test_what_stands_in_the_way_of_a_folder_is_refused(tmp_path: Path) -> None:
    shards(tmp_path / "in", "jsonl")
    dataset = read(tmp_path / "in")
    (tmp_path / "file").touch()
    assert refused(dataset, tmp_path / "file", force=True)[0] == "expected a folder to write, found a file"
    with pytest.raises(AlpacaError, match="is not a directory"):
        check_out(dataset, tmp_path / "file" / "out", force=False)

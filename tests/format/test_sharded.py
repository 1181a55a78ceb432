"""Datasets read in batches: the same rows, places and words as of a file read whole, in memory that is bounded."""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alpaca_cli.data.example import Example
from alpaca_cli.errors import AlpacaError, DataError, IntegrityError, UsageError
from alpaca_cli.format import container, sharded
from alpaca_cli.format.names import FORMAT_NAMES
from alpaca_cli.format.read import read_dataset
from alpaca_cli.format.sharded import Batch, ShardedDataset
from alpaca_cli.format.write import write_dataset

quick = settings(max_examples=120, deadline=None, database=None)

ADD, HI = Example("Add.", "1 2", "3"), Example("Say hi.", "", "hi")
PLAIN = {"instruction": "Say hi.", "output": "hi"}
BAD: list[Any] = [{**PLAIN, "output": " "}, {"instruction": 1}, {"a": 2}, [], 3, None, {**PLAIN, "system": "x"}, {}]

TEXTS = st.text(max_size=6)
GOOD = st.builds(
    lambda text, input_, output, more: ({"instruction": f"a{text}", **input_, "output": f"b{output}", **more}),
    TEXTS,
    st.just({}) | TEXTS.map(lambda text: {"input": text}),
    TEXTS,
    st.just({}) | st.sampled_from([{"id": 1}, {"tags": ["x", {}]}, {"system": ""}, {"null": None}]),
)
ROWS = st.lists(GOOD | st.sampled_from(BAD), max_size=12)
SPACES = st.sampled_from(["", " ", "\n", "\r\n\t", "  \n "])


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(container, "BATCH_ROWS", 3)
    monkeypatch.setattr(sharded, "BATCH_ROWS", 3)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("sharded")


def lines(*rows: object) -> str:
    return "".join(f"{row if isinstance(row, str) else json.dumps(row)}\n" for row in rows)


def put(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def example_of(row: dict[str, Any]) -> Example:
    return Example(row["instruction"], row.get("input", ""), row["output"])


def streamed(path: Path, *, skip_bad: bool) -> object:
    """All that a pass tells, or the problems."""
    try:
        dataset = ShardedDataset(path, skip_bad=skip_bad)
        batches = list(dataset.batches())
    except AlpacaError as error:
        return type(error), error.problems
    assert all(0 < len(batch.examples) == len(batch.numbers) == len(batch.spots) <= 3 for batch in batches)
    return (
        [example for batch in batches for example in batch.examples],
        [dataset.place(batch.shard, spot) for batch in batches for spot in batch.spots],
        [number for batch in batches for number in batch.numbers],
        dataset.format,
        dataset.tally.skipped,
        tuple(dataset.tally.told()),
        dataset.tally.whole,
        dataset.notes,
    )


def whole(path: Path, *, skip_bad: bool) -> object:
    try:
        dataset = read_dataset(path, skip_bad=skip_bad)
    except AlpacaError as error:
        return type(error), error.problems
    return (
        dataset.examples,
        dataset.places,
        dataset.numbers,
        dataset.format,
        dataset.skipped,
        dataset.problems,
        dataset.whole,
        dataset.notes,
    )


@quick
@given(
    rows=st.lists(GOOD | st.sampled_from(BAD) | st.sampled_from(["", " \t", "\u2003", "{", "oops", '{"a": NaN}'])),
    mark=st.sampled_from(["", "\ufeff", "\ufeff\n", "\n"]),
    end=st.sampled_from(["\n", "\r\n"]),
    is_cut=st.booleans(),
    skip_bad=st.booleans(),
)
def test_lines(folder: Path, rows: list[Any], mark: str, end: str, is_cut: bool, skip_bad: bool) -> None:
    texts = [row if isinstance(row, str) else json.dumps(row, ensure_ascii=False) for row in rows]
    path = put(folder / "lines", mark + end.join(texts) + ("" if is_cut else end))
    found = streamed(path, skip_bad=skip_bad)
    assert found == whole(path, skip_bad=skip_bad)
    if len(found) > 2:  # type: ignore[arg-type]
        values = [json.loads(text) for text in texts if text.strip() and text not in ("{", "oops")]
        assert found[0] == [example_of(row) for row in values if is_good(row)]  # type: ignore[index]


def is_good(row: Any) -> bool:
    return isinstance(row, dict) and "output" in row and row not in BAD


@quick
@given(
    rows=ROWS, spaces=st.tuples(SPACES, SPACES, SPACES), mark=st.sampled_from(["", "\ufeff"]), skip_bad=st.booleans()
)
def test_a_list(folder: Path, rows: list[Any], spaces: tuple[str, ...], mark: str, skip_bad: bool) -> None:
    a, b, c = spaces
    joined = f"{b},{c}".join(json.dumps(row, ensure_ascii=False) for row in rows)
    path = put(folder / "list", f"{mark}{a}[{b}{joined}{c}]{a}")
    found = streamed(path, skip_bad=skip_bad)
    assert found == whole(path, skip_bad=skip_bad)
    if len(found) > 2:  # type: ignore[arg-type]
        assert found[0] == [example_of(row) for row in rows if is_good(row)]  # type: ignore[index]


@quick
@given(
    columns=st.lists(st.tuples(*[st.none() | TEXTS] * 3), max_size=9),
    group=st.integers(1, 5),
    skip_bad=st.booleans(),
)
def test_a_table(folder: Path, columns: list[tuple[str | None, ...]], group: int, skip_bad: bool) -> None:
    arrays = [pa.array(values, pa.string()) for values in (zip(*columns, strict=True) if columns else [[]] * 3)]
    path = folder / "table"
    pq.write_table(pa.table(arrays, names=["instruction", "input", "output"]), path, row_group_size=group)
    found = streamed(path, skip_bad=skip_bad)
    assert found == whole(path, skip_bad=skip_bad)
    if len(found) > 2:  # type: ignore[arg-type]
        good = [row for row in columns if None not in row and all(row[k].strip() for k in (0, 2))]  # type: ignore[union-attr]
        assert found[0] == [Example(*row) for row in good]  # type: ignore[index,arg-type]


@quick
@given(st.binary(max_size=60) | ROWS.map(json.dumps).map(str.encode), st.integers(0, 60), st.booleans())
def test_any_bytes_are_told_in_the_same_words(folder: Path, raw: bytes, size: int, skip_bad: bool) -> None:
    path = put(folder / "any", raw[:size] if size else raw)
    assert streamed(path, skip_bad=skip_bad) == whole(path, skip_bad=skip_bad)


@pytest.mark.parametrize("format_", FORMAT_NAMES)
def test_each_format_and_a_second_pass(tmp_path: Path, format_: str) -> None:
    write_dataset(tmp_path / "data", [HI, ADD] * 4, format_)
    dataset = ShardedDataset(tmp_path / "data")
    for _ in range(2):
        assert [example for batch in dataset.batches() for example in batch.examples] == [HI, ADD] * 4
        assert (dataset.format, dataset.tally.rows, dataset.shards[0].rows) == (format_, 8, 8)
        assert dataset.notes == ()


def test_shards_follow_each_other_each_in_its_own_format(tmp_path: Path) -> None:
    put(tmp_path / "a.jsonl", lines(PLAIN, *[{**PLAIN, "id": 1}] * 3))
    put(tmp_path / "b.jsonl", "")
    write_dataset(tmp_path / "c.json", [HI, ADD], "messages")
    write_dataset(tmp_path / "d.parquet", [ADD] * 2, "parquet")
    dataset = ShardedDataset(tmp_path)
    batches = list(dataset.batches())
    assert [(batch.shard, len(batch.examples)) for batch in batches] == [(0, 3), (0, 1), (2, 2), (3, 2)]
    assert [example for batch in batches for example in batch.examples] == [HI] * 5 + [ADD] * 3
    assert dataset.format == "jsonl, messages, parquet"
    assert [shard.rows for shard in dataset.shards] == [4, 0, 2, 2]
    assert dataset.notes == ("keys left out: id (3 rows)",)
    assert [dataset.place(batch.shard, int(batch.spots[0])) for batch in batches] == [
        f"{tmp_path / 'a.jsonl'}:1",
        f"{tmp_path / 'a.jsonl'}:4",
        f"{tmp_path / 'c.json'}:1",
        f"{tmp_path / 'd.parquet'}[0]",
    ]


def test_bad_rows_of_all_shards_are_told_at_once_and_nothing_is_given_after_the_first(tmp_path: Path) -> None:
    for name, rows in (("a", [PLAIN] * 4), ("b", [PLAIN] * 3 + [3, PLAIN]), ("c", [PLAIN, {"instruction": 1}])):
        put(tmp_path / f"{name}.jsonl", lines(*rows))
    dataset = ShardedDataset(tmp_path)
    given: list[Batch] = []
    with pytest.raises(DataError) as raised:
        given.extend(dataset.batches())
    assert [str(problem).replace(f"{tmp_path}/", "") for problem in raised.value.problems] == [
        "b.jsonl:4: expected an object, found a number",
        "c.jsonl:2: instruction: expected a string, found a number",
        "c.jsonl:2: output: missing",
    ]
    assert raised.value.problems[-1].hint == "mend these rows, or leave them out with --skip-bad"
    dataset = ShardedDataset(tmp_path, skip_bad=True)
    batches = list(dataset.batches())
    assert sum(len(batch.examples) for batch in batches) == 9
    assert [batch.numbers.tolist() for batch in batches if batch.shard == 1] == [[0, 1, 2], [4]]
    assert (dataset.tally.skipped, dataset.tally.rows, dataset.shards[1].rows) == (2, 11, 5)


def test_of_many_bad_rows_the_first_are_told_and_the_others_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sharded, "MOST_PROBLEMS", 3)
    for name in "ab":
        put(tmp_path / f"{name}.jsonl", lines(PLAIN, 1, 2))
    with pytest.raises(DataError) as raised:
        list(ShardedDataset(tmp_path).batches())
    places = [problem.where and Path(problem.where).name for problem in raised.value.problems]
    assert places == ["a.jsonl:2", "a.jsonl:3", "b.jsonl:2", None]
    assert raised.value.problems[-1].message == "and 1 more"
    assert raised.value.problems[-1].hint == "mend these rows, or leave them out with --skip-bad"
    put(tmp_path / "a.jsonl", lines({**PLAIN, "output": ""}, 1, 2))
    with pytest.raises(DataError) as raised:
        list(ShardedDataset(tmp_path / "a.jsonl", skip_bad=True).batches())
    assert str(raised.value.problems[0]) == f"{tmp_path / 'a.jsonl'}: no example is left: every row is bad (3)"
    put(tmp_path / "a.jsonl", json.dumps([*range(1_002)]))
    with pytest.raises(DataError) as raised:
        ShardedDataset(tmp_path / "a.jsonl")
    assert len(raised.value.problems) == 1_001
    assert raised.value.problems[-1].message == "and 2 more"


def test_what_is_no_dataset_is_told_before_any_work(tmp_path: Path) -> None:
    put(tmp_path / "a.jsonl", lines(PLAIN))
    put(tmp_path / "report.json", json.dumps({"rows": 3}, indent=2))
    with pytest.raises(DataError, match="expected one JSON object a line, found one over lines 1 to 3") as raised:
        ShardedDataset(tmp_path)
    assert raised.value.problems[0].where == f"{tmp_path / 'report.json'}:1"
    (tmp_path / "folder").mkdir()
    with pytest.raises(UsageError, match="expected a dataset, found a directory"):
        ShardedDataset(tmp_path / "*")


def test_no_row_in_any_shard_is_an_error(tmp_path: Path) -> None:
    put(tmp_path / "a.jsonl", "\n")
    put(tmp_path / "b.json", "[]")
    for source, what in ((tmp_path, "these 2 files"), (tmp_path / "b.json", "this file")):
        with pytest.raises(DataError) as raised:
            ShardedDataset(source)
        (problem,) = raised.value.problems
        assert (problem.message, problem.where) == (f"no rows in {what}", str(source))


@pytest.mark.parametrize("format_", ["jsonl", "alpaca", "parquet"])
def test_a_pipe_is_read_once_and_can_be_read_again(
    tmp_path: Path, format_: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    write_dataset(tmp_path / "data", [HI, ADD] * 3, format_)
    os.mkfifo(tmp_path / "pipe")
    raw = (tmp_path / "data").read_bytes()
    writer = threading.Thread(target=(tmp_path / "pipe").write_bytes, args=(raw,))
    writer.start()
    dataset = ShardedDataset(tmp_path / "pipe")
    writer.join()
    for _ in range(2):
        assert [example for batch in dataset.batches() for example in batch.examples] == [HI, ADD] * 3
    assert dataset.place(0, 1).startswith(str(tmp_path / "pipe"))
    (copy,) = temporary.iterdir()
    assert copy.read_bytes() == raw
    del dataset
    gc.collect()
    assert list(temporary.iterdir()) == []


def test_standard_input_may_be_a_pipe_and_leaves_nothing(tmp_path: Path) -> None:
    code = """
from alpaca_cli.format.sharded import ShardedDataset
dataset = ShardedDataset("/dev/stdin")
for _ in range(2):
    print(*[example.output for batch in dataset.batches() for example in batch.examples])
"""
    run = subprocess.run(
        [sys.executable, "-c", code],
        input=lines(PLAIN, ADD.as_dict()),
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    assert (run.stdout, run.stderr) == ("hi 3\nhi 3\n", "")
    assert list(tmp_path.iterdir()) == []


def test_no_room_for_a_copy_of_a_pipe_is_told(tmp_path: Path) -> None:
    code = """
import resource
from alpaca_cli.errors import UsageError
from alpaca_cli.format.sharded import ShardedDataset
resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
try:
    ShardedDataset("/dev/stdin")
except UsageError as error:
    print(error, error.problems[0].hint, sep="; ")
"""
    run = subprocess.run(
        [sys.executable, "-c", code],
        input=lines(*[PLAIN] * 9),
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    words = (
        "/dev/stdin: cannot copy it to read it twice: file too large; make it a file on a disk with room, and name that"
    )
    assert (run.stdout, run.stderr) == (f"{words}\n", "")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("change", ["grown", "touched", "gone"])
def test_a_shard_that_changes_between_two_passes_is_told(tmp_path: Path, change: str) -> None:
    path = put(tmp_path / "a.jsonl", lines(PLAIN, PLAIN))
    dataset = ShardedDataset(tmp_path)
    list(dataset.batches())
    if change == "grown":
        status = path.stat()
        with path.open("a") as stream:
            stream.write(lines(PLAIN))
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    elif change == "touched":
        os.utime(path, ns=(1, 1))
    else:
        path.unlink()
    with pytest.raises(IntegrityError) as raised:
        list(dataset.batches())
    (problem,) = raised.value.problems
    assert (problem.message, problem.where) == ("this file changed while it was read", str(path))
    assert problem.hint == "run the same command again when nothing writes to it"


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="nothing tells the peak of this process alone")
@pytest.mark.parametrize("name", ["a.jsonl", "a.parquet"])
def test_memory_does_not_grow_with_the_rows(tmp_path: Path, name: str) -> None:
    """100 MB, of which a batch is 1 MB; what reads and writes parquet takes about 140 MB of any file."""
    noise = [os.urandom(2_500).hex() for _ in range(20_000)]
    if name == "a.parquet":
        table = pa.table({"instruction": ["Say hi."] * len(noise), "output": noise})
        pq.write_table(table, tmp_path / name, compression="none", use_dictionary=False)
    else:
        with (tmp_path / name).open("w") as stream:
            stream.writelines(f'{{"instruction": "Say hi.", "output": "{text}"}}\n' for text in noise)
    code = f"""
import re
from pathlib import Path
import numpy as np
from alpaca_cli.format import container, parquet, sharded
from alpaca_cli.format.select import write_kept
container.BATCH_ROWS = sharded.BATCH_ROWS = 200
parquet._ROW_GROUP = 1_000


def peak():
    return int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) // 1024


before = peak()
dataset = sharded.ShardedDataset({str(tmp_path / name)!r})
assert sum(len(batch.examples) for batch in dataset.batches()) == 20_000
write_kept(dataset, [np.ones(20_000, bool)], Path({str(tmp_path / "out")!r}))
print(peak() - before)
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.stderr == ""
    assert (tmp_path / name).stat().st_size > 100_000_000
    assert int(run.stdout) < (220 if name == "a.parquet" else 60)
    for path in (tmp_path / name, tmp_path / "out"):
        path.unlink()


def test_numbers_and_spots_are_arrays_of_int64(tmp_path: Path) -> None:
    put(tmp_path / "a.jsonl", lines("", PLAIN, "", PLAIN))
    (batch,) = ShardedDataset(tmp_path / "a.jsonl").batches()
    assert batch.numbers.dtype == batch.spots.dtype == np.int64
    assert (batch.numbers.tolist(), batch.spots.tolist()) == ([0, 1], [2, 4])

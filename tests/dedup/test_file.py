"""Deduplication from file to file: every format, the report, `against`, and nothing written when something is wrong."""

from __future__ import annotations

import json
import os
import random
import subprocess
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rouge_score import rouge_scorer

from alpaca_cli.data.example import Example
from alpaca_cli.dedup import kernel
from alpaca_cli.dedup.file import DedupReport, dedup_file
from alpaca_cli.errors import AlpacaError, DataError, UsageError
from alpaca_cli.format.names import FORMAT_NAMES
from alpaca_cli.format.read import read_dataset
from alpaca_cli.format.write import write_dataset

SCORER = rouge_scorer.RougeScorer(["rougeL"], use_stemmer=False)
ROWS = [
    Example("Name three birds that swim well.", "", "Penguin, duck, swan."),
    Example("Sort these numbers from small to large.", "3 1 2", "1 2 3"),
    Example("Name three birds that swim badly.", "", "Hen, owl, robin."),
    Example("Why is the sky dark at night?", "", "The Sun is below the horizon."),
    Example("Sort the numbers from small to large.", "9 8", "8 9"),
    Example("Warum ist „Grün“ grün?\nSag es.", "", "Weil es – grün ist."),
]
KEPT = [0, 1, 3, 5]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return put(tmp_path / "source.json", ROWS)


def put(path: Path, examples: list[Example], format_: str = "alpaca") -> Path:
    write_dataset(path, examples, format_)
    return path


def lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def left_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("format_", FORMAT_NAMES)
def test_the_rows_that_are_new_are_written_in_the_sources_format(tmp_path: Path, format_: str) -> None:
    source, out = put(tmp_path / "in", ROWS, format_), tmp_path / "out"
    report = dedup_file(source, out)
    assert report == DedupReport(
        rows=6,
        kept=4,
        dropped=2,
        dropped_for_against=0,
        num_pairs=15,
        num_counted=report.num_counted,
        wordless=0,
        whole=0,
        skipped=0,
        problems=(),
        format=format_,
        shards=1,
        out=out,
        report=None,
    )
    assert 2 <= report.num_counted <= 15
    new = read_dataset(out)
    assert (new.format, new.examples) == (format_, [ROWS[index] for index in KEPT])
    assert left_in(tmp_path) == ["in", "out"]


@pytest.mark.parametrize("format_", FORMAT_NAMES)
def test_a_dataset_without_repeats_comes_out_byte_for_byte(tmp_path: Path, format_: str) -> None:
    source = put(tmp_path / "in", [ROWS[index] for index in KEPT], format_)
    dedup_file(source, tmp_path / "out")
    if format_ == "parquet":
        assert pq.read_table(tmp_path / "out").equals(pq.read_table(source))
    else:
        assert (tmp_path / "out").read_bytes() == source.read_bytes()


def test_lines_are_copied_as_they_stand_whatever_else_they_hold(tmp_path: Path) -> None:
    kept = [
        '{"id": 1.50, "instruction": "a b c d", "output":"x"}',
        '  {"output": "\\u00e4", "instruction": "e f g h", "input": "", "tags": ["ä", {}]}\r',
    ]
    dropped = '{"instruction": "A, B, C, D!", "output": "y", "id": 2}'
    (tmp_path / "in").write_bytes(f"\ufeff{kept[0]}\n\n{dropped}\n{kept[1]}".encode())
    assert dedup_file(tmp_path / "in", tmp_path / "out").dropped == 1
    assert (tmp_path / "out").read_bytes().decode() == "".join(f"{line}\n" for line in kept)


def test_objects_of_a_list_keep_their_keys_and_values(tmp_path: Path) -> None:
    rows = [
        {"id": k, "output": "x", "instruction": text, "n": [1.5, None]} for k, text in enumerate(["a b", "a b", "c d"])
    ]
    (tmp_path / "in").write_text(json.dumps(rows))
    dedup_file(tmp_path / "in", tmp_path / "out")
    assert (tmp_path / "out").read_text() == json.dumps([rows[0], rows[2]], indent=4)


def test_a_table_keeps_its_columns_and_types(tmp_path: Path) -> None:
    columns = {"n": pa.array([1, 2, 3], pa.int8()), "instruction": ["a b", "a b", "c d"], "output": ["x", "y", "z"]}
    pq.write_table(pa.table(columns), tmp_path / "in")
    dedup_file(tmp_path / "in", tmp_path / "out")
    assert pq.read_table(tmp_path / "out").equals(pq.read_table(tmp_path / "in").take([0, 2]))


def test_the_report_names_each_dropped_row_and_what_it_repeats(tmp_path: Path, source: Path) -> None:
    report = dedup_file(source, tmp_path / "out", report=tmp_path / "report")
    assert (report.dropped, report.report) == (2, tmp_path / "report")
    assert lines(tmp_path / "report") == [
        {
            "row": row,
            "place": f"{source}[{row}]",
            "text": ROWS[row].instruction,
            "repeats_place": f"{source}[{kept}]",
            "repeats": ROWS[kept].instruction,
            "score": SCORER.score(ROWS[kept].instruction, ROWS[row].instruction)["rougeL"].fmeasure,
        }
        for row, kept in ((2, 0), (4, 1))
    ]


def test_rows_of_several_files_may_count_as_kept_already(tmp_path: Path, source: Path) -> None:
    first = put(tmp_path / "first.jsonl", [Example("Unlike all others.", "", "x"), ROWS[3]], "jsonl")
    second = put(tmp_path / "second.json", [Example("Sort these numbers from small to tall.", "", "x")])
    report = dedup_file(source, tmp_path / "out", against=[first, second], report=tmp_path / "report")
    assert (report.kept, report.dropped, report.dropped_for_against) == (2, 4, 3)
    assert [(row["row"], row["repeats_place"]) for row in lines(tmp_path / "report")] == [
        (1, f"{second}[0]"),
        (2, f"{source}[0]"),
        (3, f"{first}:2"),
        (4, f"{second}[0]"),
    ]
    assert read_dataset(tmp_path / "out").examples == [ROWS[0], ROWS[5]]


def test_a_report_without_a_dropped_row_is_empty(tmp_path: Path) -> None:
    dedup_file(put(tmp_path / "in", ROWS[:2]), tmp_path / "out", report=tmp_path / "report")
    assert (tmp_path / "report").read_bytes() == b""


def test_the_threshold_and_the_tokenizer_decide(tmp_path: Path, source: Path) -> None:
    assert dedup_file(source, tmp_path / "a", threshold=1).kept == 6
    assert dedup_file(source, tmp_path / "b", threshold=0.85).kept == 5
    chinese = put(
        tmp_path / "in",
        [Example(text, "", "好。") for text in ("写一首关于春天的诗", "写一首关于秋天的诗", "解释重力")],
    )
    assert dedup_file(chinese, tmp_path / "c").kept == 3
    assert dedup_file(chinese, tmp_path / "d", tokenizer="unicode").kept == 2


def test_bad_rows_are_left_out_only_when_asked_and_places_stay_true(tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    texts = ["a b c d", None, "a b c d", 3, "e f g h"]
    path.write_text("".join(json.dumps({"instruction": text, "output": "x"}) + "\n" for text in texts))
    with pytest.raises(DataError) as raised:
        dedup_file(path, tmp_path / "out", report=tmp_path / "report")
    assert [problem.where for problem in raised.value.problems] == [f"{path}:2", f"{path}:4"]
    assert left_in(tmp_path) == ["in.jsonl"]
    report = dedup_file(path, tmp_path / "out", skip_bad=True, report=tmp_path / "report")
    assert (report.rows, report.kept, report.dropped, report.skipped, len(report.problems)) == (3, 2, 1, 2, 2)
    assert [(row["row"], row["place"], row["repeats_place"]) for row in lines(tmp_path / "report")] == [
        (2, f"{path}:3", f"{path}:1")
    ]
    assert (tmp_path / "out").read_text().splitlines() == [path.read_text().splitlines()[row] for row in (0, 4)]
    other = tmp_path / "other.jsonl"
    other.write_text('{"instruction": 1, "output": "x"}\n{"instruction": "e f g h", "output": "x"}\n')
    report = dedup_file(path, tmp_path / "new", skip_bad=True, against=[other])
    assert (report.kept, report.dropped_for_against, report.skipped, len(report.problems)) == (1, 1, 3, 3)


def test_the_source_may_be_overwritten_by_force_alone(tmp_path: Path, source: Path) -> None:
    before = source.read_bytes()
    with pytest.raises(UsageError, match="output exists"):
        dedup_file(source, source)
    assert source.read_bytes() == before
    assert dedup_file(source, source, force=True).kept == 4
    assert read_dataset(source).examples == [ROWS[index] for index in KEPT]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"threshold": 0}, "threshold: expected over 0 and up to 1, found 0"),
        ({"threshold": 1.01}, "threshold: expected over 0 and up to 1, found 1.01"),
        ({"threshold": float("nan")}, "threshold: expected over 0 and up to 1, found nan"),
        ({"tokenizer": "words"}, "no such tokenizer: words"),
        ({"report": "out"}, "--out and --report are the same file"),
        ({"report": "folder/../out"}, "--out and --report are the same file"),
        ({"report": "source.json", "force": True}, "this would overwrite a file that is read"),
        ({"report": "other.json", "force": True}, "this would overwrite a file that is read"),
        ({"report": "folder"}, "expected a file to write, found a directory"),
        ({"report": "mine"}, "output exists"),
        ({"against": ["other.json", "missing"]}, "no such dataset"),
        ({"against": ["mine"]}, "expected a JSON list, JSON Lines or parquet"),
    ],
)
def test_nothing_is_written_when_something_is_wrong(
    tmp_path: Path, source: Path, options: dict[str, object], message: str
) -> None:
    other = put(tmp_path / "other.json", ROWS[:1])
    (tmp_path / "mine").write_text("mine")
    (tmp_path / "folder").mkdir()
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
    if isinstance(options.get("report"), str):
        options = {**options, "report": tmp_path / str(options["report"]), "against": [other]}
    elif "against" in options:
        options = {"against": [tmp_path / name for name in ("other.json", *options["against"])]}  # type: ignore[misc]
    with pytest.raises(AlpacaError) as raised:
        dedup_file(source, tmp_path / "out", **options)  # type: ignore[arg-type]
    assert message in str(raised.value)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()} == before


def test_progress_is_heard_as_rows_done_of_all(tmp_path: Path, source: Path) -> None:
    heard: list[tuple[str, int, int]] = []
    dedup_file(source, tmp_path / "out", on_progress=lambda *words: heard.append(words))
    assert heard == [("reading", 6, 0), ("comparing rows", 6, 6), ("writing", 6, 6)]


@pytest.mark.parametrize("way", [{}, {"spill": True}, {"memory": 1}, {"workers": 2}, {"spill": True, "workers": 2}])
def test_any_field_is_compared_alike_in_memory_and_on_disk(tmp_path: Path, way: dict[str, object]) -> None:
    rows = [
        Example("Add.", "one two three four", "x y z w"),
        Example("Add.", "one two three five", "a b c d"),
        Example("Add them.", "", "a b c e"),
        Example("Add.", "six seven", "none of these"),
    ]
    if way.get("spill"):
        way = {**way, "spill": tmp_path / "spill"}
    source = put(tmp_path / "in.json", rows)
    kept = {}
    for field in ("instruction", "input", "output", "instruction+input"):
        report = dedup_file(source, tmp_path / "out.json", field=field, force=True, report=tmp_path / "r", **way)  # type: ignore[arg-type]
        kept[field] = [rows.index(example) for example in read_dataset(tmp_path / "out.json").examples]
        assert len(lines(tmp_path / "r")) == report.dropped == 4 - report.kept
        (tmp_path / "r").unlink()
    assert kept == {"instruction": [0, 2], "input": [0, 2, 3], "output": [0, 1, 3], "instruction+input": [0, 2, 3]}
    assert left_in(tmp_path) == ["in.json", "out.json"]


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
def test_shards_are_one_dataset_and_keep_their_names(tmp_path: Path, suffix: str) -> None:
    folder = tmp_path / "data"
    for number, row in enumerate(ROWS):
        put(folder / f"{number}.{suffix}", [row], suffix)
    report = dedup_file(folder, tmp_path / "new", report=tmp_path / "report.jsonl")
    assert (report.rows, report.kept, report.shards) == (6, 4, 6)
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == [f"{number}.{suffix}" for number in range(6)]
    joined = dedup_file(f"{folder}/*.{suffix}", tmp_path / f"one.{suffix}", against=[folder / f"3.{suffix}"])
    assert (joined.kept, joined.dropped_for_against) == (3, 1)
    assert read_dataset(tmp_path / f"one.{suffix}").examples == [ROWS[0], ROWS[1], ROWS[5]]
    index = ":1" if suffix == "jsonl" else "[0]"
    assert [(line["row"], line["place"], line["repeats_place"]) for line in lines(tmp_path / "report.jsonl")] == [
        (0, f"{folder}/2.{suffix}{index}", f"{folder}/0.{suffix}{index}"),
        (0, f"{folder}/4.{suffix}{index}", f"{folder}/1.{suffix}{index}"),
    ]


def test_neither_a_shard_of_the_output_nor_one_that_is_read_is_overwritten(tmp_path: Path) -> None:
    for folder in ("data", "kept"):
        put(tmp_path / folder / "0.jsonl", ROWS[:2], "jsonl")
    data, kept, new = (tmp_path / name for name in ("data", "kept", "new"))
    with pytest.raises(UsageError, match="--out and --report are the same file"):
        dedup_file(data, new, report=new / "0.jsonl")
    assert not new.exists()
    before = (kept / "0.jsonl").read_bytes()
    with pytest.raises(UsageError, match="this would overwrite a file that is read") as raised:
        dedup_file(data, kept, against=[kept], force=True)
    assert raised.value.problems[0].where == str(kept / "0.jsonl")
    assert (kept / "0.jsonl").read_bytes() == before


def test_what_comes_through_a_pipe_counts_for_memory(tmp_path: Path, source: Path) -> None:
    pipe, notes = tmp_path / "pipe", list[str]()
    os.mkfifo(pipe)
    with subprocess.Popen(["cp", source, pipe]):
        assert dedup_file(pipe, tmp_path / "out", memory=100, on_note=notes.append).kept == 4
    assert [note for note in notes if "compared on disk" in note] == notes != []


def test_a_run_that_goes_on_does_not_say_how_many_pairs_it_counted(
    tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise UsageError("cannot write: no space left on device")

    whole = dedup_file(source, tmp_path / "whole", spill=tmp_path / "spill")
    with monkeypatch.context() as patch:
        patch.setattr("alpaca_cli.dedup.file.write_kept", full)
        with pytest.raises(UsageError, match="no space left"):
            dedup_file(source, tmp_path / "out", spill=tmp_path / "spill")
    again = dedup_file(source, tmp_path / "out", spill=tmp_path / "spill")
    assert (whole.num_counted is None, again.num_counted) == (False, None)
    assert (tmp_path / "out").read_bytes() == (tmp_path / "whole").read_bytes()
    assert left_in(tmp_path) == ["out", "source.json", "whole"]


def test_bad_rows_at_any_place_leave_the_others_in_theirs(tmp_path: Path) -> None:
    rng = random.Random(4)
    good = [f'{{"instruction": "{" ".join(rng.choices("abcdefgh", k=6))}", "output": "x"}}' for _ in range(60)]
    for trial in range(5):
        mixed = [line if rng.random() < 0.7 else rng.choice(["{", "3", '{"instruction": 1}']) for line in good]
        (tmp_path / "in.jsonl").write_text("\n".join([good[0], *["[]"] * (trial % 2), *mixed, *["{}"] * (trial // 2)]))
        (tmp_path / "good.jsonl").write_text("\n".join([good[0], *(line for line in mixed if line in good)]))
        dedup_file(tmp_path / "in.jsonl", tmp_path / "a.jsonl", skip_bad=True, force=True)
        dedup_file(tmp_path / "good.jsonl", tmp_path / "b.jsonl", force=True)
        assert (tmp_path / "a.jsonl").read_bytes() == (tmp_path / "b.jsonl").read_bytes()


def test_a_run_without_the_compiled_kernel_says_once_that_it_is_slower(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    notes = list[str]()
    fast = dedup_file(source, tmp_path / "fast", on_note=notes.append)
    assert notes == []
    monkeypatch.setattr(kernel, "LIBRARY", None)
    slow = dedup_file(source, tmp_path / "slow", on_note=notes.append)
    assert notes == [
        "comparing is slower here: the compiled kernel is missing, or older than this code"
        " (with a C compiler, install alpaca again from its source)"
    ]
    assert (slow.kept, slow.dropped) == (fast.kept, fast.dropped)
    assert (tmp_path / "slow").read_bytes() == (tmp_path / "fast").read_bytes()


@pytest.mark.parametrize(("name", "glob"), [("x.jsonl", ""), ("x.parquet", ""), ("x.parquet", "*.*"), ("x.jsonl", "*")])
def test_what_is_written_is_no_part_of_the_data(tmp_path: Path, name: str, glob: str) -> None:
    folder = tmp_path / "data"
    for number in range(2):
        put(folder / f"{number}.jsonl", [ROWS[number]], "jsonl")
    data = f"{folder}/{glob}" if glob else folder
    for given in ({"out": folder / name}, {"out": tmp_path / "new", "report": folder / name}):
        if name.endswith("parquet") and "report" not in given:
            continue  # refused for its suffix
        with pytest.raises(UsageError, match="would be taken for a part of the data"):
            dedup_file(data, **given)  # type: ignore[arg-type]
    assert left_in(folder) == ["0.jsonl", "1.jsonl"]
    assert left_in(tmp_path) == ["data"]

"""`alpaca dedup` from argv to files."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rouge_score import rouge_scorer

from conftest import Outcome

Alpaca = Callable[..., Outcome]


def test_a_near_duplicate_is_dropped_and_reported(alpaca: Alpaca, dataset: Path) -> None:
    run = alpaca("dedup", dataset, "--out", "new.json", "--report", "dropped.jsonl")

    rows, kept = json.loads(dataset.read_text()), json.loads(Path("new.json").read_text())
    (dropped,) = [json.loads(line) for line in Path("dropped.jsonl").read_text().splitlines()]
    scorer = rouge_scorer.RougeScorer(["rougeL"], use_stemmer=False)
    assert (run.code, run.out) == (0, "new.json\n")
    assert kept == [rows[0], rows[1], rows[3]]
    assert dropped == {
        "row": 2,
        "place": f"{dataset}[2]",
        "text": rows[2]["instruction"],
        "repeats_place": f"{dataset}[0]",
        "repeats": rows[0]["instruction"],
        "score": scorer.score(rows[0]["instruction"], rows[2]["instruction"])["rougeL"].fmeasure,
    }
    assert "kept 3 of 4 rows, dropped 1" in run.err


def test_against_counts_another_dataset_as_kept(alpaca: Alpaca, dataset: Path) -> None:
    other = Path("other.jsonl")
    other.write_text('{"instruction": "Why is the sky dark at midnight?", "input": "", "output": "No sun."}\n')
    run = alpaca("dedup", dataset, "--out", "new.json", "--against", other, "--report", "d.jsonl", "--json")

    last = json.loads(Path("d.jsonl").read_text().splitlines()[-1])
    assert (run.json["kept"], run.json["dropped"], run.json["dropped_for_against"]) == (2, 2, 1)
    assert last["repeats_place"] == "other.jsonl:1"


def test_rows_keep_keys_that_are_none_of_ours(alpaca: Alpaca) -> None:
    lines = [f'{{"id": {k}, "instruction": "Task {k} {"x" * k} about w{k}", "output":   "Done."}}' for k in range(3)]
    Path("data.jsonl").write_text("\n".join(lines), encoding="utf-8")
    run = alpaca("dedup", "data.jsonl", "--out", "new.jsonl")

    assert run.code == 0
    assert Path("new.jsonl").read_text() == "\n".join(lines) + "\n"


def test_a_parquet_table_keeps_its_schema(alpaca: Alpaca) -> None:
    columns = {
        "id": pa.array([1, 2, 3], pa.int16()),
        "instruction": ["a b c d", "a b c d", "e f g h"],
        "output": ["x"] * 3,
    }
    pq.write_table(pa.table(columns), "data.parquet")
    alpaca("dedup", "data.parquet", "--out", "new.parquet")

    new = pq.read_table("new.parquet")
    assert new.column("id").to_pylist() == [1, 3]
    assert new.schema == pq.read_table("data.parquet").schema


def test_the_unicode_tokenizer_sees_other_scripts(alpaca: Alpaca) -> None:
    rows = [
        {"instruction": text, "input": "", "output": "好。"}
        for text in ("写一首关于春天的诗", "写一首关于秋天的诗", "解释重力")
    ]
    Path("data.json").write_text(json.dumps(rows))
    rouge = alpaca("dedup", "data.json", "--out", "a.json", "--json")
    unicode = alpaca("dedup", "data.json", "--out", "b.json", "--json", "--tokenizer", "unicode")

    assert (rouge.json["kept"], unicode.json["kept"]) == (3, 2)
    assert (rouge.json["wordless"], unicode.json["wordless"]) == (3, 0)
    assert "3 of 3 texts have no word that the tokenizer sees" in rouge.err


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--threshold", "0"], "threshold: expected over 0 and up to 1, found 0"),
        (["--threshold", "1.5"], "--threshold: expected over 0 and up to 1, found 1.5"),
        (["--tokenizer", "words"], "no such tokenizer: words"),
        (["--against", "missing.json"], "no such dataset"),
        (["--report", "new.json"], "are the same file"),
    ],
)
def test_wrong_flags_are_told_and_nothing_is_written(
    alpaca: Alpaca, dataset: Path, more: list[str], words: str
) -> None:
    run = alpaca("dedup", dataset, "--out", "new.json", *more)

    assert run.code == 2
    assert words in run.err
    assert not Path("new.json").exists()


def test_an_existing_report_is_not_overwritten_unasked(alpaca: Alpaca, dataset: Path) -> None:
    Path("report.jsonl").write_text("mine")
    run = alpaca("dedup", dataset, "--out", "new.json", "--report", "report.jsonl")

    assert (run.code, Path("report.jsonl").read_text(), Path("new.json").exists()) == (2, "mine", False)


def test_a_pipe_is_read_once(dataset: Path) -> None:
    import subprocess
    import sys

    command = [sys.executable, "-m", "alpaca_cli", "dedup", "/dev/stdin", "--out", "new.json"]
    run = subprocess.run(command, input=dataset.read_bytes(), capture_output=True, check=False)

    assert run.returncode == 0, run.stderr
    assert len(json.loads(Path("new.json").read_text())) == 3


@pytest.mark.parametrize("flag", ["--report", "--out"])
def test_a_file_that_is_read_is_not_overwritten_even_with_force(alpaca: Alpaca, dataset: Path, flag: str) -> None:
    other = Path("other.json")
    other.write_text('{"instruction": "Why is the sky dark?", "input": "", "output": "No sun."}\n')
    before = other.read_bytes()
    outputs = {"--out": "new.json", "--report": "d.jsonl"} | {flag: str(other)}
    run = alpaca("dedup", dataset, "--against", other, "--force", *(word for pair in outputs.items() for word in pair))

    assert (run.code, other.read_bytes()) == (2, before)
    assert "this would overwrite a file that is read" in run.err


def test_a_table_is_not_written_under_the_name_of_a_text_nor_the_reverse(alpaca: Alpaca, dataset: Path) -> None:
    pq.write_table(pa.table({"instruction": ["a"], "output": ["b"]}), "data.parquet")
    for source, out in ((dataset, "new.parquet"), ("data.parquet", "new.jsonl")):
        run = alpaca("dedup", source, "--out", out)
        assert (run.code, "as they were read" in run.err, Path(out).exists()) == (2, True, False)


def test_a_scheduler_that_stops_it_leaves_no_temporary_file(tmp_path: Path) -> None:
    """SIGTERM in the middle of writing a report that waits for its reader: as after Ctrl-C."""
    code = """
import os, signal, sys
from alpaca_cli.cli import app
from alpaca_cli.dedup import file
def stopped(*_):
    os.kill(os.getpid(), signal.SIGTERM)
file.write_kept = stopped
sys.exit(app.main(["dedup", "data.jsonl", "--out", "new.jsonl", "--report", "report.jsonl"]))
"""
    lines = [f'{{"instruction": "a b c d {k}", "output": "x"}}' for k in range(9)]
    (tmp_path / "data.jsonl").write_text("\n".join(lines))
    run = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (run.returncode, "interrupted" in run.stderr) == (130, True), run.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["data.jsonl"]


def test_an_empty_name_is_no_dataset(alpaca: Alpaca) -> None:
    run = alpaca("dedup", "", "--out", "new.json")
    assert (run.code, "found an empty name" in run.err) == (2, True)


def test_memory_that_runs_out_is_no_bug(alpaca: Alpaca, dataset: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def too_much(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr("alpaca_cli.dedup.local.decide", too_much)
    run = alpaca("dedup", dataset, "--out", "new.json")
    assert (run.code, "memory ran out" in run.err, "--spill" in run.err) == (2, True, True), run.err
    assert not Path("new.json").exists()

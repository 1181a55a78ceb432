"""A file of records that grows, is torn, and is replaced."""

from __future__ import annotations

import json
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from alpaca_cli.finetune.launch.follow import Follower
from alpaca_cli.finetune.metrics import Metrics


def test_only_what_comes_from_now_on(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1}\n')
    follower = Follower(path)
    with path.open("a") as stream:
        stream.write('{"step": 2}\n')

    assert list(follower.new()) == [{"step": 2}]
    assert list(follower.new()) == []


def test_a_file_that_is_not_there_yet(tmp_path: Path) -> None:
    follower = Follower(tmp_path / "metrics.jsonl")
    assert list(follower.new()) == []
    (tmp_path / "metrics.jsonl").write_text('{"step": 1}\n')
    assert list(follower.new()) == [{"step": 1}]


@settings(max_examples=50, deadline=None)
@given(cuts=st.lists(st.integers(0, 200), max_size=8))
def test_whatever_pieces_it_comes_in(tmp_path_factory: object, cuts: list[int]) -> None:
    folder = tmp_path_factory.mktemp("pieces")  # type: ignore[attr-defined]
    records = [{"step": step, "text": "ä\u2028"} for step in range(6)]
    raw = b"".join(json.dumps(record, ensure_ascii=False).encode() + b"\n" for record in records)
    follower, found = Follower(folder / "m"), []
    for begin, end in zip([0, *sorted(cuts)], [*sorted(cuts), len(raw)], strict=True):
        with (folder / "m").open("ab") as stream:
            stream.write(raw[begin:end])
        found += list(follower.new())

    assert found == records


def test_lines_that_are_no_records_are_left_out(tmp_path: Path) -> None:
    follower = Follower(tmp_path / "m")
    (tmp_path / "m").write_bytes(b'not json\n[1]\n\xff\n{"step": 1}\n')
    assert list(follower.new()) == [{"step": 1}]


def test_a_run_that_forgets_its_last_steps_is_not_told_twice(tmp_path: Path) -> None:
    metrics = Metrics(tmp_path, is_writing=True)
    for step in range(1, 6):
        metrics.write("step", step=step, loss=1 / step)
    follower = Follower(tmp_path / "metrics.jsonl")
    metrics.phase("loading")
    (loading,) = follower.new()
    metrics.cut(3)
    for step in range(4, 9):
        metrics.write("step", step=step, loss=1.5 / step)

    assert loading["phase"] == "loading"
    assert [record["step"] for record in follower.new()] == [4, 5, 6, 7, 8]

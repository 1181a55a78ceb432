"""`alpaca dedup --engine ray`: the bytes of the local engine, on a Ray of two workers."""

from __future__ import annotations

import json
import os
import random
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from alpaca_cli.dedup.cluster.engine import RayEngine
from alpaca_cli.dedup.file import dedup_file
from alpaca_cli.errors import DataError, IntegrityError, UsageError
from conftest import Outcome

Alpaca = Callable[..., Outcome]

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning:ray.data.context"),  # it sets its own old settings
    # Ray leaves pipes and files of the processes that it starts to the garbage collector.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


def put_shards(folder: Path, num_shards: int, rows: int) -> None:
    """Rows of a few words, some of them bad, some without a word, in JSON Lines; the last shard has none."""
    rng = random.Random(num_shards)
    folder.mkdir()
    for number in range(num_shards):
        lines = []
        for row in range(rows):
            words = " ".join(rng.choices([f"w{rng.randrange(40)}" for _ in range(9)], k=rng.randint(0, 9)))
            lines.append(json.dumps({"instruction": words or "…", "input": str(row), "output": "x"}))
            if rng.random() < 0.05:
                lines.append("{")
        (folder / f"{number}.jsonl").write_text("\n".join(lines))
    (folder / f"{num_shards}.jsonl").write_text("")


def test_the_bytes_are_those_of_the_local_engine(cluster: ModuleType, tmp_path: Path) -> None:
    put_shards(tmp_path / "data", 3, 80)
    put_shards(tmp_path / "other", 1, 30)
    found = {}
    for name, engine in (("local", None), ("ray", RayEngine(None))):
        out, report = tmp_path / name, tmp_path / f"{name}.report"
        found[name] = dedup_file(
            tmp_path / "data", out, threshold=0.6, against=[tmp_path / "other"], report=report, skip_bad=True,
            engine=engine,
        )  # fmt: skip
    local, ray = found["local"], found["ray"]
    assert local.dropped > local.dropped_for_against > 0 < local.wordless
    for name in ("rows", "kept", "dropped", "dropped_for_against", "wordless", "skipped", "problems", "num_pairs"):
        assert getattr(local, name) == getattr(ray, name)
    assert (tmp_path / "local.report").read_bytes() == (tmp_path / "ray.report").read_bytes()
    assert sorted(path.name for path in (tmp_path / "ray").iterdir()) == [f"{number}.jsonl" for number in range(4)]
    for path in (tmp_path / "local").iterdir():
        assert path.read_bytes() == (tmp_path / "ray" / path.name).read_bytes()


def test_bad_rows_are_told_before_the_cluster_has_work(cluster: ModuleType, tmp_path: Path) -> None:
    put_shards(tmp_path / "data", 2, 60)
    with pytest.raises(DataError, match="invalid JSON"):
        dedup_file(tmp_path / "data", tmp_path / "new", engine=RayEngine(None))
    assert not (tmp_path / "new").exists()


def test_a_pipe_is_refused_before_it_is_read_for_the_cluster(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    heard: list[str] = []
    with subprocess.Popen(["tee", tmp_path / "pipe"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as writer:
        assert writer.stdin is not None
        writer.stdin.write(b'{"instruction": "a", "output": "b"}')
        writer.stdin.close()
        with pytest.raises(UsageError, match="expected a file, which all machines can read"):
            dedup_file(
                tmp_path / "pipe",
                tmp_path / "new",
                engine=RayEngine(None),
                on_progress=lambda *said: heard.append(said[0]),
            )
    assert heard == []


def test_a_cluster_that_reads_other_files_is_found_out(
    cluster: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, rows in (("0.jsonl", 2), ("1.jsonl", 1)):
        (tmp_path / "data").mkdir(exist_ok=True)
        (tmp_path / "data" / name).write_text('{"instruction": "a", "output": "b"}\n' * rows)

    def others(names: list[str], *given: object, **options: object) -> object:
        return cluster.dedup_on_ray(names[::-1], *given, **options)  # as many rows in all

    monkeypatch.setattr("alpaca_cli.dedup.cluster.engine.dedup_on_ray", others)
    with pytest.raises(IntegrityError, match="the cluster read 1 rows, and this machine 2") as raised:
        dedup_file(tmp_path / "data", tmp_path / "new", engine=RayEngine(None))
    assert raised.value.problems[0].where == str(tmp_path / "data" / "0.jsonl")
    assert not (tmp_path / "new").exists()


def test_from_the_command_line(cluster: ModuleType, alpaca: Alpaca, dataset: Path) -> None:
    local = alpaca("dedup", dataset, "--out", "a.json", "--report", "a.report", "--json")
    ray = alpaca("dedup", dataset, "--out", "b.json", "--report", "b.report", "--json", "--engine", "ray")
    assert (local.code, ray.code) == (0, 0), ray.err
    assert {**ray.json, "out": "", "report": ""} == {**local.json, "out": "", "report": ""}
    assert Path("a.json").read_bytes() == Path("b.json").read_bytes()
    assert Path("a.report").read_bytes() == Path("b.report").read_bytes()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--engine", "spark"], "no such engine: spark"),
        (["--engine", "ray", "--spill", "x"], "--engine ray takes no --spill, --memory or --workers"),
        (["--engine", "ray", "--ray-address", "ray://host:1"], "expected the address of a cluster"),
        (["--ray-address", "auto"], "--ray-address is for --engine ray"),
    ],
)
def test_what_cannot_be_is_refused(alpaca: Alpaca, dataset: Path, flags: list[str], message: str) -> None:
    run = alpaca("dedup", dataset, "--out", "new", *flags)
    assert (run.code, message in run.err, Path("new").exists()) == (2, True, False), run.err

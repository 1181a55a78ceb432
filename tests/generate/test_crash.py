"""SIGKILL at random moments: the same command goes on, asks nothing twice, and ends with the same bytes."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from alpaca_cli.rehearsal.server import RehearsalServer

DERIVED = ("alpaca_data.json", "provenance.jsonl", "refused.jsonl", "report.json")
NUM = 400
KILLS = 4


def _command(out: Path, base_url: str) -> list[str]:
    options = ["--num", str(NUM), "--base-url", base_url, "--model", "rehearsal", "--out", str(out)]
    return [sys.executable, "-m", "alpaca_cli", "generate", *options, "--set", "teacher.concurrency=3"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that met nothing."""
    folder = tmp_path_factory.mktemp("whole")
    with RehearsalServer() as server:
        subprocess.run(_command(folder / "r", server.base_url), check=True, capture_output=True)
    return folder / "r"


def _kill_amid(command: list[str], server: RehearsalServer, rng: random.Random) -> None:
    """Run a command, and kill it at some moment after one to four of its requests have been answered."""
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        enough = server.num_requests + rng.randint(1, 4)
        deadline = time.monotonic() + 30
        while server.num_requests < enough and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.005)
        time.sleep(rng.random() * 0.1)
        process.kill()


def _pure(path: Path) -> bytes:
    """What is in a derived file, without the part of the report that no two runs share."""
    raw, run, _ = path.read_bytes().partition(b'"run": {')
    assert bool(run) == (path.name == "report.json")
    return raw


def test_killed_runs_end_with_the_bytes_of_an_uninterrupted_one(tmp_path: Path, whole: Path) -> None:
    with RehearsalServer(latency_s=0.05) as server:
        rng = random.Random(5)
        for _ in range(KILLS):
            _kill_amid(_command(tmp_path / "killed", server.base_url), server, rng)
        assert not (tmp_path / "killed" / "report.json").exists()  # it was never let come to its end
        subprocess.run(_command(tmp_path / "killed", server.base_url), check=True, capture_output=True)

    numbers = [json.loads(line)["k"] for line in (tmp_path / "killed" / "journal.jsonl").read_text().splitlines()]
    assert len(set(numbers)) == len(numbers)
    for name in DERIVED:
        assert _pure(tmp_path / "killed" / name) == _pure(whole / name)
    assert [path.name for path in (tmp_path / "killed").glob(".*")] == [".lock"]


def test_a_journalled_request_is_never_asked_again(tmp_path: Path) -> None:
    with RehearsalServer() as server:
        subprocess.run(_command(tmp_path / "r", server.base_url), check=True, capture_output=True)
        asked = server.num_requests
        journal = tmp_path / "r" / "journal.jsonl"
        lines = journal.read_text().splitlines(keepends=True)
        journal.write_text("".join(lines[:3] + lines[5:]))
        (tmp_path / "r" / "report.json").unlink()
        subprocess.run(_command(tmp_path / "r", server.base_url), check=True, capture_output=True)

        assert server.num_requests - asked == 2


@pytest.mark.parametrize("limit", [100, 30_000, 150_000])
def test_a_full_disk_stops_the_run_and_the_same_command_goes_on(tmp_path: Path, whole: Path, limit: int) -> None:
    """A limit on the size of a file stands for the disk: some file of the run grows into it."""
    with RehearsalServer(latency_s=0.01) as server:
        command = _command(tmp_path / "r", server.base_url)
        limited = (
            f"import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}));"
            "from alpaca_cli.cli.app import main; sys.exit(main(sys.argv[1:]))"
        )
        full = subprocess.run(
            [sys.executable, "-c", limited, *command[3:]], capture_output=True, text=True, check=False
        )
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        most = max(server.books.delivered.values())

    assert full.returncode == 2, full.stderr
    assert "error: " in full.stderr
    assert "cannot " in full.stderr
    assert "Traceback" not in full.stderr
    assert done.returncode == 0, done.stderr
    assert most == 1 or "are lost" in full.stderr
    for name in DERIVED[:3]:
        assert (tmp_path / "r" / name).read_bytes() == (whole / name).read_bytes()

"""SIGKILL at every step of every batch: the same command goes on, and nothing is submitted or answered twice."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
import urllib.request
from decimal import Decimal
from pathlib import Path

import pytest

from alpaca_cli.rehearsal.server import RehearsalServer
from alpaca_cli.rehearsal.storm import Storm

NUM = 66
STEPS = ("planned", "uploaded", "submitting", "submitted", "ended", "downloaded", "taken")
# The command, with short waits, once for each of "STEP before", "STEP after" and "": killed before or after it records
# a step, or not.  Each is a process of its own that need not import anew what takes long.  Prints how each ended.
CHILD = """
import os, signal, sys
import alpaca_cli.generate.plan, alpaca_cli.generate.run
from alpaca_cli.cli.app import main
from alpaca_cli.data.batchlog import BatchLog
from alpaca_cli.generate.batch import client, steps

steps.FIRST_LOOK_S, client.FIRST_PAUSE_S, client.LISTED_AFTER_S = 0.01, 0.01, 0.05
append = BatchLog._append

def dying(self, number, step, **details):
    if f"{step} before" == when:
        os.kill(os.getpid(), signal.SIGKILL)
    append(self, number, step, **details)
    if f"{step} after" == when:
        os.kill(os.getpid(), signal.SIGKILL)

BatchLog._append = dying
moments = sys.argv[1].split(",")
if moments == [""]:
    when = ""
    sys.exit(main(sys.argv[2:]))
for when in moments:
    if not (child := os.fork()):
        os._exit(main(sys.argv[2:]))
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


def _command(out: Path, base_url: str, *more: str, moments: str = "") -> list[str]:
    options = ["--num", str(NUM), "--base-url", base_url, "--model", "rehearsal", "--out", str(out)]
    prices = ["--price-in", "1", "--price-out", "2"]
    return [sys.executable, "-c", CHILD, moments, "generate", *options, *prices, *more]


def _rows(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def _check(out: Path, whole: Path, server: RehearsalServer) -> None:
    """The run came to what it would have come to undisturbed, and cost no more."""
    assert (out / "alpaca_data.json").read_bytes() == (whole / "alpaca_data.json").read_bytes()
    assert len(server.books.batches) == 2
    with urllib.request.urlopen(f"{server.base_url}/files?purpose=batch") as answer:
        assert len(json.load(answer)["data"]) == 2
    assert set(server.books.delivered.values()) == {1}
    numbers = [row["k"] for row in _rows(out / "journal.jsonl")]
    assert len(set(numbers)) == len(numbers)
    ledger = _rows(out / "ledger.jsonl")
    bill = sum((each.cost(Decimal(1), Decimal(2)) for each in server.books.batches.values()), Decimal(0))
    assert sum(Decimal(str(row["cost"])) for row in ledger if "cost" in row) == bill
    assert sum(int(str(row["num_requests"])) for row in ledger if "most" in row) == len(server.books.delivered)


def _storm(**settings: object) -> Storm:
    return Storm.model_validate({"batch_s": 0.05, **settings})


def test_killed_before_and_after_each_step_of_a_batch(tmp_path: Path) -> None:
    with RehearsalServer(storm=_storm()) as server:
        subprocess.run(_command(tmp_path / "whole", server.base_url), check=True, capture_output=True)
    with RehearsalServer(storm=_storm()) as server:
        moments = [f"{step} {when}" for step in STEPS for when in ("before", "after")]
        command = _command(tmp_path / "r", server.base_url, "--batch", moments=",".join([*moments, ""]))
        done = subprocess.run(command, capture_output=True, text=True, check=False)

        assert done.returncode == 0, done.stderr
        assert [line for line in done.stdout.splitlines() if line.strip("-").isdecimal()] == [
            *["-9"] * len(moments),
            "0",
        ], done.stderr
        _check(tmp_path / "r", tmp_path / "whole", server)


@pytest.mark.slow
def test_killed_at_random_moments_in_a_storm(tmp_path: Path) -> None:
    """Answers to the creation of batches are lost, and the process is killed while it finds out."""
    rng = random.Random(11)
    with RehearsalServer(storm=_storm()) as server:
        subprocess.run(_command(tmp_path / "whole", server.base_url), check=True, capture_output=True)
    storm = _storm(batch_script=("lost_batch", "lost_batch"), upload_script=("lost_upload",), batch_s=0.4)
    with RehearsalServer(storm=storm) as server:
        command = _command(tmp_path / "r", server.base_url, "--batch")
        for _ in range(3):
            with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
                enough, deadline = server.num_requests + 1, time.monotonic() + 30
                while server.num_requests < enough and process.poll() is None and time.monotonic() < deadline:
                    time.sleep(0.002)
                time.sleep(rng.random() * 0.15)
                process.kill()
        done = subprocess.run(command, capture_output=True, check=False)

        assert done.returncode == 0, done.stderr
        _check(tmp_path / "r", tmp_path / "whole", server)


def test_an_interrupted_run_leaves_at_once_and_its_batch_goes_on(tmp_path: Path) -> None:
    with RehearsalServer(storm=_storm(batch_s=600)) as server:
        command = _command(tmp_path / "r", server.base_url, "--batch")
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
            log, deadline = tmp_path / "r" / "batches.jsonl", time.monotonic() + 30
            while not any(row["step"] == "submitted" for row in _rows(log)) and time.monotonic() < deadline:
                time.sleep(0.01)
            os.kill(process.pid, signal.SIGINT)
            _, told = process.communicate(timeout=30)

        assert process.returncode == 130
        assert "batch 1 goes on at the server; the same command takes it up again" in told
        assert server.books.requests["/v1/batches/{id}/cancel", "200"] == 0

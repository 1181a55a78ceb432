"""The record of batches: it says after any crash how far each one is, and refuses what cannot have been written."""

from __future__ import annotations

import json
import os
from decimal import Decimal
from pathlib import Path

import pytest

from alpaca_cli.data import appendfile
from alpaca_cli.data.batchlog import BatchLog, Wave
from alpaca_cli.errors import IntegrityError

PATH = Path("batches.jsonl")


def planned(log: BatchLog, sha256: str = "ab") -> Wave:
    return log.begin("planned", num_requests=3, sha256=sha256, most=Decimal("0.25"))


def test_what_is_recorded_is_there_when_it_is_opened_again() -> None:
    with BatchLog(PATH) as log:
        wave = planned(log)
        log.record(wave, "uploaded", file_id="file-1")
        log.record(wave, "submitting", base_url="http://a/v1")
        log.record(wave, "submitted", batch_id="batch-1")
        log.record(wave, "ended", status="completed", output_file_id="file-2", error_file_id=None, num_failed=2)
    with BatchLog(PATH) as again:
        (found,) = again.waves

    assert found == wave
    assert (found.step, found.file_id, found.batch_id, found.status) == ("ended", "file-1", "batch-1", "completed")
    assert (found.num_completed, found.num_failed) == (0, 2)
    assert (found.output_file_id, found.error_file_id, found.most) == ("file-2", None, "0.25")
    assert found.submitted_at == json.loads(PATH.read_text().splitlines()[3])["at"]
    assert again.run == log.run
    assert 0 <= found.age_s < 60


def test_each_step_is_on_the_disk_before_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also when the one before it was a moment ago, of which other records wait for the next sync."""
    monkeypatch.setattr(appendfile, "SYNC_EVERY_S", float("inf"))
    synced: list[int] = []
    fsync = os.fsync

    def counting(file: int) -> None:
        fsync(file)
        synced.append(os.fstat(file).st_size)

    monkeypatch.setattr(os, "fsync", counting)
    sizes = []
    with BatchLog(PATH) as log:
        wave = planned(log)
        sizes.append(PATH.stat().st_size)
        for step in ("uploaded", "submitting", "submitted"):
            log.record(wave, step)
            sizes.append(PATH.stat().st_size)
        assert synced == sizes


def test_a_batch_is_out_from_just_before_it_is_submitted_until_it_is_taken() -> None:
    out = []
    with BatchLog(PATH) as log:
        wave = planned(log)
        for step in ("uploaded", "submitting", "submitted", "ended", "downloaded", "taken"):
            log.record(wave, step)
            out.append(wave.is_out)

    assert out == [False, True, True, True, True, False]


def test_a_batch_that_was_never_submitted_is_planned_anew_under_its_number() -> None:
    with BatchLog(PATH) as log:
        planned(log)
        wave = planned(log, "cd")
        log.record(wave, "uploaded", file_id="file-1")
        wave = planned(log, "ef")
        log.record(wave, "submitting")
        assert log.next_number == 2
        planned(log, "gh")
    with BatchLog(PATH) as again:
        found = [(wave.wave, wave.sha256, wave.step, wave.file_id) for wave in again.waves]

    assert found == [(1, "ef", "submitting", None), (2, "gh", "planned", None)]


def test_the_run_has_one_name_of_its_own() -> None:
    with BatchLog(PATH) as log, BatchLog(Path("other.jsonl")) as other:
        planned(log)
        first = log.run
        log.record(log.waves[0], "submitting")
        planned(log)

        assert log.run == first != other.run


def test_cut_at_every_byte_it_opens_with_whole_steps_only() -> None:
    with BatchLog(PATH) as log:
        log.record(planned(log), "uploaded", file_id="file-1")
    raw = PATH.read_bytes()
    first = raw.index(b"\n") + 1
    for size in range(len(raw) + 1):
        PATH.write_bytes(raw[:size])
        with BatchLog(PATH) as cut:
            steps = [wave.step for wave in cut.waves]
        assert steps == ([] if size < first - 1 else ["planned"] if size < len(raw) - 1 else ["uploaded"])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"step": "sent"}, "step: expected one of planned, uploaded"),
        ({"wave": 2}, "wave: 2 was not planned"),
        ({"wave": "1"}, "wave: expected a whole number, found a string"),
        ({"at": "noon"}, "expected a time in at"),
        ({"step": "planned", "wave": 3, "run": "x", "num_requests": 1, "sha256": ""}, "wave: expected 1, found 3"),
        ({"step": "planned"}, "run: missing"),
        ({"file_id": None}, "file_id: expected a string, found null"),
    ],
)
def test_a_step_that_cannot_be_is_damage(change: dict[str, object], words: str) -> None:
    with BatchLog(PATH) as log:
        log.record(planned(log), "uploaded", file_id="file-1")
    lines = PATH.read_text().splitlines()
    PATH.write_text("\n".join([lines[0], json.dumps({**json.loads(lines[1]), **change})]) + "\n")
    with pytest.raises(IntegrityError, match=r"batches\.jsonl:2: not a step of a batch: ") as error:
        BatchLog(PATH)

    assert words in str(error.value)


def test_no_step_goes_back() -> None:
    with BatchLog(PATH) as log:
        log.record(planned(log), "submitted", batch_id="b")
    step = {"wave": 1, "step": "uploaded", "at": "2026-01-01T00:00:00+00:00"}
    PATH.write_text(PATH.read_text() + json.dumps(step) + "\n")
    with pytest.raises(IntegrityError, match="step: uploaded after submitted"):
        BatchLog(PATH)

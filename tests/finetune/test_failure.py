"""Which failure is told, of several."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from alpaca_cli.errors import AlpacaError, DataError, IntegrityError, TrainingError
from alpaca_cli.finetune.launch.failure import failure_error, failure_of, first_failure, reporting, write_failure
from alpaca_cli.finetune.launch.heartbeat import heartbeat_of, read_heartbeats, write_heartbeat


def die(run: Path, rank: int, *, pid: int = 2**22, seen: float = 0.0, phase: str = "training") -> None:
    """Leave the sign of a process that is gone."""
    write_heartbeat(run, rank, step=7, phase=phase)
    path = heartbeat_of(run, rank)
    path.write_text(json.dumps({**json.loads(path.read_text()), "pid": pid}))
    os.utime(path, (seen, seen))


class OutOfMemoryError(RuntimeError):
    """As torch names it."""


def test_nobody_failed(tmp_path: Path) -> None:
    write_heartbeat(tmp_path, 0, step=3, phase="training")  # this process, which lives
    die(tmp_path, 1, phase="done")

    assert first_failure(tmp_path) is None
    assert failure_error(tmp_path, 0) is None


def test_the_earliest_is_told(tmp_path: Path) -> None:
    write_failure(tmp_path, 3, ValueError("first"), 5)
    time.sleep(0.01)
    write_failure(tmp_path, 0, ValueError("second"), 5)

    assert str(first_failure(tmp_path)) == f"{tmp_path}/logs/rank-00003.log: rank 3 failed in step 5: ValueError: first"
    assert "second" in str(failure_error(tmp_path, 0))


def test_a_cause_goes_before_a_death_and_a_death_before_what_follows_from_it(tmp_path: Path) -> None:
    class DistBackendError(RuntimeError):
        pass

    write_failure(tmp_path, 0, DistBackendError("remote process exited"), 5)
    assert "DistBackendError" in str(first_failure(tmp_path))
    die(tmp_path, 2, seen=20.0)
    die(tmp_path, 1, seen=10.0)
    assert "rank 1 ended without a word in step 7" in str(first_failure(tmp_path))
    write_failure(tmp_path, 4, DataError("a NCCL word of ours"))
    assert isinstance(first_failure(tmp_path), DataError)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (None, "ended without a word in step 7"),
        (-9, "was killed by SIGKILL in step 7"),
        (-99, "was killed by signal 99"),
        (9, "ended without a word, with code 9, in step 7"),
    ],
)
def test_how_a_process_died(tmp_path: Path, code: int | None, words: str) -> None:
    die(tmp_path, 1, pid=2**22)
    error = first_failure(tmp_path, {} if code is None else {2**22: code})

    assert isinstance(error, TrainingError)
    assert words in str(error)


def test_an_error_of_ours_stays_what_it_is(tmp_path: Path) -> None:
    both = IntegrityError.of(
        [*IntegrityError("bad sum", where="a:1", hint="fetch it").problems, *IntegrityError("worse").problems]
    )
    write_failure(tmp_path, 1, both)
    error = first_failure(tmp_path)

    assert (type(error), error and error.exit_code) == (IntegrityError, 5)
    assert error is not None
    assert error.problems[0] == both.problems[0]
    assert error.problems[1].where == str(tmp_path / "logs/rank-00001.log")


def test_memory_has_a_hint_of_its_own(tmp_path: Path) -> None:
    write_failure(tmp_path, 1, OutOfMemoryError("CUDA out of memory.\nTried to allocate"))
    error = first_failure(tmp_path)

    assert error is not None
    assert error.problems[0].message == "rank 1 failed: OutOfMemoryError: CUDA out of memory."
    assert "tokens_per_microbatch" in str(error.problems[0].hint)


def test_the_first_word_of_a_process_stays(tmp_path: Path) -> None:
    write_failure(tmp_path, 0, DataError("old"))

    def fail() -> None:
        write_failure(tmp_path, 0, DataError("the cause"), 3)
        raise KeyError("what came of it")

    with pytest.raises(KeyError), reporting(tmp_path, 0):
        fail()

    told = json.loads(failure_of(tmp_path, 0).read_text())
    assert (told["kind"], told["exit_code"], told["step"]) == ("DataError", 3, 3)


def test_a_stop_is_no_failure(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), reporting(tmp_path, 0):
        raise KeyboardInterrupt
    assert first_failure(tmp_path) is None


def test_files_that_are_no_words_are_passed_over(tmp_path: Path) -> None:
    failure_of(tmp_path, 0).parent.mkdir()
    for text in ("", "[]", '{"kind": "x"}', "{"):
        failure_of(tmp_path, 0).write_text(text)
        heartbeat_of(tmp_path, 0).parent.mkdir(exist_ok=True)
        heartbeat_of(tmp_path, 0).write_text(text)
        assert first_failure(tmp_path) is None
        assert read_heartbeats(tmp_path) == []


def test_where_nothing_can_be_written_the_failure_itself_is_not_lost(tmp_path: Path) -> None:
    (tmp_path / "logs").write_text("a file")
    error: AlpacaError = DataError("the cause")
    with pytest.raises(DataError, match="the cause"), reporting(tmp_path, 0):
        raise error

"""How the failure of one process reaches the one who waits for all: a file in the run folder, and which came first."""

from __future__ import annotations

import json
import signal
import time
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alpaca_cli import errors
from alpaca_cli.data.files import write_text
from alpaca_cli.errors import AlpacaError, Problem, TrainingError
from alpaca_cli.finetune.launch.heartbeat import Heartbeat, read_heartbeats

# What a process says whose peer is gone: not the cause, whoever wrote it first.
_CONSEQUENCES = (
    "DistBackendError", "DistNetworkError", "DistStoreError", "gloo", "NCCL", "Connection closed", "Connection reset",
    "Broken pipe", "ProcessGroup",
)  # fmt: skip
_GO_ON = "the same command goes on from the last checkpoint"
_MEMORY = "lower batch.tokens_per_microbatch, or set memory.activation_checkpointing: full or memory.offload: cpu"
_CLASSES = {
    each.__name__: each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, AlpacaError)
}


def log_of(run: Path, rank: int) -> Path:
    """Where a rank's own output goes."""
    return run / "logs" / f"rank-{rank:05d}.log"


def failure_of(run: Path, rank: int) -> Path:
    """Where a rank says why it failed."""
    return run / "logs" / f"rank-{rank:05d}.failure.json"


def write_failure(run: Path, rank: int, error: BaseException, step: int | None = None) -> None:
    """Say why this rank fails, unless it has said so; never raises."""
    path = failure_of(run, rank)
    if path.exists():
        return
    if isinstance(error, AlpacaError):
        exit_code, problems, trace = error.exit_code, error.problems, None
    else:
        lines = str(error).splitlines()
        message = f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
        exit_code, problems = TrainingError.exit_code, (Problem(message),)
        trace = "".join(traceback.format_exception(error))
    told = {
        "kind": type(error).__name__,
        "exit_code": exit_code,
        "problems": [{"message": each.message, "where": each.where, "hint": each.hint} for each in problems],
        "traceback": trace,
        "time": time.time(),
        "step": step,
    }
    with suppress(AlpacaError, OSError):
        write_text(path, json.dumps(told, indent=2) + "\n")


@contextmanager
def reporting(run: Path, rank: int) -> Iterator[None]:
    """Write down what ends the block, if it is a failure, and let it pass."""
    with suppress(OSError):
        failure_of(run, rank).unlink()  # of an earlier process
    try:
        yield
    except Exception as error:
        write_failure(run, rank, error)
        raise


def first_failure(run: Path, exit_codes: Mapping[int, int] | None = None) -> AlpacaError | None:
    """The failure that made the others, as the error to end with; None if no rank failed.

    A rank that was killed leaves no word: its heartbeat and its process tell, and `exit_codes` (by process number,
    negative for a signal) what killed it.  What only says that a peer was lost is told if there is nothing better.
    """
    told = sorted(_read(run), key=lambda failure: failure.time)
    causes = [failure for failure in told if not failure.is_consequence]
    if causes:
        return causes[0].as_error(run)
    has_told = {failure.rank for failure in told}
    died = [beat for beat in read_heartbeats(run) if beat.rank not in has_told and beat.has_died]
    if died:
        return _death(run, min(died, key=lambda beat: beat.seen), exit_codes or {})
    return told[0].as_error(run) if told else None


def failure_error(run: Path, rank: int) -> AlpacaError | None:
    """What a rank wrote of its failure, as the error to end with; None if it wrote nothing."""
    return next((failure.as_error(run) for failure in _read(run) if failure.rank == rank), None)


def last_failure_time(run: Path) -> float:
    """When a rank last said that it failed, in unix time; 0: none did."""
    return max((failure.time for failure in _read(run)), default=0.0)


@dataclass(frozen=True)
class _Failure:
    """What a failing rank wrote."""

    rank: int
    kind: str
    problems: tuple[Problem, ...]
    traceback: str | None
    time: float
    step: int | None

    @property
    def is_consequence(self) -> bool:
        return self.kind not in _CLASSES and any(
            word in f"{self.kind} {self.problems[0].message}" for word in _CONSEQUENCES
        )

    def as_error(self, run: Path) -> AlpacaError:
        """The error as it was raised; one that is not ours becomes a TrainingError which names the log."""
        log = str(log_of(run, self.rank))
        if self.kind in _CLASSES:
            problems = [Problem(each.message, each.where or log, each.hint) for each in self.problems]
            return _CLASSES[self.kind].of(problems)
        hint = _MEMORY if self.kind == "OutOfMemoryError" else f"the log has the traceback; {_GO_ON}"
        message = f"rank {self.rank} failed{_in_step(self.step)}: {self.problems[0].message}"
        return TrainingError(message, where=log, hint=hint)


def _read(run: Path) -> Iterator[_Failure]:
    for path in (run / "logs").glob("rank-*.failure.json"):
        with suppress(OSError, ValueError, KeyError, TypeError):
            told: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            told.pop("exit_code")
            told["problems"] = tuple(Problem(**each) for each in told["problems"])
            yield _Failure(rank=int(path.name.split(".")[0][5:]), **told)


def _death(run: Path, beat: Heartbeat, exit_codes: Mapping[int, int]) -> TrainingError:
    code = exit_codes.get(beat.pid)
    if code is None:
        how, hint = "ended without a word", _GO_ON
    elif code < 0:
        how = f"was killed by {_signal_name(-code)}"
        out_of_memory = "perhaps the machine ran out of memory (dmesg tells); " if -code == signal.SIGKILL else ""
        hint = out_of_memory + _GO_ON
    else:
        how, hint = f"ended without a word, with code {code},", _GO_ON
    message = f"rank {beat.rank} {how}{_in_step(beat.step)}"
    return TrainingError(message, where=str(log_of(run, beat.rank)), hint=hint)


def _in_step(step: int | None) -> str:
    return f" in step {step}" if step else ""


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"

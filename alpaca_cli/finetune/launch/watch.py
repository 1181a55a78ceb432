"""What watches a process that trains: a sign of life, an end to hangs, and the wish of others that it stop."""

from __future__ import annotations

import faulthandler
import os
import signal
import threading
import time
from contextlib import suppress
from pathlib import Path
from types import FrameType

import psutil

from alpaca_cli.errors import TrainingError
from alpaca_cli.finetune.launch.failure import log_of, write_failure
from alpaca_cli.finetune.launch.heartbeat import living, touch_heartbeat, write_heartbeat

PARENT = "ALPACA_PARENT"
"""Variable in which the parent says who it is: its number and when it began."""
STOP = "stop"
"""File in the run folder that asks for a checkpoint and an end."""
EVERY_S = 1.0
SLOW_PHASES = ("loading", "checking", "probing", "saving", "exporting")
"""In these a process may go without progress six times as long: a slow disk is no hang."""
_SIGNALS = (signal.SIGTERM, signal.SIGINT)


def redirect(run: Path, rank: int) -> None:
    """Send this process's output, that of libraries too, to its log from here on; where that is impossible, go on."""
    with suppress(OSError):
        path = log_of(run, rank)
        path.parent.mkdir(parents=True, exist_ok=True)
        log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
        for stream in (1, 2):
            os.dup2(log, stream)
        os.close(log)


def parent_words() -> str:
    """What a parent puts into the variable PARENT of those it starts."""
    return f"{os.getpid()}:{psutil.Process().create_time()}"


class Watch:
    """The watch of one process, from construction on; use it inside `with`.

    Where a process makes no progress for `timeout_s` (see SLOW_PHASES), the stacks of all its threads go to its log, a
    failure is written, and the process ends at once with code 6: a hung collective holds every other GPU too.
    """

    def __init__(self, run: Path, rank: int, timeout_s: float) -> None:
        self._run = run
        self._rank = rank
        self._timeout_s = timeout_s
        self._step: int | None = None
        self._phase = "loading"
        self._beaten = time.monotonic()
        self._has_moved = True
        self._stop_asked = threading.Event()
        self._closed = threading.Event()
        self._launcher = os.getppid()
        self._parent = os.environ.get(PARENT)
        # A stop from before this start was for an earlier run; the first node may not have swept it away yet.
        self._stops_count_from = _began(self._parent) if self._parent else psutil.Process().create_time()
        write_heartbeat(run, rank, step=None, phase=self._phase)
        self._handlers = {}
        if threading.current_thread() is threading.main_thread():
            self._handlers = {number: signal.signal(number, self._on_signal) for number in _SIGNALS}
        self._arm()
        self._thread = threading.Thread(target=self._keep_watch, name="watch", daemon=True)
        self._thread.start()

    def __enter__(self) -> Watch:
        return self

    def __exit__(self, _kind: type[BaseException] | None, error: BaseException | None, _trace: object) -> None:
        """A failure is written down with the step in which it came: the sign on disk may be a second old."""
        if isinstance(error, Exception):
            write_failure(self._run, self._rank, error, self._step)
        self.close()

    def beat(self, step: int | None, phase: str) -> None:
        """Progress: a step ended, or a phase began or moved.  Costs nothing."""
        self._step, self._phase, self._beaten, self._has_moved = step, phase, time.monotonic(), True

    def should_stop(self) -> bool:
        """Whether this process was asked to make a checkpoint and leave: by the stop file, SIGTERM, Ctrl-C, or because
        whoever started it is gone.  Ranks learn of it at different times: agree on it before acting on it."""
        return self._stop_asked.is_set()

    def leave(self, *, is_done: bool) -> None:
        """The work is done, or left with a checkpoint: the last sign says so."""
        self.beat(self._step, "done" if is_done else "stopped")
        self.close()

    def close(self) -> None:
        """The last sign, and no watch from here on."""
        if self._closed.is_set():
            return
        self._closed.set()
        self._thread.join()
        faulthandler.cancel_dump_traceback_later()
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        with suppress(OSError):
            write_heartbeat(self._run, self._rank, step=self._step, phase=self._phase)

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self._stop_asked.set()

    def _patience_s(self) -> float:
        return self._timeout_s * (6 if self._phase in SLOW_PHASES else 1)

    def _arm(self) -> None:
        """A second watch, in C: this module's own thread stands still too if somebody keeps the interpreter's lock."""
        faulthandler.dump_traceback_later(7 * self._timeout_s + 30, exit=True, file=2)

    def _keep_watch(self) -> None:
        armed = time.monotonic()
        while not self._closed.wait(EVERY_S):
            with suppress(OSError):
                if self._has_moved:
                    self._has_moved = False
                    write_heartbeat(self._run, self._rank, step=self._step, phase=self._phase)
                else:
                    touch_heartbeat(self._run, self._rank)
            if not self._stop_asked.is_set() and (self._is_stop_wanted() or self._is_orphan()):
                self._stop_asked.set()
            now = time.monotonic()
            if now - self._beaten > self._patience_s():
                self._end_hang(now - self._beaten)
            if now - armed > min(self._timeout_s, 10):
                self._arm()
                armed = now

    def _is_stop_wanted(self) -> bool:
        try:
            return (self._run / STOP).stat().st_mtime >= self._stops_count_from
        except OSError:
            return False

    def _is_orphan(self) -> bool:
        if os.getppid() != self._launcher:
            return True
        if self._parent is None:
            return False
        return living(int(self._parent.partition(":")[0]), _began(self._parent)) is None

    def _end_hang(self, seconds: float) -> None:
        where = f"in step {self._step}" if self._phase == "training" else f"while {self._phase}"
        message = f"rank {self._rank} made no progress for {seconds:.0f} s {where}"
        hint = "the ends of the logs show where each thread stood; the same command goes on from the last checkpoint"
        log = str(log_of(self._run, self._rank))
        write_failure(self._run, self._rank, TrainingError(message, where=log, hint=hint), self._step)
        with suppress(OSError, ValueError):
            faulthandler.dump_traceback(2)
        os._exit(TrainingError.exit_code)


def _began(parent: str) -> float:
    """When the parent of these words began."""
    return float(parent.partition(":")[2])

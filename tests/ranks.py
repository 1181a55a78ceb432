"""Several processes of one job, forked from one that has imported torch already, which takes longer than their work.

Not for the test process itself: what else has run there, threads among it, would be forked too.
"""

from __future__ import annotations

import itertools
import multiprocessing
import tempfile
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import torch._dynamo  # noqa: F401  (which each process would load with its first sharded tensor, for a second)
import torch.distributed as dist

_FORK = multiprocessing.get_context("fork")
_MEETINGS = tempfile.TemporaryDirectory()
_NUMBERS = itertools.count()


def start(num: int, work: Callable[..., Any], *arguments: Any) -> list[tuple[BaseProcess, Connection]]:
    """Start `num` processes that meet in a gloo group, then each do `work`."""
    meeting = Path(_MEETINGS.name) / str(next(_NUMBERS))
    started = []
    for rank in range(num):
        here, there = _FORK.Pipe()
        process = _FORK.Process(target=_run, args=(there, rank, num, meeting, work, arguments))
        process.start()
        there.close()
        started.append((process, here))
    return started


def run(num: int, work: Callable[..., Any], *arguments: Any) -> list[Any]:
    """What `work` gives in each of `num` processes."""
    answers = []
    for process, here in start(num, work, *arguments):
        try:
            answers.append(here.recv() if here.poll(60) else "no answer")
        except EOFError:
            answers.append("gone")
        process.join(10)
        process.kill()  # if it hangs
    return answers


def _run(
    there: Connection, rank: int, num: int, meeting: Path, work: Callable[..., Any], arguments: tuple[Any, ...]
) -> None:
    dist.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=num)
    there.send(work(*arguments))
    dist.destroy_process_group()

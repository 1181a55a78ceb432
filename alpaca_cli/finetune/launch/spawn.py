"""The processes of a run, started through `accelerate launch`, watched and ended from their parent."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import psutil
import yaml

from alpaca_cli.data.files import write_text
from alpaca_cli.errors import AlpacaError, TrainingError
from alpaca_cli.finetune.launch.failure import first_failure, last_failure_time
from alpaca_cli.finetune.launch.heartbeat import FOLDER as HEARTBEATS
from alpaca_cli.finetune.launch.heartbeat import read_heartbeats, refuse_company
from alpaca_cli.finetune.launch.place import Place, check_meeting
from alpaca_cli.finetune.launch.watch import PARENT, STOP, parent_words
from alpaca_cli.recipe.finetune import FinetuneRecipe

CONFIG = "accelerate.yaml"
LOG = "logs/launch.log"
LAUNCHER = "accelerate.commands.launch"
FAILED_GRACE_S = 10.0
"""How long the others may take to leave, and to say what they saw, once a rank has failed: nothing can be saved
without it, and the launcher's own 30 seconds hold the GPUs for nothing."""
LAUNCHER_PATIENCE_S = 3600
"""How long the launcher, which Slurm signals with all other processes, waits for the step and the checkpoint that its
ranks end with; its own 30 seconds are too short for them.  Ranks that hang are ended by their watch."""
_FIND_EVERY_S = 0.5
_EXIT = re.compile(r"exitcode\s*:\s*(-?\d+)\s*\(pid:\s*(\d+)\)")


def accelerate_yaml(recipe: FinetuneRecipe, place: Place) -> str:
    """What `accelerate launch --config_file` reads to start this recipe's processes on the node of `place`.

    `parallel.processes` and `parallel.device` are as the plan has settled them; null counts as one, auto as a GPU.
    Real ranks on a CPU take the type FSDP with use_cpu: with MULTI_CPU there is only one.
    """
    memory = recipe.memory
    config = {
        "compute_environment": "LOCAL_MACHINE",
        "distributed_type": "FSDP",
        "mixed_precision": "bf16" if recipe.precision.compute == "bf16" else "no",
        "num_machines": place.nodes,
        "num_processes": place.nodes * (recipe.parallel.processes or 1),
        "machine_rank": place.node,
        "main_process_ip": place.host,
        "main_process_port": place.port,
        "rdzv_backend": "static",
        "same_network": True,
        "use_cpu": recipe.parallel.device == "cpu",
        "debug": False,
        "fsdp_config": {
            "fsdp_version": 2,
            "fsdp_auto_wrap_policy": "TRANSFORMER_BASED_WRAP",
            "fsdp_reshard_after_forward": memory.reshard,
            "fsdp_offload_params": memory.offload == "cpu",
            "fsdp_cpu_ram_efficient_loading": True,
            "fsdp_state_dict_type": "SHARDED_STATE_DICT",
            "fsdp_activation_checkpointing": memory.activation_checkpointing == "full",
        },
    }
    return yaml.safe_dump(config, sort_keys=False)


def spawn(run: Path, recipe: FinetuneRecipe, place: Place) -> Workers:
    """Start this node's processes of the run in a folder that is prepared; `recipe` is the settled one.

    What an earlier start left of its failures and heartbeats is swept away.  Raises UsageError if the ranks cannot
    meet.
    """
    check_meeting(place)
    processes = recipe.parallel.processes or 1
    ranks = range(place.node * processes, (place.node + 1) * processes)
    refuse_company(run, ranks)
    _sweep(run, ranks, world=place.nodes * processes)
    config = run / (CONFIG if place.node == 0 else f"accelerate-{place.node:05d}.yaml")
    write_text(config, accelerate_yaml(recipe, place))
    command = [sys.executable, "-m", LAUNCHER, "--config_file", str(config)]
    command += ["-m", "alpaca_cli", "finetune-worker", str(run)]
    (run / LOG).parent.mkdir(parents=True, exist_ok=True)
    with (run / LOG).open("ab") as log:
        began = log.tell()
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=_environment(os.environ, processes),
            start_new_session=True,
        )
    return Workers(process, run, ranks, began)


class Workers:
    """The processes of one node, and their launcher.

    The launcher puts each into a session of its own, so that no process group holds them all: they are found as its
    descendants while it lives, and by their heartbeats.
    """

    def __init__(self, process: subprocess.Popen[bytes], run: Path, ranks: range, log_began: int) -> None:
        self._process = process
        self._run = run
        self._ranks = ranks
        self._log_began = log_began
        self._known: set[psutil.Process] = set()
        self._looked = 0.0
        self._began = time.time()
        self._failed_at: float | None = None

    @property
    def launcher(self) -> int:
        """The number of the launcher's process."""
        return self._process.pid

    def poll(self) -> int | None:
        """The launcher's exit code once every process is gone, else None.  To be called a few times a second.

        Processes whose launcher is gone make a checkpoint and leave by themselves; where one rank has failed, the
        others are ended here.
        """
        now = time.monotonic()
        if now - self._looked >= _FIND_EVERY_S or self._process.poll() is not None:
            self._looked = now
            self._find()
            if self._failed_at is None and self._has_failed():
                self._failed_at = now
            if self._failed_at is not None and now - self._failed_at > FAILED_GRACE_S:
                self.kill()
        code = self._process.poll()
        return None if any(map(_lives, self._known)) else code

    def stop(self) -> None:
        """Ask for a checkpoint and an end of all ranks, on every node that sees the folder."""
        (self._run / STOP).touch()

    def kill(self) -> None:
        """End every process at once, and wait until it is gone."""
        while True:
            self._find()
            living = [each for each in self._known if _lives(each)]
            if self._process.poll() is None:
                self._process.kill()
            elif not living:
                return
            for each in living:
                with suppress(psutil.Error):
                    each.kill()
            psutil.wait_procs(living, timeout=1)
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout=1)

    def left(self) -> str | None:
        """With what last sign every process of this node left: `done` or `stopped`; None: not all did, or not alike.

        It counts more than the launcher's exit code: libraries may fail while a process ends whose work is done.
        """
        phases = [beat.phase for beat in read_heartbeats(self._run) if beat.rank in self._ranks]
        return phases[0] if len(phases) == len(self._ranks) and set(phases) in ({"done"}, {"stopped"}) else None

    def failure(self) -> AlpacaError:
        """Why the processes ended, as an error: of the rank that failed first, or the launcher's own."""
        text = self._log()
        exit_codes = {int(pid): int(code) for code, pid in _EXIT.findall(text)}
        failure = first_failure(self._run, exit_codes)
        if failure is not None:
            return failure
        code = self._process.poll()
        log = str(self._run / LOG)
        if code is not None and code < 0:
            name = signal.Signals(-code).name
            hint = "the same command goes on from the last checkpoint"
            return TrainingError(f"the launcher was killed by {name}", where=log, hint=hint)
        last = next((line for line in reversed(text.splitlines()) if line.strip()), "")
        return TrainingError(f"the launcher ended with code {code}: {last.strip()}"[:300], where=log)

    def _has_failed(self) -> bool:
        """Whether a rank of this start said so, on whichever node, or one of this node died."""
        beats = (beat for beat in read_heartbeats(self._run) if beat.rank in self._ranks)
        return last_failure_time(self._run) >= self._began or any(beat.has_died for beat in beats)

    def _find(self) -> None:
        """Remember processes while they can be found; psutil tells each from a later one of the same number."""
        with suppress(psutil.Error):
            self._known.update(psutil.Process(self._process.pid).children(recursive=True))
        for beat in read_heartbeats(self._run):
            if beat.rank in self._ranks and (process := beat.process) is not None:
                self._known.add(process)

    def _log(self) -> str:
        with suppress(OSError), (self._run / LOG).open("rb") as stream:
            stream.seek(self._log_began)
            return stream.read().decode("utf-8", "replace")
        return ""


def _environment(outer: Mapping[str, str], processes: int) -> dict[str, str]:
    """For the launcher: who the parent is, and a fair share of the cores for each process."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    threads = {"OMP_NUM_THREADS": str(max(1, cores // processes))}
    patience = {"TORCH_ELASTIC_SHUTDOWN_TIMEOUT": str(LAUNCHER_PATIENCE_S)}
    return {**threads, **patience, **outer, PARENT: parent_words(), "PYTHONUNBUFFERED": "1"}


def _sweep(run: Path, ranks: range, world: int) -> None:
    """Take away what an earlier start left of this node's ranks; on the first node also the wish to stop, and what is
    left of ranks that are no more."""
    is_first = ranks.start == 0
    for path in [*(run / "logs").glob("rank-*.failure.json"), *(run / HEARTBEATS).glob("rank-*")]:
        rank = int(path.name[5:10])
        if rank in ranks or (is_first and rank >= world):
            path.unlink(missing_ok=True)
    if is_first:
        (run / STOP).unlink(missing_ok=True)


def _lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False

"""Processes of a run: started, watched, failing, stopped, orphaned; nothing is left of them."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from alpaca_cli import yamlfile
from alpaca_cli.errors import AlpacaError, DataError, TrainingError, UsageError
from alpaca_cli.finetune.launch import spawn as launch
from alpaca_cli.finetune.launch import watch as watch_module
from alpaca_cli.finetune.launch.failure import write_failure
from alpaca_cli.finetune.launch.heartbeat import read_heartbeats
from alpaca_cli.finetune.launch.place import Place
from alpaca_cli.finetune.launch.spawn import Workers, accelerate_yaml, spawn
from alpaca_cli.finetune.launch.watch import Watch, parent_words
from alpaca_cli.finetune.run import RECIPE
from alpaca_cli.recipe.finetune import FinetuneRecipe

ROOT = Path(__file__).resolve().parents[2]
STAND_IN = Path(__file__).parent / "stand_in"

Start = Callable[..., Workers]


def recipe_of(**keys: Any) -> FinetuneRecipe:
    parallel = {"device": "cpu", "processes": 2, "nodes": keys.pop("nodes", 1)}
    return FinetuneRecipe.model_validate({"kind": "finetune", "parallel": parallel, "hang_timeout_s": 60, **keys})


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    folder.mkdir()
    return folder


@pytest.fixture
def start(run: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    """Spawns stand-ins; whatever is left of them at the end of the test is ended, and that is a failure."""
    monkeypatch.setenv("PYTHONPATH", f"{ROOT}{os.pathsep}{STAND_IN}")
    monkeypatch.setattr(launch, "LAUNCHER", "quick_launcher")
    started: list[Workers] = []

    def spawned(place: Place | None = None, *, steps: int = 1000, fail: Any = (), **keys: Any) -> Workers:
        recipe = recipe_of(**keys)
        (run / RECIPE).write_text(yamlfile.dump(recipe))
        monkeypatch.setenv("STAND_IN", json.dumps({"steps": steps, "fail": dict(fail)}))
        started.append(spawn(run, recipe, place or Place()))
        return started[-1]

    yield spawned
    for workers in started:
        is_over = workers.poll() is not None
        workers.kill()
        assert is_over, "processes were left"


def wait_for(condition: Callable[[], Any], seconds: float = 60) -> Any:
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.05)
    return value


def end_of(workers: Workers) -> int:
    wait_for(lambda: workers.poll() is not None)
    code = workers.poll()
    assert code is not None
    return code


def pids(run: Path) -> list[int]:
    """The processes of the ranks, once both train."""
    beats = wait_for(
        lambda: [beat for beat in read_heartbeats(run) if beat.phase == "training"][1:] and read_heartbeats(run)
    )
    return [beat.pid for beat in beats]


def told(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def test_processes_come_to_their_end(run: Path, start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    (run / "stop").touch()  # of an earlier start, as are these
    (run / "logs").mkdir()
    for rank in (0, 7):
        write_failure(run, rank, DataError("old"), 3)
    workers = start(steps=3)

    assert (end_of(workers), workers.left()) == (0, "done")
    assert [record["step"] for record in told(run) if record["kind"] == "step"] == [1, 2, 3]
    environment = json.loads((run / "environment-1.json").read_text())
    assert (environment["RANK"], environment["WORLD_SIZE"]) == ("1", "2")
    assert int(environment["OMP_NUM_THREADS"]) == max(1, len(os.sched_getaffinity(0)) // 2)
    assert environment["TORCH_ELASTIC_SHUTDOWN_TIMEOUT"] == "3600"
    assert sorted(path.name for path in (run / "logs").iterdir()) == ["launch.log", "rank-00000.log", "rank-00001.log"]


@pytest.mark.parametrize(
    ("how", "kind", "code", "message"),
    [
        ("raise", TrainingError, 6, "rank 1 failed in step 3: RuntimeError: the loss went away"),
        ("kill", TrainingError, 6, "rank 1 was killed by SIGKILL in step 3"),
    ],
)
def test_the_error_of_a_rank_is_the_error_of_the_run(
    run: Path, start: Start, how: str, kind: type[AlpacaError], code: int, message: str
) -> None:
    workers = start(fail={"1": {"step": 3, "how": how}})

    assert (end_of(workers), workers.left()) == (1, None)
    error = workers.failure()
    log = run / "logs/rank-00001.log"
    assert (type(error), error.exit_code, error.problems[0].message) == (kind, code, message)
    assert error.problems[0].where == str(log)
    assert "words of the worker" in log.read_text()
    assert ("Traceback" in log.read_text()) == (how == "raise")
    hint = {"raise": "the log has the traceback", "kill": "ran out of memory"}[how]
    assert hint in str(error.problems[0].hint)


def test_where_one_rank_failed_a_deaf_one_is_ended(run: Path, start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch, "FAILED_GRACE_S", 0.5)
    workers = start(fail={"0": {"step": 1, "how": "deaf"}, "1": {"step": 2, "how": "raise"}})
    end_of(workers)

    assert "the loss went away" in str(workers.failure())


def test_a_hang_ends_with_stacks(run: Path, start: Start) -> None:
    workers = start(fail={"0": {"step": 2, "how": "deaf"}}, hang_timeout_s=3)
    end_of(workers)
    error = workers.failure()

    assert (type(error), error.exit_code) == (TrainingError, 6)
    assert str(error).startswith(f"{run}/logs/rank-00000.log: rank 0 made no progress for ")
    assert str(error).endswith(" s in step 2")
    assert 'sitecustomize.py", line' in (run / "logs/rank-00000.log").read_text()


def test_without_their_launcher_processes_save_and_leave(run: Path, start: Start) -> None:
    workers = start()
    pids(run)
    os.kill(workers.launcher, signal.SIGKILL)

    assert end_of(workers) == -signal.SIGKILL
    assert workers.left() == "stopped"
    assert told(run)[-1] == {"kind": "phase", "phase": "stopped"}
    assert str(workers.failure()) == f"{run}/logs/launch.log: the launcher was killed by SIGKILL"


def test_a_stop_that_an_earlier_start_obeyed_counts_no_more(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another node than the first may begin before the first has swept it away."""
    monkeypatch.setenv("ALPACA_PARENT", parent_words())
    monkeypatch.setattr(watch_module, "EVERY_S", 0.01)
    stop, beat = run / "stop", run / "heartbeats/rank-00001"
    stop.touch()
    os.utime(stop, (1, 1))
    with Watch(run, 1, 60) as watch:
        for _ in range(3):  # looks at the file
            before = beat.stat().st_mtime_ns
            wait_for(lambda before=before: beat.stat().st_mtime_ns != before)
        assert not watch.should_stop()
        os.utime(stop)
        wait_for(watch.should_stop)


PARENT = """
import sys, time
from pathlib import Path
from alpaca_cli import yamlfile
from alpaca_cli.finetune.launch import spawn as launch
from alpaca_cli.finetune.launch import watch as watch_module
from alpaca_cli.finetune.launch.place import Place
from alpaca_cli.recipe.finetune import FinetuneRecipe
launch.LAUNCHER = "quick_launcher"
run = Path(sys.argv[1])
workers = launch.spawn(run, yamlfile.read(run / "recipe.resolved.yaml").check(FinetuneRecipe), Place())
while workers.poll() is None:
    time.sleep(0.1)
"""


def test_without_their_parent_processes_save_and_leave(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", f"{ROOT}{os.pathsep}{STAND_IN}")
    (run / RECIPE).write_text(yamlfile.dump(recipe_of()))
    monkeypatch.setenv("STAND_IN", json.dumps({"steps": 1000}))
    parent = subprocess.Popen([sys.executable, "-c", PARENT, str(run)])
    ranks = pids(run)
    everyone = [psutil.Process(pid) for pid in ranks] + psutil.Process(parent.pid).children()
    parent.kill()
    parent.wait()

    _, left = psutil.wait_procs(everyone, timeout=30)
    assert left == []
    assert told(run)[-1] == {"kind": "phase", "phase": "stopped"}


def test_ranks_that_an_earlier_parent_left_behind_are_waited_for(run: Path, start: Start) -> None:
    """They may be making their last checkpoint, in the same folder."""
    workers = start(steps=1000)
    pids(run)
    with pytest.raises(UsageError, match="another command is at work in this run folder"):
        start()
    workers.stop()

    assert (end_of(workers), workers.left()) == (0, "stopped")
    assert end_of(start(steps=3)) == 0


def test_two_nodes_see_each_others_failures(run: Path, start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch, "FAILED_GRACE_S", 0.5)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    first = start(Place(node=0, nodes=2, host="localhost", port=port), nodes=2)
    second = start(
        Place(node=1, nodes=2, host="localhost", port=port), nodes=2, fail={"3": {"step": 1, "how": "raise"}}
    )
    end_of(second)
    error = second.failure()

    assert str(error) == f"{run}/logs/rank-00003.log: rank 3 failed in step 1: RuntimeError: the loss went away"
    wait_for(lambda: first.poll() is not None)
    assert first.failure().problems == error.problems


def test_a_port_that_is_taken_is_told_before_anything_starts(run: Path, start: Start) -> None:
    with socket.socket() as taken:
        taken.bind(("", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(UsageError) as caught:
            start(Place(nodes=2, host="localhost", port=port))
    assert caught.value.problems[0].message == f"port {port} is taken by another program"
    assert not (run / "logs").exists()


def test_a_launcher_that_cannot_even_begin(run: Path, start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch, "LAUNCHER", "no_such_launcher")
    workers = start()

    assert end_of(workers) == 1
    assert str(workers.failure()).startswith(f"{run}/logs/launch.log: the launcher ended with code 1: ")
    assert str(workers.failure()).endswith("No module named no_such_launcher")


def test_under_accelerate_itself(run: Path, start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch, "LAUNCHER", "accelerate.commands.launch")
    workers = start(fail={"1": {"step": 2, "how": "kill"}})

    assert end_of(workers) == 1
    assert "rank 1 was killed by SIGKILL in step 2" in str(workers.failure())
    environment = json.loads((run / "environment-0.json").read_text())
    assert (environment["WORLD_SIZE"], environment["LOCAL_WORLD_SIZE"], environment["MASTER_ADDR"]) == (
        "2", "2", "127.0.0.1",
    )  # fmt: skip
    assert (environment["ACCELERATE_USE_FSDP"], environment["FSDP_VERSION"]) == ("true", "2")


def test_the_config_for_accelerate() -> None:
    recipe = recipe_of(nodes=2, memory={"offload": "cpu", "activation_checkpointing": "full"})
    config = yaml.safe_load(accelerate_yaml(recipe, Place(node=1, nodes=2, host="gpu01", port=29500)))

    assert (config["num_machines"], config["num_processes"], config["machine_rank"]) == (2, 4, 1)
    assert (config["main_process_ip"], config["main_process_port"]) == ("gpu01", 29500)
    assert (config["distributed_type"], config["use_cpu"], config["mixed_precision"]) == ("FSDP", True, "bf16")
    assert config["fsdp_config"]["fsdp_offload_params"] is True
    assert config["fsdp_config"]["fsdp_activation_checkpointing"] is True
    assert config["fsdp_config"]["fsdp_version"] == 2

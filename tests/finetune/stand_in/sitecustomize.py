"""Puts a stand-in in the place of the worker, in every process that has this folder on its path.

What each rank does is in the variable STAND_IN: {"steps": 5, "fail": {"1": {"step": 3, "how": "raise"}}}.
"""

import json
import os
import signal
import sys
import time
from pathlib import Path
from types import ModuleType


def work(run: Path, place: object, watch: object, listener: object = None) -> bool:
    """Steps, without a model or torch; the ranks meet before the first."""
    script = json.loads(os.environ["STAND_IN"])
    while len(list((run / "heartbeats").glob("rank-*"))) < place.world:
        time.sleep(0.02)
    reached = run / f"reached-{place.rank}"
    (run / f"environment-{place.rank}.json").write_text(json.dumps(dict(os.environ)))

    def tell(**record: object) -> None:
        if place.rank == 0:
            with (run / "metrics.jsonl").open("a") as stream:
                stream.write(json.dumps(record) + "\n")
            if listener is not None:
                listener(record)

    tell(kind="phase", phase="training")
    for step in range(int(reached.read_text()) + 1 if reached.exists() else 1, script["steps"] + 1):
        watch.beat(step, "training")
        fault = script.get("fail", {}).get(str(place.rank))
        if fault and fault["step"] == step:
            os.write(1, b"words of the worker\n")
            fail(fault["how"], run / f"heartbeats/rank-{place.rank:05}", step)
        time.sleep(0.02)
        tell(
            kind="step", step=step, num_steps=script["steps"], epoch=3 * step / script["steps"], loss=2 / step,
            lr=2e-5, grad_norm=1.0, real_tokens=100, computed_tokens=110, supervised_tokens=40, seconds=0.02,
            memory_bytes=10**9, mfu=None,
        )  # fmt: skip
        reached.write_text(str(step))
        if watch.should_stop():
            tell(kind="checkpoint", step=step, path=f"checkpoints/step-{step:06}")
            tell(kind="phase", phase="stopped")
            return False
    tell(kind="eval", step=script["steps"], loss=1.25, supervised_tokens=400)
    if place.rank == 0:
        (run / "model").mkdir(exist_ok=True)
        (run / "report.json").write_text("{}")
    tell(kind="phase", phase="done")
    return True


def fail(how: str, sign: Path, step: int) -> None:
    """Fail in one of several ways; those that leave no word wait until the sign of life names the step."""
    from alpaca_cli.errors import DataError

    if how == "raise":
        raise RuntimeError("the loss went away")
    if how == "data":
        raise DataError("row 7 is empty", hint="fill it")
    while json.loads(sign.read_text())["step"] != step:
        time.sleep(0.02)
    if how == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if how == "deaf":  # to all but SIGKILL
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(1000)


if sys.orig_argv[1:4] == ["-m", "alpaca_cli", "finetune-worker"]:
    from alpaca_cli.finetune.launch import watch

    watch.EVERY_S = 0.1

worker = ModuleType("alpaca_cli.finetune.worker")
worker.work = work
sys.modules["alpaca_cli.finetune.worker"] = worker

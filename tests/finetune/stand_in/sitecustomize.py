"""Puts a stand-in in the place of the worker, in every process that has this folder on its path.

What each rank does is written in RUN/script.json: {"steps": 5, "step_s": 0.05, "fail": {"1": {"step": 3, "how": ...}}}.
"""

import json
import os
import signal
import sys
import time
from pathlib import Path
from types import ModuleType


def work(run: Path) -> None:
    """Steps, without a model."""
    from alpaca_cli.errors import DataError
    from alpaca_cli.finetune.place import find_place
    from alpaca_cli.finetune.watch import Watch

    place = find_place()
    script = json.loads((run / "script.json").read_text())
    mine = script.get("fail", {}).get(str(place.rank), {})

    def tell(**record: object) -> None:
        if place.rank == 0:
            with (run / "metrics.jsonl").open("a") as stream:
                stream.write(json.dumps({"time": time.time(), **record}) + "\n")

    with Watch(run, place.rank, script.get("hang_timeout_s", 30)) as watch:
        (run / f"environment-{place.rank}.json").write_text(json.dumps(dict(os.environ)))
        tell(kind="phase", phase="training")
        first = json.loads((run / "reached.json").read_text()) if (run / "reached.json").exists() else 0
        for step in range(first + 1, script["steps"] + 1):
            watch.beat(step, "training")
            if mine.get("step") == step:
                os.write(1, b"words of the worker\n")
                time.sleep(1.2)  # its sign of life says this step
                if mine["how"] == "raise":
                    raise RuntimeError("the loss went away")
                if mine["how"] == "data":
                    raise DataError("row 7 is empty", where="data.json:7", hint="fill it")
                if mine["how"] == "kill":
                    os.kill(os.getpid(), signal.SIGKILL)
                if mine["how"] == "exit":
                    os._exit(9)
                if mine["how"] == "hang":
                    time.sleep(1000)
                if mine["how"] == "lost":
                    raise RuntimeError("[gloo] Connection closed by peer")
                if mine["how"] == "deaf":
                    signal.signal(signal.SIGTERM, signal.SIG_IGN)
                    while True:
                        time.sleep(1)
                        watch.beat(step, "training")
            time.sleep(script.get("step_s", 0.02))
            tell(
                kind="step", step=step, num_steps=script["steps"], epoch=3 * step / script["steps"], loss=2 / step,
                lr=2e-5, grad_norm=1.0, real_tokens=100, computed_tokens=110, supervised_tokens=40,
                seconds=script.get("step_s", 0.02), memory_bytes=10**9, mfu=None,
            )  # fmt: skip
            if watch.should_stop():
                if place.rank == 0:
                    (run / "reached.json").write_text(json.dumps(step))
                tell(kind="checkpoint", step=step, path=f"checkpoints/step-{step:06}")
                tell(kind="phase", phase="stopped")
                watch.beat(step, "stopped")
                return
        tell(kind="eval", step=script["steps"], loss=1.25, supervised_tokens=400)
        if place.rank == 0:
            (run / "model").mkdir(exist_ok=True)
            (run / "report.json").write_text("{}")
        tell(kind="phase", phase="done")
        watch.beat(script["steps"], "done")


worker = ModuleType("alpaca_cli.finetune.worker")
worker.work = work
sys.modules["alpaca_cli.finetune.worker"] = worker

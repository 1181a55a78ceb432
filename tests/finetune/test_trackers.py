"""Trackers: checked before the start, told what the metrics tell, given up where they fail."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from alpaca_cli.errors import UsageError
from alpaca_cli.finetune.launch.tracker_names import PACKAGES, check_trackers

ROOT = Path(__file__).resolve().parents[2]


def test_all_that_is_wrong_is_told_at_once() -> None:
    with pytest.raises(UsageError) as caught:
        check_trackers(["tensorbord", "swanlab", "notes"])
    unknown, missing, strange = caught.value.problems

    assert (unknown.message, unknown.hint) == ("unknown tracker 'tensorbord'", "did you mean tensorboard?")
    assert (missing.message, missing.where) == ("the tracker swanlab is not installed", "log.trackers")
    assert missing.hint == "pip install swanlab, or leave it out"
    assert str(strange.hint).startswith("known are aim, clearml, ")


def test_what_a_tracker_is_told(tmp_path: Path) -> None:
    if not any(map(importlib.util.find_spec, PACKAGES["tensorboard"])):
        pytest.skip("tensorboard is not installed")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", WORK, str(tmp_path)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    told = json.loads((tmp_path / "told.json").read_text())

    assert told["loss"] == [[1, 2.0], [2, 1.5]]
    assert told["held_out_loss"] == [[0, 2.5]]
    assert told["real_tokens"] == [[1, 100.0], [2, 100.0]]
    assert "mfu" not in told
    assert "time" not in told
    settings = next((tmp_path / "trackers/alpaca").glob("*/hparams.yml")).read_text()
    assert "train.lr: 2.0e-05" in settings
    assert "log.trackers: '[''tensorboard'']'" in settings


# In a process of its own: accelerate's state is one for all of a process.  Two ranks have met when trackers begin.
WORK = """
import json, sys, warnings
from pathlib import Path
import torch.distributed as dist
from alpaca_cli.errors import UsageError
from accelerate.tracking import LOGGER_TYPE_TO_CLASS
from alpaca_cli.finetune.launch.tracker_names import PACKAGES
from alpaca_cli.finetune.trackers import Trackers, start
from alpaca_cli.recipe.finetune import FinetuneRecipe

assert sorted(PACKAGES) == sorted(LOGGER_TYPE_TO_CLASS), LOGGER_TYPE_TO_CLASS
run = Path(sys.argv[1])
recipe = FinetuneRecipe.model_validate(
    {"kind": "finetune", "log": {"trackers": ["tensorboard"]}, "parallel": {"device": "cpu"}}
)
assert start(recipe.model_copy(update={"log": recipe.log.model_copy(update={"trackers": ()})}), run) is None
dist.init_process_group("gloo", init_method=f"file://{run}/meet", rank=0, world_size=1)
trackers = start(recipe, run)
trackers.log({"kind": "phase", "phase": "training", "time": 5.0})
trackers.log({"kind": "eval", "step": 0, "loss": 2.5, "supervised_tokens": 9})
for step in (1, 2):
    values = {"loss": 2.5 - step / 2, "real_tokens": 100, "mfu": None}
    trackers.log({"kind": "step", "step": step, "num_steps": 2, **values})
trackers.close()

try:
    from tensorboard.compat.proto.event_pb2 import Event
except ImportError:
    from tensorboardX.proto.event_pb2 import Event
told = {}
(path,) = (run / "trackers" / "alpaca").glob("events.out.*")
raw = path.read_bytes()
while raw:  # a length, its checksum, an event, its checksum
    size = int.from_bytes(raw[:8], "little")
    event, raw = Event.FromString(raw[12 : 12 + size]), raw[16 + size :]
    for value in event.summary.value:
        told.setdefault(value.tag, []).append([event.step, value.simple_value])
(run / "told.json").write_text(json.dumps(told))

class Broken:
    def log(self, values, step):
        raise OSError("the server went away")

with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    broken = Trackers({"broken": Broken()})
    for step in (1, 2):
        broken.log({"kind": "step", "step": step, "num_steps": 2, "loss": 1.0})
assert [str(each.message) for each in caught] == [
    "the tracker broken failed and is given up: the server went away"
], caught

(run / "closed").write_text("a file")
try:
    start(recipe, run / "closed")
except UsageError as error:
    assert str(error).startswith("the tracker tensorboard does not start: "), error
else:
    raise AssertionError("it started")
"""

"""Checkpoints of real processes: what comes back, by how many, and what a full disk or a kill leaves."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

TESTS = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the processes of `checkpoint_work.py` tell, with the folder they worked in."""
    folder = tmp_path_factory.mktemp("checkpoint") / "checkpoints"
    environment = {**os.environ, "PYTHONPATH": f"{TESTS}{os.pathsep}{TESTS.parent}", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(TESTS / "checkpoint_work.py"), str(folder)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    return {**json.loads(done.stdout), "folder": folder}


def test_what_is_saved_is_what_the_tensors_were(told: dict[str, Any]) -> None:
    for answer in told["run"]:
        assert answer["before"]
        assert answer["latest"] == [3, {"step": 3, "who": 0}]
        assert answer["same"] and answer["in place"]

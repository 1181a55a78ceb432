"""Which trackers there are, by accelerate's names, and what each needs.  No import of any: a check before the start."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from difflib import get_close_matches

from alpaca_cli.errors import Problem, UsageError

PACKAGES = {
    "aim": ("aim",),
    "clearml": ("clearml",),
    "comet_ml": ("comet_ml",),
    "dvclive": ("dvclive",),
    "mlflow": ("mlflow", "mlflow_skinny"),
    "swanlab": ("swanlab",),
    "tensorboard": ("tensorboard", "tensorboardX"),
    "trackio": ("trackio",),
    "wandb": ("wandb",),
}
"""Any one of the modules will do."""


def check_trackers(names: Sequence[str]) -> None:
    """Raises UsageError that tells all of `names` which are unknown or not installed."""
    problems = []
    for name in names:
        if name not in PACKAGES:
            close = get_close_matches(name, PACKAGES, n=1)
            hint = f"did you mean {close[0]}?" if close else f"known are {', '.join(PACKAGES)}"
            problems.append(Problem(f"unknown tracker {name!r}", "log.trackers", hint))
        elif not any(importlib.util.find_spec(module) for module in PACKAGES[name]):
            hint = f"pip install {PACKAGES[name][0].replace('_', '-')}, or leave it out"
            problems.append(Problem(f"the tracker {name} is not installed", "log.trackers", hint))
    if problems:
        raise UsageError.of(problems)

"""What a run tells to TensorBoard, Weights & Biases and their like, through accelerate's trackers."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from accelerate.state import PartialState
from accelerate.tracking import LOGGER_TYPE_TO_CLASS, GeneralTracker

from alpaca_cli.errors import UsageError
from alpaca_cli.finetune.metrics import Record
from alpaca_cli.recipe.finetune import FinetuneRecipe

FOLDER = "trackers"
_AXES = ("kind", "step", "num_steps")


def start(recipe: FinetuneRecipe, run: Path) -> Trackers | None:
    """The trackers that a recipe names, in the first process of its run; None if it names none.

    Call it when the processes have met: accelerate's state, which trackers want, would else make them meet by itself.
    Raises UsageError if one cannot begin.
    """
    if not recipe.log.trackers:
        return None
    PartialState(cpu=recipe.parallel.device == "cpu")
    settings = _flat(recipe.model_dump(mode="json"))
    begun = {}
    for name in recipe.log.trackers:
        tracker_class = LOGGER_TYPE_TO_CLASS[name]
        where = {"logging_dir": str(run / FOLDER)} if tracker_class.requires_logging_directory else {}
        try:
            tracker = tracker_class(recipe.log.project, **where)
            tracker.start()
            tracker.store_init_configuration(settings)
        except Exception as error:
            hint = f"make {name} work, or leave it out of log.trackers"
            raise UsageError(f"the tracker {name} does not start: {error}", hint=hint) from error
        begun[name] = tracker
    return Trackers(begun)


class Trackers:
    """Trackers at work; one that fails is given up with a warning, and training goes on."""

    def __init__(self, trackers: Mapping[str, GeneralTracker]) -> None:
        self._trackers = dict(trackers)

    def log(self, record: Record) -> None:
        """Pass a step's record on, under its own names, and of a look at the held-out examples its `held_out_loss`."""
        if record["kind"] == "step":
            values = {key: value for key, value in record.items() if key not in _AXES and value is not None}
        elif record["kind"] == "eval":
            values = {"held_out_loss": record["loss"]}
        else:
            return
        self._each(lambda tracker: tracker.log(values, step=record["step"]))

    def close(self) -> None:
        """Nothing more will come."""
        self._each(lambda tracker: tracker.finish())

    def _each(self, act: Callable[[GeneralTracker], object]) -> None:
        for name, tracker in list(self._trackers.items()):
            try:
                act(tracker)
            except Exception as error:
                del self._trackers[name]
                warnings.warn(f"the tracker {name} failed and is given up: {error}", stacklevel=3)


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, str | int | float | bool]:
    """Settings under dotted keys, of types that every tracker takes."""
    flat: dict[str, str | int | float | bool] = {}
    for key, value in values.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value if isinstance(value, (int, float, bool)) else str(value)
    return flat

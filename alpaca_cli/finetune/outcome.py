"""What a run came to: its report, its curve, and the card of its model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from alpaca_cli.finetune.metrics import NAME, Record, read_metrics
from alpaca_cli.finetune.run import Inputs, versions
from alpaca_cli.recipe.finetune import FinetuneRecipe


def report(run: Path, recipe: FinetuneRecipe, inputs: Inputs, num_parameters: int, world: int) -> dict[str, Any]:
    """The numbers of a run whose steps are all done, from its metrics."""
    records = read_metrics(run / NAME)
    steps = [record for record in records if record["kind"] == "step"]
    looks = [record for record in records if record["kind"] == "eval"]
    seconds = sum(step["seconds"] for step in steps)
    real, computed = (sum(step[key] for step in steps) for key in ("real_tokens", "computed_tokens"))
    facts = inputs.tokens.facts
    return {
        "method": recipe.method,
        "base": Path(recipe.model.path or "").name,
        "architecture": inputs.architecture.model_type,
        "num_parameters": num_parameters,
        "processes": world,
        "device": recipe.parallel.device,
        "data": {
            "name": Path(recipe.data.path or "").name,
            "sha256": facts.key,
            "num_rows": facts.num_rows,
            "num_examples": facts.num_examples,
            "num_truncated": facts.num_truncated,
            "num_unsupervised": facts.num_unsupervised,
            "num_dropped_overlong": facts.num_dropped_overlong,
        },
        "num_steps": len(steps),
        "epochs": steps[-1]["epoch"] if steps else 0,
        "real_tokens": real,
        "computed_tokens": computed,
        "supervised_tokens": sum(step["supervised_tokens"] for step in steps),
        "training_s": seconds,
        "examples_per_s": sum(step["examples"] for step in steps) / seconds if seconds else None,
        "real_tokens_per_s": real / seconds if seconds else None,
        "mean_loss": _mean([step["loss"] for step in steps]),
        "last_loss": steps[-1]["loss"] if steps else None,
        "held_out_loss": {"before": _loss(looks[:1]), "after": _loss(looks[-1:])} if looks else None,
        "peak_memory_bytes": max((step["memory_bytes"] for step in steps), default=None),
        "versions": versions(),
    }


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _loss(looks: Sequence[Record]) -> float | None:
    return looks[0]["loss"] if looks else None


def draw(run):
    pass


def write_card(run, facts):
    pass

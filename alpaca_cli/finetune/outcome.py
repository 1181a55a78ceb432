"""What a run came to: its report, its curve, and the card of its model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from alpaca_cli.finetune.card import Facts, card
from alpaca_cli.finetune.figure import draw_loss
from alpaca_cli.finetune.metrics import NAME, Record, read_metrics
from alpaca_cli.finetune.run import Inputs, versions
from alpaca_cli.format.template import Template
from alpaca_cli.recipe.finetune import FinetuneRecipe

FIGURE = "loss.png"
LAST = 20  # steps over which the loss at the end is a mean, and at most a tenth of all


def report(
    run: Path, recipe: FinetuneRecipe, inputs: Inputs, *, num_trained: int, num_parameters: int, devices: str
) -> dict[str, Any]:
    """The numbers of a run so far, from its metrics.  `num_trained`: examples that are not held out."""
    records = read_metrics(run / NAME)
    steps = [record for record in records if record["kind"] == "step"]
    looks = [record for record in records if record["kind"] == "eval"]
    losses = [step["loss"] for step in steps]
    seconds = sum(step["seconds"] for step in steps)
    real = sum(step["real_tokens"] for step in steps)
    last = max(1, min(LAST, len(losses) // 10))
    facts = inputs.tokens.facts
    return {
        "name": run.name,
        "method": recipe.method,
        "base": Path(recipe.model.path or "").name,
        "architecture": inputs.architecture.model_type,
        "num_parameters": num_parameters,
        "devices": devices,
        "data": {
            "name": Path(recipe.data.path or "").name,
            "digest": facts.key,
            "num_rows": facts.num_rows,
            "num_trained": num_trained,
            "num_held_out": facts.num_examples - num_trained,
            "num_bad": facts.num_bad,
            "num_truncated": facts.num_truncated,
            "num_unsupervised": facts.num_unsupervised,
            "num_dropped_overlong": facts.num_dropped_overlong,
        },
        "notes": [*inputs.tokenizer.notes, *facts.notes],
        "num_steps": len(steps),
        "epochs": steps[-1]["epoch"] if steps else 0,
        "real_tokens": real,
        "computed_tokens": sum(step["computed_tokens"] for step in steps),
        "supervised_tokens": sum(step["supervised_tokens"] for step in steps),
        "training_s": seconds,
        "examples_per_s": sum(step["examples"] for step in steps) / seconds if seconds else None,
        "real_tokens_per_s": real / seconds if seconds else None,
        "mean_loss": _mean(losses),
        "last_loss": _mean(losses[-last:]),
        "last_loss_steps": last,
        "held_out_loss": {"before": _loss(looks[:1]), "after": _loss(looks[-1:])} if looks else None,
        "peak_memory_bytes": max((step["memory_bytes"] for step in steps), default=None),
        "versions": versions(),
    }


def figure(run: Path) -> bytes:
    """The loss curve of a run, drawn anew beside its metrics."""
    draw_loss(run / NAME, run / FIGURE)
    return (run / FIGURE).read_bytes()


def card_of(report: Mapping[str, Any], recipe: FinetuneRecipe, template: Template) -> str:
    """The text of the card that goes with the model of a run, from the run's report."""
    held_out = report["held_out_loss"]
    facts = Facts(
        name=report["name"],
        recipe=recipe,
        template=template,
        model_type=report["architecture"],
        num_parameters=report["num_parameters"],
        data_digest=report["data"]["digest"],
        num_examples=report["data"]["num_trained"],
        num_steps=report["num_steps"],
        epochs=report["epochs"],
        num_last=report["last_loss_steps"],
        real_tokens=report["real_tokens"],
        supervised_tokens=report["supervised_tokens"],
        loss=float("nan") if report["last_loss"] is None else report["last_loss"],
        held_out=None if held_out is None else (held_out["before"], held_out["after"]),
        seconds=report["training_s"],
        devices=report["devices"],
        versions=report["versions"],
    )
    return card(facts)


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _loss(looks: Sequence[Record]) -> float | None:
    return looks[0]["loss"] if looks else None

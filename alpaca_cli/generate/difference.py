"""What two recipes for one run folder differ in, and what of it makes another run."""

from __future__ import annotations

from typing import Any

from alpaca_cli.data.jsonl import dumps
from alpaca_cli.recipe.generate import GenerateRecipe

# What may differ when a run is taken up again, because it changes how a result comes and not what it is.  A server
# that moved to another address is the same teacher; that it moved is told.
_FREE = frozenset(
    ["batch", "num", "patience", "breaker_s", "max_cost", "max_requests", "license", "teachers"]
    + ["seeds", "prompt.file"]  # these two are compared by their bytes
    + [f"teacher.{key}" for key in ("base_url", "api_key_env", "tier", "timeout_s", "max_tries", "longest_pause_s")]
    + ["teacher.concurrency"]
)
_FREE_PARTS = ("teacher.price",)


def differences(before: GenerateRecipe, now: GenerateRecipe) -> list[str]:
    """What makes `now` another run than `before`, a text for each key."""
    old, new = _flat(before.model_dump(mode="json")), _flat(now.model_dump(mode="json"))
    return [
        f"{key}: {_short(old.get(key))} there, {_short(new.get(key))} now"
        for key in sorted(old | new)
        if key not in _FREE and not key.startswith(_FREE_PARTS) and old.get(key) != new.get(key)
    ]


def moves(before: GenerateRecipe, now: GenerateRecipe) -> list[str]:
    """What the user should know of how `now` differs, though it is the same run."""
    notes = []
    models = [sorted({settings.model or "" for settings, _ in each.servers()}) for each in (before, now)]
    if models[0] != models[1]:
        notes.append(f"the teachers' models were {', '.join(models[0])}, and are {', '.join(models[1])} now")
    if before.teacher.base_url != now.teacher.base_url:
        notes.append(f"the teacher was at {before.teacher.base_url}, and is at {now.teacher.base_url} now")
    return notes


def _flat(value: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, inner in value.items():
        if isinstance(inner, dict) and inner:
            flat |= _flat(inner, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = inner
    return flat


def _short(value: object) -> str:
    text = dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."

"""What two recipes for one run folder differ in, and what of it makes another run."""

from __future__ import annotations

from alpaca_cli.recipe.difference import changed
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
    return [text for key, text in changed(before, now).items() if key not in _FREE and not key.startswith(_FREE_PARTS)]


def moves(before: GenerateRecipe, now: GenerateRecipe) -> list[str]:
    """What the user should know of how `now` differs, though it is the same run."""
    notes = []
    models = [sorted({settings.model or "" for settings, _ in each.servers()}) for each in (before, now)]
    if models[0] != models[1]:
        notes.append(f"the teachers' models were {', '.join(models[0])}, and are {', '.join(models[1])} now")
    if before.teacher.base_url != now.teacher.base_url:
        notes.append(f"the teacher was at {before.teacher.base_url}, and is at {now.teacher.base_url} now")
    return notes

"""What two recipes differ in, key by key."""

from __future__ import annotations

from typing import Any

from alpaca_cli.data.jsonl import dumps
from alpaca_cli.yamlfile import Settings


def changed(before: Settings, now: Settings) -> dict[str, str]:
    """The dotted keys whose values differ, in order, each with a text that says how."""
    old, new = _flat(before.model_dump(mode="json")), _flat(now.model_dump(mode="json"))
    return {
        key: f"{key}: {_short(old.get(key))} there, {_short(new.get(key))} now"
        for key in sorted(old | new)
        if old.get(key) != new.get(key)
    }


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

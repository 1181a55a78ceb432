"""The input of a batch: its rows, or everything for which OpenAI would not begin with it."""

from __future__ import annotations

import json
from dataclasses import dataclass

from alpaca_cli.rehearsal.files import StoredFile
from alpaca_cli.rehearsal.protocol import MODEL, Json

MOST_REQUESTS = 50_000
MOST_ERRORS = 100


@dataclass(frozen=True)
class Row:
    """Where one request stands in the file, in bytes, and its name."""

    custom_id: str
    at: int
    length: int


def read_rows(file: StoredFile, endpoint: str) -> tuple[list[Row], list[Json]]:
    """The rows of a file, and what is wrong with it, of which nothing may be."""
    rows: list[Row] = []
    errors: list[Json] = []
    seen: set[str] = set()
    models: set[str] = set()
    for number, (at, line) in enumerate(file.lines(), 1):
        if not line.strip():
            continue
        data = _parsed(line)
        if data is None:
            errors.append(_error("invalid_json_line", "This line is not a JSON object.", number))
        else:
            errors += _faults(data, number, endpoint, seen, models)
            rows.append(Row(str(data.get("custom_id")), at, len(line)))
        if len(errors) >= MOST_ERRORS:
            break
    if not rows and not errors:
        errors.append(_error("empty_batch", "The batch has no requests.", None))
    if len(rows) > MOST_REQUESTS:
        message = f"The batch has {len(rows)} requests; at most {MOST_REQUESTS} are allowed."
        errors.append(_error("too_many_tasks", message, None))
    return rows, errors


def _parsed(line: bytes) -> Json | None:
    try:
        data = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return data if isinstance(data, dict) else None


def _faults(data: Json, line: int, endpoint: str, seen: set[str], models: set[str]) -> list[Json]:
    """What is wrong with one row, given the names and models of those before it, to which it is added."""
    found: list[Json] = []
    name, body = data.get("custom_id"), data.get("body")
    if not isinstance(name, str) or not name:
        found.append(_error("missing_required_parameter", "custom_id must be a text.", line, "custom_id"))
    elif name in seen:
        message = "The custom_id of this request is that of another request in the file."
        found.append(_error("duplicate_custom_id", message, line, "custom_id"))
    else:
        seen.add(name)
    if data.get("method") != "POST":
        found.append(_error("invalid_method", "method must be POST.", line, "method"))
    if data.get("url") != endpoint:
        message = f"The url of this request is not the endpoint of the batch, {endpoint}."
        found.append(_error("url_mismatch", message, line, "url"))
    if not isinstance(body, dict):
        found.append(_error("missing_required_parameter", "body must be an object.", line, "body"))
        return found
    model = str(body.get("model"))
    models.add(model)
    if len(models) > 1:
        message = f"The model {model[:100]} is not that of the requests before; a batch has one model."
        found.append(_error("model_mismatch", message, line, "body.model"))
    elif model != MODEL:
        message = f"The model {model[:100]} does not exist or cannot be used in a batch."
        found.append(_error("model_not_found", message, line, "body.model"))
    return found


def _error(code: str, message: str, line: int | None, param: str | None = None) -> Json:
    return {"code": code, "message": message, "param": param, "line": line}

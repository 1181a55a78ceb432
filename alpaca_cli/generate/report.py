"""What is told of a replay: the counts, and a line for each task, accepted or refused; all of it pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, InstanceOf, NonNegativeInt, ValidationError

from alpaca_cli.data.journal import GIVEN_UP, Completion
from alpaca_cli.generate.prompt import RequestMaker
from alpaca_cli.generate.replay import REASONS, Replay
from alpaca_cli.generate.server import BYTES_PER_TOKEN

PROGRESS_ROWS = 256  # between two words of progress


def report(replay: Replay, maker: RequestMaker) -> dict[str, Any]:
    """The counts of a run, as `report.json` has them: of the completions that were looked at, in order of k."""
    reasons = replay.reasons
    finish = Counter(completion.finish_reason or "null" for completion in replay.used)
    tokens = Counter[str]()
    for completion in replay.used:
        tokens.update(completion.usage or {})
    counted: dict[str, Any] = {"prompt": tokens["prompt_tokens"], "completion": tokens["completion_tokens"]}
    if estimated := estimated_tokens(replay.used, maker):
        counted["estimated"] = {key: estimated[key] for key in ("prompt", "completion")}
    return {
        "num": replay.num,
        "kept": len(replay.accepted),
        "is_complete": replay.is_done,
        "with_input": sum(bool(example.input) for example in replay.accepted),
        "completions": len(replay.used),
        "tasks": len(replay.accepted) + len(replay.refused),
        "refused": {name: reasons[name] for name in REASONS if reasons[name]},
        "finish_reasons": dict(sorted(finish.items())),
        "tokens": counted,
        "completions_without_usage": sum(_is_uncounted(completion) for completion in replay.used),
    }


def is_report(value: object) -> bool:
    """Whether a JSON value that was read has the shape of a whole report, its part `run` included."""
    try:
        _Report.model_validate(value)
    except ValidationError:
        return False
    return True


def estimated_tokens(completions: Iterable[Completion], maker: RequestMaker) -> Counter[str]:
    """`prompt` and `completion` tokens of the answers whose tokens the server did not count; empty if it did count."""
    tokens = Counter[str]()
    for each in completions:
        if _is_uncounted(each):
            prompt = maker.request(each.k, len(each.seed_ids)).text
            tokens.update(
                prompt=round(len(prompt) / BYTES_PER_TOKEN), completion=round(len(each.text) / BYTES_PER_TOKEN)
            )
    return tokens


def provenance_rows(replay: Replay, on_progress: Callable[[int, int], None]) -> Iterator[dict[str, Any]]:
    """For each accepted example where it comes from; `on_progress` hears of rows done and rows in all."""
    for row, origin in enumerate(replay.provenance()):
        if row % PROGRESS_ROWS == 0:
            on_progress(row, len(replay.accepted))
        yield {
            "row": row,
            "request": origin.k,
            "position": origin.position,
            "most_similar_instructions": origin.most_similar,
            "avg_similarity_score": origin.average_similarity,
        }


def refused_rows(replay: Replay) -> Iterator[dict[str, Any]]:
    """Each refused task, and why."""
    for refused in replay.refused:
        row: dict[str, Any] = {"request": refused.k, "position": refused.task.position, "reason": refused.reason}
        row |= refused.task.example.as_dict()
        if refused.repeats is not None:
            row |= {"repeats": refused.repeats, "score": refused.score}
        yield row


def _is_uncounted(completion: Completion) -> bool:
    return completion.usage is None and completion.finish_reason != GIVEN_UP


class _Shape(BaseModel):
    model_config = ConfigDict(strict=True)


_Text = InstanceOf[str]  # a lone half of a surrogate pair too, as a server or a shell may give one
_Usd = Annotated[str, Field(pattern=r"^[0-9]+(\.[0-9]+)?$")]


class _Tokens(_Shape):
    prompt: NonNegativeInt
    completion: NonNegativeInt


class _AllTokens(_Tokens):
    estimated: _Tokens | None = None


class _Price(_Shape):
    input: _Text
    output: _Text
    date: _Text | None
    source: _Text


class _Run(_Shape):
    command: _Text
    recipe: _Text
    alpaca: _Text
    first_asked: _Text | None
    last_asked: _Text | None
    models: dict[_Text, NonNegativeInt]
    base_urls: list[_Text]
    requests: NonNegativeInt
    spent: _Usd | None
    unknown: _Usd | None
    prices: list[_Price]
    license: _Text | None
    imported: NonNegativeInt = 0
    refiltered_by: _Text = ""


class _Report(_Shape):
    num: NonNegativeInt
    kept: NonNegativeInt
    is_complete: bool
    with_input: NonNegativeInt
    completions: NonNegativeInt
    tasks: NonNegativeInt
    refused: dict[_Text, NonNegativeInt]
    finish_reasons: dict[_Text, NonNegativeInt]
    tokens: _AllTokens
    completions_without_usage: NonNegativeInt
    run: _Run

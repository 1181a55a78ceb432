"""What the next batch asks: as many requests as are likely needed, those without a completion, in order of number."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Container, Iterable
from dataclasses import dataclass
from decimal import Decimal
from itertools import count
from pathlib import Path

from alpaca_cli.data.files import write_atomically
from alpaca_cli.generate.batch.file import MOST_BYTES, MOST_REQUESTS, line_of
from alpaca_cli.generate.batch.harvest import Harvest
from alpaca_cli.generate.body import Body
from alpaca_cli.generate.budget import Budget
from alpaca_cli.generate.prompt import Request
from alpaca_cli.generate.replay import Replay
from alpaca_cli.recipe.generate import GenerateRecipe

TRIAL = 100  # requests at most, until one was answered with a task that is accepted: the rest may be paid for nothing
MORE = 1.05  # of what is likely needed: acceptance falls as the pool grows


@dataclass(frozen=True)
class Input:
    """The input file of a batch, as it was written."""

    num_requests: int
    sha256: str
    most: Decimal
    """USD that all of it costs at most."""
    cut_by: str | None
    """The user's limit that had no room for more."""


def num_likely(recipe: GenerateRecipe, replay: Replay) -> int:
    """How many requests from `replay.next_k` on end the run, as far as is known; before anything is accepted, a trial
    of no more than would end it if every task were accepted."""
    if not replay.accepted:
        return min(TRIAL, math.ceil(replay.num / (recipe.prompt.num_tasks - recipe.prompt.num_seeds)))
    return math.ceil(replay.num_needed * MORE) + 1


def wanted(recipe: GenerateRecipe, replay: Replay, done: Container[int], harvest: Harvest) -> list[Request]:
    """The requests to ask next.

    Those that failed before do not go alone: only if another is answered, it is they that fail and not the server.
    """
    end = replay.next_k + num_likely(recipe, replay)
    asked = [k for k in range(replay.next_k, end) if k not in done]
    if all(harvest.num_failures(k) for k in asked):
        asked.append(next(k for k in count(end) if k not in done and not harvest.num_failures(k)))
    return [harvest.request(k) for k in asked]


def write_input(
    path: Path,
    requests: Iterable[Request],
    recipe: GenerateRecipe,
    body: Body,
    *,
    budget: Budget | None = None,
    worst: Callable[[Request], Decimal] = lambda _: Decimal(0),
    most_requests: int = MOST_REQUESTS,
) -> Input:
    """Write as many requests as a batch may hold and the budget has room for, each at its `worst`.

    Raises LimitReached, and writes nothing, if there is no room for the first.
    """
    num_requests, size, most, cut_by = 0, 0, Decimal(0), None
    digest = hashlib.sha256()
    with write_atomically(path) as stream:
        for request in requests:
            line, cost = line_of(request, body, recipe.teacher.api), worst(request)
            if budget is not None:
                cut_by = budget.room(most + cost, num_requests=num_requests + 1)
            if cut_by is not None and budget is not None and not num_requests:
                raise budget.reached(cut_by, cost)
            if cut_by is not None or num_requests == most_requests or size + len(line) > MOST_BYTES:
                break
            stream.write(line)
            digest.update(line)
            num_requests, size, most = num_requests + 1, size + len(line), most + cost
    return Input(num_requests, digest.hexdigest(), most, cut_by)

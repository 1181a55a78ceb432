"""The plan: what a run would still ask, cost and take, computed before anything is spent.

What the run folder's journal has seen is counted from it; for a new run the numbers below stand in, which are
expectations and were not measured on a paid model.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from pathlib import Path
from statistics import fmean
from typing import Any

from alpaca_cli.data.journal import GIVEN_UP, Completion, Journal
from alpaca_cli.data.ledger import Ledger
from alpaca_cli.generate.about import exact
from alpaca_cli.generate.address import FREE, Address, addresses, check_money, price_of, warnings
from alpaca_cli.generate.budget import TEMPLATE_TOKENS
from alpaca_cli.generate.inputs import load_inputs
from alpaca_cli.generate.prices import Price, Tier
from alpaca_cli.generate.prompt import RequestMaker
from alpaca_cli.generate.replay import Replay
from alpaca_cli.generate.report import estimated_tokens
from alpaca_cli.generate.runfolder import JOURNAL, LEDGER, check_folder, check_paid
from alpaca_cli.generate.server import BYTES_PER_TOKEN
from alpaca_cli.generate.teacher import NO_KEY
from alpaca_cli.recipe.generate import GenerateRecipe

ACCEPTED = 0.65  # of the tasks asked for: the rest falls to rules and novelty, or is never written
TOKENS_PER_TASK = 105  # new ones: Stanford's release holds about as many per row, 22.8 MB / 52,002 rows / 4
TOKENS_PER_S = 100  # new ones in one answer; published speeds of small models lie around 135
NUM_PROMPTS = 50  # of which the mean length is taken
TIERS: tuple[Tier, ...] = ("standard", "flex", "batch")


@dataclass(frozen=True)
class Plan:
    """What a run has and what it is still expected to ask, cost and take."""

    num: int
    kept: int
    """Accepted already."""
    num_completions: int
    """In the journal already."""
    num_requests: int
    """Expected yet."""
    prompt_tokens: int
    """Of all requests expected yet; `completion_tokens` too."""
    completion_tokens: int
    costs: Mapping[Tier, Decimal]
    """USD expected yet, in each tier that has a price; empty if no price is known."""
    tier: Tier
    """The one that is asked for, or `standard` where that has no price."""
    spent: Decimal
    """USD of the run so far."""
    most: Decimal
    """USD that one request may cost at most."""
    max_cost: Decimal | None
    num_affordable: int | None
    """Examples that `max_cost` likely buys in all; None: no limit, or no cost."""
    seconds: float
    """Expected yet, at the recipe's concurrency, if the servers keep up."""
    concurrency: int
    is_observed: bool
    """Whether acceptance, tokens and speed are this run's own, or assumed."""
    prices: tuple[Price, ...]
    """Those that the costs were reckoned with."""
    warnings: tuple[str, ...]
    """What the user should know of the models, and of what has changed since the run in the folder began."""
    prompt: str
    """Of request 0, as it is sent."""

    @property
    def cost(self) -> Decimal | None:
        """USD expected yet in the tier asked for; None if no price is known."""
        return self.costs.get(self.tier)

    def as_dict(self) -> dict[str, Any]:
        """As JSON; amounts of USD as exact texts."""
        found: dict[str, Any] = {
            name: exact(value) if isinstance(value, Decimal) else value for name, value in vars(self).items()
        }
        found["cost"] = None if self.cost is None else exact(self.cost)
        found["costs"] = {tier: exact(cost) for tier, cost in self.costs.items()}
        found["prices"] = [
            {"input": exact(each.input), "output": exact(each.output), "date": each.date, "source": each.source}
            for each in self.prices
        ]
        return found


def plan(recipe: GenerateRecipe, folder: Path, *, at: Sequence[Address], beside: Path = Path()) -> Plan:
    """The plan of a run in `folder`, which may be there or not, and is only read.

    Raises what the run itself would raise before its first request.
    """
    check_money(recipe, at)
    recipe = located(recipe, at)
    inputs = load_inputs(recipe, beside=beside)
    notes = check_folder(folder, recipe, inputs)
    replay = Replay(recipe, inputs.seed_tasks, recipe.num or 0)
    completions, spent = read_paid(folder)
    check_paid(folder, completions)
    for k in sorted(completions):
        replay.offer(completions[k])
    found = estimate(recipe, at, inputs.request_maker(recipe), replay, completions, spent)
    return replace(found, warnings=(*notes, *found.warnings))


def estimate(
    recipe: GenerateRecipe,
    at: Sequence[Address],
    maker: RequestMaker,
    replay: Replay,
    completions: Mapping[int, Completion],
    spent: Decimal,
) -> Plan:
    """The plan of a run whose journal holds `completions`, all of them offered to `replay`."""
    prompts = [maker.request(k).text for k in range(NUM_PROMPTS)]
    longest = max(len(prompt.encode("utf-8", "surrogatepass")) for prompt in prompts)
    new_tokens = min(TOKENS_PER_TASK * (maker.num_tasks - maker.num_seeds), recipe.teacher.max_tokens)
    per_request = (fmean(map(len, prompts)) / BYTES_PER_TOKEN, float(new_tokens))
    seconds = 0.0 if recipe.teacher.kind == "rehearsal" else new_tokens / TOKENS_PER_S
    missing = max(0, replay.num - len(replay.accepted))
    answers = [each for each in completions.values() if each.finish_reason != GIVEN_UP]
    if replay.accepted:
        per_request = _observed_tokens(answers, maker)
        seconds = fmean(each.seconds for each in answers)
        num_requests = max(0, replay.num_needed - replay.num_waiting)
    else:
        num_requests = math.ceil(missing / (ACCEPTED * (maker.num_tasks - maker.num_seeds)))
    concurrency = sum(each.settings.concurrency for each in at)
    costs = {tier: cost for tier in TIERS if (cost := _cost(at, num_requests, *per_request, tier)) is not None}
    tier: Tier = recipe.teacher.tier if recipe.teacher.tier in costs else "standard"
    most = max((_most(each, longest) for each in at), default=Decimal(0))
    max_cost = None if recipe.max_cost is None else Decimal(str(recipe.max_cost))
    num_affordable = None
    if max_cost is not None and missing and costs.get(tier):
        room = max(Decimal(0), max_cost - spent - most)  # nothing is sent without room for its worst case
        num_affordable = len(replay.accepted) + min(missing, int(room * missing / costs[tier]))
    return Plan(
        num=replay.num,
        kept=len(replay.accepted),
        num_completions=len(completions),
        num_requests=num_requests,
        prompt_tokens=round(num_requests * per_request[0]),
        completion_tokens=round(num_requests * per_request[1]),
        costs=costs,
        tier=tier,
        spent=spent,
        most=most,
        max_cost=max_cost,
        num_affordable=num_affordable,
        seconds=math.ceil(num_requests / concurrency) * seconds,
        concurrency=concurrency,
        is_observed=bool(replay.accepted),
        prices=tuple(dict.fromkeys(each.price for each in at if each.price is not None)),
        warnings=tuple(warnings(at, today=date.today())),
        prompt=prompts[0],
    )


def located(recipe: GenerateRecipe, at: Sequence[Address]) -> GenerateRecipe:
    """The recipe with the address that its one teacher was found at."""
    if recipe.teacher.kind != "openai" or recipe.teachers:
        return recipe
    return recipe.model_copy(update={"teacher": recipe.teacher.model_copy(update={"base_url": at[0].base_url})})


def addresses_without_keys(recipe: GenerateRecipe, environment: Mapping[str, str]) -> list[Address]:
    """Where the teachers of a recipe are and what they cost, for what asks nothing and so needs no key."""
    if recipe.teacher.kind == "rehearsal":
        return [Address(recipe.teacher, "", NO_KEY, price_of(price) if (price := recipe.teacher.price) else FREE)]
    names = {settings.api_key_env: NO_KEY for settings, _ in recipe.servers()}
    return addresses(recipe, {**environment, **names})


def read_paid(folder: Path) -> tuple[dict[int, Completion], Decimal]:
    """The completions of a run folder and the USD they cost, read without a lock and without any change."""
    completions: dict[int, Completion] = {}
    spent = Decimal(0)
    if (path := folder / JOURNAL).exists():
        with Journal(path, read_only=True) as journal:
            completions = journal.completions
    if (path := folder / LEDGER).exists():
        with Ledger(path, read_only=True) as ledger:
            spent = ledger.spent + ledger.reserved
    return completions, spent


def _observed_tokens(answers: Sequence[Completion], maker: RequestMaker) -> tuple[float, float]:
    """Prompt and new tokens of an answer, on average: as the servers counted them, else estimated."""
    estimated = estimated_tokens(answers, maker)
    totals = []
    for key in ("prompt", "completion"):
        counted = sum((each.usage or {}).get(f"{key}_tokens", 0) for each in answers)
        totals.append((counted + estimated[key]) / len(answers))
    return totals[0], totals[1]


def _cost(
    at: Sequence[Address], num: int, prompt_tokens: float, completion_tokens: float, tier: Tier
) -> Decimal | None:
    """USD of `num` requests shared out by weight; None if a price is not known for one of the servers."""
    weights = sum(each.weight for each in at)
    total = Decimal(0)
    for each in at:
        if each.price is None:
            return None
        share = num * each.weight / weights
        prompt, completion = round(share * prompt_tokens), round(share * completion_tokens)
        try:
            total += each.price.cost(prompt_tokens=prompt, completion_tokens=completion, tier=tier)
        except ValueError:  # it has no such tier
            return None
    return total


def _most(at: Address, longest: int) -> Decimal:
    if at.price is None:
        return Decimal(0)
    return at.price.most(prompt_tokens=longest + TEMPLATE_TOKENS, completion_tokens=at.settings.max_tokens)

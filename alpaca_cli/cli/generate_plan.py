"""What a run of `alpaca generate` would do, and what other rules would make of one, in words."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import TYPE_CHECKING

from alpaca_cli.cli import screen

if TYPE_CHECKING:
    from alpaca_cli.generate.address import Address
    from alpaca_cli.generate.plan import Plan
    from alpaca_cli.generate.refilter import Refiltered
    from alpaca_cli.recipe.generate import GenerateRecipe

MOST_SHOWN = 5
LONGEST = 100  # characters of an instruction that are shown


def source(recipe: GenerateRecipe, at: Sequence[Address]) -> str:
    """What a run makes, and from whom."""
    who = " and ".join(f"{each.settings.model} at {each.base_url}" for each in at)
    if recipe.teacher.kind == "rehearsal":
        who = "the rehearsal teacher (built in, offline, without intelligence)"
    return f"{counted(recipe.num or 0, 'example')} from {who}"


def plan_text(plan: Plan, title: str) -> str:
    """The whole prompt of a run's first request, and the plan of the run, which is what one looks for at the end."""
    if plan.is_observed:
        basis = f"observed in the {counted(plan.num_completions, 'completion')} of this run"
    else:
        basis = "assumed, not measured on your model; once a run has begun, it is observed"
    rows = {
        "kept": f"{plan.kept:,} of {plan.num:,} already, from {counted(plan.num_completions, 'completion')}",
        "requests": f"about {_about(plan.num_requests)}",
        "tokens": f"about {_about(plan.prompt_tokens)} in, {_about(plan.completion_tokens)} out",
        "cost": _costs(plan),
        "prices": _prices(plan) or "none known",
        "time": f"about {_time(plan.seconds)} at {plan.concurrency} requests at once, if the server keeps up",
        "basis": basis,
    }
    if plan.spent:
        rows["spent"] = f"{usd(plan.spent)} so far"
    if plan.max_cost is not None:
        buys = "enough" if plan.num_affordable is None or plan.num_affordable >= plan.num else "not enough"
        number = plan.num if plan.num_affordable is None else plan.num_affordable
        rows["max cost"] = f"${plan.max_cost}, likely {buys}: it buys about {number:,} examples in all"
    lines = [f"the plan: {title}", *(f"  {name:9} {text}" for name, text in rows.items())]
    return "\n".join(["the prompt of request 0, as it is sent:", "", plan.prompt, "", *lines])


def refiltered_text(found: Refiltered) -> str:
    """What other rules change in a run."""
    rows = {"kept": found.kept, **found.refused}
    width = max(map(len, rows))
    lines = [
        f"  {name:{width}}  {then:>8,} -> {now:>8,}  {now - then:+,}"
        if then != now
        else f"  {name:{width}}  {then:>8,}"
        for name, (then, now) in rows.items()
    ]
    lines.append(f"rows: {found.num_same:,} the same, {len(found.new):,} new, {len(found.gone):,} gone")
    for what, which, changes in (("new ", "refused before", found.new), ("gone", "refused now", found.gone)):
        for each in changes[:MOST_SHOWN]:
            text = " ".join(each.instruction.split())
            lines.append(f"  {what}  {text[:LONGEST]}{'...' * (len(text) > LONGEST)}  ({which}: {each.reason})")
    done = "filtered again" if found.is_written else "nothing was written; filtered again it would be"
    return "\n".join([f"{done}: {found.dataset}", *lines])


def short(plan: Plan) -> str:
    """The plan in a line."""
    requests = f"{_about(plan.num_requests)} request{'s' if plan.num_requests != 1 else ''}"
    text = f"about {requests}, {_about(plan.prompt_tokens)} tokens in, {_about(plan.completion_tokens)} out"
    if plan.cost is None:
        return f"{text}; no price is known, give --price-in and --price-out to see the cost"
    return f"{text}, about {usd(plan.cost)} (prices {_prices(plan)})"


def _costs(plan: Plan) -> str:
    if not plan.costs:
        return "not known: give --price-in and --price-out, in USD per 1,000,000 tokens"
    standard = plan.costs["standard"]
    others = [f"{usd(cost)} as {tier}" for tier, cost in plan.costs.items() if cost != standard]
    return ", ".join([f"about {usd(standard)}", *others])


def _prices(plan: Plan) -> str:
    """Whose prices, and of which day: they move."""
    return " and ".join(f"of {each.date}, {each.source}" if each.date else each.source for each in plan.prices)


def _time(seconds: float) -> str:
    """A guess of minutes does not speak of seconds."""
    return screen.duration(seconds) if not 120 <= seconds < 3600 else f"{round(seconds / 60)} min"


def usd(amount: Decimal) -> str:
    """Dollars and cents; of less than a dollar two digits that count.

    >>> [usd(Decimal(each)) for each in ("1234.5", "0.4149", "0.00412", "0")]
    ['$1,234.50', '$0.41', '$0.0041', '$0']
    """
    if not amount or amount >= 1:
        return f"${amount:,.2f}" if amount else "$0"
    return f"${amount.quantize(Decimal(1).scaleb(amount.adjusted() - 1)):f}"


def _about(number: int) -> str:
    """A guess, with as many digits as it deserves: 4,700, 85k, 8.5M."""
    if number < 100:
        return str(number)
    digits = len(str(number))
    rounded = round(number, 2 - digits)
    if rounded >= 1_000_000:
        return f"{rounded / 1_000_000:g}M"
    return f"{rounded / 1000:g}k" if rounded >= 10_000 else f"{rounded:,}"


def counted(number: int, one: str, many: str | None = None) -> str:
    """A number and what it counts."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"

"""What two runs of one recipe need not share: the command, the days, who answered, what it cost.

It is the part `run` of a report, beside which everything there is a pure function of recipe and journal.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from alpaca_cli import __version__
from alpaca_cli.data.batchlog import BatchLog
from alpaca_cli.data.journal import GIVEN_UP, Completion
from alpaca_cli.data.ledger import Ledger
from alpaca_cli.generate.address import Address
from alpaca_cli.generate.prices import Price
from alpaca_cli.generate.runfolder import BATCHES
from alpaca_cli.recipe.generate import GenerateRecipe


@dataclass(frozen=True)
class Origin:
    """How a user asked for a run."""

    command: str
    """As for a shell, without keys."""
    recipe: str
    """Path or shipped name."""
    refiltered_by: str | None = None
    """The later command that judged what was there by other rules."""


def about(
    origin: Origin, recipe: GenerateRecipe, at: Sequence[Address], used: Iterable[Completion], ledger: Ledger
) -> dict[str, Any]:
    """The part `run` of a report on the completions that were `used`; amounts of USD as exact texts.

    `ledger` is that of the run folder, whose record of batches lies beside it.
    """
    answers = [each for each in used if each.finish_reason != GIVEN_UP]
    asked = sorted(each.started for each in answers)
    models = Counter(each.model or "not named" for each in answers)
    is_priced = bool(at) and all(each.price is not None for each in at)
    urls = {each.base_url for each in at} | {each.base_url for each in answers if each.base_url}
    found: dict[str, Any] = {
        "command": origin.command,
        "recipe": origin.recipe,
        "alpaca": __version__,
        "first_asked": asked[0] if asked else None,
        "last_asked": asked[-1] if asked else None,
        "models": dict(sorted(models.items())),
        "base_urls": [] if recipe.teacher.kind == "rehearsal" else sorted(urls),
        "requests": ledger.num_requests,
        "spent": exact(ledger.spent + ledger.reserved) if is_priced else None,
        "unknown": exact(ledger.unknown + ledger.reserved) if is_priced else None,
        "prices": [_price(each) for each in dict.fromkeys(server.price for server in at) if each is not None],
        "license": recipe.license,
    }
    if num_imported := _num_imported(ledger.path.with_name(BATCHES)):
        found["imported"] = num_imported
    return found if origin.refiltered_by is None else {**found, "refiltered_by": origin.refiltered_by}


def _num_imported(path: Path) -> int:
    """Files of results that were taken, in a record of batches; nobody says what their answers cost."""
    if not path.exists():
        return 0
    with BatchLog(path) as log:
        return sum(wave.status is None and wave.step in ("imported", "taken") for wave in log.waves)


def _price(price: Price) -> dict[str, str | None]:
    amounts = {"input": price.input, "cached_input": price.cached_input, "output": price.output}
    return {**{name: exact(amount) for name, amount in amounts.items()}, "date": price.date, "source": price.source}


def exact(amount: Decimal) -> str:
    """All digits, without an exponent or zeros behind them."""
    return f"{amount.normalize():f}"

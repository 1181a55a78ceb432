"""`alpaca finetune`: flags in, one call, words out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from alpaca_cli.cli import screen
from alpaca_cli.errors import AlpacaError


def finetune_worker(run: Annotated[Path, typer.Argument(metavar="RUN", help="Run folder, prepared.")]) -> None:
    """One process of a run; `alpaca finetune` starts it.

    Example: alpaca finetune-worker runs/7b_fsdp
    """
    from alpaca_cli.finetune.place import find_place
    from alpaca_cli.finetune.watch import redirect

    rank = find_place().rank
    redirect(run, rank)
    _work(run, rank)


def _work(run: Path, rank: int) -> None:
    """Train as one rank.  A failure is written down for those who wait, whatever it is."""
    import traceback

    from alpaca_cli.finetune.failure import first_failure, reporting

    try:
        with reporting(run, rank):
            from alpaca_cli.finetune.worker import work

            work(run)
    except AlpacaError:
        raise
    except Exception as error:
        screen.say(traceback.format_exc().rstrip())
        raise first_failure(run) or error from error

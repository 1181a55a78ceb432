"""`alpaca rehearsal`: the built-in teacher as a server of its own, in any weather."""

from __future__ import annotations

from math import isfinite
from pathlib import Path
from typing import Annotated

import typer

from alpaca_cli.cli import screen
from alpaca_cli.errors import UsageError

Flags = list[tuple[str, tuple[str, ...], object]]


def _complete_fault(incomplete: str) -> list[str]:
    from alpaca_cli.rehearsal.faults import FAULTS

    return [f"{name}=" for name in FAULTS if name.startswith(incomplete)]


def rehearsal(
    port: Annotated[int, typer.Option("--port", "-p", min=0, max=65535, help="Loopback port; 0: any free one.")] = 8765,
    seed: Annotated[int, typer.Option(help="Seed of its answers, and of its faults.")] = 0,
    latency: Annotated[
        float,
        typer.Option(
            min=0.0,
            max=600.0,
            metavar="SECONDS",
            help="Seconds to wait before each answer, to see a run as with a real teacher.",
        ),
    ] = 0.0,
    faults: Annotated[
        float | None,
        typer.Option(
            metavar="SHARE", help="Share of requests that go wrong, in every way that passes.", show_default=False
        ),
    ] = None,
    fault: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=SHARE",
            help="Share of requests that meet this fault; may be given again.",
            autocompletion=_complete_fault,
            show_default=False,
        ),
    ] = None,
    script: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="A storm in YAML: faults in order, limits, batches.", show_default=False),
    ] = None,
    rpm: Annotated[
        float | None, typer.Option(metavar="NUM", help="Requests per minute before it refuses.", show_default=False)
    ] = None,
    tpm: Annotated[
        float | None, typer.Option(metavar="NUM", help="Tokens per minute before it refuses.", show_default=False)
    ] = None,
    max_concurrency: Annotated[
        int | None, typer.Option(metavar="NUM", help="Requests at once before it refuses.", show_default=False)
    ] = None,
    rate_limit_headers: Annotated[
        bool, typer.Option("--rate-limit-headers", help="Tell the limits in x-ratelimit headers.")
    ] = False,
    batch_seconds: Annotated[
        float | None, typer.Option(metavar="SECONDS", help="How long a batch takes.", show_default=False)
    ] = None,
) -> None:
    """Serve the built-in offline teacher.

    An OpenAI-compatible API on loopback that composes tasks by rule, to try things with.  It has no intelligence.  With
    faults and limits it behaves as real servers do at their worst; what it was asked, and what must be paid for that,
    is at /rehearsal/books.

    Example: alpaca rehearsal --port 8765 --faults 0.3 --rpm 600
    """
    from alpaca_cli.rehearsal.faults import PASSING
    from alpaca_cli.rehearsal.server import RehearsalServer
    from alpaca_cli.rehearsal.storm import read_storm

    flags: Flags = []
    if faults is not None:
        flags += [("--faults", ("rates", name), _share("--faults", faults) / len(PASSING)) for name in PASSING]
    flags += [_named_share(given) for given in fault or ()]
    values = {
        "--rpm": ("requests_per_minute", rpm),
        "--tpm": ("tokens_per_minute", tpm),
        "--max-concurrency": ("concurrency", max_concurrency),
        "--rate-limit-headers": ("headers", rate_limit_headers or None),
        "--batch-seconds": ("batch_s", batch_seconds),
    }
    flags += [(flag, (key,), value) for flag, (key, value) in values.items() if value is not None]
    storm = read_storm(script, flags)
    with RehearsalServer(port, seed=seed, latency_s=latency, storm=storm) as server:
        screen.emit(server.base_url)
        screen.say("the rehearsal teacher: tasks composed by rule, no intelligence; loopback only.  Ctrl-C ends it.")
        if storm.rates:
            screen.say(f"faults in {sum(storm.rates.values()):.0%} of the requests")
        if limits := sorted(storm.model_fields_set - {"rates"}):
            screen.say(f"a storm is on, by: {', '.join(limits)}")
        screen.say(f"try: alpaca generate --num 200 --base-url {server.base_url} --model rehearsal")
        server.serve_forever()


def _named_share(given: str) -> tuple[str, tuple[str, ...], object]:
    name, equals, text = given.partition("=")
    flag = f"--fault {given}"
    try:
        share = float(text)
    except ValueError:
        equals = ""
    if not equals:
        raise UsageError("expected NAME=SHARE", where=flag, hint="for example: --fault rate_limit=0.1")
    return flag, ("rates", name), _share(flag, share)


def _share(flag: str, share: float) -> float:
    if not isfinite(share) or not 0 <= share <= 1:
        raise UsageError(f"expected a share from 0 to 1, found {share:g}", where=flag)
    return share

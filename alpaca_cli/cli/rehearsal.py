"""`alpaca rehearsal`: the built-in teacher as a server of its own."""

from __future__ import annotations

from typing import Annotated

import typer

from alpaca_cli.cli import screen


def rehearsal(
    port: Annotated[int, typer.Option("--port", "-p", min=0, max=65535, help="Loopback port; 0: any free one.")] = 8765,
    seed: Annotated[int, typer.Option(help="Seed of its answers.")] = 0,
    latency: Annotated[
        float,
        typer.Option(
            min=0.0,
            max=600.0,
            metavar="SECONDS",
            help="Seconds to wait before each answer, to see a run as with a real teacher.",
        ),
    ] = 0.0,
) -> None:
    """Serve the built-in offline teacher.

    An OpenAI-compatible API on loopback that composes tasks by rule, to try things with.  It has no intelligence.

    Example: alpaca rehearsal --port 8765
    """
    from alpaca_cli.rehearsal.server import RehearsalServer

    with RehearsalServer(port, seed=seed, latency_s=latency) as server:
        screen.emit(server.base_url)
        screen.say("the rehearsal teacher: tasks composed by rule, no intelligence; loopback only.  Ctrl-C ends it.")
        screen.say(f"try: alpaca generate --num 200 --base-url {server.base_url} --model rehearsal")
        server.serve_forever()

"""How fast the front door opens: help, version and completion beside `python -c "import typer"`.

    python benchmarks/startup.py [ROUNDS]

Each round runs every command once, in turn, as a process of its own; printed are the median wall time, the least, and
the median of the ratio to `import typer` in the same round.  Aim: under twice that.
"""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
import sys
import time

PYTHON = [sys.executable]
ALPACA = [*PYTHON, "-c", "import sys; from alpaca_cli.cli.app import main; sys.exit(main())"]
TAB = {"_ALPACA_COMPLETE": "complete_bash", "COMP_WORDS": "alpaca generate --recipe ge", "COMP_CWORD": "3"}
ZSH = {"_ALPACA_COMPLETE": "complete_zsh", "_TYPER_COMPLETE_ARGS": "alpaca format x --to m"}
FISH = {
    "_ALPACA_COMPLETE": "complete_fish",
    "_TYPER_COMPLETE_FISH_ACTION": "get-args",
    "_TYPER_COMPLETE_ARGS": "alpaca recipes show ge",
}
CASES: list[tuple[str, list[str], dict[str, str]]] = [
    ("import typer", [*PYTHON, "-c", "import typer"], {}),
    ("python alone", [*PYTHON, "-c", "pass"], {}),
    ("alpaca --version", [*ALPACA, "--version"], {}),
    ("alpaca --help", [*ALPACA, "--help"], {}),
    *[
        (f"alpaca {name} --help", [*ALPACA, *name.split(), "--help"], {})
        for name in ("quickstart", "generate", "dedup", "format", "rehearsal", "recipes", "recipes show")
    ],
    ("TAB in bash", ALPACA, TAB),
    ("TAB in zsh", ALPACA, ZSH),
    ("TAB in fish", ALPACA, FISH),
]


def main() -> None:
    """Measure and print a table."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 15
    seconds: dict[str, list[float]] = {name: [] for name, _, _ in CASES}
    for turn in range(rounds + 1):
        for name, command, environment in CASES:
            began = time.perf_counter()
            subprocess.run(command, env={**os.environ, **environment}, capture_output=True, check=False)
            if turn:  # the first round fills the caches
                seconds[name].append(time.perf_counter() - began)
    print(f"Python {platform.python_version()}, {os.cpu_count()} cores, {rounds} rounds")
    print(f"{'':26} {'median ms':>9} {'least ms':>9} {'x import typer':>14}")
    yardstick = seconds["import typer"]
    for name, found in seconds.items():
        ratio = statistics.median(mine / other for mine, other in zip(found, yardstick, strict=True))
        print(f"{name:26} {statistics.median(found) * 1e3:9.0f} {min(found) * 1e3:9.0f} {ratio:14.2f}")


if __name__ == "__main__":
    main()

"""`alpaca quickstart`: every command once, offline, on the built-in teacher."""

from __future__ import annotations

import shlex
import shutil
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from alpaca_cli.cli import dedup, format, generate, options, screen
from alpaca_cli.errors import UsageError


def quickstart(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where everything is made.")] = Path("quickstart"),
    num: Annotated[int, typer.Option("--num", "-n", metavar="NUM", min=20, help="How many examples to make.")] = 200,
    force: options.Force = False,
) -> None:
    """Walk the whole way offline, in a few seconds.

    From seed tasks to formatted datasets on this machine, without a key or a network: each command once.

    Example: alpaca quickstart
    """
    from alpaca_cli.data.jsonl import parse_json

    began = time.monotonic()
    run, new, train = folder / "run", folder / "new.json", folder / "train.jsonl"
    made, dropped = run / "alpaca_data.json", folder / "dropped.jsonl"

    made_before = folder.is_dir() and {entry.name for entry in folder.iterdir()} <= {run.name}
    if folder.exists() and not made_before and not force:
        other = shlex.quote(f"{folder}-2")
        hint = f"name another folder, for example {other}, or overwrite what quickstart makes with --force"
        raise UsageError("there is something here already", where=str(folder), hint=hint)

    _step(1, "ask a teacher for new tasks (here the built-in one, which is free and knows nothing)")
    _shell("generate", "--num", num, "--teacher", "rehearsal", "--out", run)
    generate.generate(num=num, teacher="rehearsal", out=run)

    _step(2, "drop what is too like another, more strictly than generate did")
    _shell("dedup", made, "--threshold", 0.5, "--out", new, "--report", dropped)
    dedup.dedup(str(made), new, threshold=0.5, report=dropped, force=force)

    _step(3, "write it as chat messages, a tenth held out for validation")
    _shell("format", new, "--to", "messages", "--val-fraction", 0.1, "--out", train)
    format.format(new, "messages", train, val_fraction=0.1, force=force)

    examples = parse_json(new.read_text(encoding="utf-8"), new)
    shown = next((example for example in examples if 0 < len(example["input"]) < 200), examples[0])
    screen.say(f"\n{screen.paint('One of the examples', 'bold')}")
    for key in ("instruction", "input", "output"):
        screen.say(f"  {key + ':':13}" + shown[key].replace("\n", "\n" + " " * 15))
    screen.say(f"\n{screen.paint(f'Done in {screen.duration(time.monotonic() - began)}.', 'bold')}  What you have:")
    lies = {
        run: "the run: dataset, journal of every completion, provenance, what was refused and why",
        new: "the distinct examples",
        dropped: "what each dropped example repeats",
        train: "the distinct examples as chat messages, for training",
        train.with_suffix(".val.jsonl"): "the tenth of them that was held out",
    }
    for path, what in lies.items():
        screen.say(f"  {path!s:{max(len(str(each)) for each in lies)}}  {what}")
    screen.say("The built-in teacher composes tasks by rule: good for trying things, not for training a model.  Next:")
    if shutil.which("alpaca") is None:
        screen.say(
            f"  source {shlex.quote(str(Path(sys.prefix) / 'bin' / 'activate'))}   so that `alpaca` is a command"
        )
    screen.say("  export OPENAI_API_KEY=...   then   alpaca generate --num 100 --out runs/first")
    screen.say(
        "  a server of your own:       alpaca generate --num 100 --base-url http://localhost:8000/v1 --model NAME"
    )
    screen.say("  what a run does:            alpaca recipes show generate")


def _step(number: int, what: str) -> None:
    screen.say(f"\n{screen.paint(f'{number}. {what}', 'bold')}")


def _shell(*words: object) -> None:
    screen.say(screen.paint(f"$ alpaca {shlex.join(map(str, words))}", "dim"))

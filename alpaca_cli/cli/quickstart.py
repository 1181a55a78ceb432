"""`alpaca quickstart`: every command once, offline, on the built-in teacher."""

from __future__ import annotations

import shlex
import shutil
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from alpaca_cli.cli import dedup, diff, diff_view, finetune, format, generate, options, screen
from alpaca_cli.errors import IntegrityError, UsageError

KINDS = {"message_topic": "subject of a message", "iso_date": "date as YYYY-MM-DD"}
"""What a model of a million random weights learns within a minute (the one), or with luck begins to (the other)."""
NUM_ASKED = 60
DIFF = "diff"


def quickstart(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where everything is made.")] = Path("quickstart"),
    num: Annotated[int, typer.Option("--num", "-n", metavar="NUM", min=20, help="How many examples to make.")] = 200,
    with_finetune: Annotated[
        bool, typer.Option("--finetune/--no-finetune", help="Train a tiny model too, which takes most of the time.")
    ] = True,
    force: options.Force = False,
) -> None:
    """Walk the whole way offline, in about two minutes.

    From seed tasks to a fine-tuned model on this machine, without a key, a network or a GPU: each command once.

    Example: alpaca quickstart
    """
    from alpaca_cli.data.jsonl import parse_json

    began = time.monotonic()
    run, new, train = folder / "run", folder / "new.json", folder / "train.jsonl"
    made, dropped = run / "alpaca_data.json", folder / "dropped.jsonl"
    lies = {
        run: "the run: dataset, journal of every completion, provenance, what was refused and why",
        new: "the distinct examples",
        dropped: "what each dropped example repeats",
        train: "the distinct examples as chat messages, for training",
        train.with_suffix(".val.jsonl"): "the tenth of them that was held out",
    }

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
    if with_finetune:
        lies |= _finetune(folder, 10 * num, force=force)
        lies |= _diff(folder, force=force)

    screen.say(f"\n{screen.paint(f'Done in {screen.duration(time.monotonic() - began)}.', 'bold')}  What you have:")
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
    screen.say("  what a fine-tuning takes:   alpaca finetune 7b_fsdp --model DIR --data FILE --plan")
    if with_finetune:
        screen.say(f"  what it changed:            {diff_view.command('show', folder / DIFF)}")


def _finetune(folder: Path, num: int, *, force: bool) -> dict[Path, str]:
    """Train a tiny model on a practice set, and ask it what it has not seen; returns what lies where.

    The numbers are told as they come; a machine that rounds otherwise gets others.
    """
    from collections import Counter

    from alpaca_cli.data.files import write_text
    from alpaca_cli.data.jsonl import dumps
    from alpaca_cli.finetune.exactmatch import num_exact
    from alpaca_cli.finetune.run import RECIPE
    from alpaca_cli.finetune.tinymodel import make_tiny_model
    from alpaca_cli.format.template import alpaca_template
    from alpaca_cli.rehearsal.practice import practice

    data, questions, base, tuned = (folder / name for name in ("practice.jsonl", "questions.jsonl", "base", "tuned"))
    lies = {
        data: "examples of two simple kinds, for practice",
        questions: "more of them, which the model was not shown",
        base: "the tiny base model",
        tuned: "the fine-tuning: plan, curve, checkpoint, and the model",
    }
    _step(4, "make a tiny base model, which knows nothing")
    made = practice(list(KINDS), num, NUM_ASKED)
    asked = [example for examples in made.asked.values() for example in examples]
    for path, examples in ((data, made.train), (questions, asked)):
        write_text(path, "".join(dumps(example.as_dict()) + "\n" for example in examples))
    template = alpaca_template()
    texts = (template.render(example) + example.output for example in made.train)
    num_parameters = make_tiny_model(texts, base)
    screen.say(
        f"  {num_parameters:,} weights drawn at random, and a tokenizer trained on the data.  It has all to learn,"
    )
    screen.say(
        f"  and a hundred kinds of task are too many for a minute: {num:,} examples of two kinds are its practice."
    )

    _step(5, "fine-tune it, on two processes that share the model as GPUs do")
    if force and (tuned / RECIPE).exists():
        shutil.rmtree(tuned)
    _shell("finetune", "tiny_cpu", "--model", base, "--data", data, "--out", tuned)
    finetune.finetune("tiny_cpu", model=base, data=data, out=tuned)

    _step(6, f"ask it {NUM_ASKED} questions of each kind that it has not seen, and compare word for word")
    screen.say(f"  {'':24}{'before':>8}{'after':>8}{'always the same answer, at best':>34}")
    for family, examples in made.asked.items():
        before, after = (num_exact(model, examples, template) for model in (base, tuned / "model"))
        ((_, constant),) = Counter(example.output for example in examples).most_common(1)
        screen.say(f"  {KINDS[family]:24}{before:8}{after:8}{constant:34}")
    return lies


def _diff(folder: Path, *, force: bool) -> dict[Path, str]:
    """Publish what the fine-tuning changed, and get the model back from it; returns what lies where."""
    import filecmp

    from alpaca_cli.diff.manifest import MANIFEST
    from alpaca_cli.diff.summary import read_summary

    base, tuned, made, recovered = (folder / name for name in ("base", "tuned/model", DIFF, "recovered"))
    for old, file in ((made, MANIFEST), (recovered, "config.json")):
        if force and (old / file).exists():
            shutil.rmtree(old)
    _step(7, "write what the fine-tuning changed as a diff to publish, and get the model back from base and diff")
    _shell("diff", "make", "--base", base, "--tuned", tuned, "--out", made)
    diff.make(base, tuned, made)
    _shell("diff", "recover", "--base", base, "--diff", made, "--out", recovered)
    diff.recover(base, made, recovered)
    names = [path.relative_to(tuned).as_posix() for path in tuned.rglob("*") if path.is_file()]
    _, differing, missing = filecmp.cmpfiles(tuned, recovered, names, shallow=False)
    if differing or missing:
        raise IntegrityError(f"{(differing + missing)[0]} did not come back as it was", where=str(recovered))
    screen.say(f"  All {len(names)} files of the model came back bit for bit: they were compared.")
    total = read_summary(made).total
    screen.say(
        f"  The weights are {screen.size(total.tuned_bytes or 0)}, their diff {screen.size(total.diff_bytes)}"
        f" ({diff_view.percent(total.size_share)}): {diff_view.percent(total.changed_share)} of the numbers changed,"
        " by large steps from a random beginning."
    )
    return {made: "what the fine-tuning changed", recovered: "the model again, from base and diff"}


def _step(number: int, what: str) -> None:
    screen.say(f"\n{screen.paint(f'{number}. {what}', 'bold')}")


def _shell(*words: object) -> None:
    screen.say(screen.paint(f"$ alpaca {shlex.join(map(str, words))}", "dim"))

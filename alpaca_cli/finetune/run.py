"""A run's folder, made ready before any training process starts, and found again by the same command.

Here everything is checked that can be: recipe, files, tokens, plan; without torch, so that a wrong recipe costs a third
of a second.
"""

from __future__ import annotations

import importlib.metadata
import json
import platform
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from alpaca_cli import __version__, yamlfile
from alpaca_cli.data.files import nearest_name, reason, write_text
from alpaca_cli.data.jsonl import dumps
from alpaca_cli.data.shipped import find
from alpaca_cli.errors import Problem, UsageError
from alpaca_cli.finetune.launch.heartbeat import at_work
from alpaca_cli.finetune.metrics import NAME as METRICS
from alpaca_cli.finetune.metrics import read_metrics
from alpaca_cli.finetune.plan.architecture import Architecture, read_architecture
from alpaca_cli.finetune.plan.gpus import Gpu
from alpaca_cli.finetune.plan.plan import Plan, make_plan
from alpaca_cli.finetune.tokens.chat_template import chat_template
from alpaca_cli.finetune.tokens.token_set import TokenSet, make_tokens
from alpaca_cli.finetune.tokens.tokenizer import Tokenizer, open_tokenizer
from alpaca_cli.format.template import Template, load_template
from alpaca_cli.recipe.difference import changed
from alpaca_cli.recipe.finetune import FinetuneRecipe

RECIPE, PLAN, VERSIONS, TOKENIZER, REPORT = (
    "recipe.resolved.yaml",
    "plan.json",
    "versions.json",
    "tokenizer",
    "report.json",
)
LIBRARIES = ("torch", "transformers", "accelerate", "safetensors", "tokenizers", "peft", "numpy")

_ANOTHER = "name another folder with --out"
# What may differ when a run is taken up again: it changes how a result comes, not what it is, but for rounding.
_FREE = ("parallel.", "memory.", "checkpoint.", "log.", "export.")
_FREE_KEYS = ("compile", "hang_timeout_s", "batch.tokens_per_microbatch", "data.path", "train.evaluate_every")


@dataclass(frozen=True)
class Inputs:
    """What a recipe names, found and read."""

    recipe: FinetuneRecipe
    """With absolute paths."""
    architecture: Architecture
    tokenizer: Tokenizer
    template: Template
    tokens: TokenSet


@dataclass(frozen=True)
class Prepared:
    """A run that can start."""

    folder: Path
    recipe: FinetuneRecipe
    """Settled: with absolute paths, and a value for everything that the plan decides."""
    plan: Plan
    inputs: Inputs
    notes: tuple[str, ...]
    """What the user should know before it starts."""
    is_complete: bool
    """The run is done already."""


def with_paths(recipe: FinetuneRecipe, *, beside: Path) -> FinetuneRecipe:
    """The recipe with absolute paths; those in it are seen from the folder `beside`.

    Raises UsageError for all of model, data and template that are missing, at once.
    """
    problems = []
    found: dict[str, Path] = {}
    for part, flag in (("model", "--model DIR"), ("data", "--data FILE")):
        name = getattr(recipe, part).path
        if name is None:
            problems.append(Problem(f"{part}.path: required, and not given", hint=f"name it with {flag}"))
            continue
        found[part] = path = beside / Path(name).expanduser()
        is_there = path.is_dir() if part == "model" else path.exists() or any(c in name for c in "*?[")
        if not is_there:
            if part == "model" and path.exists():
                problems.append(Problem("expected the folder of a model, found a file", str(path)))
                continue
            what = "no such folder of a model" if part == "model" else "no such dataset"
            hint = nearest_name(path)
            if part == "model" and not hint:
                hint = "name a folder in Hugging Face layout on this machine: nothing is downloaded"
            problems.append(Problem(what, str(path), hint))
    if problems:
        error = UsageError(problems[0].message)
        error.problems = tuple(problems)
        raise error
    template = find(recipe.data.template, "prompts", beside=beside).absolute()
    model = recipe.model.model_copy(update={"path": str(found["model"].absolute())})
    data = recipe.data.model_copy(update={"path": str(found["data"].absolute()), "template": str(template)})
    return recipe.model_copy(update={"model": model, "data": data})


def read_inputs(recipe: FinetuneRecipe, listener: Callable[[int, int], None] | None = None) -> Inputs:
    """Everything that a recipe with absolute paths names.  `listener`: progress of the tokenization."""
    assert recipe.model.path is not None
    assert recipe.data.path is not None
    model = Path(recipe.model.path)
    architecture = read_architecture(model)
    tokenizer = open_tokenizer(model, recipe.model.pad_token)
    template = load_template(Path(recipe.data.template))
    tokens = make_tokens(Path(recipe.data.path), template, tokenizer, recipe.data, listener=listener)
    return Inputs(recipe, architecture, tokenizer, template, tokens)


def plan_of(inputs: Inputs, *, out: Path, gpus: tuple[Gpu, ...] | None) -> Plan:
    """What the run would do and need; on `gpus` of each node, or on those that are here."""
    model = inputs.architecture.grown(inputs.tokenizer.num_tokens)
    return make_plan(inputs.recipe, model, inputs.tokens, gpus=gpus, out=out)


def prepare(inputs: Inputs, plan: Plan, out: Path, *, is_first: bool = True, checks: bool = True) -> Prepared:
    """The run folder, with what the run was told; found again if it is there.

    `is_first`: this is the process, of all that prepare the run, whose words count.  `checks`: it is the first of its
    node, which finds the memory as it is.  Raises UsageError if the plan cannot be, or if another run is in the folder.
    """
    if checks:
        plan.refuse()
    out = out.absolute()
    notes = [*inputs.tokenizer.notes]
    if out.exists() and not out.is_dir():
        raise UsageError("expected a folder for the run, found a file", where=str(out), hint=_ANOTHER)
    if (out / RECIPE).exists():
        before = yamlfile.read(out / RECIPE).check(FinetuneRecipe)
        differing = changed(before, plan.settled)
        refused = [text for key, text in differing.items() if not key.startswith(_FREE) and key not in _FREE_KEYS]
        kept = json.loads((out / PLAN).read_bytes()) if (out / PLAN).exists() else {}
        if kept.get("tokens_key", key := inputs.tokens.facts.key) != key:
            refused.append("another dataset or tokenizer")
        if refused and _has_trained(out):
            hint = "give the recipe of that run, or another --out"
            raise UsageError(f"another run is in this folder: {'; '.join(refused)}", where=str(out), hint=hint)
        if refused and is_first:  # of a run that did no step there is nothing to keep
            shutil.rmtree(out / "checkpoints", ignore_errors=True)
            (out / METRICS).unlink(missing_ok=True)
        notes += [] if refused else [f"taken up otherwise than it began: {text}" for text in differing.values()]
    elif out.exists() and any(not path.name.startswith(".") for path in out.iterdir()):  # a lock, a file half written
        raise UsageError("this folder holds something else than a run", where=str(out), hint=_ANOTHER)
    is_complete = (out / REPORT).exists()
    if not is_complete and (is_first or not (out / RECIPE).exists()):
        make_folder(out)
        # First, so that a folder in which this was killed is known as the run's.
        write_text(out / RECIPE, yamlfile.dump(plan.settled))
        inputs.tokenizer.save(out / TOKENIZER, chat_template(inputs.template, inputs.tokenizer))
        write_text(out / PLAN, dumps({**plan.as_json(), "tokens_key": inputs.tokens.facts.key}) + "\n")
        write_text(out / VERSIONS, dumps(versions()) + "\n")
    return Prepared(out, plan.settled, plan, inputs, tuple(notes), is_complete)


def _has_trained(out: Path) -> bool:
    """Whether any step of the run in a folder is done."""
    kept = any(path.name > "step-000000" for path in (out / "checkpoints").glob("step-*"))
    return kept or any(record["kind"] == "step" for record in read_metrics(out / METRICS))


def make_folder(folder: Path) -> None:
    """Make a folder, and those on the way.  Raises UsageError if that cannot be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"cannot write: {reason(error)}", where=str(folder), hint=_ANOTHER) from error


def versions() -> dict[str, str]:
    """What a run is made with."""
    found = {"alpaca": __version__, "python": platform.python_version()}
    for name in LIBRARIES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


@contextmanager
def hold(folder: Path) -> Iterator[None]:
    """No other command works in this run folder meanwhile.  Raises UsageError if one does already."""
    make_folder(folder)
    lock = FileLock(folder / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise at_work(folder) from None
    except OSError as error:
        raise UsageError(f"cannot write: {reason(error)}", where=str(folder), hint=_ANOTHER) from error
    try:
        yield
    finally:
        lock.release()

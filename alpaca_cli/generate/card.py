"""The dataset's card, `README.md` in the run folder: what the data is, how it was made, what it may be used for.

It begins with the YAML header that dataset hubs read.  The licence stands there only if the user stated one; nothing
is guessed.  Its last line carries the checksum of what is above, by which a card that was edited is known: it is never
overwritten, and survives kills without a memory elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from alpaca_cli.data.files import read_bytes, sha256, write_text
from alpaca_cli.data.shipped import shipped_dir
from alpaca_cli.generate.inputs import Inputs
from alpaca_cli.generate.replay import DEFECTS, NOT_NOVEL
from alpaca_cli.generate.rules import RULES
from alpaca_cli.generate.runfolder import CARD, DATASET, OTHER_CARD, SEEDS
from alpaca_cli.recipe.generate import GenerateRecipe

_MARK = "<!-- written by alpaca; once edited, it is not overwritten; sha256 of all above: {} -->\n"
_MARKED = re.compile(re.escape(_MARK).replace(r"\{\}", "([0-9a-f]{64})").encode() + rb"\Z")
_SIZES = ("1K", "10K", "100K", "1M", "10M", "100M", "1B", "10B", "100B", "1T")  # the hub's, from 10**3 on


def write_card(folder: Path, report: Mapping[str, Any], recipe: GenerateRecipe, inputs: Inputs) -> str | None:
    """Write the card of a run folder, unless it is there; beside it, where the user has edited it, but over no edit.

    Returns what the user should know, if anything.
    """
    text = card(folder.absolute().name, report, recipe, inputs)
    path, note = folder / CARD, None
    if path.exists() and not _is_ours(read_bytes(path)):
        path = folder / OTHER_CARD
        if path.exists() and not _is_ours(read_bytes(path)):
            return f"{CARD} and {OTHER_CARD} were edited and are left as they are; no card as of now was written"
        note = f"{CARD} was edited and is left as it is; the card as of now is in {path}"
    if path.exists() and read_bytes(path) == text.encode("utf-8"):
        return None
    write_text(path, text)
    return note


def card(name: str, report: Mapping[str, Any], recipe: GenerateRecipe, inputs: Inputs) -> str:
    """The card of a dataset called `name`, of its report."""
    parts = [_header(name, report, inputs), f"# {name}\n"]
    for title, section in {
        "": _what(report, recipe),
        "How it was made": _how(report, recipe, inputs),
        "Numbers": _numbers(report, recipe),
        "Fields": _FIELDS,
        "Licence": _licence(report),
        "The provider's terms": _terms(report, recipe),
        "Seed tasks": _seeds(inputs),
        "Limits": _limits(recipe),
    }.items():
        parts.append(f"## {title}\n\n{section}" if title else section)
    text = "\n".join(f"{part.rstrip()}\n" for part in parts) + "\n"
    text = text.encode("utf-8", "replace").decode("utf-8")  # a server may name itself, or a shell say, what is no text
    return text + _MARK.format(sha256(text.encode("utf-8")))


def _is_ours(raw: bytes) -> bool:
    """Whether a card is as we wrote it."""
    found = _MARKED.search(raw)
    return found is not None and sha256(raw[: found.start()]).encode() == found[1]


def _header(name: str, report: Mapping[str, Any], inputs: Inputs) -> str:
    licence = {"license": report["run"]["license"]} if report["run"]["license"] else {}
    language = {"language": ["en"]} if _has_shipped_seeds(inputs) and _has_shipped_prompt(inputs) else {}
    header = {
        **licence,
        **language,
        "pretty_name": name,
        "task_categories": ["text-generation"],
        "tags": ["instruction-tuning", "self-instruct", "synthetic"],
        "size_categories": [_size(report["kept"])],
        "configs": [{"config_name": "default", "data_files": DATASET}],
    }
    return f"---\n{yaml.safe_dump(header, sort_keys=False, allow_unicode=True, width=1000)}---\n"


def _size(num: int) -> str:
    """The hub's name for so many rows.

    >>> [_size(999), _size(1000), _size(52002), _size(10**8)]
    ['n<1K', '1K<n<10K', '10K<n<100K', '100M<n<1B']
    """
    place = max(0, len(str(num)) - 3)
    return f"{_SIZES[place - 1]}<n<{_SIZES[place]}" if place else f"n<{_SIZES[0]}"


def _what(report: Mapping[str, Any], recipe: GenerateRecipe) -> str:
    text = (
        f"{_count(report['kept'], 'example')} of instructions with answers, made by self-instruct: a teacher model was "
        "shown a few seed tasks written by people and was asked for more; of what it wrote, rules and a test of "
        f"novelty against the seeds and everything kept before (ROUGE-L F of at most {recipe.novelty.threshold:g}) "
        "let this through.\n"
    )
    if not report["is_complete"]:
        text += f"\nIt is not complete: {report['kept']:,} of the {report['num']:,} examples that were asked for.\n"
    return text


def _how(report: Mapping[str, Any], recipe: GenerateRecipe, inputs: Inputs) -> str:
    run = report["run"]
    commands = [run["command"], *([run["refiltered_by"]] if "refiltered_by" in run else [])]
    num_files = run.get("imported", 0)
    answers = ", ".join(f"{_code(model)} ({_count(count, 'answer')})" for model, count in run["models"].items())
    asked_at = ", ".join(map(_code, run["base_urls"]))
    if recipe.teacher.kind == "rehearsal":
        asked_at = "the rehearsal teacher built into alpaca"
    rows = {
        "recipe": f"{_code(run['recipe'])}; every value of it is in `recipe.resolved.yaml`",
        "teacher": answers or "none has answered",
        "asked at": asked_at,
        "asked from": _minute(run["first_asked"]),
        "asked until": _minute(run["last_asked"]),
        **({"imported": f"{_count(num_files, 'file')} of answers, asked for elsewhere"} if num_files else {}),
        "alpaca": run["alpaca"],
        "prompt": "shipped with alpaca" if _has_shipped_prompt(inputs) else "own, in `prompt.txt`",
    }
    shell = "\n".join(commands)
    return f"```sh\n{shell}\n```\n\n{_table(('', ''), rows.items())}"


def _numbers(report: Mapping[str, Any], recipe: GenerateRecipe) -> str:
    run, tokens = report["run"], report["tokens"]
    counted = f"{tokens['prompt']:,} in, {tokens['completion']:,} out, as the server counted them"
    if estimated := tokens.get("estimated"):
        counted += (
            f"; of {report['completions_without_usage']:,} answers it did not count them, which is about "
            f"{estimated['prompt']:,} in and {estimated['completion']:,} out more"
        )
    rows = {
        "examples": f"{report['kept']:,}, of them {report['with_input']:,} with an input",
        "answers": f"{report['completions']:,}",
        "requests": f"{run['requests']:,}, all tries counted",
        "tokens": counted,
        "cost": _cost(report, recipe),
    }
    steps = list(_funnel(report, recipe))
    return f"{_table(('', ''), rows.items())}\n{_table(('step', 'refused', 'left'), steps)}"


def _funnel(report: Mapping[str, Any], recipe: GenerateRecipe) -> Iterator[tuple[str, str, str]]:
    """A row for each reason that could refuse, in the order in which they are asked."""
    left = report["tasks"]
    yield "tasks written by the teacher", "", f"{left:,}"
    rules = [name for name in RULES if getattr(recipe.rules, name)]
    for reason in (*DEFECTS, *rules, NOT_NOVEL):
        refused = report["refused"].get(reason, 0)
        left -= refused
        yield f"`{reason}`", f"{refused:,}", f"{left:,}"


def _cost(report: Mapping[str, Any], recipe: GenerateRecipe) -> str:
    run = report["run"]
    if recipe.teacher.kind == "rehearsal":
        return "nothing"
    elsewhere = "what the imported answers cost is not known to alpaca: they were paid for elsewhere"
    if run.get("imported") and not float(run["spent"] or 0):
        return elsewhere
    if run["spent"] is None:
        return "not known: no price was given"
    text = f"{run['spent']} USD"
    if float(run["unknown"] or 0):
        text += f", of which {run['unknown']} USD were counted at their worst, since no server said what they cost"
    for price in run["prices"]:
        day = f" of {price['date']}" if price["date"] else ""
        text += f"; at {price['input']} in and {price['output']} out per 1,000,000 tokens{day} ({price['source']})"
    return f"{text}; {elsewhere}" if run.get("imported") else text


_FIELDS = f"""\
`{DATASET}` is a list of objects in the form of Stanford's Alpaca data:

- `instruction`: what to do
- `input`: on what to do it; empty where the instruction stands on its own
- `output`: the teacher's answer

`provenance.jsonl` says for each row which answer it comes from and what it is most similar to; `refused.jsonl` holds
what was not kept, and why.
"""


def _licence(report: Mapping[str, Any]) -> str:
    if licence := report["run"]["license"]:
        return f"{_code(licence)}, as stated by who made this dataset.\n"
    return "Not stated. Decide before you publish: run the same command again with `--license ID`.\n"


def _terms(report: Mapping[str, Any], recipe: GenerateRecipe) -> str:
    if recipe.teacher.kind == "rehearsal":
        return "None: the teacher is a program built into alpaca.\n"
    models = ", ".join(map(_code, report["run"]["models"])) or "the teacher"
    hosts = ", ".join(_code(urlsplit(url).hostname or url) for url in report["run"]["base_urls"])
    where = f" at {hosts}" if hosts else ""
    return (
        "Many providers forbid training models that compete with theirs on what theirs write, and many licences of "
        f"models limit it too. Nobody has checked this for you: read the terms of {models}{where} before you train "
        "on this data or publish it. Datasets made this way are often published for non-commercial research only.\n"
    )


def _seeds(inputs: Inputs) -> str:
    tasks = _count(len(inputs.seed_tasks), "seed task")
    if _has_shipped_seeds(inputs):
        return (
            f"The {tasks} were written for alpaca and ship with it under the Apache "
            f"License 2.0 (`{SEEDS}`). They are not part of the dataset.\n"
        )
    return (
        f"{tasks} of other origin than alpaca's own: `{SEEDS}`, sha256 "
        f"`{sha256(inputs.seeds)}`. Whoever made this dataset knows their origin and licence, and should state them "
        "here. They are not part of the dataset.\n"
    )


def _limits(recipe: GenerateRecipe) -> str:
    if recipe.teacher.kind == "rehearsal":
        return (
            "**Not for training.** The teacher of this run was alpaca's rehearsal: a program without intelligence that "
            "composes tasks from a small vocabulary, to try everything offline. A model trained on this learns its "
            "few patterns.\n"
        )
    return (
        "- The answers were not checked: some are wrong, and some are made up.\n"
        "- The rules look at form. They do not know what is true, fair or harmful, so the data has the teacher's "
        "biases.\n"
        "- New means new in its words: two rows may ask the same in other words.\n"
        "- A model trained on this is not made safe by it.\n"
    )


def _has_shipped_seeds(inputs: Inputs) -> bool:
    return inputs.seeds == (shipped_dir("prompts") / "seed_tasks.jsonl").read_bytes()


def _has_shipped_prompt(inputs: Inputs) -> bool:
    return any(inputs.prompt == path.read_text("utf-8").strip() for path in shipped_dir("prompts").glob("*.txt"))


def _minute(time: str | None) -> str:
    return f"{time[:10]} {time[11:16]} UTC" if time else ""


def _code(text: str) -> str:
    """A name as code, in a table too; whatever a server calls itself, it is only text."""
    plain = " ".join(text.replace("`", "'").split())
    return f"`{plain}`".replace("|", "\\|")


def _count(number: int, one: str) -> str:
    return f"{number:,} {one}{'s' if number != 1 else ''}"


def _table(head: tuple[str, ...], rows: Any) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)

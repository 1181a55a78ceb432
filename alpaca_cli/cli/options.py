"""What several commands take: their flags in one place, and the values that the shell completes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

ENGINES = ("local", "ray")
"""What compares the rows of `alpaca dedup`."""
DIFF_KINDS = ("exact", "additive")
"""Of `alpaca diff`."""
DIFF_DTYPES = {"fp32": "F32", "bf16": "BF16", "fp16": "F16"}
"""What numbers an additive diff, or what is recovered from one, can be written in."""
NEW_ROWS = ("mean", "zero")
"""What an additive diff may have been told from where the base has no rows."""


def complete_recipe(incomplete: str) -> list[str]:
    """Names of the shipped recipes."""
    from alpaca_cli.data.shipped import recipe_names

    return [name for name in recipe_names() if name.startswith(incomplete)]


def complete_generate_recipe(incomplete: str) -> list[str]:
    """Names of those that `alpaca generate` takes."""
    return [name for name in complete_recipe(incomplete) if _says(name, "kind: generate")]


def complete_finetune_recipe(incomplete: str) -> list[str]:
    """Names of those that `alpaca finetune` takes."""
    return [name for name in complete_recipe(incomplete) if _says(name, "kind: finetune")]


def _says(name: str, line: str) -> bool:
    from alpaca_cli.data.shipped import shipped_dir

    text = (shipped_dir("recipes") / f"{name}.yaml").read_text(encoding="utf-8")
    return line in text.splitlines()


def complete_format(incomplete: str) -> list[str]:
    """Names of the dataset formats."""
    from alpaca_cli.format.names import FORMAT_NAMES

    return [name for name in FORMAT_NAMES if name.startswith(incomplete)]


def complete_tokenizer(incomplete: str) -> list[str]:
    """Names of the tokenizers for novelty."""
    return [name for name in ("rouge", "unicode") if name.startswith(incomplete)]


def complete_field(incomplete: str) -> list[str]:
    """Fields of an example that can be compared."""
    from alpaca_cli.format.names import FIELD_NAMES

    return [name for name in FIELD_NAMES if name.startswith(incomplete)]


def complete_engine(incomplete: str) -> list[str]:
    """Names of the engines."""
    return [name for name in ENGINES if name.startswith(incomplete)]


def complete_diff_kind(incomplete: str) -> list[str]:
    """Kinds of weight diff."""
    return [name for name in DIFF_KINDS if name.startswith(incomplete)]


def complete_diff_dtype(incomplete: str) -> list[str]:
    """Types of numbers in additive diffs."""
    return [name for name in DIFF_DTYPES if name.startswith(incomplete)]


def complete_new_rows(incomplete: str) -> list[str]:
    """What rows that the base lacks are told from."""
    return [name for name in NEW_ROWS if name.startswith(incomplete)]


def complete_teacher(incomplete: str) -> list[str]:
    """Kinds of teacher."""
    return [name for name in ("openai", "rehearsal") if name.startswith(incomplete)]


Data = Annotated[
    Path, typer.Argument(metavar="DATA", help="Dataset in any format that `alpaca format` knows.", show_default=False)
]
Out = Annotated[Path, typer.Option("--out", "-o", metavar="FILE", help="File to write.", show_default=False)]
Force = Annotated[bool, typer.Option("--force", help="Overwrite what exists.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON on stdout.")]
SkipBad = Annotated[bool, typer.Option("--skip-bad", help="Leave malformed rows out, and count them.")]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="KEY=VALUE", help="Change a value of the recipe; may be given again.", show_default=False
    ),
]

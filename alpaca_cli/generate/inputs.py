"""What a run of `alpaca generate` reads besides its recipe: the prompt and the seed tasks, checked before it begins."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from alpaca_cli.data.example import SeedTask, parse_seed_tasks
from alpaca_cli.data.files import read_bytes, read_text
from alpaca_cli.data.shipped import find
from alpaca_cli.errors import UsageError
from alpaca_cli.generate.prompt import RequestMaker
from alpaca_cli.recipe.generate import GenerateRecipe


@dataclass(frozen=True)
class Inputs:
    """The prompt's text without blank ends, and the seed tasks as bytes and as what they mean."""

    prompt: str
    seeds: bytes
    seed_tasks: list[SeedTask]

    def request_maker(self, recipe: GenerateRecipe) -> RequestMaker:
        """What makes request k of a run."""
        return RequestMaker(self.prompt, self.seed_tasks, recipe.prompt.num_tasks, recipe.prompt.num_seeds, recipe.seed)


def load_inputs(recipe: GenerateRecipe, *, beside: Path = Path()) -> Inputs:
    """Read the files that a recipe names, as seen from the folder `beside`.

    Raises UsageError if one is missing, empty, or there are fewer seed tasks than a prompt is to show; DataError that
    lists every malformed seed task.
    """
    prompt_path = find(recipe.prompt.file, "prompts", beside=beside)
    seeds_path = find(recipe.seeds, "prompts", beside=beside)
    prompt = read_text(prompt_path, what="prompt").strip()
    if not prompt:
        raise UsageError("the prompt is empty", where=str(prompt_path), hint="write the request for tasks into it")
    seeds = read_bytes(seeds_path, what="file of seed tasks")
    seed_tasks = parse_seed_tasks(seeds, seeds_path)
    if len(seed_tasks) < recipe.prompt.num_seeds:
        raise UsageError(
            f"prompt.num_seeds is {recipe.prompt.num_seeds}, but there are only {len(seed_tasks)} seed tasks",
            where=str(seeds_path),
            hint="give more seed tasks with --seeds, or lower prompt.num_seeds",
        )
    return Inputs(prompt, seeds, seed_tasks)

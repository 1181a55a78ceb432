"""The request of number k: which seed tasks it shows, and its text.

Both are functions of (recipe, k) alone, so that a request can be asked again after a crash, or checked years later.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass

from alpaca_cli.data.example import SeedTask
from alpaca_cli.data.files import sha256

NO_INPUT = "<noinput>"


@dataclass(frozen=True)
class Request:
    """What is asked under number k: the seed tasks shown, the text, and the number that the next task bears."""

    k: int
    seed_ids: tuple[str, ...]
    text: str
    next_number: int

    @property
    def prompt_sha256(self) -> str:
        """SHA-256 of the text, as the journal records it."""
        return sha256(self.text.encode("utf-8"))


@dataclass(frozen=True)
class RequestMaker:
    """Makes request k from a prompt text, the seed tasks and the random seed."""

    prompt: str
    seed_tasks: Sequence[SeedTask]
    num_tasks: int
    num_seeds: int
    seed: int

    def request(self, k: int, num_seeds: int | None = None) -> Request:
        """The request of number k, from 0; with the first `num_seeds` of its seed tasks where a context is short."""
        tasks = draw(self.seed_tasks, self.num_seeds, f"{self.seed}:{k}")[:num_seeds]
        text = render(self.prompt, tasks, self.num_tasks)
        return Request(k, tuple(task.id for task in tasks), text, len(tasks) + 1)


def draw(tasks: Sequence[SeedTask], count: int, seed: str) -> list[SeedTask]:
    """`count` different tasks in random order.

    Built on `random()` alone, the one method whose sequence Python promises to keep for a given seed.
    """
    rng = random.Random(seed)
    left = list(tasks)
    return [left.pop(int(rng.random() * len(left))) for _ in range(count)]


def render(prompt: str, tasks: Sequence[SeedTask], num_tasks: int) -> str:
    """The prompt with the tasks shown below it as a numbered list, ending where the teacher goes on.

    Source: the list's form is that of stanford_alpaca generate_instruction.py L25-41.
    """
    parts = [prompt.replace("{num_tasks}", str(num_tasks)), "\n"]
    for number, task in enumerate(tasks, 1):
        example = task.example
        instruction = re.sub(r"\s+", " ", example.instruction).strip().rstrip(":")
        parts += [
            "###\n",
            f"{number}. Instruction: {instruction}\n",
            f"{number}. Input:\n{example.input.strip() or NO_INPUT}\n",
            f"{number}. Output:\n{example.output.strip()}\n",
        ]
    return "".join([*parts, "###\n", f"{len(tasks) + 1}. Instruction:"])

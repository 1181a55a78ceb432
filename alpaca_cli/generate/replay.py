"""Completions to accepted and refused tasks: a pure replay in order of request number.

Completions may come in any order; each waits until all before it have been looked at.  So what is accepted is a
function of the recipe, the seeds and the completions alone, whatever the concurrency, the crashes and the resumes.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from alpaca_cli.data.example import Example, SeedTask
from alpaca_cli.data.journal import GIVEN_UP, Completion
from alpaca_cli.dedup.pool import Pool
from alpaca_cli.generate.parse import Task, parse
from alpaca_cli.generate.rules import RULES, refuse
from alpaca_cli.recipe.generate import GenerateRecipe

NOT_NOVEL = "not_novel"
DEFECTS = ("malformed", "truncated")
REASONS = (*DEFECTS, *RULES, NOT_NOVEL)
NUM_MOST_SIMILAR = 10  # Source: stanford_alpaca generate_instruction.py L190-192


@dataclass(frozen=True)
class Provenance:
    """Where an accepted example comes from, and how near it is to what was there before it."""

    k: int
    position: int
    most_similar: dict[str, float]
    """The ten most similar instructions of the pool with their ROUGE-L F, most similar first."""
    average_similarity: float
    """Mean F over the whole pool, seeds included."""


@dataclass(frozen=True)
class Refused:
    """A task that was not accepted, and why."""

    k: int
    task: Task
    reason: str
    repeats: str | None = None
    score: float | None = None


@dataclass
class Replay:
    """Looks at completions in order of k until `num` tasks are accepted; what comes after is not looked at."""

    recipe: GenerateRecipe
    seed_tasks: Sequence[SeedTask]
    num: int
    accepted: list[Example] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)
    used: list[Completion] = field(default_factory=list)
    """The completions looked at, in order of k; the last may have been looked at in part."""
    reasons: Counter[str] = field(default_factory=Counter)
    """How many tasks each reason refused."""
    num_barren: int = 0
    """How many of the last completions, in a row, gave no accepted task."""

    places: list[tuple[int, int]] = field(default_factory=list)
    """Of each accepted task the k of its completion, and its position there."""

    def __post_init__(self) -> None:
        self._waiting: dict[int, Completion] = {}
        self._pool_texts = [task.example.instruction for task in self.seed_tasks]
        self._pool = Pool(self.recipe.novelty.tokenizer)
        self._pool.extend(self._pool_texts)

    @property
    def is_done(self) -> bool:
        """Whether enough tasks are accepted."""
        return len(self.accepted) >= self.num

    @property
    def next_k(self) -> int:
        """The request whose completion is looked at next."""
        return len(self.used)

    @property
    def num_waiting(self) -> int:
        """Completions that came out of order and wait for an earlier one, or came after the end."""
        return len(self._waiting)

    @property
    def num_needed(self) -> int:
        """How many further completions are likely needed, at the rate at which they gave accepted tasks so far."""
        missing = max(0, self.num - len(self.accepted))
        return math.ceil(missing * max(len(self.used), 1) / max(len(self.accepted), 1))

    def offer(self, completion: Completion) -> None:
        """Take a completion, and look at all whose turn has come."""
        self._waiting[completion.k] = completion
        while not self.is_done and self.next_k in self._waiting:
            self._look_at(self._waiting.pop(self.next_k))

    def provenance(self) -> Iterator[Provenance]:
        """Of each accepted task so far.

        Each is compared here with all before it, which may take seconds: so ask once, when it is to be written.
        """
        begin, end = len(self.seed_tasks), len(self._pool)
        found = self._pool.neighbours(begin, end, NUM_MOST_SIMILAR)
        for (k, position), neighbours in zip(self.places[: end - begin], found, strict=True):
            similar = {self._pool_texts[each.number]: round(each.score, 6) for each in neighbours.nearest}
            yield Provenance(k, position, similar, round(neighbours.mean, 6))

    def _look_at(self, completion: Completion) -> None:
        self.used.append(completion)
        before = len(self.accepted)
        next_number = len(completion.seed_ids) + 1
        tasks = parse(completion.text, next_number=next_number, finish_reason=completion.finish_reason)
        reasons = [task.defect or refuse(task.example, self.recipe.rules) for task in tasks]
        for task, reason in zip(tasks, reasons, strict=True):
            if self.is_done:
                break
            if reason:
                self._refuse(Refused(completion.k, task, reason))
            else:
                self._judge_novelty(task, completion.k)
        if completion.finish_reason != GIVEN_UP:  # which says nothing of what the teacher gives
            self.num_barren = 0 if len(self.accepted) > before else self.num_barren + 1

    def _refuse(self, refused: Refused) -> None:
        self.refused.append(refused)
        self.reasons[refused.reason] += 1

    def _judge_novelty(self, task: Task, k: int) -> None:
        match = self._pool.admit(task.example.instruction, self.recipe.novelty.threshold)
        if match is not None:
            self._refuse(Refused(k, task, NOT_NOVEL, self._pool_texts[match.number], match.score))
            return
        self.accepted.append(task.example)
        self._pool_texts.append(task.example.instruction)
        self.places.append((k, task.position))

"""Which examples make a step, and how they lie: packed without padding, balanced over processes, cut to a token budget.

Shapes: T tokens of a pack, S supervised positions, N spans.

A pack is one micro-batch of one process: spans of tokens one after another, each of which attends only to itself and,
if it has one, to its preamble, a span that several share.  The last token of an example predicts nothing and is left
out.  Everything here is a pure function of (tokens, recipe, number of processes, step), so that a run is taken up again
by its step number alone.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import ceil

import numpy as np
import torch
from numpy.typing import NDArray

from alpaca_cli.finetune.plan.steps import count_steps
from alpaca_cli.finetune.tokens.token_set import TokenSet
from alpaca_cli.recipe.finetune import BatchSettings, TrainSettings

Ints = NDArray[np.int64]
ALONE = -1


@dataclass(frozen=True)
class Pack:
    """One micro-batch of one process, packed."""

    ids: Ints
    """[T] token numbers."""
    positions: Ints
    """[T] the place of each token in its example, from 0."""
    rows: Ints
    """[S] the places in the pack whose next token is supervised."""
    targets: Ints
    """[S] that next token."""
    lengths: tuple[int, ...]
    """[N] tokens of each span, in the order in which they lie."""
    preambles: tuple[int, ...]
    """[N] the number of the span that this one goes on from, or ALONE."""


@dataclass(frozen=True)
class Step:
    """What one process does in one optimizer step, and what all do together."""

    packs: tuple[Pack, ...]
    """The micro-batches of this process; every process has as many."""
    num_examples: int
    real_tokens: int
    """Tokens of the step's examples, over all processes."""
    computed_tokens: int
    """Positions that go through the network for them, over all processes."""
    supervised_tokens: int
    """Positions that carry loss, over all processes."""


class Batches:
    """The steps of a run for one process.

    `examples`: the numbers of those in `tokens` that are trained on, in file order.
    A step takes the next `examples_per_step` of the concatenated epochs, so that each example is seen `epochs` times
    and every step but the last has as many.  Source of the order: torch.utils.data.DistributedSampler, with which the
    original ran; its step holds the same examples until the first epoch ends, where it repeats some to fill up ranks.
    """

    def __init__(
        self,
        tokens: TokenSet,
        examples: Ints,
        batch: BatchSettings,
        train: TrainSettings,
        *,
        rank: int,
        world: int,
        budget: int,
        shared_preamble: bool,
    ) -> None:
        self._tokens, self._batch = tokens, batch
        self.examples = examples
        self._rank, self._world, self._budget = rank, world, budget
        self._shared = shared_preamble
        self._num_seen, self.num_steps = count_steps(len(examples), batch, train)
        self._permutation = lru_cache(maxsize=2)(self._permute)

    def step(self, number: int) -> Step:
        """Step `number`, from 0."""
        first = number * self._batch.examples_per_step
        last = min(first + self._batch.examples_per_step, self._num_seen)
        places = np.arange(first, last)
        count = len(self.examples)
        chosen = [int(self.examples[self._permutation(place // count)[place % count]]) for place in places.tolist()]
        return self.lay_out(chosen)

    def epoch(self, number: int) -> float:
        """Epochs seen when step `number`, from 0, is done."""
        return min((number + 1) * self._batch.examples_per_step, self._num_seen) / len(self.examples)

    def lay_out(self, chosen: Sequence[int]) -> Step:
        """A step of these examples."""
        tokens = self._tokens
        ends = [int(tokens.starts[example + 1] - tokens.starts[example]) - 1 for example in chosen]
        shared = [int(tokens.preamble_of[example]) if self._shared else ALONE for example in chosen]
        begins = [len(tokens.preambles[kind]) if kind != ALONE else 0 for kind in shared]
        bins = spread([end - begin for end, begin in zip(ends, begins, strict=True)], self._world, self._room())
        packs: list[Pack] = []
        computed = 0
        for number, members in enumerate(bins):
            computed += sum(ends[k] - begins[k] for k in members)
            computed += sum(len(tokens.preambles[kind]) for kind in {shared[k] for k in members} - {ALONE})
            if number % self._world == self._rank:
                packs.append(self.pack([chosen[k] for k in members], [shared[k] for k in members]))
        supervised = sum(end + 1 - int(tokens.prompt_lengths[each]) for each, end in zip(chosen, ends, strict=True))
        # A process without an example of its own still takes part in every exchange: it computes one for nothing.
        filler = Pack(**{**vars(self.pack(chosen[:1], [ALONE])), "rows": _NONE, "targets": _NONE})
        return Step(
            packs=tuple(pack if pack.lengths else filler for pack in packs),
            num_examples=len(chosen),
            real_tokens=sum(ends) + len(ends),
            computed_tokens=computed,
            supervised_tokens=supervised,
        )

    def by_length(self) -> list[int]:
        """The examples, the shortest first."""
        lengths = self._tokens.starts[self.examples + 1] - self._tokens.starts[self.examples]
        return [int(each) for each in self.examples[np.argsort(lengths, kind="stable")]]

    def together(self, chosen: Sequence[int]) -> Pack:
        """These examples in one pack, laid out as in a step."""
        return self.pack(chosen, [int(self._tokens.preamble_of[each]) if self._shared else ALONE for each in chosen])

    def _room(self) -> int:
        """Tokens of a pack beside its preambles; an example that is longer than that still gets a pack of its own."""
        return max(1, self._budget - (sum(map(len, self._tokens.preambles)) if self._shared else 0))

    def pack(self, chosen: Sequence[int], shared: Sequence[int]) -> Pack:
        """These examples in one pack, each going on from the preamble of its number in `shared`, or ALONE."""
        tokens = self._tokens
        kinds = sorted(set(shared) - {ALONE})
        ids = [np.asarray(tokens.preambles[kind], np.int64) for kind in kinds]
        positions = [np.arange(len(preamble)) for preamble in ids]
        rows, targets, preambles = [_NONE], [_NONE], [ALONE] * len(ids)
        place = sum(map(len, ids))
        for example, kind in zip(chosen, shared, strict=True):
            whole = np.asarray(tokens.ids[tokens.starts[example] : tokens.starts[example + 1]], np.int64)
            begin = len(tokens.preambles[kind]) if kind != ALONE else 0
            prompt = int(tokens.prompt_lengths[example])
            ids.append(whole[begin:-1])
            positions.append(np.arange(begin, len(whole) - 1))
            rows.append(np.arange(prompt - 1, len(whole) - 1) - begin + place)
            targets.append(whole[prompt:])
            preambles.append(kinds.index(kind) if kind != ALONE else ALONE)
            place += len(whole) - 1 - begin
        return Pack(
            ids=np.concatenate(ids) if ids else _NONE,
            positions=np.concatenate(positions) if positions else _NONE,
            rows=np.concatenate(rows),
            targets=np.concatenate(targets),
            lengths=tuple(map(len, ids)),
            preambles=tuple(preambles),
        )

    def _permute(self, epoch: int) -> Ints:
        count = len(self.examples)
        if self._batch.order == "sequential":
            return np.arange(count)
        generator = torch.Generator().manual_seed(self._batch.seed + epoch)
        return torch.randperm(count, generator=generator).numpy()


_NONE: Ints = np.empty(0, np.int64)


def spread(sizes: Sequence[int], world: int, room: int) -> list[list[int]]:
    """Numbers of `sizes` in bins: a multiple of `world` many, each at most `room` if that can be, nearly alike.

    The largest goes first, each into the emptiest bin; bin b is micro-batch b // world of rank b % world.
    """
    num_micro = max(1, ceil(sum(sizes) / (world * room)))
    order = sorted(range(len(sizes)), key=lambda k: (-sizes[k], k))
    while True:
        bins: list[list[int]] = [[] for _ in range(world * num_micro)]
        heap = [(0, number) for number in range(len(bins))]
        for k in order:
            load, number = heapq.heappop(heap)
            bins[number].append(k)
            heapq.heappush(heap, (load + sizes[k], number))
        fullest = max(heap)[0]
        if fullest <= max(room, sizes[order[0]] if order else 0) or num_micro >= len(sizes):
            return [sorted(members) for members in bins]
        num_micro += 1

"""Every example of a step is computed once, whole, by one process, in the original's order."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import DistributedSampler

from alpaca_cli.finetune.step.batches import ALONE, Pack, count_steps, spread
from alpaca_cli.finetune.tokens.token_set import TokenSet
from alpaca_cli.recipe.finetune import BatchSettings, TrainSettings
from token_sets import batches, token_set

TOKENS = token_set(60)


def unpacked(pack: Pack) -> list[tuple[tuple[int, ...], tuple[tuple[int, int], ...]]]:
    """Each example of a pack as (its computed tokens, its supervised (place, next token) pairs)."""
    starts = np.concatenate([[0], np.cumsum(pack.lengths)])
    spans = [pack.ids[a:b].tolist() for a, b in pairwise(starts)]
    places = [pack.positions[a:b].tolist() for a, b in pairwise(starts)]
    shared = set(pack.preambles) - {ALONE}
    found = []
    for span, preamble in enumerate(pack.preambles):
        if span in shared:
            assert preamble == ALONE
            assert places[span] == list(range(len(spans[span])))
            continue
        before = spans[preamble] if preamble != ALONE else []
        whole = before + spans[span]
        assert places[span] == list(range(len(before), len(whole)))
        inside = (starts[span] <= pack.rows) & (pack.rows < starts[span + 1])
        pairs = zip(pack.rows[inside] - starts[span] + len(before), pack.targets[inside], strict=True)
        found.append((tuple(whole), tuple((int(a), int(b)) for a, b in pairs)))
    return found


def wanted(tokens: TokenSet, number: int) -> tuple[tuple[int, ...], tuple[tuple[int, int], ...]]:
    whole = tokens.ids[tokens.starts[number] : tokens.starts[number + 1]].tolist()
    prompt = int(tokens.prompt_lengths[number])
    return tuple(whole[:-1]), tuple((place - 1, whole[place]) for place in range(prompt, len(whole)))


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 50),
    world=st.integers(1, 5),
    budget=st.sampled_from([60, 130, 400, 1 << 30]),
    shared=st.booleans(),
    number=st.integers(0, 3),
)
def test_the_packs_of_all_processes_hold_each_example_once(
    seed: int, world: int, budget: int, shared: bool, number: int
) -> None:
    tokens = token_set(40, seed)
    steps = [
        batches(tokens, rank=rank, world=world, budget=budget, shared_preamble=shared, per_step=11).step(number)
        for rank in range(world)
    ]
    packs = [pack for step in steps for pack in step.packs]
    reals = [pack for pack in packs if len(pack.rows)]
    order = DistributedSampler(list(range(40)), 1, 0, shuffle=True, seed=42)
    chosen = list(order)[11 * number : 11 * (number + 1)]

    assert len({len(step.packs) for step in steps}) == 1
    assert sorted(each for pack in reals for each in unpacked(pack)) == sorted(wanted(tokens, k) for k in chosen)
    assert {step.supervised_tokens for step in steps} == {sum(len(pack.rows) for pack in packs)}
    assert {step.computed_tokens for step in steps} == {sum(len(pack.ids) for pack in reals)}
    assert {step.real_tokens for step in steps} == {sum(len(wanted(tokens, k)[0]) + 1 for k in chosen)}
    assert all(len(pack.ids) <= max(budget, 97) for pack in packs)  # the longest example, with both preambles
    if not shared:
        assert all(set(pack.preambles) == {ALONE} for pack in packs)


@pytest.mark.parametrize("world", [1, 4])
def test_a_step_holds_the_examples_that_the_original_would_have_taken(world: int) -> None:
    """The original's ranks each take every world-th of one permutation; 32 examples each make a step."""
    tokens = token_set(64)
    for epoch in (0, 1):
        ranks = []
        for rank in range(world):
            sampler: DistributedSampler[int] = DistributedSampler(
                list(range(64)),
                world,
                rank,
                shuffle=True,
                seed=42,  # type: ignore[arg-type]
            )
            sampler.set_epoch(epoch)
            ranks.append(list(sampler))
        for number in range(4):
            share = 16 // world
            original = {k for each in ranks for k in each[share * number : share * (number + 1)]}
            ours = batches(tokens, epochs=2).step(4 * epoch + number)
            assert Counter(each for pack in ours.packs for each in unpacked(pack)) == Counter(
                wanted(tokens, k) for k in original
            )


def test_each_example_is_seen_as_often_as_there_are_epochs_and_only_the_last_step_is_smaller() -> None:
    every = batches(TOKENS, epochs=3, per_step=16)
    steps = [every.step(number) for number in range(every.num_steps)]
    seen = Counter(each for step in steps for pack in step.packs for each in unpacked(pack))

    assert every.num_steps == 12  # 180 / 16
    assert [step.num_examples for step in steps] == [16] * 11 + [4]
    assert seen == Counter({wanted(TOKENS, k): 3 for k in range(60)})
    assert [every.epoch(3), every.epoch(11)] == [64 / 60, 3.0]


@pytest.mark.parametrize(
    ("count", "epochs", "max_steps", "expected"),
    [
        (52_002, 3, None, (156_006, 1_219)),
        (52_002, 1, None, (52_002, 407)),
        (52_002, 3, 5, (640, 5)),
        (10, 0.5, None, (5, 1)),
        (10, 0.1, None, (1, 1)),
        (10, 3, 100, (30, 1)),
    ],
)
def test_the_number_of_steps(count: int, epochs: float, max_steps: int | None, expected: tuple[int, int]) -> None:
    assert count_steps(count, BatchSettings(), TrainSettings(epochs=epochs, max_steps=max_steps)) == expected


def test_the_order_of_a_file_can_be_kept_and_only_some_examples_taken() -> None:
    chosen = np.array([3, 5, 8, 13])
    step = batches(TOKENS, examples=chosen, order="sequential", per_step=3).step(0)

    assert {each for pack in step.packs for each in unpacked(pack)} == {wanted(TOKENS, k) for k in (3, 5, 8)}


def test_a_step_depends_on_its_number_alone() -> None:
    once, again = batches(TOKENS, epochs=4), batches(TOKENS, epochs=4)
    for number in (9, 2, 12, 0):
        again.step(number)

    for number in range(once.num_steps):
        left, right = once.step(number), again.step(number)
        assert all(
            np.array_equal(a.ids, b.ids) and a.lengths == b.lengths
            for a, b in zip(left.packs, right.packs, strict=True)
        )


def test_a_process_without_an_example_computes_one_for_nothing() -> None:
    steps = [batches(TOKENS, rank=rank, world=4, per_step=2).step(0) for rank in range(4)]

    assert [len(step.packs) for step in steps] == [1, 1, 1, 1]
    assert sorted(len(step.packs[0].rows) > 0 for step in steps) == [False, False, True, True]
    assert all(len(step.packs[0].ids) for step in steps)


@given(
    sizes=st.lists(st.integers(1, 100), min_size=1, max_size=60), world=st.integers(1, 6), room=st.integers(100, 400)
)
def test_bins_are_nearly_alike_and_never_over_the_room(sizes: list[int], world: int, room: int) -> None:
    bins = spread(sizes, world, room)
    loads = [sum(sizes[k] for k in members) for members in bins]

    assert len(bins) % world == 0
    assert sorted(k for members in bins for k in members) == list(range(len(sizes)))
    assert max(loads) <= room
    assert max(loads) - min(loads) <= max(sizes)

"""What a recipe leaves open, settled: device, processes, how much is computed at once, what is computed again."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import Any

from alpaca_cli.finetune.plan.architecture import Architecture
from alpaca_cli.finetune.plan.gpus import Gpu
from alpaca_cli.finetune.plan.memory import Load, Memory, device_memory
from alpaca_cli.finetune.plan.steps import Steps
from alpaca_cli.recipe.finetune import FinetuneRecipe

WORTHWHILE = 2048  # tokens at once that keep a GPU busy; fewer only where computing more again gives no more
COMFORTABLE = 0.95  # share of the room that is filled: what is reckoned may be off by a few per cent
ROUND = 64  # tokens to which a budget is rounded down
MODES = ("none", "selective", "full")


@dataclass(frozen=True)
class Settled:
    """A recipe without open ends, and what it comes to on one process."""

    recipe: FinetuneRecipe
    memory: Memory
    packs: int
    """Micro-batches of a long step, over all processes."""
    fits: bool
    """In the room of one process's device."""


def with_device(recipe: FinetuneRecipe, gpus: tuple[Gpu, ...]) -> FinetuneRecipe:
    """The recipe with device, processes, compilation and the sharing of preambles settled, on `gpus` of a node."""
    parallel = recipe.parallel
    device = parallel.device if parallel.device != "auto" else ("cuda" if gpus else "cpu")
    processes = parallel.processes or (max(1, len(gpus)) if device == "cuda" else 1)
    shared, compiled = recipe.memory.shared_preamble, recipe.compile
    if shared == "auto":
        shared = "off"  # until it is measured to be faster somewhere: see benchmarks/RESULTS.md
    if compiled == "auto":
        compiled = "layers" if device == "cuda" and recipe.memory.activation_checkpointing != "selective" else "off"
    return changed(
        recipe,
        parallel={"device": device, "processes": processes},
        memory={"shared_preamble": shared},
        compile=compiled,
    )


def settle(recipe: FinetuneRecipe, model: Architecture, steps: Steps, *, room: int) -> Settled:
    """The least that is computed again, and then the most that is computed at once, with which a process has `room`.

    `recipe` has its device settled.  A little is left free if it can be.  Where nothing fits, what comes nearest.
    """
    found = _settle(recipe, model, steps, round(COMFORTABLE * room))
    return found if found.fits else _settle(recipe, model, steps, room)


def _settle(recipe: FinetuneRecipe, model: Architecture, steps: Steps, room: int) -> Settled:
    mode = recipe.memory.activation_checkpointing
    # What a compiled layer keeps cannot be chosen operation by operation.
    choice = tuple(each for each in MODES if each != "selective" or recipe.compile == "off")
    modes = choice if mode == "auto" else (mode,)
    found = [
        _budgeted(changed(recipe, memory={"activation_checkpointing": each}), model, steps, room) for each in modes
    ]
    fitting = [each for each in found if each.fits]
    if not fitting:
        return min(found, key=lambda each: each.memory.total)
    # Each micro-batch brings all weights to the GPU twice: where they come from the host, one is best.
    needed = _needed(recipe, steps)
    enough = needed if recipe.memory.offload == "cpu" else min(WORTHWHILE, needed)
    return next((each for each in fitting if _budget(each) >= enough), max(fitting, key=_budget))


def _budgeted(recipe: FinetuneRecipe, model: Architecture, steps: Steps, room: int) -> Settled:
    """With the largest budget of tokens that fits, but no larger than a step needs."""

    def at(budget: int) -> Settled:
        settled = changed(recipe, batch={"tokens_per_microbatch": budget})
        share = min(1.0, budget / needed)
        load = Load(
            tokens=min(budget, needed),
            supervised=ceil(steps.step_supervised / world * share),
            copies=ceil(steps.step_examples / world * share) * shared,
            is_one_of_several=budget < needed,
        )
        memory = device_memory(model, settled, load, world=world)
        return Settled(settled, memory, world * ceil(needed / budget), memory.total <= room)

    world, needed = world_of(recipe), _needed(recipe, steps)
    shared = steps.preamble_tokens if recipe.memory.shared_preamble == "on" else 0
    least = min(needed, _least(recipe, steps))
    if recipe.batch.tokens_per_microbatch is not None:
        return at(max(recipe.batch.tokens_per_microbatch, least))
    if (whole := at(needed)).fits:
        return whole
    low, high = least // ROUND, needed // ROUND  # the former fits, if anything does
    while low + 1 < high:
        middle = (low + high) // 2
        low, high = (middle, high) if at(middle * ROUND).fits else (low, middle)
    return at(max(low * ROUND, least))


def _needed(recipe: FinetuneRecipe, steps: Steps) -> int:
    """Tokens that one process computes in a long step."""
    if recipe.memory.shared_preamble == "off":
        return max(_least(recipe, steps), ceil(steps.step_tokens / world_of(recipe)))
    own = steps.step_tokens - steps.step_examples * steps.preamble_tokens
    return max(_least(recipe, steps), ceil(own / world_of(recipe)) + steps.preambles)


def _least(recipe: FinetuneRecipe, steps: Steps) -> int:
    """Tokens without which no example has room."""
    return steps.longest - 1 + (steps.preambles if recipe.memory.shared_preamble == "on" else 0)


def _budget(settled: Settled) -> int:
    budget = settled.recipe.batch.tokens_per_microbatch
    assert budget is not None
    return budget


def changed(recipe: FinetuneRecipe, **parts: Any) -> FinetuneRecipe:
    """The recipe with other values, a dict for each part of it; checked again."""
    data = recipe.model_dump()
    for name, value in parts.items():
        data[name] = {**data[name], **value} if isinstance(value, dict) else value
    return FinetuneRecipe.model_validate(data)


def world_of(recipe: FinetuneRecipe) -> int:
    """Processes on all nodes, once they are settled."""
    return recipe.parallel.nodes * (recipe.parallel.processes or 1)

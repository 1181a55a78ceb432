"""The plan: what a run would do, need and take, computed before a GPU is touched, and what to change if it cannot be.

Nothing here is measured on the machine that trains: memory is reckoned (`memory.py`), time is the work divided by a
share of the GPUs' peak that is assumed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from alpaca_cli.dedup.machine import free_memory
from alpaca_cli.errors import Problem, UsageError
from alpaca_cli.finetune.plan.architecture import Architecture
from alpaca_cli.finetune.plan.gpus import Gpu, seen_gpus
from alpaca_cli.finetune.plan.host import Disk, HostMemory, disk, free_disk, host_memory
from alpaca_cli.finetune.plan.memory import GIB, Memory
from alpaca_cli.finetune.plan.settle import changed, settle, with_device, world_of
from alpaca_cli.finetune.plan.steps import Steps, count
from alpaca_cli.finetune.tokens.token_set import TokenFacts, TokenSet
from alpaca_cli.recipe.finetune import FinetuneRecipe

# Share of the peak that a run reaches, worst and best: assumed after published runs of 7B models, not measured.
ASSUMED_ONE_NODE = (0.35, 0.50)
ASSUMED_NODES = (0.20, 0.45)
BUSY = 2 * GIB  # that others use of a GPU, from which on it is told
FEW = 10  # steps that teach next to nothing
MOST_GPUS = 64  # of a node, up to which more are tried
# What is tried where memory is short, the least intrusive first.
REMEDIES: tuple[dict[str, str], ...] = (
    {"memory.activation_checkpointing": "auto"},
    {"memory.activation_checkpointing": "auto", "batch.tokens_per_microbatch": "null"},
    {"precision.moments": "bf16"},
    {"precision.weights": "bf16_sr"},
    {"precision.weights": "bf16_sr", "precision.moments": "bf16"},
    {"memory.offload": "cpu"},
    {"method": "lora"},
)
NUM_TOLD = 4  # ways out that are told


@dataclass(frozen=True)
class Plan:
    """What a run would do, need and take."""

    settled: FinetuneRecipe
    """The recipe, with a value for everything that it left open."""
    architecture: Architecture
    facts: TokenFacts
    steps: Steps
    gpus: tuple[Gpu, ...]
    """Of each node, those that are used; none on a CPU."""
    is_here: bool
    """Whether it is planned for this machine, or for GPUs that were named."""
    memory: Memory
    """Of one process on its device."""
    room: int
    """Bytes of that device: of a GPU, or of this machine's free memory a process's share."""
    host: HostMemory
    host_free: int | None
    """None: planned for another machine."""
    disk: Disk
    disk_free: int | None
    computed_tokens: int
    flops: float
    """Of the whole run, what is computed again included."""
    seconds: tuple[float, float] | None
    """At the best and the worst share of the peak that is assumed; None: not known."""
    problems: tuple[Problem, ...]
    """Why the run cannot be."""
    notes: tuple[str, ...]

    @property
    def fits(self) -> bool:
        """On the device of one process."""
        return self.memory.total <= self.room

    @property
    def world(self) -> int:
        return world_of(self.settled)

    @property
    def assumed_shares(self) -> tuple[float, float]:
        """Of the peak, which `seconds` is reckoned with."""
        return assumed_shares(self.settled)

    def refuse(self) -> None:
        """Raises UsageError with everything for which the run cannot be, if there is anything."""
        if self.problems:
            raise UsageError.of(self.problems)

    def as_json(self) -> dict[str, Any]:
        """For a program to read; bytes, tokens and seconds as numbers."""
        recipe, model = self.settled, self.architecture
        names = ("model_type", "num_parameters", "layers", "hidden", "vocab", "max_positions", "dtype", "num_bytes")
        return {
            "model": {"path": recipe.model.path, **{name: getattr(model, name) for name in names}},
            "data": {"path": recipe.data.path, **asdict(self.facts)},
            "steps": {
                **asdict(self.steps),
                "computed_tokens": self.computed_tokens,
                "tokens_per_microbatch": recipe.batch.tokens_per_microbatch,
            },
            "processes": {
                "world": self.world,
                "nodes": recipe.parallel.nodes,
                "device": recipe.parallel.device,
                "gpus": [asdict(gpu) for gpu in self.gpus],
                "is_here": self.is_here,
            },
            "memory": {
                **self.memory.as_dict(),
                "total": self.memory.total,
                "room": self.room,
                "fits": self.fits,
                "activation_checkpointing": recipe.memory.activation_checkpointing,
            },
            "host_memory": {**asdict(self.host), "total": self.host.total, "free": self.host_free},
            "disk": {**asdict(self.disk), "total": self.disk.total, "free": self.disk_free},
            "time": {
                "flops": self.flops,
                "seconds": self.seconds,
                "assumed_share_of_peak": None if self.seconds is None else self.assumed_shares[::-1],
                "is_measured": False,
            },
            "problems": [asdict(problem) for problem in self.problems],
            "notes": self.notes,
        }


def make_plan(
    recipe: FinetuneRecipe, architecture: Architecture, tokens: TokenSet, *, gpus: tuple[Gpu, ...] | None, out: Path
) -> Plan:
    """The plan of a run in the folder `out`, on `gpus` of each node, or on those that are here.

    What cannot be is among its problems, and raised by `refuse`.
    """
    is_here = gpus is None
    there = seen_gpus() if gpus is None else gpus
    steps = count(tokens, recipe)
    recipe = with_device(recipe, there)
    on_gpu, local = recipe.parallel.device == "cuda", recipe.parallel.processes or 1
    problems = list(_impossible(recipe, architecture, steps, there, is_here=is_here))
    used = there[:local] if on_gpu else ()
    free = free_memory()
    room = _room(recipe, architecture, used, free)
    found = settle(recipe, architecture, steps, room=room)
    host = host_memory(architecture, found.recipe, found.memory, world=world_of(recipe), local=local)
    needed, disk_free = disk(architecture, recipe), free_disk(out) if is_here else None
    if not found.fits and not problems:
        problems.append(_too_large(recipe, architecture, steps, used, room, found.memory))
    if is_here and host.total > free and (on_gpu or found.fits):
        way = " or --set memory.offload=none," if recipe.memory.offload == "cpu" else ""
        problems.append(_short("host memory", host.total, free, f"fewer processes,{way} or a machine with more memory"))
    if disk_free is not None and needed.total > disk_free:
        less = ", or keep less: --set checkpoint.keep=1" if recipe.checkpoint.keep > 1 else ""
        hint = f"make room, or name another place with --out{less}"
        problems.append(_short("disk", needed.total, disk_free, hint, where=str(out)))
    is_shared = found.recipe.memory.shared_preamble == "on"
    computed = steps.computed_tokens(is_shared=is_shared, packs_per_step=found.packs)
    flops = _flops_per_token(found.recipe, architecture) * computed
    return Plan(
        settled=found.recipe,
        architecture=architecture,
        facts=tokens.facts,
        steps=steps,
        gpus=used,
        is_here=is_here,
        memory=found.memory,
        room=room,
        host=host,
        host_free=free if is_here else None,
        disk=needed,
        disk_free=disk_free,
        computed_tokens=computed,
        flops=flops,
        seconds=_seconds(found.recipe, flops, used),
        problems=tuple(problems),
        notes=tuple(_notes(found.recipe, architecture, tokens.facts, steps, used, len(there))),
    )


def assumed_shares(recipe: FinetuneRecipe) -> tuple[float, float]:
    """Of the peak: worst and best."""
    return ASSUMED_ONE_NODE if recipe.parallel.nodes == 1 else ASSUMED_NODES


def _impossible(
    recipe: FinetuneRecipe, model: Architecture, steps: Steps, gpus: Sequence[Gpu], *, is_here: bool
) -> Iterator[Problem]:
    """What is wrong before memory is looked at."""
    parallel, processes = recipe.parallel, recipe.parallel.processes or 1
    if parallel.device == "cuda" and not gpus:
        hint = (
            "check nvidia-smi and CUDA_VISIBLE_DEVICES, set parallel.device=cpu, or plan for others: --gpu a100-80g:4"
        )
        yield Problem("parallel.device: expected a GPU, found none", hint=hint)
    elif parallel.device == "cuda" and processes > len(gpus):
        hint = f"--set parallel.processes={len(gpus)}"
        yield Problem(f"parallel.processes: {processes} on each node, but it has {len(gpus)} GPUs", hint=hint)
    if world_of(recipe) % parallel.replicate:
        message = f"parallel.replicate: {world_of(recipe)} processes are not divisible by {parallel.replicate}"
        yield Problem(message, hint="choose a divisor, or 1 to shard over all of them")
    if parallel.device == "cpu" and gpus and not is_here:
        yield Problem("parallel.device: cpu, but GPUs are named", hint="leave out --gpu, or --set parallel.device=cuda")
    if steps.num_warmup >= steps.num_steps:
        message = (
            f"nothing would be learnt: {_steps(steps.num_steps)} in all, {steps.num_warmup} of warm-up from a rate of 0"
        )
        hint = "more data or epochs, smaller batch.examples_per_step, or --set train.warmup=0"
        yield Problem(message, hint=hint)
    if steps.longest > model.max_positions:
        message = f"the longest example has {steps.longest} tokens, the model has {model.max_positions} positions"
        yield Problem(message, hint=f"--set data.max_tokens={model.max_positions}")
    lacking = next((gpu for gpu in gpus if not gpu.has_bf16), None)
    if parallel.device == "cuda" and recipe.precision.compute == "bf16" and lacking is not None:
        message = f"precision.compute: bf16, which {lacking.name} cannot do"
        yield Problem(message, hint="--set precision.compute=fp32, or a GPU of the Ampere generation or newer")


def _room(recipe: FinetuneRecipe, model: Architecture, gpus: Sequence[Gpu], free: int) -> int:
    """Bytes for one process: of the smallest GPU, or its share of this machine's free memory."""
    if gpus:
        return min(gpu.memory_bytes for gpu in gpus)
    local = recipe.parallel.processes or 1
    staging = host_memory(model, recipe, Memory(0, 0, 0, 0, 0, 0, 0, 0), world=world_of(recipe), local=local).staging
    return max(0, free - staging) // local


def _too_large(
    recipe: FinetuneRecipe, model: Architecture, steps: Steps, gpus: Sequence[Gpu], room: int, memory: Memory
) -> Problem:
    """That a process does not fit, and what does, tried."""
    what = gpus[0].name if gpus else "its share of this machine's free memory"
    message = f"a process needs {_gib(memory.total)} GiB, {what} has {_gib(room)}"
    ways = []
    for remedy in REMEDIES:
        other = _remedied(recipe, remedy)
        if other is not None and other != recipe and settle(other, model, steps, room=room).fits:
            ways.append(" ".join(f"--set {key}={value}" for key, value in remedy.items()))
    number = len(gpus) * 2
    while gpus and number <= MOST_GPUS:
        more = changed(recipe, parallel={"processes": number})
        if number % recipe.parallel.replicate == 0 and settle(more, model, steps, room=room).fits:
            ways.append(f"{number} of these GPUs on each node")
            break
        number *= 2
    if not gpus and (recipe.parallel.processes or 1) > 1 and _fits_alone(recipe, model, steps, room):
        ways.append("--set parallel.processes=1")
    otherwise = "use a smaller model, or larger GPUs" if gpus else "use a smaller model, or a machine with more memory"
    hint = f"fits with: {'; or '.join(ways[:NUM_TOLD])}" if ways else otherwise
    return Problem(message, hint=hint)


def _fits_alone(recipe: FinetuneRecipe, model: Architecture, steps: Steps, room: int) -> bool:
    """Whether one process on this machine's CPU would have room where several have not."""
    alone = changed(recipe, parallel={"processes": 1, "replicate": 1})
    return settle(alone, model, steps, room=room * (recipe.parallel.processes or 1)).fits


def _remedied(recipe: FinetuneRecipe, remedy: dict[str, str]) -> FinetuneRecipe | None:
    """The recipe with a remedy, if it goes with the rest."""
    if remedy.get("precision.weights") == "bf16_sr" and recipe.precision.compute != "bf16":
        return None
    if "memory.offload" in remedy and recipe.parallel.device == "cpu":
        return None
    other = recipe
    for key, value in remedy.items():
        part, _, name = key.rpartition(".")
        plain = None if value == "null" else value
        other = changed(other, **({part: {name: plain}} if part else {name: plain}))
    return other


def _flops_per_token(recipe: FinetuneRecipe, model: Architecture) -> float:
    """Two a parameter going forward, four going back, two less where it is frozen, two more where it is done again."""
    again = 2 if recipe.memory.activation_checkpointing == "full" else 0
    return float((4 if recipe.method == "lora" else 6) + again) * model.num_parameters


def _seconds(recipe: FinetuneRecipe, flops: float, gpus: Sequence[Gpu]) -> tuple[float, float] | None:
    """Not known on a CPU, on GPUs of unknown peak, and where weights travel between host and GPU."""
    peak = recipe.parallel.nodes * sum(gpu.peak_flops for gpu in gpus)
    if not gpus or not all(gpu.peak_flops for gpu in gpus) or recipe.memory.offload == "cpu":
        return None
    worst, best = assumed_shares(recipe)
    return flops / (peak * best), flops / (peak * worst)


def _notes(
    recipe: FinetuneRecipe, model: Architecture, facts: TokenFacts, steps: Steps, gpus: Sequence[Gpu], num_there: int
) -> Iterator[str]:
    yield from model.notes
    yield from facts.notes
    if steps.num_steps < FEW:
        few = f"only {_steps(steps.num_steps)}, the first with a learning rate of 0"
        yield f"{few}: more data or epochs, or smaller batch.examples_per_step, teach more"
    if gpus and len(gpus) < num_there:
        yield f"{num_there - len(gpus)} of {num_there} GPUs stay idle: --set parallel.processes={num_there}"
    if recipe.memory.offload == "cpu" and not gpus:
        yield "memory.offload: on a CPU everything lies in host memory anyway"
    for number, gpu in enumerate(gpus):
        if gpu.used_bytes > BUSY:
            yield f"{_gib(gpu.used_bytes)} GiB of GPU {number} ({gpu.name}) are in use by something else"


def _short(what: str, needed: int, free: int, hint: str, *, where: str | None = None) -> Problem:
    unit, name = (GIB, "GiB") if needed >= GIB else (GIB // 1024, "MiB")
    return Problem(f"not enough {what}: {needed / unit:.1f} {name} needed, {free / unit:.1f} free", where, hint)


def _steps(count: int) -> str:
    return f"{count} step{'s' * (count != 1)}"


def _gib(num_bytes: int) -> str:
    return f"{num_bytes / GIB:.1f}"

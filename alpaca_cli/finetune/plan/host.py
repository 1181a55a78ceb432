"""What a run needs of the machine beside its GPUs, on each node: host memory and disk, in bytes."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, fields
from pathlib import Path

from alpaca_cli.finetune.plan.architecture import Architecture
from alpaca_cli.finetune.plan.memory import GIB, Memory, state_bytes
from alpaca_cli.recipe.finetune import FinetuneRecipe

GPU_PROCESS = 3 * GIB  # of a process that has PyTorch and CUDA loaded; not measured here
EXPORTED = {"bf16": 2, "fp16": 2, "fp32": 4}


@dataclass(frozen=True)
class HostMemory:
    """Of all processes of one node together."""

    processes: int
    """Programs and libraries; on a CPU all that they train with."""
    offloaded: int
    """Weights, gradients and moments that do not lie on the GPUs."""
    staging: int
    """Copies of weights and moments from which checkpoints are written while training goes on."""

    @property
    def total(self) -> int:
        return sum(getattr(self, field.name) for field in fields(self))


@dataclass(frozen=True)
class Disk:
    """Where the run folder lies."""

    checkpoints: int
    """Those that are kept and the one that is being written."""
    export: int

    @property
    def total(self) -> int:
        return self.checkpoints + self.export


def host_memory(model: Architecture, recipe: FinetuneRecipe, memory: Memory, *, world: int, local: int) -> HostMemory:
    """Of a node with `local` of the `world` processes, each of which holds `memory` on its device."""
    on_cpu = recipe.parallel.device == "cpu"
    states = state_bytes(model, recipe, shards=world // recipe.parallel.replicate)
    return HostMemory(
        processes=local * (memory.total if on_cpu else GPU_PROCESS),
        offloaded=local * sum(states) if recipe.memory.offload == "cpu" and not on_cpu else 0,
        staging=local * _saved(model, recipe) // (world // recipe.parallel.replicate),
    )


def disk(model: Architecture, recipe: FinetuneRecipe) -> Disk:
    """Of the whole run."""
    return Disk(
        checkpoints=(recipe.checkpoint.keep + 1) * _saved(model, recipe),
        export=model.num_parameters * EXPORTED[recipe.export.dtype],
    )


def free_disk(folder: Path) -> int:
    """Bytes that a run in `folder`, which need not be there yet, may still take, with what it has taken already."""
    place = next(each for each in (folder.absolute(), *folder.absolute().parents) if each.exists())
    taken = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) if folder.is_dir() else 0
    return shutil.disk_usage(place).free + taken


def _saved(model: Architecture, recipe: FinetuneRecipe) -> int:
    """Bytes of one checkpoint: what is trained, and its moments."""
    weights, gradients, moments = state_bytes(model, recipe, shards=1)
    return moments + (gradients if recipe.method == "lora" else weights)

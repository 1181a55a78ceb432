"""What the processes of the checkpoint tests do, told as JSON: `checkpoint_work.py FOLDER NUM_KILLS SEED`."""

from __future__ import annotations

import json
import os
import random
import resource
import sys
import time
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import DTensor, Replicate, Shard, distribute_tensor

import ranks
from alpaca_cli.errors import AlpacaError
from alpaca_cli.finetune.save import manifest
from alpaca_cli.finetune.save.checkpoint import Checkpoints

SHAPES = {"even": (8, 3), "uneven": (5, 2), "fewer": (1, 7), "bias": (9,)}


def whole(step: int) -> dict[str, torch.Tensor]:
    """The tensors of a step, each value told apart from all of any other step; the same in every process."""
    return {name: torch.randn(shape, generator=torch.Generator().manual_seed(step)) for name, shape in SHAPES.items()}


def sharded(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """All sharded over the processes but for one that all have and one that is no DTensor."""
    mesh = init_device_mesh("cpu", (dist.get_world_size(),))
    result: dict[str, torch.Tensor] = {name: distribute_tensor(one, mesh, [Shard(0)]) for name, one in tensors.items()}
    first = next(iter(tensors.values()))
    result["replicated"] = distribute_tensor(first + 1, mesh, [Replicate()])
    result["step"] = first[0, 0].clone()
    result["half"] = distribute_tensor(first.bfloat16(), mesh, [Shard(0)])
    return result


def values(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: one.full_tensor() if isinstance(one, DTensor) else one for name, one in tensors.items()}


def equals(tensors: dict[str, torch.Tensor], step: int) -> bool:
    expected = values(sharded(whole(step)))
    return all(torch.equal(one, expected[name]) for name, one in values(tensors).items())


def addresses(tensors: dict[str, torch.Tensor]) -> list[int]:
    return [(one.to_local() if isinstance(one, DTensor) else one).data_ptr() for one in tensors.values()]


def zeros(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: torch.zeros_like(one) for name, one in tensors.items()}


def problem(error: AlpacaError) -> list[Any]:
    (found,) = error.problems
    return [type(error).__name__, found.message, found.where, found.hint]


def run(folder: Path) -> dict[str, Any]:
    """Save, go on, fail, save again, load."""
    answer: dict[str, Any] = {}
    checkpoints = Checkpoints(folder, keep=2)
    answer["before"] = checkpoints.latest() is None
    tensors = sharded(whole(1))
    before = addresses(tensors)
    for step in (1, 2, 3):
        for name, one in sharded(whole(step)).items():
            tensors[name].copy_(one)
        checkpoints.save(step, tensors, {"step": step, "who": dist.get_rank()})
        for one in tensors.values():  # the next step
            one.add_(1)
    checkpoints.wait()
    answer["kept"] = sorted(path.name for path in folder.iterdir())
    dist.barrier()

    if dist.get_rank() == 1:
        resource.setrlimit(resource.RLIMIT_FSIZE, (256, resource.RLIM_INFINITY))
    checkpoints.save(4, tensors, {})
    try:
        checkpoints.save(5, tensors, {})
    except AlpacaError as error:
        answer["full"] = problem(error)
    answer["after failure"] = sorted(path.name for path in folder.iterdir())
    dist.barrier()
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))

    latest = checkpoints.latest()
    answer["latest"] = [latest.step, latest.facts]
    checkpoints.load(latest, tensors)
    answer["same"] = equals(tensors, 3)
    answer["in place"] = addresses(tensors) == before
    checkpoints.save(4, tensors, {"after": "failure"})
    checkpoints.wait()
    latest = checkpoints.latest()
    answer["at last"] = latest.step

    def attempt(tensors: dict[str, torch.Tensor]) -> list[Any] | None:
        try:
            checkpoints.load(latest, tensors)
        except AlpacaError as error:
            return problem(error)
        return None

    checkpoints.save(5, tensors, {"who": checkpoints})
    try:
        checkpoints.wait()
    except AlpacaError as error:
        answer["facts"] = problem(error)[:2]

    answer["name"] = attempt({name: one for name, one in tensors.items() if name != "bias"})
    answer["shape"] = attempt({**tensors, "uneven": tensors["even"], "half": tensors["even"]})
    answer["type"] = attempt({**tensors, "half": tensors["half"].float()})
    if dist.get_rank() == 0:
        flip(latest.path / "__1_0.distcp")
    dist.barrier()
    answer["flipped"] = attempt(tensors)
    return answer


def flip(path: Path) -> None:
    """Change one bit in the middle of a file."""
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    path.write_bytes(raw)


def gone(folder: Path) -> list[Any]:
    """Save where one of the processes ends before it has written."""
    checkpoints = Checkpoints(folder, keep=1)
    tensors = sharded(whole(1))
    checkpoints.save(1, tensors, {})
    checkpoints.wait()
    if dist.get_rank() == 1:
        os._exit(1)
    checkpoints.save(2, tensors, {})
    try:
        checkpoints.wait()
    except AlpacaError as error:
        return problem(error)
    return []


def keep(folder: Path, step: int) -> None:
    checkpoints = Checkpoints(folder, keep=1)
    checkpoints.save(step, sharded(whole(step)), {})
    checkpoints.wait()


def load(folder: Path, step: int) -> dict[str, Any]:
    """Load what other processes have saved."""
    checkpoints = Checkpoints(folder, keep=1)
    tensors = zeros(sharded(whole(step)))
    found = checkpoints.latest()
    checkpoints.load(found, tensors)
    return {"step": found.step, "same": equals(tensors, step)}


def leave(folder: Path) -> None:
    """End for another reason while a checkpoint is written."""
    Checkpoints(folder, keep=1).save(1, sharded(whole(1)), {})
    raise SystemExit(3)


def loop(folder: Path) -> None:
    """Save without end."""
    checkpoints = Checkpoints(folder, keep=1)
    found = checkpoints.latest()
    step = 0 if found is None else found.step
    while True:
        step += 1
        checkpoints.save(step, sharded(whole(step)), {"step": step})


def survive(folder: Path) -> dict[str, Any]:
    """What a killed job has left."""
    left = sorted(path.name for path in folder.glob(".*"))
    found = manifest.newest(folder)
    if found is None:
        return {"step": 0, "left": left, "same": True}
    checkpoints = Checkpoints(folder, keep=1)
    tensors = zeros(sharded(whole(found.step)))
    checkpoints.load(found, tensors)
    same = equals(tensors, found.step) and found.facts == {"step": found.step}
    return {"step": found.step, "left": left, "same": same and not found.passed_over}


def kill(folder: Path, num_kills: int, seed: int) -> list[dict[str, Any]]:
    """Kill jobs of one and of two processes while they save."""
    chance, answers = random.Random(seed), []
    folder.mkdir()
    for number in range(num_kills):
        before = set(folder.iterdir())
        job = ranks.start(1 + number % 2, loop, folder)
        while set(folder.iterdir()) <= before:  # nothing is saved yet
            assert all(process.is_alive() for process, _ in job)
            time.sleep(0.01)
        time.sleep(chance.uniform(0, 0.2))
        for process, _ in chance.sample(job, len(job)):
            process.kill()
        for process, _ in job:
            process.join()
        answers += ranks.run(1, survive, folder)
    return answers


def main(folder: Path, num_kills: int, seed: int) -> None:
    answers: dict[str, Any] = {"run": ranks.run(2, run, folder / "checkpoints")}
    ranks.run(2, keep, folder / "kept", 3)
    for num in (1, 2, 4):
        answers[f"load {num}"] = ranks.run(num, load, folder / "kept", 3)
    answers["gone"] = ranks.run(2, gone, folder / "gone")
    ranks.run(2, leave, folder / "left")
    answers["left"] = ranks.run(1, load, folder / "left", 1)
    answers["kill"] = kill(folder / "killed", num_kills, seed)
    sys.stdout.write(json.dumps(answers))


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))

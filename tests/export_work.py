"""What the processes of the export tests do, told as JSON: `export_work.py FOLDER`."""

from __future__ import annotations

import json
import resource
import sys
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor
from transformers import AutoModelForCausalLM, PreTrainedModel

import ranks
from alpaca_cli.errors import AlpacaError
from alpaca_cli.finetune.save.export import Weight, export


def sharded(base: Path) -> PreTrainedModel:
    model: PreTrainedModel = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    mesh = init_device_mesh("cpu", (dist.get_world_size(),))
    for layer in model.model.layers:
        fully_shard(layer, mesh=mesh)
    fully_shard(model, mesh=mesh)
    return model


def weights(model: PreTrainedModel) -> list[Weight]:
    def weight(name: str, tensor: DTensor) -> Weight:
        return Weight(name, tuple(tensor.shape), lambda: tensor.detach().full_tensor())

    return [weight(name, tensor) for name, tensor in model.named_parameters()]


def work(folder: Path) -> dict[str, Any]:
    """Export twice, with failures between."""
    model = sharded(folder / "base")
    config = json.loads((folder / "base" / "config.json").read_bytes())
    answer: dict[str, Any] = {}

    def attempt(
        given: list[Weight], dtype: torch.dtype = torch.float32, name: str = "model", **more: Any
    ) -> list[Any] | None:
        settings: dict[str, Any] = {
            "dtype": dtype, "max_shard_bytes": 20_000, "config": config, "tokenizer": folder / "tokenizer",
            "generation_config": {"do_sample": True, "temperature": 0.6, "max_length": 99, "_from_model_config": True},
        }  # fmt: skip
        try:
            export(
                given,
                folder / name,
                others={"README.md": b"# A model\n", "loss.png": b"a picture"},
                **{**settings, **more},
            )
        except AlpacaError as error:
            (found,) = error.problems
            return [type(error).__name__, found.message, found.where, found.hint]
        return None

    answer["first"] = attempt(weights(model), name="first")
    answer["well"] = attempt(weights(model))
    before = {path.name: path.stat().st_mtime_ns for path in (folder / "model").iterdir()}
    if dist.get_rank() == 1:
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))
    answer["full"] = attempt(weights(model))
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    answer["missing"] = attempt(weights(model)[1:])
    answer["unknown"] = attempt([*weights(model), Weight("more", (1,), lambda: torch.zeros(1))])
    answer["shape"] = attempt(weights(model), config={**config, "vocab_size": config["vocab_size"] + 1})
    with torch.no_grad():
        model.model.norm.weight.mul_(1e5)
    answer["too large"] = attempt(weights(model), torch.float16)
    answer["as before"] = before == {path.name: path.stat().st_mtime_ns for path in (folder / "model").iterdir()}
    answer["left"] = sorted(path.name for path in folder.iterdir())
    with torch.no_grad():
        model.model.norm.weight.mul_(1e-5)
    answer["again"] = attempt(weights(model), torch.bfloat16, max_shard_bytes=10**9, generation_config=None)
    return answer


if __name__ == "__main__":
    torch.set_num_threads(1)
    sys.stdout.write(json.dumps(ranks.run(2, work, Path(sys.argv[1]))))

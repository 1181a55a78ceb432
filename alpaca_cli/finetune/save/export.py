"""The trained model as a folder in Hugging Face layout, written by all processes without any of them holding it whole.

    model-00001-of-0000N.safetensors ...  model.safetensors.index.json     or one model.safetensors
    config.json  generation_config.json  README.md  what the tokenizer's folder holds

Each weight is gathered by all, in one order; the process whose file it belongs to keeps it, in the export's type, until
a thread has written it.  Files go round the processes, so that each has at most one in memory.
"""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

from alpaca_cli.errors import AlpacaError, IntegrityError
from alpaca_cli.finetune.save.agree import agree
from alpaca_cli.finetune.save.manifest import sync_folder
from alpaca_cli.finetune.save.shardfile import ShardFile
from alpaca_cli.finetune.save.unwritten import refuse_unseen, unwritten

_NOT_KEPT = {  # of the base's generation config: how to sample, and that it was made of an older config
    "do_sample", "temperature", "top_p", "top_k", "top_h", "min_p", "typical_p", "epsilon_cutoff", "eta_cutoff",
    "penalty_alpha", "repetition_penalty", "encoder_repetition_penalty", "no_repeat_ngram_size", "num_beams",
    "num_beam_groups", "diversity_penalty", "length_penalty", "early_stopping", "_from_model_config",
}  # fmt: skip


@dataclass(frozen=True)
class Weight:
    """One tensor of the model."""

    name: str
    shape: tuple[int, ...]
    gather: Callable[[], torch.Tensor]
    """The whole tensor, in every process.  Collective."""


def export(
    weights: Sequence[Weight],
    folder: Path,
    *,
    dtype: torch.dtype,
    max_shard_bytes: int,
    config: Mapping[str, Any],
    generation_config: Mapping[str, Any] | None,
    tokenizer: Path,
    others: Mapping[str, bytes],
) -> None:
    """Write the model to `folder`, which is replaced once all of it is on disk and has been read again.  Collective.

    `config` and `generation_config` are the base's; type, class and special tokens are set here, and how the base was
    sampled is left out.  `others` are more files, by name (the card, its picture).  Of weights that the model ties, one
    is given.

    Raises IntegrityError if the weights are not those of a model of `config`, or are read otherwise than written;
    TrainingError if the folder cannot be written.
    """
    group = dist.new_group(backend="gloo")
    is_first = dist.get_rank() == 0
    temporary = folder.with_name(f".{folder.name}.tmp")

    def prepare() -> None:
        if is_first:
            settled = _settle(config, weights, dtype, tokenizer)
            shutil.rmtree(temporary, ignore_errors=True)
            temporary.mkdir(parents=True)
            _write_configs(temporary, settled, generation_config)
            for path in sorted(tokenizer.iterdir()):
                shutil.copyfile(path, temporary / path.name)
            for name, content in others.items():
                (temporary / name).write_bytes(content)

    try:
        agree(_writing(folder, prepare), group)
        shards = _shards(weights, temporary, dtype, max_shard_bytes)
        mine, written = _gather(shards, weights, dtype)
        agree(_writing(folder, lambda: _close(mine, written)), group)
        agree(lambda: _check(mine), group)
        agree(_writing(folder, lambda: _publish(temporary, folder, shards) if is_first else None), group)
    except AlpacaError:  # raised by all
        if is_first:
            shutil.rmtree(temporary, ignore_errors=True)
        dist.barrier(group)
        raise
    finally:
        dist.destroy_process_group(group)


def _gather(
    shards: Sequence[ShardFile], weights: Sequence[Weight], dtype: torch.dtype
) -> tuple[list[ShardFile], list[Future[None]]]:
    """The files of this process, and the writing of each of their tensors, in which something may have gone wrong."""
    by_name = {weight.name: weight for weight in weights}
    mine: list[ShardFile] = []
    written: list[Future[None]] = []
    with ThreadPoolExecutor(1) as pool:
        for number, shard in enumerate(shards):
            is_mine = number % dist.get_world_size() == dist.get_rank()
            if is_mine:
                wait(written)  # before the tensors of the next file are kept
                mine.append(shard)
            for name in shard.shapes:
                tensor = by_name[name].gather()
                if is_mine:
                    kept = tensor.detach().to("cpu", dtype)
                    written.append(pool.submit(shard.write, name, kept))
    return mine, written


def _close(mine: Sequence[ShardFile], written: Sequence[Future[None]]) -> None:
    try:
        for writing in written:
            writing.result()
    finally:
        for shard in mine:
            shard.close()


def _check(mine: Sequence[ShardFile]) -> None:
    for shard in mine:
        shard.check()


def _shards(weights: Sequence[Weight], folder: Path, dtype: torch.dtype, max_bytes: int) -> list[ShardFile]:
    """The files, each of at most `max_bytes` where no single tensor is larger."""
    contents: list[dict[str, tuple[int, ...]]] = []
    room = 0
    for weight in weights:
        num_bytes = math.prod(weight.shape) * dtype.itemsize
        if num_bytes > room or not contents:
            contents.append({})
            room = max_bytes
        contents[-1][weight.name] = weight.shape
        room -= num_bytes
    num = len(contents)
    names = [f"model-{i:05}-of-{num:05}.safetensors" for i in range(1, num + 1)] if num > 1 else ["model.safetensors"]
    return [ShardFile(folder / name, shapes, dtype) for name, shapes in zip(names, contents, strict=True)]


def _settle(
    config: Mapping[str, Any], weights: Sequence[Weight], dtype: torch.dtype, tokenizer: Path
) -> dict[str, Any]:
    """The config as it is exported.  Raises IntegrityError if `weights` are not those of its model."""
    settled = {key: value for key, value in config.items() if key not in ("torch_dtype", "_name_or_path")}
    tokens = AutoTokenizer.from_pretrained(tokenizer)
    settled["dtype"] = str(dtype).removeprefix("torch.")
    settled["bos_token_id"] = tokens.bos_token_id
    settled["eos_token_id"] = _with(config.get("eos_token_id"), tokens.eos_token_id)
    settled["pad_token_id"] = tokens.pad_token_id
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(AutoConfig.for_model(**settled))  # type: ignore[no-untyped-call]
    settled["architectures"] = [type(model).__name__]
    _check_names(model, {weight.name: weight.shape for weight in weights})
    return settled


def _check_names(model: torch.nn.Module, given: Mapping[str, tuple[int, ...]]) -> None:
    expected = model.state_dict(keep_vars=True)  # tied weights are one tensor under several names
    covered = {id(tensor) for name, tensor in expected.items() if name in given}
    missing = [name for name, tensor in expected.items() if id(tensor) not in covered]
    unknown = [name for name in given if name not in expected]
    other = [name for name, shape in given.items() if name in expected and tuple(expected[name].shape) != shape]
    for names, words in ((missing, "is missing"), (unknown, "is in no such model"), (other, "is of another shape")):
        if names:
            more = f" (so are {len(names) - 1:,} more)" if len(names) > 1 else ""
            kind = type(model).__name__
            raise IntegrityError(f"the weights are not those of the config's {kind}: {names[0]} {words}{more}")


def _write_configs(folder: Path, config: Mapping[str, Any], generation_config: Mapping[str, Any] | None) -> None:
    base = {key: value for key, value in (generation_config or {}).items() if key not in _NOT_KEPT}
    pad = config["eos_token_id"] if config["pad_token_id"] is None else config["pad_token_id"]
    ids = {"bos_token_id": config["bos_token_id"], "eos_token_id": config["eos_token_id"]}
    ids["pad_token_id"] = pad[0] if isinstance(pad, list) else pad
    _write_json(folder / "config.json", config)
    _write_json(folder / "generation_config.json", {**base, **ids, "do_sample": False})


def _publish(temporary: Path, folder: Path, shards: Sequence[ShardFile]) -> None:
    """Write the index, bring all to disk, and give the folder its name."""
    refuse_unseen({shard.path: shard.num_bytes for shard in shards})
    if len(shards) > 1:
        total = sum(math.prod(shape) for shard in shards for shape in shard.shapes.values())
        places = {name: shard.path.name for shard in shards for name in shard.shapes}
        size = sum(shard.num_tensor_bytes for shard in shards)
        index = {
            "metadata": {"total_parameters": total, "total_size": size},
            "weight_map": dict(sorted(places.items())),
        }
        _write_json(temporary / "model.safetensors.index.json", index)
    for path in temporary.iterdir():
        sync_folder(path)
    sync_folder(temporary)
    old = folder.with_name(f".{folder.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        folder.rename(old)
    temporary.rename(folder)
    sync_folder(folder.parent)
    shutil.rmtree(old, ignore_errors=True)


def _writing(folder: Path, work: Callable[[], None]) -> Callable[[], None]:
    """`work`, whose OSError becomes a TrainingError."""

    def told() -> None:
        try:
            work()
        except OSError as error:
            raise unwritten("model", error, folder) from error

    return told


def _with(ids: Any, one: int) -> Any:
    """The end-of-sequence ids of the base where `one` is among them, else `one`."""
    return ids if isinstance(ids, list) and one in ids else one


def _write_json(path: Path, value: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")

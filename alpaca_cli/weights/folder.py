"""The tensors of a model folder in Hugging Face layout, all of them, whichever files they lie in."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

from alpaca_cli.data.files import nearest_name, reason
from alpaca_cli.errors import DataError, UsageError
from alpaca_cli.weights.jsonobject import LONGEST, read_object, shown
from alpaca_cli.weights.pickled import read_pickled
from alpaca_cli.weights.rawfile import DOWNLOAD, RawFile
from alpaca_cli.weights.safetensors import read_header
from alpaca_cli.weights.tensor import Tensor

Kind = Literal["safetensors", "bin"]
SINGLE: Mapping[Kind, str] = {"safetensors": "model.safetensors", "bin": "pytorch_model.bin"}
"""The file of a model that is not sharded; the shards' index is named after it.  The first that is there counts."""
ROTARY = re.compile(r"(rotary_emb\.inv_freq|\.attn\.bias|\.attention\.bias|\.masked_bias)$")
"""Names of buffers that old versions of transformers saved with the parameters, and newer ones compute."""

_SHARD = re.compile(r"[\w.+-]{1,255}", re.ASCII)  # the name of a file beside its index
_HUB = re.compile(r"[\w.-]+/[\w.-]+", re.ASCII)  # the name of a model on a hub


@dataclass(frozen=True)
class WeightFolder:
    """What the weights in a folder are; none is in memory."""

    path: Path
    files: tuple[Path, ...]
    tensors: Mapping[str, Tensor]
    """In the order of the files, then of their places."""
    kind: Kind
    shared: Mapping[str, str]
    """Of tensors that are the same bytes on disk, all but the first: name to the name of the first."""

    @property
    def num_bytes(self) -> int:
        """Of its files."""
        return sum(file.stat().st_size for file in self.files)

    @cached_property
    def prefixes(self) -> tuple[str, ...]:
        """What stands before the first dot in the names of its tensors, each once."""
        return tuple(sorted({name.partition(".")[0] for name in self.tensors}))


def read_folder(path: Path, what: str = "model") -> WeightFolder:
    """The weights in a folder, safetensors before .bin, one file before shards; `what` it is: base, tuned, ...

    Raises UsageError if there are none, not all that the index names, or some that lie elsewhere; DataError if a file
    is malformed.
    """
    kind, files, expected = list_files(path, what)
    tensors: dict[str, Tensor] = {}
    shared: dict[str, str] = {}
    first_at: dict[tuple[object, ...], str] = {}
    for file in files:
        found = read_header(file).tensors if kind == "safetensors" else read_pickled(file)
        for tensor in sorted(found, key=lambda tensor: tensor.offset):
            if tensor.name in tensors:
                message = f"tensor {shown(tensor.name)} is in {tensors[tensor.name].path.name} too"
                raise DataError(message, where=str(file), hint=DOWNLOAD)
            tensors[tensor.name] = tensor
            place = (file, tensor.offset, tensor.dtype, tensor.shape, tensor.steps)
            if tensor.num_bytes and first_at.setdefault(place, tensor.name) != tensor.name:
                shared[tensor.name] = first_at[place]
    _refuse_others(expected, tensors, path)
    return WeightFolder(path, files, tensors, kind, shared)


def list_files(path: Path, what: str = "model") -> tuple[Kind, tuple[Path, ...], Mapping[str, str]]:
    """Which files in a folder hold its weights, and the file that the index says each tensor is in (without index: {}).

    Raises as `read_folder`, but looks into no weights.
    """
    try:
        return _list_files(path, what)
    except OSError as error:
        raise UsageError(f"cannot read the folder of the {what}: {reason(error)}", where=str(path)) from error


def _list_files(path: Path, what: str) -> tuple[Kind, tuple[Path, ...], Mapping[str, str]]:
    if not path.is_dir():
        found = "found a file" if path.exists() else "no such folder"
        name = str(path)
        is_hub = _HUB.fullmatch(name) and not path.parent.exists()
        hint = f"download it first: hf download {name} --local-dir DIR" if is_hub else nearest_name(path)
        if path.exists():
            hint = f"name the folder that it is in: {path.parent}"
        raise UsageError(f"expected the folder of the {what}, {found}", where=name, hint=hint)
    for kind, name in SINGLE.items():
        file, index = path / name, path / f"{name}.index.json"
        if file.exists() or file.is_symlink():
            refuse_leading_out(file, what)
            return kind, (file,), {}
        if index.exists() or index.is_symlink():
            weight_map = read_index(index, what)
            files = tuple(path / each for each in sorted(set(weight_map.values())))
            _refuse_missing(path, files)
            for file in files:
                refuse_leading_out(file, what)
            return kind, files, weight_map
    raise UsageError(f"no weights in the folder of the {what}", where=str(path), hint=_no_weights(path))


def _no_weights(path: Path) -> str:
    """What to do about a folder without weights, by what it has instead."""
    if (path / "adapter_config.json").exists():
        return "this is a LoRA adapter: merge it into its base model first"
    if next(path.glob("consolidated.*.pth"), None):
        return "these are weights in the form of their makers: convert them to Hugging Face layout first"
    if next(path.glob("*.gguf"), None):
        return "these are weights in llama.cpp's form: get the same model in Hugging Face layout"
    if next((each for name in SINGLE.values() for each in path.glob(name.replace(".", "-*."))), None):
        return "the index of its shards is missing: download it beside them"
    return "name a folder with model.safetensors or its shards; config.json alone is not enough"


def read_index(index: Path, what: str, folder: Path | None = None) -> dict[str, str]:
    """The name of each tensor's shard, which lies beside the index; that must lie in `folder` (None: the one it is in).

    Raises UsageError, DataError.
    """
    refuse_leading_out(index, what, folder)
    with RawFile(index, what="index") as file:
        text = file.read(0, min(file.size, LONGEST + 1))
    weight_map = read_object(text, index, "index of a model's shards").get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise DataError("expected the index of a model's shards", where=str(index), hint=DOWNLOAD)
    suffix = Path(index.name.removesuffix(".index.json")).suffix
    for name in weight_map.values():
        if not isinstance(name, str) or not _SHARD.fullmatch(name) or Path(name).suffix != suffix:
            message = f"expected the names of shards beside it, found {shown(name)}"
            raise DataError(message, where=str(index), hint=DOWNLOAD)
    return weight_map


def _refuse_missing(folder: Path, files: tuple[Path, ...]) -> None:
    missing = [file.name for file in files if not file.exists()]
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        message = f"{len(missing)} of {len(files)} shards are missing: {missing[0]}{more}"
        raise UsageError(message, where=str(folder), hint="download them beside the index")


def refuse_leading_out(file: Path, what: str, folder: Path | None = None) -> None:
    """Raises UsageError if a file is a link that leads out of `folder` (None: the one it is in).

    Links into the cache which the folder is part of are what Hugging Face's downloads consist of: those in
    MODEL/snapshots/VERSION lead to MODEL/blobs/DIGEST.
    """
    try:
        root, target = (folder or file.parent).resolve(strict=True), file.resolve(strict=True)
    except (OSError, RuntimeError) as error:  # a circle of links is RuntimeError before Python 3.13
        fault = reason(error) if isinstance(error, OSError) else "a circle of links"
        raise UsageError(f"cannot read this file of the {what}: {fault}", where=str(file)) from None
    cache = root.parent.parent / "blobs" if root.parent.name == "snapshots" else root
    if root not in target.parents and target.parent != cache:
        message = f"a link that leads out of the folder of the {what}, to {target}"
        raise UsageError(message, where=str(file), hint="put the file itself there, or name the folder it is in")


def _refuse_others(expected: Mapping[str, str], tensors: Mapping[str, Tensor], path: Path) -> None:
    """Raises DataError if the shards are not those that their index describes; what it leaves out is no fault."""
    wrong = [name for name, file in expected.items() if name not in tensors or tensors[name].path.name != file]
    if wrong:
        name = wrong[0]
        found = f"it is in {tensors[name].path.name}" if name in tensors else "it is in none"
        message = f"{len(wrong)} of {len(expected)} tensors are not where the index says: {shown(name)} should be in"
        hint = "the shards are of another model than the index, or were renamed: download the folder again"
        raise DataError(f"{message} {expected[name]}, {found}", where=str(path), hint=hint)

"""What a diff says of itself, layer by layer: from its manifest, or the headers of its files; no weight is read."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from math import prod
from pathlib import Path
from typing import Literal

from alpaca_cli.diff.kind import Kind, find_kind
from alpaca_cli.diff.manifest import MANIFEST, Manifest, Stored, TunedTensor
from alpaca_cli.diff.otherfiles import find_others
from alpaca_cli.diff.pairs import is_embedding, is_head
from alpaca_cli.diff.readmanifest import read_manifest
from alpaca_cli.errors import IntegrityError
from alpaca_cli.weights.folder import ROTARY, WeightFolder, read_folder
from alpaca_cli.weights.rawfile import DOWNLOAD
from alpaca_cli.weights.tensor import ITEM_BYTES

Method = Literal["same", "changed", "whole", "repeat", "unknown"]
"""How a tensor is told: as that of the base, by its differences, as it is, as an earlier one; of a diff without a
manifest nobody knows."""

_LAYER = re.compile(r"^((?:[^.]+\.)*?)(\d+)\.(.+)$")
_ATTENTION_THEN_MLP = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


@dataclass(frozen=True)
class Piece:
    """One tensor of the tuned model."""

    name: str
    method: Method
    num_values: int
    num_changed: int | None
    """Values whose bits are not those of the base; None: not known."""
    tuned_bytes: int | None
    """None: not known."""
    diff_bytes: int


@dataclass(frozen=True)
class Group:
    """Some tensors together: a layer, all matrices of a kind, everything."""

    name: str
    num_values: int
    num_changed: int | None
    """As of a piece."""
    tuned_bytes: int | None
    """As of a piece."""
    diff_bytes: int

    @property
    def changed_share(self) -> float | None:
        """Of its values, 0 to 1; None: not known, or there are none."""
        return None if self.num_changed is None or not self.num_values else self.num_changed / self.num_values

    @property
    def size_share(self) -> float | None:
        """Bytes of diff for a byte of the tuned model; None: not known, or that has none."""
        return self.diff_bytes / self.tuned_bytes if self.tuned_bytes else None

    @property
    def bits(self) -> float | None:
        """Of diff, for a value of the tuned model; None: it has none."""
        return 8 * self.diff_bytes / self.num_values if self.num_values else None


@dataclass(frozen=True)
class Place:
    """Where a tensor is in a model."""

    stack: str
    """What holds the layer it is in: model.layers; empty: it is in none."""
    layer: int
    kind: str
    """The name that the like of it has in every layer (q_proj, input_layernorm); in no layer its own (lm_head)."""


@dataclass(frozen=True)
class Summary:
    """What is known of a diff."""

    path: Path
    kind: Kind
    made_by: str | None
    """None: there is no manifest; then nothing is known of base and tuned model either."""
    digest: str | None
    base_name: str | None
    base_bytes: int | None
    """Of its weights."""
    tuned_name: str | None
    num_files: int
    """Of the diff's own weights."""
    other_files: tuple[str, ...]
    new_rows: Mapping[str, tuple[int, int]]
    """Tensors whose rows are not as many as in the base: rows there, rows here."""
    pieces: tuple[Piece, ...]
    total: Group
    layers: tuple[Group, ...]
    """In the order in which a model works."""
    before: tuple[Group, ...]
    """Of what is in no layer, its input."""
    after: tuple[Group, ...]
    """Of what is in no layer, all but its input."""
    kinds: tuple[Group, ...]
    """Of the matrices in the layers."""
    cells: Mapping[tuple[str, str], Group]
    """The matrices of a kind in a layer, by the names of both."""

    @property
    def parts(self) -> tuple[Group, ...]:
        """All of the model, from its input to its output."""
        return self.before + self.layers + self.after

    def num_told(self, method: Method) -> int:
        """Tensors that are told so."""
        return sum(piece.method == method for piece in self.pieces)


def read_summary(path: Path) -> Summary:
    """The summary of the diff in `path`.  Raises UsageError, DataError or IntegrityError if it is none, or damaged."""
    kind = find_kind(path)
    weights = None if kind == "exact" else read_folder(path, "diff")
    if weights is None or (path / MANIFEST).exists():
        manifest, digest = read_manifest(path)
        return summary_of(path, manifest, digest, weights)
    tensors = [each for each in weights.tensors.values() if not ROTARY.search(each.name)]
    return _summary(
        path, kind, [Piece(each.name, "unknown", each.num_values, None, None, each.num_bytes) for each in tensors],
        made_by=None, digest=None, base_name=None, base_bytes=None, tuned_name=None,
        num_files=len(weights.files), other_files=tuple(find_others(weights)[0]), new_rows={},
    )  # fmt: skip


def summary_of(path: Path, manifest: Manifest, digest: str, weights: WeightFolder | None) -> Summary:
    """The summary of the diff in `path`, of which `weights` are the tensors if it is an additive one.

    Raises IntegrityError if a tensor of the manifest is not among them.
    """
    return _summary(
        path, manifest.kind, list(_pieces(manifest, weights)),
        made_by=manifest.made_by, digest=digest,
        base_name=manifest.base.name, base_bytes=manifest.base.num_bytes, tuned_name=manifest.tuned.name,
        num_files=len(manifest.shards) if weights is None else len(weights.files),
        other_files=tuple(file.name for file in manifest.files),
        new_rows=dict(_new_rows(manifest)),
    )  # fmt: skip


def place_of(name: str) -> Place:
    """Where the tensor of that name is.

    >>> place_of("model.layers.7.self_attn.q_proj.weight")
    Place(stack='model.layers', layer=7, kind='q_proj')
    >>> place_of("model.norm.weight")
    Place(stack='', layer=0, kind='norm')
    """
    name = re.sub(r"\.(weight|bias)$", "", name)
    found = _LAYER.match(name)
    if found is None:
        return Place("", 0, name.removeprefix("model."))
    return Place(found[1].rstrip("."), int(found[2]), found[3].rpartition(".")[2])


def folded(layers: Sequence[Group], most: int) -> list[Group]:
    """The layers, neighbours of one stack together so that of one stack at most `most` groups are left."""
    result = []
    for _, stack in groupby(layers, key=lambda layer: layer.name.rpartition(" ")[0]):
        run = list(stack)
        step = -(-len(run) // most)
        for some in (run[at : at + step] for at in range(0, len(run), step)):
            last = some[-1].name.rpartition(" ")[2]
            result.append(_together(f"{some[0].name}-{last}" if len(some) > 1 else some[0].name, some))
    return result


def _pieces(manifest: Manifest, weights: WeightFolder | None) -> Iterator[Piece]:
    seen: set[Stored] = set()
    for tensor in manifest.tensors:
        if tensor.diff is not None:
            size = 0 if tensor.diff in seen else tensor.diff.num_bytes
            method = "repeat" if tensor.diff in seen and tensor.diff.num_bytes else _method(tensor)
            seen.add(tensor.diff)
        else:
            here = None if weights is None else weights.tensors.get(tensor.name)
            if here is None:
                where, message = str(weights and weights.path), f"the diff lacks {tensor.name}"
                raise IntegrityError(message, where=where, hint=DOWNLOAD)
            size, method = here.num_bytes, _method(tensor)
        count = prod(tensor.shape)
        yield Piece(tensor.name, method, count, tensor.num_changed, count * ITEM_BYTES[tensor.dtype], size)


def _method(tensor: TunedTensor) -> Method:
    if tensor.base is None:
        return "whole"
    return "changed" if tensor.num_changed else "same"


def _new_rows(manifest: Manifest) -> Iterator[tuple[str, tuple[int, int]]]:
    for tensor in manifest.tensors:
        if tensor.base is not None and tensor.shape and tensor.base.shape[0] != tensor.shape[0]:
            yield tensor.name, (tensor.base.shape[0], tensor.shape[0])


def _summary(
    path: Path,
    kind: Kind,
    pieces: Sequence[Piece],
    *,
    made_by: str | None,
    digest: str | None,
    base_name: str | None,
    base_bytes: int | None,
    tuned_name: str | None,
    num_files: int,
    other_files: tuple[str, ...],
    new_rows: Mapping[str, tuple[int, int]],
) -> Summary:
    places = [place_of(piece.name) for piece in pieces]
    stacks = {place.stack for place in places if place.stack}
    layers: dict[tuple[str, int], list[Piece]] = {}
    kinds: dict[str, list[Piece]] = {}
    cells: dict[tuple[str, str], list[Piece]] = {}
    outside: dict[str, list[Piece]] = {}
    for piece, place in zip(pieces, places, strict=True):
        if place.stack:
            layers.setdefault((place.stack, place.layer), []).append(piece)
            kinds.setdefault(place.kind, []).append(piece)
            cells.setdefault((_layer_name((place.stack, place.layer), stacks), place.kind), []).append(piece)
        else:
            outside.setdefault(place.kind, []).append(piece)
    inputs = {name for name in outside if is_embedding(f"{name}.weight") and not is_head(f"{name}.weight")}
    rest = sorted(outside.keys() - inputs, key=lambda name: (is_head(f"{name}.weight"), name))
    return Summary(
        path=path, kind=kind, made_by=made_by, digest=digest, base_name=base_name, base_bytes=base_bytes,
        tuned_name=tuned_name, num_files=num_files, other_files=other_files, new_rows=new_rows, pieces=tuple(pieces),
        total=_together("all", pieces),
        layers=tuple(_together(_layer_name(place, stacks), some) for place, some in sorted(layers.items())),
        before=tuple(_together(name, outside[name]) for name in sorted(inputs)),
        after=tuple(_together(name, outside[name]) for name in rest),
        kinds=tuple(_together(name, kinds[name]) for name in sorted(kinds, key=_in_order)),
        cells={names: _together(names[1], some) for names, some in cells.items()},
    )  # fmt: skip


def _layer_name(layer: tuple[str, int], stacks: set[str]) -> str:
    """Told by its number alone where there is one stack of layers."""
    return f"{'layer' if len(stacks) == 1 else layer[0]} {layer[1]}"


def _in_order(kind: str) -> tuple[int, str]:
    known = _ATTENTION_THEN_MLP
    return (known.index(kind) if kind in known else len(known), kind)


def _together(name: str, some: Sequence[Piece | Group]) -> Group:
    changed, sizes = [each.num_changed for each in some], [each.tuned_bytes for each in some]
    return Group(
        name,
        sum(each.num_values for each in some),
        None if None in changed else sum(each or 0 for each in changed),
        None if None in sizes else sum(each or 0 for each in sizes),
        sum(each.diff_bytes for each in some),
    )

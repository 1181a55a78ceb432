"""`diff make`, the exact kind: what turns the base into the tuned model, bit for bit, in a folder of its own."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from alpaca_cli import __version__
from alpaca_cli.data.files import sha256
from alpaca_cli.diff.card import exact_card
from alpaca_cli.diff.coder.blocks import MAX_VALUES, blocks
from alpaca_cli.diff.coder.codec import Codec
from alpaca_cli.diff.crew import Progress, each_of, num_workers
from alpaca_cli.diff.folders import model_name, new_folder, refuse_entangled, refuse_full
from alpaca_cli.diff.inorder import InOrder
from alpaca_cli.diff.manifest import (
    LONGEST_NAME,
    MANIFEST,
    MODEL_FILES,
    MOST_TENSORS,
    BaseTensor,
    Manifest,
    Model,
    OtherFile,
    Shard,
    Stored,
    TunedTensor,
    WeightFile,
    digest_of,
    written,
)
from alpaca_cli.diff.otherfiles import INDEX, copy_others, find_others
from alpaca_cli.diff.pairs import Pair, is_embedding, pairs
from alpaca_cli.diff.readmanifest import read_manifest
from alpaca_cli.diff.shardfile import LENGTH_BYTES, shard_head, shard_name
from alpaca_cli.diff.tensorstream import TensorStream, is_same
from alpaca_cli.errors import UsageError
from alpaca_cli.weights.folder import SINGLE, WeightFolder, read_folder
from alpaca_cli.weights.safetensors import header_text, parse_header, read_header
from alpaca_cli.weights.tensor import Tensor

MOST_WHOLE = 0.1
"""Share of the tuned bytes that may be stored whole unasked: more is a base of another family, or renamed tensors."""
LARGE_16, LARGE_32 = 0.55, 0.9
"""Shares of the tuned bytes that a fine-tuning's diff hardly reaches: in types of 16 bits, and of more."""
LEAST_TOLD = 1 << 20  # bytes of a model: in smaller ones what surrounds the numbers counts too
MOST_HELD = 1 << 27
"""Bytes of finished pieces that wait for their turn to be written."""


@dataclass(frozen=True)
class Made:
    """A diff that was made."""

    path: Path
    manifest: Manifest
    digest: str
    num_bytes: int
    """Of its shards."""
    left_out: list[str]
    """What else the tuned model's folder holds, and is not part of the model."""


def make_exact(
    base: Path,
    tuned: Path,
    out: Path,
    *,
    workers: int | None = None,
    allow_whole: bool = False,
    on_progress: Callable[[str, int, int], None] = lambda *_: None,
    on_note: Callable[[str], None] = lambda _: None,
) -> Made:
    """Write the diff from `base` to `tuned` (model folders in Hugging Face layout) to the new folder `out`.

    The same models give the same bytes, however many workers.  Memory: some 20 MB a worker.
    Raises UsageError or DataError if a folder is not what it should be, or, without `allow_whole`, if more than a tenth
    of the tuned model has no counterpart in the base and would be published as it is.
    """
    refuse_entangled({"base": base, "tuned model": tuned, "output": out})
    refuse_full(out)
    base_weights, tuned_weights = read_folder(base, "base"), read_folder(tuned, "tuned model")
    paired = pairs(tuned_weights, base_weights)
    refuse_unwritable([pair.tuned for pair in paired], [pair.base for pair in paired if pair.base is not None])
    if not allow_whole:
        _refuse_whole(paired, base_weights, tuned)
    kept, left_out = find_others(tuned_weights)
    if left_out:
        on_note(f"not part of the model, left out: {', '.join(left_out[:8])}{', ...' if len(left_out) > 8 else ''}")
    weights = _weight_files(tuned_weights)
    with new_folder(out, "making", is_resumed=False) as folder:
        (folder / MODEL_FILES).mkdir()
        files = copy_others(tuned, kept, folder / MODEL_FILES, "tuned model")
        files += _write_index(tuned_weights, weights, folder / MODEL_FILES)
        with _Shards(folder, len(weights)) as shards:
            progress = Progress("diff", sum(pair.tuned.num_bytes for pair in paired), on_progress)
            tensors = _encoded(paired, tuned_weights, shards, progress, num_workers(workers))
            found = shards.finish()
        manifest = Manifest(
            format="alpaca-diff", version=1, kind="exact", made_by=f"alpaca {__version__}",
            base=_model(base_weights), tuned=_model(tuned_weights), weights=tuple(weights), files=tuple(files),
            shards=found, tensors=tensors,
        )  # fmt: skip
        _tell_unlikely(manifest, base, on_note)
        raw = written(manifest)
        (folder / MANIFEST).write_bytes(raw)
        read_manifest(folder)  # nothing is published that would be refused
        (folder / "README.md").write_text(exact_card(manifest, digest_of(raw)), encoding="utf-8")
    return Made(out, manifest, digest_of(raw), sum(shard.num_bytes for shard in found), left_out)


def _tell_unlikely(manifest: Manifest, base: Path, on_note: Callable[[str], None]) -> None:
    """A note on what a user may not have meant."""
    if not any(file.name == "config.json" for file in manifest.files):
        on_note("the tuned model has no config.json: what is recovered will have none, and is opened by no library")
    total = manifest.tuned.num_bytes
    if all(tensor.base is not None and not tensor.num_changed for tensor in manifest.tensors):
        on_note(f"nothing differs: the weights are those of {base}, bit for bit")
    share = sum(shard.num_bytes for shard in manifest.shards) / max(1, total)
    most = LARGE_16 if total < 3 * manifest.tuned.num_values else LARGE_32
    if total > LEAST_TOLD and share > most:
        like = "as between models that have little to do with each other"
        on_note(f"the diff is {share:.0%} of the model, {like}: is {base} what it was tuned from?")


class _Shards:
    """The diff's own files, one for each file of the tuned weights, written in order."""

    def __init__(self, folder: Path, number: int) -> None:
        self._folder, self._number = folder, number
        self._stream: BinaryIO | None = None
        self._sizes: list[int] = []
        self.offsets: dict[int, tuple[int, int]] = {}
        """For each number of `write` its shard and where in that it begins."""

    def write(self, shard: int, number: int, piece: bytes) -> None:
        """Append to a shard, which is not before the last one."""
        while len(self._sizes) <= shard:
            self._open()
        assert self._stream is not None
        self.offsets.setdefault(number, (shard, self._sizes[-1]))
        self._stream.write(piece)
        self._sizes[-1] += len(piece)

    def finish(self) -> tuple[Shard, ...]:
        """The shards, all of them there."""
        while len(self._sizes) < self._number:
            self._open()
        names = [shard_name(i, self._number) for i in range(self._number)]
        return tuple(Shard(name=name, num_bytes=size) for name, size in zip(names, self._sizes, strict=True))

    def _open(self) -> None:
        self.__exit__()
        head = shard_head(len(self._sizes), self._number)
        self._stream = (self._folder / shard_name(len(self._sizes), self._number)).open("wb")
        self._stream.write(head)
        self._sizes.append(len(head))

    def __enter__(self) -> _Shards:
        return self

    def __exit__(self, *_: object) -> None:
        if self._stream is not None:
            self._stream.close()
            self._stream = None


def _encoded(
    paired: Sequence[Pair], tuned: WeightFolder, shards: _Shards, progress: Progress, workers: int
) -> tuple[TunedTensor, ...]:
    shard_of = {path: number for number, path in enumerate(tuned.files)}
    twins = _twins(paired, tuned)
    order = InOrder(lambda n, piece: shards.write(shard_of[paired[n].tuned.path], n, piece), MOST_HELD)

    def encode(number: int) -> TunedTensor | None:
        pair, coded = paired[number], None
        if pair.tuned.name in twins:
            progress.add(pair.tuned.num_bytes)
        else:
            coded = _encode(pair, lambda piece: order.put(number, piece), progress)
        order.done(number)
        return coded

    def stop() -> None:
        progress.stop()
        order.stop()

    tensors: dict[str, TunedTensor] = {}
    with closing(each_of(range(len(paired)), encode, workers, stop)) as each_coded:
        for number, coded in enumerate(each_coded):
            tensor = paired[number].tuned
            if coded is None:
                tensors[tensor.name] = tensors[twins[tensor.name]].model_copy(update={"name": tensor.name})
                continue
            assert coded.diff is not None
            shard, offset = shards.offsets.get(number, (shard_of[tensor.path], 0))
            stored = coded.diff.model_copy(update={"shard": shard, "offset": offset})
            tensors[tensor.name] = coded.model_copy(update={"diff": stored})
    return tuple(tensors.values())


def _encode(pair: Pair, put: Callable[[bytes], None], progress: Progress) -> TunedTensor:
    """Code a tensor, block by block; where its diff lies is filled in later."""
    tensor, base = pair.tuned, pair.base
    codec = Codec(tensor.dtype, min(tensor.num_values, MAX_VALUES))
    digest, num_bytes, num_changed, told_from = hashlib.sha256(), 0, 0, None
    with TensorStream(tensor) as tuned_stream, ExitStack() as stack:
        base_stream = None if base is None else stack.enter_context(TensorStream(base))
        for block in blocks(tensor.shape, None if base is None else base.shape):
            values = tuned_stream.read(block.num_values, tensor.dtype)
            base_values = base_stream.read(block.num_values, tensor.dtype) if base_stream and block.has_base else None
            coded, changed = codec.encode(values, base_values, block)
            piece = b"".join([sum(map(len, coded)).to_bytes(LENGTH_BYTES, "little"), *coded])
            digest.update(piece)
            num_bytes, num_changed = num_bytes + len(piece), num_changed + changed
            put(piece)
            progress.add(values.nbytes)
        if base is not None and base_stream is not None:
            told_from = BaseTensor(name=base.name, dtype=base.dtype, shape=base.shape, sha256=base_stream.finish())
        return TunedTensor(
            name=tensor.name, dtype=tensor.dtype, shape=tensor.shape, sha256=tuned_stream.finish(), base=told_from,
            diff=Stored(shard=0, offset=0, num_bytes=num_bytes, sha256=digest.hexdigest()), num_changed=num_changed,
        )  # fmt: skip


def _twins(paired: Sequence[Pair], tuned: WeightFolder) -> dict[str, str]:
    """Tensors that are bit for bit an earlier one of the same model, as tied embeddings that were both written."""
    twins = dict(tuned.shared)
    embeddings = [pair.tuned for pair in paired if is_embedding(pair.tuned.name) and pair.tuned.name not in twins]
    for i, one in enumerate(embeddings):
        for other in embeddings[i + 1 :]:
            is_like = (one.dtype, one.shape) == (other.dtype, other.shape)
            if is_like and other.name not in twins and is_same(one, other):
                twins[other.name] = one.name
    return twins


def refuse_unwritable(tuned: Sequence[Tensor], base: Sequence[Tensor]) -> None:
    """Raises UsageError about what no manifest has room for."""
    if len(tuned) > MOST_TENSORS:
        message = f"{len(tuned):,} tensors: a diff has room for {MOST_TENSORS:,}"
        raise UsageError(message, where=str(tuned[0].path.parent))
    for tensor in (*tuned, *base):
        if not 0 < len(tensor.name) <= LONGEST_NAME:
            message = f"expected tensors with names of 1 to {LONGEST_NAME:,} characters, found {len(tensor.name):,}"
            raise UsageError(message, where=str(tensor.path))


def _refuse_whole(paired: Sequence[Pair], base: WeightFolder, tuned: Path) -> None:
    whole = [pair.tuned for pair in paired if pair.base is None]
    num_bytes, total = sum(each.num_bytes for each in whole), sum(pair.tuned.num_bytes for pair in paired)
    if num_bytes <= MOST_WHOLE * total:
        return
    more = f" and {len(whole) - 1} more" if len(whole) > 1 else ""
    message = (
        f"{len(whole)} of {len(paired)} tensors, {num_bytes / total:.0%} of the model, have no counterpart in the base"
        f" ({base.path}), and would be published as they are: {whole[0].name}{more}"
    )
    hint = "is this the base it was tuned from? if its tensors were renamed or resized on purpose: --allow-whole"
    here = base.tensors.get(whole[0].name)
    if here is not None and here.dtype != whole[0].dtype:
        types = f"{here.dtype} in the base, and {whole[0].dtype} in the tuned model"
        hint = f"it is {types}: both have to be of one type, or of F32, BF16 or F16 each"
    raise UsageError(message, where=str(tuned), hint=hint)


def _weight_files(tuned: WeightFolder) -> list[WeightFile]:
    """The files of weights as they will be recovered: safetensors as they are, .bin as safetensors."""
    if tuned.kind == "safetensors":
        return [WeightFile(name=path.name, header=read_header(path).text.decode("utf-8")) for path in tuned.files]
    files = []
    for number, path in enumerate(tuned.files):
        tensors = [each for each in tuned.tensors.values() if each.path == path]
        text = header_text([(each.name, each.dtype, each.shape) for each in tensors])
        parse_header(text, path)  # of .bin the names may be such as no safetensors file can have
        count = len(tuned.files)
        name = SINGLE["safetensors"] if count == 1 else f"model-{number + 1:05}-of-{count:05}.safetensors"
        files.append(WeightFile(name=name, header=text.decode("utf-8")))
    return files


def _write_index(tuned: WeightFolder, files: Sequence[WeightFile], folder: Path) -> list[OtherFile]:
    """The index of the recovered files, unless there is but one of the name for that: the tuned model's own, or one of
    its like.
    """
    if [file.name for file in files] == [SINGLE["safetensors"]]:
        return []
    if tuned.kind == "safetensors":
        return copy_others(tuned.path, [INDEX], folder, "tuned model")
    names = {path: file.name for path, file in zip(tuned.files, files, strict=True)}
    size = sum(each.num_bytes for each in tuned.tensors.values())
    places = {each.name: names[each.path] for each in tuned.tensors.values()}
    text = json.dumps({"metadata": {"total_size": size}, "weight_map": dict(sorted(places.items()))}, indent=2) + "\n"
    (folder / INDEX).write_text(text, encoding="utf-8")
    return [OtherFile(name=INDEX, num_bytes=len(text.encode()), sha256=sha256(text.encode()))]


def _model(weights: WeightFolder) -> Model:
    tensors = weights.tensors.values()
    return Model(
        name=model_name(weights.path),
        num_bytes=sum(each.num_bytes for each in tensors),
        num_values=sum(each.num_values for each in tensors),
    )

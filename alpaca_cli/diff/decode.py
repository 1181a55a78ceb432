"""A tensor from its base and its diff, block by block, all three proved by their SHA-256.

If the result is right, so is every value of the base that it was computed from: with the same diff, another base gives
another result.  The base is therefore hashed only where some of its values count for nothing (rows that the tuned model
lacks, blocks that are stored whole, bits that are rounded away), or where the result is wrong, to know why.

So are vectors: one that was one number and became another comes also from a base that is the other already, since a
value's exponent says how its difference is read, and where all are one symbol, none takes a bit.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import ExitStack
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from alpaca_cli.diff.coder.blocks import MAX_VALUES, blocks
from alpaca_cli.diff.coder.codec import Codec, Malformed
from alpaca_cli.diff.manifest import Manifest, TunedTensor
from alpaca_cli.diff.shardfile import BlockReader
from alpaca_cli.diff.tensorstream import TensorStream, digest_of
from alpaca_cli.errors import IntegrityError
from alpaca_cli.weights.rawfile import DOWNLOAD
from alpaca_cli.weights.tensor import ITEM_BYTES, Tensor


class BaseDiffers(Exception):
    """The base has other bytes in a tensor than the diff was made from."""


def decode(
    manifest: Manifest, tensor: TunedTensor, base: Tensor | None, diff: Path, put: Callable[[int, NDArray[Any]], None]
) -> None:
    """Give `put` the values of a tensor (as unsigned numbers), each block with the byte at which it begins.

    Returns once base, diff and result are proved; what was put before must not be used if it raises.
    Raises BaseDiffers, or IntegrityError if the diff is damaged.
    """
    assert tensor.diff is not None
    path = diff / manifest.shards[tensor.diff.shard].name
    largest = min(prod(tensor.shape), MAX_VALUES)
    codec = Codec(tensor.dtype, largest)
    values = np.empty(largest, codec.patterns)
    digest, is_sound = hashlib.sha256(), True
    with BlockReader(path, tensor.diff) as reader, ExitStack() as stack:
        is_proof = base is not None and base.dtype == tensor.dtype and base.num_values <= prod(tensor.shape)
        is_proof &= len(tensor.shape) > 1
        stream = None if base is None else stack.enter_context(TensorStream(base, is_hashed=not is_proof))
        is_all_used = True
        for block in blocks(tensor.shape, None if base is None else base.shape):
            base_values = stream.read(block.num_values, tensor.dtype) if stream and block.has_base else None
            part = values[: block.num_values]
            try:
                is_all_used &= codec.decode(reader.read(codec.bound(block)), base_values, block, part)
            except Malformed:
                is_sound = False
                break
            digest.update(part.data)
            put(block.start * ITEM_BYTES[tensor.dtype], part)
        is_sound &= reader.is_at_end
        if reader.finish() != tensor.diff.sha256:
            message = f"the diff of {tensor.name} is not as it was made"
            raise IntegrityError(message, where=str(path), hint=DOWNLOAD)
        is_right = is_sound and digest.hexdigest() == tensor.sha256
        if base is not None and stream is not None and tensor.base is not None:
            if not is_proof:
                found = stream.finish()
            elif is_right and is_all_used:
                found = tensor.base.sha256
            else:
                found = digest_of(base)
            if found != tensor.base.sha256:
                raise BaseDiffers
        if not is_right:
            message = f"{tensor.name} comes out otherwise than the manifest says, of a base and a diff that are right"
            raise IntegrityError(message, where=str(path), hint="ask whoever made the diff to make it again")

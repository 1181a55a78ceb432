"""One outcome for all processes of a run: what fails in one fails in all, with the same words."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch.distributed as dist

from alpaca_cli.errors import AlpacaError, TrainingError

T = TypeVar("T")


def agree(work: Callable[[], T], group: dist.ProcessGroup) -> T:
    """What `work`, which every process of `group` does by itself, gives here.  Collective.

    Raises in every process the error of the first in which it failed; one that is not an AlpacaError is itself where it
    arose, and a TrainingError that tells of it elsewhere.
    """
    result, mine = None, None
    try:
        result = work()
    except Exception as error:  # told to the others first: they would wait for this process
        mine = error
    told = mine if mine is None or isinstance(mine, AlpacaError) else f"{type(mine).__name__}: {mine}"
    all_told: list[AlpacaError | str | None] = [None] * dist.get_world_size(group)
    dist.all_gather_object(all_told, told, group=group)
    for rank, one in enumerate(all_told):
        if isinstance(one, AlpacaError):
            raise one
        if one is not None:
            raise mine if mine is not None else TrainingError(f"process {rank} failed: {one}")
    return result  # type: ignore[return-value]

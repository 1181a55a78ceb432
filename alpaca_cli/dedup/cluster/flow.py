"""Dedup on a Ray cluster: the stages of `rounds` as tasks of Ray Data.  The only module that imports ray.

Every step is a task that Ray runs again if a process or a machine dies under it, and that gives the same again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy.typing as npt
import pyarrow as pa
import ray
import ray.data
from ray.data.context import DataContext, ShuffleStrategy
from ray.exceptions import RayError, RayTaskError

from alpaca_cli.dedup.cluster.records import flat
from alpaca_cli.dedup.cluster.rounds import Outcome, Read, Rounds
from alpaca_cli.dedup.cluster.stages import Shared
from alpaca_cli.dedup.rouge import TokenizerName
from alpaca_cli.errors import AlpacaError, UsageError

BLOCK_BYTES = 32 << 20  # of what a stage makes: smaller than Ray's own, so that one large shard keeps many cores busy


class RayFlow:
    """A `rounds.Flow` on the Ray cluster that this process is connected to."""

    def __init__(self) -> None:
        self.cores = max(1, int(ray.cluster_resources().get("CPU", 1)))

    def read(self, shards: Sequence[str], stage: Callable[[int, str], Iterator[pa.Table]]) -> ray.data.Dataset:
        """A task for each shard."""
        items = [{"number": number, "name": name} for number, name in enumerate(shards)]
        named = ray.data.from_items(items, override_num_blocks=len(items))
        return named.map_batches(partial(_read, stage=stage), batch_size=1, batch_format="pyarrow").materialize()

    def map(
        self, data: ray.data.Dataset, columns: Sequence[str], stage: Callable[[pa.Table], pa.Table]
    ) -> ray.data.Dataset:
        """A task for each block."""
        return data.select_columns(list(columns)).map_batches(stage, batch_size=None, batch_format="pyarrow")

    def group(
        self, data: ray.data.Dataset, key: str, count: int, stage: Callable[[pa.Table], pa.Table]
    ) -> ray.data.Dataset:
        """A task for each value of the key."""
        in_order = data.sort(key, boundaries=[value - 0.5 for value in range(1, count)] or None)
        return in_order.map_batches(stage, batch_size=None, batch_format="pyarrow")

    def tables(self, data: ray.data.Dataset, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
        """The blocks, as they get ready."""
        chosen = data if columns is None else data.select_columns(list(columns))
        return iter(chosen.iter_batches(batch_size=None, batch_format="pyarrow"))

    def lend(self, array: npt.NDArray[Any]) -> Shared:
        """Through Ray's object store: a copy for each machine, not for each task."""
        return partial(ray.get, ray.put(array))


def dedup_on_ray(
    shards: Sequence[str],
    read: Read,
    *,
    threshold: float,
    tokenizer: TokenizerName = "rouge",
    against: Sequence[str] = (),
    report: bool = False,
    address: str | None = None,
    on_stage: Callable[[str], None] = lambda _: None,
) -> Outcome:
    """Which rows of `shards` repeat no row kept before them, as the local engine finds; see `rounds`.

    Shards are names that `read` understands on every machine of the cluster.  `address` is what `prepare_ray` says; if
    None, a Ray of this machine's cores is started and ended.  Raises what `read` raises, and UsageError if the cluster
    cannot be reached or gives up.
    """
    with ray_flow(address) as flow:
        try:
            return Rounds(flow, threshold, tokenizer, on_stage=on_stage).run(against, shards, read, report=report)
        except RayTaskError as error:
            cause = error.cause
            if isinstance(cause, AlpacaError):
                raise cause from None
            raise
        except RayError as error:
            raise UsageError(
                f"Ray gave up: {_first_line(error)}",
                hint="nothing was written; see what `ray status` and Ray's logs say, and run the same command again",
            ) from error


@contextmanager
def ray_flow(address: str | None) -> Iterator[RayFlow]:
    """A flow on the cluster at `address`, or on one begun here for as long; see `dedup_on_ray`."""
    with _connected(address), _own_context():
        yield RayFlow()


@contextmanager
def _connected(address: str | None) -> Iterator[None]:
    """A connection to the cluster at `address`, or to one begun here; one that stands already is used and left."""
    if ray.is_initialized():
        yield
        return
    quiet = {"logging_level": logging.ERROR, "log_to_driver": False}
    try:
        if address:
            ray.init(address=address, **quiet)
        else:
            assert ray.util.get_node_ip_address() == "127.0.0.1", "prepare_ray comes before ray is imported"
            ray.init(address="local", include_dashboard=False, **quiet)
    except (ConnectionError, RuntimeError, ValueError, RayError) as error:
        where = f"the Ray cluster at {address}" if address else "Ray on this machine"
        raise UsageError(f"cannot reach {where}: {_first_line(error)}", hint="see what `ray status` says") from error
    try:
        yield
    finally:
        ray.shutdown()


@contextmanager
def _own_context() -> Iterator[None]:
    """How Ray Data is to work here; whatever else uses it in this process finds its own settings again."""
    context, log = DataContext.get_current(), logging.getLogger("ray.data")
    before = context.shuffle_strategy, context.target_max_block_size, context.enable_progress_bars, log.level
    # Made of tasks alone: a lost one is run again, and what it needs.  A hash shuffle's actors take blocks with them.
    context.shuffle_strategy = ShuffleStrategy.SORT_SHUFFLE_PULL_BASED
    context.target_max_block_size, context.enable_progress_bars = BLOCK_BYTES, False
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        context.shuffle_strategy, context.target_max_block_size, context.enable_progress_bars = before[:3]
        log.setLevel(before[3])


def _read(table: pa.Table, *, stage: Callable[[int, str], Iterator[pa.Table]]) -> Iterator[pa.Table]:
    for number, name in zip(flat(table, "number").tolist(), table["name"].to_pylist(), strict=True):
        yield from stage(int(number), name)


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]

"""Where this process stands among all that train: what torchrun, accelerate and Slurm say in the environment."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass
from typing import Literal

from alpaca_cli.errors import UsageError

Starter = Literal["none", "torchrun", "accelerate", "slurm"]

LOOPBACK = "127.0.0.1"
# Steps of Slurm that are no task of `srun` but a shell or a script: 2**32 less 6 (interactive), 5 (batch), 4 (extern).
_FIRST_RESERVED_STEP = 2**32 - 16
_FIRST_PORT, _NUM_PORTS = 12_000, 20_000  # below those that systems lend to outgoing connections


@dataclass(frozen=True)
class Place:
    """One process, or the parent of a node's processes (`is_rank` tells)."""

    starter: Starter = "none"
    """Who started this process as one rank of several; `none`: nobody did, and ranks are still to be spawned."""
    rank: int = 0
    local_rank: int = 0
    """Rank among those of this node: which GPU is its own."""
    world: int = 1
    local_world: int = 1
    node: int = 0
    nodes: int = 1
    host: str = LOOPBACK
    """Where the ranks meet: on node 0."""
    port: int = 0
    """At which port they meet; 0: any that is free."""

    @property
    def is_rank(self) -> bool:
        """Whether this process is itself one of those that train."""
        return self.starter != "none"

    def export(self, environment: MutableMapping[str, str]) -> None:
        """Put into `environment` what torch.distributed reads there."""
        port = self.port or free_port()
        facts = {
            "RANK": self.rank, "LOCAL_RANK": self.local_rank, "WORLD_SIZE": self.world,
            "LOCAL_WORLD_SIZE": self.local_world, "GROUP_RANK": self.node, "MASTER_ADDR": self.host,
            "MASTER_PORT": port,
        }  # fmt: skip
        environment.update({name: str(value) for name, value in facts.items()})


def find_place(environment: Mapping[str, str] = os.environ) -> Place:
    """The place that `environment` tells of.  Raises UsageError if it contradicts itself."""
    if "RANK" in environment and "WORLD_SIZE" in environment:
        return _in_torch(environment)
    if "ACCELERATE_MIXED_PRECISION" in environment and "ACCELERATE_DYNAMO_BACKEND" in environment:
        return Place(starter="accelerate")  # one process, for which accelerate sets no ranks
    if "SLURM_JOB_ID" in environment and _is_task(environment):
        return _in_slurm(environment)
    return Place()


def given_place(nodes: int | None, node_rank: int | None, rdzv: str | None) -> Place | None:
    """The place that the flags --nodes, --node-rank and --rdzv name; None if none is given.

    Raises UsageError if one is missing or impossible.
    """
    if nodes is None and node_rank is None and rdzv is None:
        return None
    if nodes == 1 and not node_rank and rdzv is None:
        return Place()
    for flag, value in (("--nodes", nodes), ("--node-rank", node_rank), ("--rdzv", rdzv)):
        if value is None:
            hint = "several nodes take all three: --nodes N --node-rank K --rdzv HOST:PORT"
            raise UsageError("missing", where=flag, hint=hint)
    assert nodes is not None
    assert node_rank is not None
    assert rdzv is not None
    if not 0 <= node_rank < nodes:
        raise UsageError(f"expected 0 to {nodes - 1}, found {node_rank}", where="--node-rank")
    host, colon, port = rdzv.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not (colon and host and port.isdigit() and 0 < int(port) < 2**16):
        hint = "for example: --rdzv node0:29500, where node0 is the node with --node-rank 0"
        raise UsageError(f"expected HOST:PORT, found {rdzv!r}", where="--rdzv", hint=hint)
    return Place(node=node_rank, nodes=nodes, host=host, port=int(port))


def check_meeting(place: Place, *, where: str = "--rdzv") -> None:
    """Raises UsageError if the ranks cannot meet there: an unknown host, or, on node 0, a port that is taken."""
    if not place.port:
        return
    try:
        socket.getaddrinfo(place.host, place.port, type=socket.SOCK_STREAM)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise UsageError(f"cannot find the host {place.host}: {reason}", where=where) from error
    if place.node == 0 and _is_taken(place.port):
        hint = "name another port, the same on every node"
        raise UsageError(f"port {place.port} is taken by another program", where=where, hint=hint)


def free_port() -> int:
    """A port of loopback that is free now."""
    with socket.socket() as listener:
        listener.bind((LOOPBACK, 0))
        return int(listener.getsockname()[1])


def expand(nodelist: str) -> list[str]:
    """The hosts of a Slurm nodelist.

    >>> expand("login,gpu[01-03,7],rack[1-2]node[5,6]")
    ['login', 'gpu01', 'gpu02', 'gpu03', 'gpu7', 'rack1node5', 'rack1node6', 'rack2node5', 'rack2node6']
    """
    hosts: list[str] = []
    for term in re.findall(r"(?:[^,\[]|\[[^\]]*\])+", nodelist):
        names = [""]
        for text, ranges in re.findall(r"([^\[]+)|\[([^\]]*)\]", term):
            names = [name + end for name in names for end in ([text] if text else _numbers(ranges))]
        hosts += names
    return hosts


def _numbers(ranges: str) -> list[str]:
    """`01-03,7` is 01, 02, 03 and 7."""
    found = []
    for each in ranges.split(","):
        first, dash, last = each.partition("-")
        if dash:
            found += [f"{number:0{len(first)}}" for number in range(int(first), int(last) + 1)]
        else:
            found.append(each)
    return found


def _in_torch(environment: Mapping[str, str]) -> Place:
    rank, world = _number(environment, "RANK"), _number(environment, "WORLD_SIZE")
    local_rank = _number(environment, "LOCAL_RANK", 0)
    local_world = _number(environment, "LOCAL_WORLD_SIZE", world if local_rank == rank else 1)
    if rank >= world or local_rank >= local_world or local_world > world:
        found = f"rank {rank} of {world}, {local_rank} of {local_world} on its node"
        raise UsageError(f"the environment names an impossible place: {found}", where="RANK")
    by_accelerate = any(name.startswith(("ACCELERATE_", "FSDP_")) for name in environment)
    return Place(
        starter="accelerate" if by_accelerate else "torchrun",
        rank=rank,
        local_rank=local_rank,
        world=world,
        local_world=local_world,
        node=_number(environment, "GROUP_RANK", rank // local_world),
        nodes=-(-world // local_world),
        host=environment.get("MASTER_ADDR", LOOPBACK),
        port=_number(environment, "MASTER_PORT", 0),
    )


def _is_task(environment: Mapping[str, str]) -> bool:
    """Whether `srun` started this as a task, and not a shell inside an allocation or a batch script.

    Those have SLURM_PROCID and SLURM_NTASKS too, and the latter counts what was asked for, not what runs.
    """
    step = environment.get("SLURM_STEP_ID", environment.get("SLURM_STEPID", ""))
    return step.isdigit() and int(step) < _FIRST_RESERVED_STEP and "SLURM_PTY_PORT" not in environment


def _in_slurm(environment: Mapping[str, str]) -> Place:
    """One task a node: the parent of that node's ranks.  More: each task is a rank itself."""
    tasks = _number(environment, "SLURM_STEP_NUM_TASKS", _number(environment, "SLURM_NTASKS", 1))
    nodes = _number(environment, "SLURM_STEP_NUM_NODES", _number(environment, "SLURM_JOB_NUM_NODES", 1))
    rank, node = _number(environment, "SLURM_PROCID", 0), _number(environment, "SLURM_NODEID", 0)
    if tasks < nodes or rank >= max(tasks, 1) or node >= max(nodes, 1):
        hint = "start one task a node (srun --ntasks-per-node=1), or one a GPU"
        raise UsageError(f"Slurm gives {tasks} tasks on {nodes} nodes", where="SLURM_NTASKS", hint=hint)
    if tasks == nodes == 1:
        return Place()
    hosts = expand(environment.get("SLURM_STEP_NODELIST", environment.get("SLURM_JOB_NODELIST", "")))
    host = hosts[0] if hosts else LOOPBACK
    if not hosts and nodes > 1:
        raise UsageError("Slurm names no nodes", where="SLURM_JOB_NODELIST")
    job, step = _number(environment, "SLURM_JOB_ID"), _number(environment, "SLURM_STEP_ID", 0)
    port = _FIRST_PORT + (job * 8 + step) % _NUM_PORTS
    if tasks == nodes:
        return Place(node=node, nodes=nodes, host=host, port=port)
    return Place(
        starter="slurm",
        rank=rank,
        local_rank=_number(environment, "SLURM_LOCALID", 0),
        world=tasks,
        local_world=_tasks_of(node, environment, tasks, nodes),
        node=node,
        nodes=nodes,
        host=host,
        port=port,
    )


def _tasks_of(node: int, environment: Mapping[str, str], tasks: int, nodes: int) -> int:
    """How many tasks a node has: SLURM_STEP_TASKS_PER_NODE is `4(x2),3` where the third node has three."""
    text = environment.get("SLURM_STEP_TASKS_PER_NODE", environment.get("SLURM_TASKS_PER_NODE", ""))
    counts: list[int] = []
    for count, times in re.findall(r"(\d+)(?:\(x(\d+)\))?", text):
        counts += [int(count)] * int(times or 1)
    return counts[node] if len(counts) == nodes else -(-tasks // nodes)


def _number(environment: Mapping[str, str], name: str, default: int | None = None) -> int:
    text = environment.get(name)
    if text is None and default is not None:
        return default
    if text is None or not text.isdigit():
        raise UsageError(f"expected a number, found {text!r}", where=name, hint=f"unset {name}, or set it right")
    return int(text)


def _is_taken(port: int) -> bool:
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("", port))
        except OSError:
            return True
    return False

"""Where a process stands: torchrun, accelerate, Slurm in its ways, flags, and contradictions."""

from __future__ import annotations

import doctest

import pytest

from alpaca_cli.errors import UsageError
from alpaca_cli.finetune.launch import place as place_module
from alpaca_cli.finetune.launch.place import Place, check_meeting, find_place, given_place

TORCHRUN = {
    "RANK": "5", "WORLD_SIZE": "8", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "4", "GROUP_RANK": "1",
    "MASTER_ADDR": "node0", "MASTER_PORT": "29400",
}  # fmt: skip
SRUN = {
    "SLURM_JOB_ID": "4711", "SLURM_STEP_ID": "2", "SLURM_PROCID": "5", "SLURM_LOCALID": "1", "SLURM_NODEID": "1",
    "SLURM_NTASKS": "8", "SLURM_STEP_NUM_TASKS": "8", "SLURM_JOB_NUM_NODES": "2", "SLURM_STEP_NUM_NODES": "2",
    "SLURM_JOB_NODELIST": "gpu[03-04]", "SLURM_STEP_NODELIST": "gpu[03-04]", "SLURM_STEP_TASKS_PER_NODE": "4(x2)",
}  # fmt: skip
ONE_A_NODE = {**SRUN, "SLURM_STEP_NUM_TASKS": "2", "SLURM_NTASKS": "2", "SLURM_PROCID": "1", "SLURM_LOCALID": "0"}


def test_examples() -> None:
    assert doctest.testmod(place_module).failed == 0


def test_alone() -> None:
    assert find_place({}) == Place()
    assert not find_place({}).is_rank


def test_torchrun() -> None:
    expected = Place(
        "torchrun", rank=5, local_rank=1, world=8, local_world=4, node=1, nodes=2, host="node0", port=29400
    )
    assert find_place(TORCHRUN) == expected
    assert expected.is_rank


def test_accelerate() -> None:
    assert find_place({**TORCHRUN, "ACCELERATE_MIXED_PRECISION": "bf16"}).starter == "accelerate"
    alone = find_place({"ACCELERATE_MIXED_PRECISION": "no", "ACCELERATE_DYNAMO_BACKEND": "NO"})
    assert (alone.starter, alone.rank, alone.world, alone.is_rank) == ("accelerate", 0, 1, True)
    assert not find_place({"ACCELERATE_MIXED_PRECISION": "no"}).is_rank  # a line of somebody's shell


def test_one_slurm_task_a_gpu_is_a_rank() -> None:
    port = find_place(SRUN).port
    assert find_place(SRUN) == Place(
        "slurm", rank=5, local_rank=1, world=8, local_world=4, node=1, nodes=2, host="gpu03", port=port
    )
    assert 12_000 <= port < 32_000
    assert find_place({**SRUN, "SLURM_STEP_ID": "3"}).port != port


def test_nodes_with_different_numbers_of_tasks() -> None:
    uneven = {**SRUN, "SLURM_STEP_NUM_TASKS": "7", "SLURM_STEP_TASKS_PER_NODE": "4,3"}
    assert find_place(uneven).local_world == 3


def test_one_slurm_task_a_node_is_the_parent_of_that_nodes_ranks() -> None:
    found = find_place(ONE_A_NODE)
    assert (found.is_rank, found.node, found.nodes, found.host) == (False, 1, 2, "gpu03")
    assert found.port == find_place(SRUN).port


@pytest.mark.parametrize(
    "shell",
    [
        {"SLURM_STEP_ID": None, "SLURM_PROCID": "0"},  # sbatch: the script itself
        {"SLURM_STEP_ID": "4294967291", "SLURM_PROCID": "0"},  # the same, where the batch step is told
        {"SLURM_STEP_ID": None, "SLURM_PROCID": None},  # salloc
        {"SLURM_STEP_ID": "4294967290", "SLURM_PROCID": "0"},  # salloc with an interactive step
        {"SLURM_PTY_PORT": "41234", "SLURM_PROCID": "0"},  # srun --pty bash
        {"SLURM_STEP_NUM_TASKS": "1", "SLURM_STEP_NUM_NODES": "1", "SLURM_PROCID": "0", "SLURM_NODEID": "0"},
    ],
)
def test_a_shell_inside_an_allocation_starts_its_own_ranks(shell: dict[str, str | None]) -> None:
    environment = {name: value for name, value in {**SRUN, **shell}.items() if value is not None}
    assert find_place(environment) == Place()


@pytest.mark.parametrize(
    ("environment", "where", "message"),
    [
        (
            {**TORCHRUN, "RANK": "8"},
            "RANK",
            "the environment names an impossible place: rank 8 of 8, 1 of 4 on its node",
        ),
        ({**TORCHRUN, "LOCAL_RANK": "x"}, "LOCAL_RANK", "expected a number, found 'x'"),
        ({**SRUN, "SLURM_STEP_NUM_TASKS": "1"}, "SLURM_NTASKS", "Slurm gives 1 tasks on 2 nodes"),
        ({**ONE_A_NODE, "SLURM_STEP_NODELIST": ""}, "SLURM_JOB_NODELIST", "Slurm names no nodes"),
    ],
)
def test_contradictions(environment: dict[str, str], where: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        find_place(environment)
    assert (caught.value.problems[0].where, caught.value.problems[0].message) == (where, message)


def test_flags() -> None:
    assert given_place(None, None, None) is None
    assert given_place(1, None, None) == Place()
    assert given_place(2, 1, "node0:29500") == Place(node=1, nodes=2, host="node0", port=29500)
    assert given_place(2, 0, "[fd00::1]:29500") == Place(nodes=2, host="fd00::1", port=29500)


@pytest.mark.parametrize(
    ("flags", "where", "message"),
    [
        ((2, None, "a:1"), "--node-rank", "missing"),
        ((2, 0, None), "--rdzv", "missing"),
        ((None, 0, "a:1"), "--nodes", "missing"),
        ((2, 2, "a:1"), "--node-rank", "expected 0 to 1, found 2"),
        ((2, 0, "node0"), "--rdzv", "expected HOST:PORT, found 'node0'"),
        ((2, 0, "node0:70000"), "--rdzv", "expected HOST:PORT, found 'node0:70000'"),
    ],
)
def test_flags_that_do_not_fit(flags: tuple[int | None, int | None, str | None], where: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        given_place(*flags)
    assert (caught.value.problems[0].where, caught.value.problems[0].message) == (where, message)


def test_an_unknown_host() -> None:
    with pytest.raises(UsageError) as caught:
        check_meeting(Place(nodes=2, host="no-such-host.invalid", port=29500))
    assert caught.value.problems[0].message.startswith("cannot find the host no-such-host.invalid: ")


def test_what_torch_reads() -> None:
    environment: dict[str, str] = {}
    find_place(SRUN).export(environment)
    again = find_place(environment)

    assert again.starter == "torchrun"
    assert (again.rank, again.local_rank, again.world, again.local_world, again.node) == (5, 1, 8, 4, 1)
    assert (again.host, again.port) == ("gpu03", find_place(SRUN).port)
    Place(starter="accelerate").export(environment)
    assert int(environment["MASTER_PORT"]) > 0

"""The stages on a real local Ray of two workers: the same choice, also when one is killed in the middle."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from types import ModuleType

import pytest

from alpaca_cli.dedup.cluster import stages
from alpaca_cli.dedup.cluster.launch import prepare_ray
from alpaca_cli.dedup.cluster.rounds import Outcome, Rounds
from alpaca_cli.dedup.cluster.settle import DROPPED, KEPT
from alpaca_cli.errors import DataError, UsageError
from ray_work import dying_near, killed_once, malformed, read
from slow_dedup import statuses

TESTS = Path(__file__).parent.parent.parent

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning:ray.data.context"),  # it sets its own old settings
    # Ray leaves pipes and files of the processes that it starts to the garbage collector.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(scope="module", autouse=True)
def knocking() -> Iterator[subprocess.Popen[str]]:
    """A process that asks for a cluster where none is: it gives up after a while, which other tests can use."""
    code = """
from alpaca_cli.dedup.cluster.launch import prepare_ray
address = prepare_ray("127.0.0.1:1")
from alpaca_cli.dedup.cluster.flow import dedup_on_ray
from ray_work import read
try:
    dedup_on_ray(["x"], read, threshold=0.7, address=address)
except Exception as error:
    print(type(error).__name__, error.exit_code, error)
"""
    command, quiet = [sys.executable, "-c", code], subprocess.DEVNULL
    with subprocess.Popen(command, env=_environment(), stdout=subprocess.PIPE, stderr=quiet, text=True) as process:
        yield process
        process.kill()


def write_shards(folder: Path, num_shards: int, rows: int, seed: int = 0) -> list[str]:
    """Rows of a few words, of which many are near to others, and the vocabulary grows slowly."""
    rng = random.Random(seed)
    texts: list[str] = []
    for number in range(num_shards * rows):
        words = rng.choice(texts).split() if texts and rng.random() < 0.5 else []
        words = words or [f"w{int(rng.paretovariate(0.6)) % (number + 20)}" for _ in range(rng.randint(0, 12))]
        if words and rng.random() < 0.7:
            words[rng.randrange(len(words))] = f"w{rng.randrange(number + 20)}"
        texts.append(" ".join(words))
    for shard in range(num_shards):
        path = folder / f"{shard:02}"
        path.write_text("".join(text + "\n" for text in texts[shard * rows : (shard + 1) * rows]))
    return [str(folder / f"{shard:02}") for shard in range(num_shards)]


def texts_of(shards: list[str]) -> list[str]:
    return [text for shard in shards for some in read(shard) for text in some]


def assert_same(outcome: Outcome, shards: list[str], threshold: float, num_against: int = 0) -> None:
    """That it is what every row against every row before it would say."""
    kept, nearest = statuses(texts_of(shards), threshold, sum(len(texts_of([shard])) for shard in shards[:num_against]))
    assert 0 < sum(kept) < len(kept)
    assert (outcome.status == KEPT).tolist() == kept
    assert outcome.nearest is not None and outcome.scores is not None
    assert list(zip(outcome.nearest.tolist(), outcome.scores.tolist(), strict=True)) == nearest


def test_two_workers_choose_as_the_greedy_pass(cluster: ModuleType, tmp_path: Path) -> None:
    shards = write_shards(tmp_path, 4, 80)
    (tmp_path / "empty").touch()
    shards.insert(2, str(tmp_path / "empty"))
    said: list[str] = []
    outcome = cluster.dedup_on_ray(
        shards[1:], read, threshold=0.7, against=shards[:1], report=True, on_stage=said.append
    )
    assert_same(outcome, shards, 0.7, num_against=1)
    assert said[:3] == ["reading", "counting words", "round 1: 240 rows undecided"]
    assert outcome.starts.tolist() == [0, 80, 160, 160, 240, 320]


def test_crowded_parts_are_cut_and_rows_ask_again(cluster: ModuleType, tmp_path: Path) -> None:
    shards = write_shards(tmp_path, 2, 100, seed=1)
    with cluster.ray_flow(None) as flow:
        outcome = Rounds(flow, 0.5, limit=2, cell_rows=100).run([], shards, read, report=True)
    assert outcome.rounds > 1
    assert_same(outcome, shards, 0.5)


def test_nothing_to_decide(cluster: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    (tmp_path / "wordless").write_text("?\n!\n")
    outcome = cluster.dedup_on_ray(
        [str(tmp_path / "empty"), str(tmp_path / "wordless")], read, threshold=0.7, report=True
    )
    assert outcome.status.tolist() == [KEPT, KEPT]


def test_what_is_wrong_with_a_row_is_told_as_anywhere(cluster: ModuleType) -> None:
    with pytest.raises(DataError) as caught:
        cluster.dedup_on_ray(["bad.jsonl"], malformed, threshold=0.7)
    assert [(p.message, p.where, p.hint) for p in caught.value.problems] == [("not a row", "bad.jsonl:2", "mend it")]


def test_a_worker_killed_while_it_reads_changes_nothing(cluster: ModuleType, tmp_path: Path) -> None:
    shards = write_shards(tmp_path, 3, 210, seed=2)
    outcome = cluster.dedup_on_ray(shards, partial(killed_once, marks=tmp_path), threshold=0.7, report=True)
    assert (tmp_path / "died").exists()
    assert_same(outcome, shards, 0.7)


@pytest.mark.slow
def test_a_worker_killed_while_it_searches_changes_nothing(
    cluster: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shards = write_shards(tmp_path, 3, 80, seed=3)
    monkeypatch.setattr(stages, "find_near", partial(dying_near, marks=tmp_path))
    outcome = cluster.dedup_on_ray(shards, read, threshold=0.7, report=True)
    assert (tmp_path / "died").exists()
    assert_same(outcome, shards, 0.7)


@pytest.mark.slow
def test_a_ray_of_this_machine_is_started_on_loopback_alone_and_ended(tmp_path: Path) -> None:
    shards = write_shards(tmp_path, 2, 40)
    code = """
import os, sys
from alpaca_cli.dedup.cluster.launch import prepare_ray
address = prepare_ray(None)
import psutil, ray
from alpaca_cli.dedup.cluster.flow import dedup_on_ray
from ray_work import read
def hear(what):
    me = psutil.Process()
    for process in [me, *me.children(recursive=True)]:
        for connection in process.net_connections("inet"):
            if connection.status == "LISTEN":
                listening.add(connection.laddr.ip.rsplit(":")[-1])
listening = set()
outcome = dedup_on_ray(sys.argv[1:], read, threshold=0.7, address=address, on_stage=hear)
print(*outcome.status, sep="")
print(listening, ray.is_initialized(), os.environ["RAY_USAGE_STATS_ENABLED"])
"""
    run = subprocess.run(
        [sys.executable, "-c", code, *shards],
        env=_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    kept = statuses(texts_of(shards), 0.7)[0]
    status = "".join(str(KEPT if is_kept else DROPPED) for is_kept in kept)
    assert (run.stdout.splitlines(), run.stderr) == ([status, "{'127.0.0.1'} False 0"], "")


def test_a_cluster_that_is_not_there(knocking: subprocess.Popen[str]) -> None:
    said, _ = knocking.communicate()
    assert said.startswith("UsageError 2 cannot reach the Ray cluster at 127.0.0.1:1: ")


def test_what_must_be_settled_before(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("RAY_"):
            monkeypatch.delenv(name)
    with monkeypatch.context() as patch:
        patch.setattr(os, "environ", os.environ.copy())
        patch.setenv("RAY_USAGE_STATS_ENABLED", "1")
        assert prepare_ray(None) is None
        assert (os.environ["RAY_USAGE_STATS_ENABLED"], os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"]) == ("1", "0")
    with monkeypatch.context() as patch:
        patch.setattr(os, "environ", os.environ.copy())
        patch.setenv("RAY_ADDRESS", "head:6379")
        assert (prepare_ray(None), prepare_ray("auto")) == ("head:6379", "auto")
        assert "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER" not in os.environ
    with pytest.raises(UsageError, match="found ray://head:10001") as caught:
        prepare_ray("ray://head:10001")
    assert (
        caught.value.problems[0].hint == "run the command on a machine of the cluster, for instance by `ray job submit`"
    )
    monkeypatch.setattr("alpaca_cli.dedup.cluster.launch.find_spec", lambda name: None)
    with pytest.raises(UsageError, match="--engine ray needs Ray Data") as caught:
        prepare_ray(None)
    assert caught.value.problems[0].hint == "pip install 'alpaca-cli[ray]'"


def _environment() -> dict[str, str]:
    """This process's, without what is said of Ray, and with this folder's modules."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    return environment | {"PYTHONPATH": f"{TESTS.parent}:{TESTS}"}

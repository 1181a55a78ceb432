"""`alpaca finetune`, with a stand-in for the work of each process: real processes, a real plan, real tokens."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, decoders, pre_tokenizers, trainers
from tokenizers.models import BPE
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from alpaca_cli.finetune.launch import spawn as launch
from alpaca_cli.finetune.launch.heartbeat import read_heartbeats
from conftest import ROOT, Outcome

STAND_IN = ROOT / "tests" / "finetune" / "stand_in"
RECIPE = """\
kind: finetune
batch: {examples_per_step: 2}
train: {epochs: 2}
parallel: {device: cpu, processes: 2}
precision: {compute: fp32}
hang_timeout_s: 60
"""

Alpaca = Callable[..., Outcome]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny base model."""
    folder = tmp_path_factory.mktemp("models") / "base"
    tokenizer = Tokenizer(BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(special_tokens=["<s>", "</s>"], initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator([], trainer)
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>").save_pretrained(folder)
    config = LlamaConfig(
        hidden_size=32, intermediate_size=48, num_hidden_layers=1, num_attention_heads=2,
        vocab_size=tokenizer.get_vocab_size(),
    )  # fmt: skip
    torch.manual_seed(0)
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


@pytest.fixture(autouse=True)
def _surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", f"{ROOT}{os.pathsep}{STAND_IN}")
    monkeypatch.setenv("ALPACA_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(launch, "LAUNCHER", "quick_launcher")
    act(monkeypatch, steps=3)
    Path("mine.yaml").write_text(RECIPE)


def act(monkeypatch: pytest.MonkeyPatch, **script: Any) -> None:
    """What the stand-ins will do."""
    monkeypatch.setenv("STAND_IN", json.dumps(script))


@pytest.fixture
def started() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts command lines in processes of their own, and ends them."""
    begun: list[subprocess.Popen[str]] = []

    def start(*words: object, **environment: str) -> subprocess.Popen[str]:
        code = (
            "import sys; from alpaca_cli.finetune.launch import spawn as launch; launch.LAUNCHER = 'quick_launcher';"
            "from alpaca_cli.cli.app import main; sys.exit(main(sys.argv[1:]))"
        )
        command = [sys.executable, "-c", code, *map(str, words)]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        begun.append(subprocess.Popen(command, env={**os.environ, **environment}, **pipes))  # type: ignore[call-overload]
        return begun[-1]

    yield start
    for process in begun:
        process.kill()
        process.communicate()


def wait_for(path: Path, process: subprocess.Popen[str]) -> None:
    while not path.exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)


def test_a_run_from_beginning_to_end(alpaca: Alpaca, base: Path, dataset: Path) -> None:
    run = alpaca("finetune", "mine.yaml", "--model", base, "--data", dataset, "--set", "parallel.nodes=2", "--nodes", 1)

    assert (run.code, run.out) == (0, "runs/mine/model\n"), run.err
    said = run.err.splitlines()
    assert "training" in said
    assert any(line.startswith("step 1 of 3 (33%), loss 2.0000, lr 2.00e-05") for line in said)
    assert any(line.startswith("step 3 of 3 (100%)") for line in said)
    assert "held-out loss 1.2500 after step 3" in said
    assert "  model    runs/mine/model; its README.md shows how to use it" in said
    settled = Path("runs/mine/recipe.resolved.yaml").read_text()
    assert f"path: {base}" in settled

    again = alpaca("finetune", "mine.yaml", "--model", base, "--data", dataset, "--json")
    assert again.code == 0
    assert again.json == {"folder": "runs/mine", "model": "runs/mine/model", "report": {}}
    assert "this run is complete: runs/mine" in again.err


def test_a_failing_rank(alpaca: Alpaca, base: Path, dataset: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    act(monkeypatch, steps=30, fail={"1": {"step": 2, "how": "raise"}})
    run = alpaca("finetune", "mine.yaml", "-m", base, "-d", dataset, "-o", "ours", "--json")

    assert (run.code, run.json["error"]["kind"]) == (6, "TrainingError")
    log = Path("ours/logs/rank-00001.log").absolute()
    assert run.err.splitlines()[-2:] == [
        f"error: {log}: rank 1 failed in step 2: RuntimeError: the loss went away",
        "hint: the log has the traceback; the same command goes on from the last checkpoint",
    ]


def test_one_interrupt_stops_after_a_checkpoint_and_the_same_command_goes_on(
    alpaca: Alpaca, base: Path, dataset: Path, started: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    act(monkeypatch, steps=1000)
    words = ("finetune", "mine.yaml", "--model", base, "--data", dataset)
    process = started(*words)
    wait_for(Path("runs/mine/reached-0"), process)
    second = alpaca(*words)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)

    assert (second.code, process.returncode) == (2, 130), said
    assert "runs/mine: another command is at work in this run folder" in second.err
    reached = int(Path("runs/mine/reached-0").read_text())
    stopping, *_, saved, stopped = said[said.index("stopping") :].splitlines()
    assert stopping == "stopping after a checkpoint; again: at once, without one"
    assert saved == f"checkpoint of step {reached}"
    assert stopped == f"stopped; to go on: alpaca finetune mine.yaml --model {base} --data {dataset}"
    assert alpaca(*words, "--set", "train.lr=1e-5").code == 2  # another run
    act(monkeypatch, steps=reached + 1)
    assert alpaca(*words).code == 0


def test_two_interrupts_end_it_at_once(
    base: Path, dataset: Path, started: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    act(monkeypatch, steps=1000, fail={"0": {"step": 2, "how": "deaf"}, "1": {"step": 2, "how": "deaf"}})
    process = started("finetune", "mine.yaml", "--model", base, "--data", dataset)
    wait_for(Path("runs/mine/reached-0"), process)
    process.send_signal(signal.SIGTERM)
    wait_for(Path("runs/mine/stop"), process)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=60)

    assert process.returncode == 130, said
    assert said.splitlines()[-1].startswith("stopped; to go on: alpaca finetune mine.yaml")
    assert [beat.process for beat in read_heartbeats(Path("runs/mine"))] == [None, None]


def test_started_by_torchrun_it_works_in_place(base: Path, dataset: Path, started: Any) -> None:
    meeting = {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29999"}
    words = ("finetune", "mine.yaml", "--model", base, "--data", dataset)
    first, second = (started(*words, RANK=str(rank), LOCAL_RANK=str(rank), **meeting) for rank in (0, 1))
    told, told_by_second = first.communicate(timeout=60), second.communicate(timeout=60)

    assert (first.returncode, second.returncode) == (0, 0), told
    assert told[0] == "runs/mine/model\n"
    assert "step 3 of 3 (100%)" in told[1]
    assert told_by_second == ("", "")
    environment = json.loads(Path("runs/mine/environment-1.json").read_text())
    assert (environment["RANK"], environment["MASTER_PORT"]) == ("1", "29999")


def test_in_place_one_command_at_a_time_works_in_a_folder(
    alpaca: Alpaca, base: Path, dataset: Path, started: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever rank of the other comes: the first finds the lock, the rest themselves at work."""
    act(monkeypatch, steps=1000)
    words = ("finetune", "mine.yaml", "--model", base, "--data", dataset)
    place = {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29999"}
    ranks = [started(*words, RANK=str(rank), LOCAL_RANK=str(rank), **place) for rank in (0, 1)]
    wait_for(Path("runs/mine/reached-0"), ranks[0])
    before = Path("runs/mine/recipe.resolved.yaml").read_bytes()
    others = [started(*words, RANK=str(rank), LOCAL_RANK=str(rank), **place) for rank in (0, 1)]
    spawned = alpaca(*words, "--processes", 1)
    told = [other.communicate(timeout=60)[1] for other in others]
    ranks[0].send_signal(signal.SIGTERM)
    ranks[1].send_signal(signal.SIGTERM)
    for rank in ranks:
        rank.communicate(timeout=60)

    assert [other.returncode for other in others] == [2, 2], told
    assert all("runs/mine: another command is at work in this run folder" in each for each in told)
    assert (spawned.code, Path("runs/mine/recipe.resolved.yaml").read_bytes()) == (2, before)
    assert [rank.returncode for rank in ranks] == [130, 130]


def test_a_folder_in_which_it_was_killed_before_it_began_is_the_runs_own(
    alpaca: Alpaca, base: Path, dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    words = ("finetune", "mine.yaml", "--model", base, "--data", dataset)
    with monkeypatch.context() as patch:
        patch.setattr("alpaca_cli.finetune.tokens.tokenizer.Tokenizer.save", killed)
        assert alpaca(*words).code == 130
    (Path("runs/mine") / ".plan.json.half.tmp").touch()

    assert alpaca(*words).code == 0


def test_an_out_that_cannot_be_a_folder(alpaca: Alpaca, base: Path, dataset: Path) -> None:
    for out, message in (
        ("mine.yaml", "expected a folder for the run, found a file"),
        ("mine.yaml/run", "mine.yaml: cannot write: "),
    ):
        run = alpaca("finetune", "mine.yaml", "--model", base, "--data", dataset, "--out", out)
        assert run.code == 2
        assert message in run.err
    assert Path("mine.yaml").read_text() == RECIPE


def test_a_failure_in_place(base: Path, dataset: Path, started: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    act(monkeypatch, steps=3, fail={"0": {"step": 2, "how": "raise"}})
    process = started(
        "finetune", "mine.yaml", "--model", base, "--data", dataset, RANK="0", WORLD_SIZE="1", LOCAL_RANK="0"
    )
    _, said = process.communicate(timeout=60)

    assert process.returncode == 6
    assert "Traceback" in said
    assert "rank 0 failed in step 2: RuntimeError: the loss went away" in said


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--gpu", "a100-80g:4"], "--gpu: a run takes the GPUs that are here"),
        (["--nodes", "2"], "--node-rank: missing"),
        (["--set", "parallel.nodes=2"], "this recipe is for 2 nodes, here is one"),
        (["--set", "train.learning_rate=1"], "train.learning_rate: unknown key"),
        (["--set", "log.trackers=[swanlab]"], "log.trackers: the tracker swanlab is not installed"),
        (["--model", "nowhere"], "nowhere: no such folder of a model"),
        (["--processes", "0"], "--processes"),
    ],
)
def test_mistakes_are_told_before_anything_is_made(
    alpaca: Alpaca, base: Path, dataset: Path, words: list[str], message: str
) -> None:
    run = alpaca("finetune", "mine.yaml", "--model", base, "--data", dataset, *words)

    assert run.code == 2
    assert message in run.err
    assert not Path("runs").exists()


@pytest.mark.parametrize("words", [["--plan", "--json"], ["--set", "train.lr=fast"]])
def test_a_plan_and_a_wrong_recipe_load_no_torch(base: Path, dataset: Path, words: list[str]) -> None:
    code = (
        "import sys; from alpaca_cli.cli.app import main; code = main(sys.argv[1:]);"
        "heavy = [name for name in ('torch', 'transformers', 'accelerate') if name in sys.modules];"
        "print(heavy, file=sys.stderr); sys.exit(code)"
    )
    command = [sys.executable, "-c", code, "finetune", "mine.yaml", "--model", base, "--data", dataset, *words]
    run = subprocess.run(command, capture_output=True, text=True, check=False)

    assert run.returncode == (0 if "--plan" in words else 2), run.stderr
    assert run.stderr.splitlines()[-1] == "[]"
    assert not Path("runs").exists()
    assert bool(run.stdout) == ("--json" in words)


def test_the_config_that_accelerate_reads(alpaca: Alpaca) -> None:
    one = alpaca("recipes", "accelerate-config", "mine.yaml").out
    two = alpaca("recipes", "accelerate-config", "mine.yaml", "--set", "parallel.nodes=2").out

    assert one.startswith("# accelerate launch --config_file accelerate.yaml -m alpaca_cli finetune mine.yaml\n")
    assert "num_processes: 2\n" in one
    assert "num_processes: 4\n" in two
    assert "--main_process_ip NODE0 --machine_rank K -m alpaca_cli" in two
    assert alpaca("recipes", "accelerate-config", "generate").code == 2

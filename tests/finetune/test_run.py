"""`alpaca finetune` for real: the same curve and the same model however many processes there are, whoever started them
and however often they were killed."""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from alpaca_cli.errors import UsageError
from alpaca_cli.finetune.launch.place import Place, free_port
from alpaca_cli.finetune.run import plan_of, prepare, read_inputs, with_paths
from alpaca_cli.finetune.worker import _join
from alpaca_cli.recipe.finetune import FinetuneRecipe
from alpaca_cli.recipe.load import load
from tiny_base import make_base, make_data

RECIPE = """\
kind: finetune
model: {pad_token: add}
data: {max_tokens: 250, val_fraction: 0.1}
batch: {examples_per_step: 8, tokens_per_microbatch: 400}
train: {epochs: 2, lr: 1.0e-2}
precision: {compute: fp32}
parallel: {device: cpu}
checkpoint: {every: 3}
"""
NUM_STEPS = 14  # 54 examples twice, 8 a step
ALPACA = [sys.executable, "-m", "alpaca_cli"]
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--log-dir"]


class Bench:
    """Where the runs of this module lie, with what they all share."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data = make_data(folder / "data.json")
        self.base = make_base(folder / "base", self.data)
        self.num_rows = json.loads((self.base / "config.json").read_text())["vocab_size"]
        self.recipe = folder / "tiny.yaml"
        self.recipe.write_text(RECIPE, encoding="utf-8")

    def words(self, out: str, *more: str) -> list[str]:
        """The command line of a run, without the program."""
        places = ["--model", str(self.base), "--data", str(self.data), "--out", str(self.folder / out)]
        return ["finetune", str(self.recipe), *places, *more]

    def start(self, command: list[str]) -> subprocess.Popen[str]:
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        return subprocess.Popen(
            command, cwd=self.folder, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )

    def run(self, command: list[str]) -> str:
        """What a command says that ends well."""
        process = self.start(command)
        out, told = process.communicate(timeout=100)
        assert process.returncode == 0, told + out
        return told

    def steps(self, out: str) -> list[dict[str, Any]]:
        path = self.folder / out / "metrics.jsonl"
        lines = path.read_text().splitlines() if path.exists() else []
        return [record for record in map(json.loads, lines) if record["kind"] == "step"]

    def digest(self, out: str) -> str:
        return hashlib.sha256((self.folder / out / "model" / "model.safetensors").read_bytes()).hexdigest()

    def until_step(self, process: subprocess.Popen[str], out: str, step: int) -> None:
        """Wait until a run has come to a step."""
        deadline = time.monotonic() + 90
        while len(self.steps(out)) < step and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    made = Bench(tmp_path_factory.mktemp("runs"))
    made.run([*ALPACA, *made.words("reference", "--processes", "2")])
    return made


def assert_same_curve(bench: Bench, out: str) -> None:
    """Losses and norms of every step, and the weights that came out, within rounding."""
    expected, found = bench.steps("reference"), bench.steps(out)
    assert [step["step"] for step in found] == list(range(1, NUM_STEPS + 1))
    for key in ("loss", "grad_norm"):
        assert [step[key] for step in found] == pytest.approx([step[key] for step in expected], rel=1e-4)
    for key in ("lr", "real_tokens", "supervised_tokens", "epoch"):
        assert [step[key] for step in found] == [step[key] for step in expected]
    left, right = (load_file(bench.folder / each / "model" / "model.safetensors") for each in ("reference", out))
    assert left.keys() == right.keys()
    assert all(torch.allclose(left[name].float(), right[name].float(), atol=2e-3) for name in left)


def test_a_run_leaves_a_model_that_opens_and_answers_and_tells_of_itself(bench: Bench) -> None:
    run = bench.folder / "reference"
    report = json.loads((run / "report.json").read_text())
    steps = bench.steps("reference")
    model = AutoModelForCausalLM.from_pretrained(run / "model", dtype="auto")
    tokenizer = AutoTokenizer.from_pretrained(run / "model")
    asked = tokenizer.apply_chat_template(
        [{"role": "user", "content": "Say red."}], add_generation_prompt=True, return_tensors="pt", return_dict=True
    )
    answer = model.generate(**asked, max_new_tokens=5)

    assert {path.name for path in run.iterdir()} >= {
        "recipe.resolved.yaml", "plan.json", "versions.json", "metrics.jsonl", "loss.png", "report.json", "model",
        "checkpoints", "logs",
    }  # fmt: skip
    assert model.dtype == torch.bfloat16
    assert model.get_input_embeddings().weight.shape[0] == len(tokenizer) == bench.num_rows + 1  # [PAD]
    assert answer.shape[1] > asked["input_ids"].shape[1]
    assert report["num_steps"] == len(steps) == NUM_STEPS
    assert steps[-1]["loss"] < steps[0]["loss"]
    assert report["held_out_loss"]["after"] < report["held_out_loss"]["before"]
    assert (report["data"]["num_trained"], report["data"]["num_held_out"]) == (54, 6)
    assert [path.name for path in (run / "checkpoints").iterdir()] == [f"step-{NUM_STEPS:06}"]


def test_the_same_command_again_does_nothing(bench: Bench) -> None:
    before = bench.digest("reference")
    told = bench.run([*ALPACA, *bench.words("reference", "--processes", "2")])

    assert "this run is complete" in told
    assert bench.digest("reference") == before


@pytest.mark.slow
def test_a_run_that_is_killed_goes_on_to_the_same_bytes(bench: Bench) -> None:
    """Every process of it, launcher and parent too, at once, in the middle of whatever it does."""
    import psutil

    command = [*ALPACA, *bench.words("killed", "--processes", "2", "--set", "checkpoint.every=1")]
    process = bench.start(command)
    bench.until_step(process, "killed", 5)
    tree = [*psutil.Process(process.pid).children(recursive=True), psutil.Process(process.pid)]
    for each in tree:
        each.kill()
    psutil.wait_procs(tree, timeout=10)
    process.communicate()
    assert len(bench.steps("killed")) < NUM_STEPS
    told = bench.run(command)
    assert re.search(r"going on from the checkpoint of step \d+.*: as if it had not stopped, bit for bit", told)

    assert bench.digest("killed") == bench.digest("reference")
    assert [step["loss"] for step in bench.steps("killed")] == [step["loss"] for step in bench.steps("reference")]


@pytest.mark.slow
def test_a_run_goes_on_with_another_number_of_processes_whoever_starts_them(bench: Bench) -> None:
    """Two of our own, stopped by a signal; then one under torchrun, stopped too; then four under accelerate launch."""
    stages = [
        ([*ALPACA, *bench.words("elastic", "--processes", "2")], 2, 130),
        ([*TORCHRUN, str(bench.folder / "torchrun"), "--nproc-per-node", "1", "-m", "alpaca_cli"], 7, None),
    ]
    for command, step, code in stages:
        words = command if command[2] == "alpaca_cli" else [*command, *bench.words("elastic")]
        process = bench.start(words)
        bench.until_step(process, "elastic", step)
        process.send_signal(signal.SIGTERM)
        _, told = process.communicate(timeout=60)
        assert step <= len(bench.steps("elastic")) < NUM_STEPS, told
        assert process.returncode == code if code is not None else process.returncode != 0
    launch = ["-m", "accelerate.commands.launch", "--use_fsdp", "--num_processes", "4", "--num_machines", "1"]
    port = ["--main_process_port", str(free_port()), "--mixed_precision", "no", "--dynamo_backend", "no"]
    told = bench.run([sys.executable, *launch, *port, "-m", "alpaca_cli", *bench.words("elastic")])
    assert re.search(r"going on from the checkpoint of step \d+.*: equal within rounding", told)

    assert_same_curve(bench, "elastic")


@pytest.mark.slow
def test_two_nodes_that_meet_on_loopback_train_as_one(bench: Bench) -> None:
    meeting = ["--nodes", "2", "--rdzv", f"127.0.0.1:{free_port()}"]
    nodes = [
        bench.start([*ALPACA, *bench.words("nodes", *meeting, "--node-rank", str(number), "--processes", "1")])
        for number in (0, 1)
    ]
    told = [process.communicate(timeout=100) for process in nodes]

    assert [process.returncode for process in nodes] == [0, 0], told
    assert_same_curve(bench, "nodes")


@pytest.mark.skipif(torch.cuda.is_available(), reason="has a GPU")
def test_a_pytorch_that_sees_no_gpu_is_told() -> None:
    """NVML may see one where PyTorch is a build for the CPU."""
    recipe = FinetuneRecipe.model_validate({"kind": "finetune", "parallel": {"device": "cuda"}})
    with pytest.raises(UsageError, match=r"parallel.device: PyTorch .* finds no GPU"):
        _join(recipe, Place())


@pytest.mark.slow
def test_a_run_that_is_stopped_before_its_first_step_has_trained_nothing_and_takes_another_recipe(bench: Bench) -> None:
    process = bench.start([*ALPACA, *bench.words("early", "--processes", "1")])
    while not (bench.folder / "early" / "heartbeats").exists() and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 130, told
    assert "stopped; to go on: alpaca finetune" in told
    assert bench.steps("early") == []
    recipe = load(
        bench.recipe, FinetuneRecipe, ["train.lr=1e-3", f"model.path={bench.base}", f"data.path={bench.data}"]
    )
    inputs = read_inputs(with_paths(recipe, beside=bench.folder))
    out = bench.folder / "early"

    assert prepare(inputs, plan_of(inputs, out=out, gpus=None), out).recipe.train.lr == 1e-3


def test_another_recipe_or_dataset_is_refused_with_the_difference(bench: Bench) -> None:
    command = [*ALPACA, *bench.words("reference", "--set", "train.lr=1e-3")]
    process = bench.start(command)
    _, told = process.communicate(timeout=60)
    other = make_data(bench.folder / "other.json", 61)
    moved = bench.start([*ALPACA, *bench.words("reference"), "--data", str(other)])
    _, told_moved = moved.communicate(timeout=60)

    assert process.returncode == 2
    assert "another run is in this folder: train.lr: 0.01 there, 0.001 now" in told
    assert moved.returncode == 2
    assert "another dataset" in told_moved

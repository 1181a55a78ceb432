"""One process of a run: it meets the others, takes up the newest checkpoint if there is one, trains and exports."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from alpaca_cli import yamlfile
from alpaca_cli.data.files import write_text
from alpaca_cli.data.jsonl import dumps
from alpaca_cli.errors import AlpacaError, UsageError
from alpaca_cli.finetune.launch.place import Place
from alpaca_cli.finetune.launch.watch import Watch
from alpaca_cli.finetune.loop import Loop, Surroundings
from alpaca_cli.finetune.metrics import Metrics, Record
from alpaca_cli.finetune.outcome import FIGURE, card_of, figure, report
from alpaca_cli.finetune.plan.gpus import seen_gpus
from alpaca_cli.finetune.run import RECIPE, REPORT, TOKENIZER, read_inputs, versions
from alpaca_cli.finetune.save.checkpoint import Checkpoints
from alpaca_cli.finetune.save.export import export
from alpaca_cli.finetune.step.assembly import assemble
from alpaca_cli.finetune.step.basemodel import BaseModel
from alpaca_cli.finetune.step.batches import Batches, Ints, Step
from alpaca_cli.finetune.step.optimizer import AdamW
from alpaca_cli.finetune.step.selfcheck import check_loss
from alpaca_cli.finetune.step.shard import DTYPES, trained
from alpaca_cli.finetune.tokens.token_set import split
from alpaca_cli.finetune.trackers import start as start_trackers
from alpaca_cli.recipe.finetune import FinetuneRecipe

MODEL = "model"


def work(run: Path, where: Place, watch: Watch, listener: Callable[[Record], None] | None = None) -> bool:
    """Do this process's part of a run.  False if it was asked to stop before the end; a checkpoint is left then.

    Raises whatever goes wrong here; what other processes meet, they raise themselves.
    """
    recipe = yamlfile.read(run / RECIPE).check(FinetuneRecipe)
    metrics = Metrics(run, is_writing=where.rank == 0, listener=listener)
    metrics.phase("loading")
    watch.beat(0, "loading")
    device = _join(recipe, where)
    recipe = _agreed(recipe)
    worker = _Worker(run, recipe, where, watch, metrics, device)
    try:
        is_complete = worker.run()
    finally:
        worker.close()
    dist.barrier()
    metrics.phase("done" if is_complete else "stopped")
    dist.destroy_process_group()
    return is_complete


def _join(recipe: FinetuneRecipe, where: Place) -> torch.device:
    """Meet the other processes; returns the device of this one."""
    on_gpu = recipe.parallel.device == "cuda"
    if on_gpu and not torch.cuda.is_available():
        hint = "install a build of PyTorch for the CUDA of this machine's driver, or --set parallel.device=cpu"
        raise UsageError(f"PyTorch {torch.__version__} finds no GPU", where="parallel.device", hint=hint)
    # Slurm may let each task see its own GPU only.
    device = torch.device("cuda", where.local_rank % torch.cuda.device_count()) if on_gpu else torch.device("cpu")
    if on_gpu:
        torch.cuda.set_device(device)
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = recipe.precision.tf32
    dist.init_process_group(
        "cpu:gloo,cuda:nccl" if on_gpu else "gloo",
        rank=where.rank,
        world_size=where.world,
        timeout=timedelta(seconds=recipe.hang_timeout_s),
    )
    return device


def _agreed(recipe: FinetuneRecipe) -> FinetuneRecipe:
    """The first process's recipe: what a plan settles may differ where less memory is free."""
    told = [recipe.model_dump(mode="json")]
    dist.broadcast_object_list(told, src=0)
    return FinetuneRecipe.model_validate_json(dumps(told[0]), strict=True)


class _Worker:
    """What one process holds of a run."""

    def __init__(
        self, run: Path, recipe: FinetuneRecipe, where: Place, watch: Watch, metrics: Metrics, device: torch.device
    ) -> None:
        self._run, self._recipe, self._where, self._watch = run, recipe, where, watch
        self._metrics, self._device = metrics, device
        self._inputs = read_inputs(recipe)
        tokens = self._inputs.tokens
        self._assembly = assemble(recipe, self._inputs.tokenizer.num_tokens, device, where.world)
        self._optimizer = AdamW(
            trained(self._assembly.learner),
            recipe.train,
            recipe.precision,
            seed=recipe.batch.seed,
            mesh=self._assembly.mesh,
        )
        examples, held_out = split(tokens, recipe.data.val_fraction, recipe.batch.seed)
        self._batches = Batches(
            tokens,
            examples,
            recipe.batch,
            recipe.train,
            rank=where.rank,
            world=where.world,
            budget=recipe.batch.tokens_per_microbatch or recipe.data.max_tokens,
            shared_preamble=recipe.memory.shared_preamble == "on",
        )
        self._checkpoints = Checkpoints(run / "checkpoints", keep=recipe.checkpoint.keep)
        self._saving: dict[str, Any] = {}
        self._trackers = start_trackers(recipe, run) if where.rank == 0 else None
        if self._trackers is not None:
            metrics.tell(self._trackers.log)
        peaks = [gpu.peak_flops for gpu in seen_gpus()] if device.type == "cuda" else []
        around = Surroundings(
            rank=where.rank,
            device=device,
            metrics=metrics,
            beat=self._beat,
            should_stop=watch.should_stop,
            flops_per_token=(4 if recipe.method == "lora" else 6) * self._assembly.num_parameters,
            peak_flops=peaks[0] * where.world if peaks and peaks[0] else None,
        )
        self._loop = Loop(
            self._assembly, self._optimizer, self._batches, tuple(self._look_at(held_out)), recipe, around
        )

    def run(self) -> bool:
        """From the newest checkpoint, or the beginning, to the exported model."""
        if not self._take_up():
            if self._is_asked():
                return False
            self._begin()
        if self._is_asked():  # nothing was done that a checkpoint would have to keep
            return False
        try:
            is_complete = self._loop.run(self._save)
        except BaseException:
            with suppress(AlpacaError):  # the first trouble is the one to tell
                self._checkpoints.wait()
            raise
        self._metrics.phase("saving")
        self._written()
        if not is_complete:
            return False
        self._metrics.phase("exporting")
        facts = self._export(self._run / MODEL)
        if self._where.rank == 0:
            write_text(self._run / REPORT, dumps(facts) + "\n")
        return True

    def _is_asked(self) -> bool:
        """Whether any process was asked to stop."""
        asked = torch.tensor(float(self._watch.should_stop()), device=self._device)
        dist.all_reduce(asked)
        return bool(asked)

    def close(self) -> None:
        """Let trackers send what they still have."""
        if self._trackers is not None:
            self._trackers.close()

    def _take_up(self) -> bool:
        """Go on from the newest checkpoint; false if there is none."""
        found = self._checkpoints.latest()
        if found is None:
            return False
        facts = self._facts()
        for part, what in (("tokens", "dataset or tokenizer"), ("base", "base model")):
            if found.facts.get(part) != facts[part]:
                hint = f"give the {what} of that run, or another --out"
                message = f"the {what} is not the one that this run began with"
                raise UsageError(message, where=str(self._run), hint=hint)
        self._checkpoints.load(found, self._state())
        self._loop.step = found.step
        is_exact = self._device.type == "cpu" and found.facts == facts
        again = self._metrics.cut(found.step)
        self._metrics.write("resume", step=found.step, again=again, is_exact=is_exact)
        return True

    def _facts(self) -> dict[str, Any]:
        """What a checkpoint says of the run beside its tensors: on what a next step of the same bits depends."""
        recipe = self._recipe
        base = BaseModel(Path(recipe.model.path or "")).digest() if recipe.method == "lora" else None
        return {
            "tokens": self._inputs.tokens.facts.key,
            "base": base,  # else all of it is in the checkpoint
            "world": self._where.world,
            "rounding": [recipe.batch.tokens_per_microbatch, recipe.memory.model_dump(), recipe.compile],
            "versions": versions(),
        }

    def _begin(self) -> None:
        """Check the loss, then save and export once, so that neither can fail for the first time after hours."""
        self._metrics.cut(-1)
        self._metrics.phase("checking")
        check_loss(self._assembly, self._batches, self._device, self._recipe.precision.compute)
        if not self._recipe.checkpoint.probe:
            return
        self._metrics.phase("probing")
        probe = self._run / ".probe"
        self._export(probe)
        if self._where.rank == 0:
            shutil.rmtree(probe, ignore_errors=True)
        self._save(0)
        self._written()

    def _state(self) -> dict[str, torch.Tensor]:
        weights = {f"weight.{name}": parameter.data for name, parameter in trained(self._assembly.learner)}
        return weights | dict(self._optimizer.state())

    def _save(self, step: int) -> None:
        self._watch.beat(step, "saving")
        self._written()
        began = time.monotonic()
        self._checkpoints.save(step, self._state(), self._facts())
        self._saving = {"step": step, "path": f"checkpoints/step-{step:06d}", "stalled_s": time.monotonic() - began}

    def _beat(self, step: int, phase: str) -> None:
        self._watch.beat(step, phase)
        if self._checkpoints.is_written:
            self._tell_checkpoint()

    def _written(self) -> None:
        """Wait until the last checkpoint is on disk."""
        self._checkpoints.wait()
        self._tell_checkpoint()

    def _tell_checkpoint(self) -> None:
        if self._saving:
            self._metrics.write("checkpoint", **self._saving)
        self._saving = {}

    def _export(self, folder: Path) -> dict[str, Any]:
        """Write the model with its card, and return the run's report."""
        self._watch.beat(self._loop.step, "exporting")
        inputs, others = self._inputs, {}
        kind = torch.cuda.get_device_name(self._device) if self._device.type == "cuda" else "CPU process"
        facts = report(
            self._run,
            self._recipe,
            inputs,
            num_parameters=self._assembly.num_parameters,
            num_trained=len(self._batches.examples),
            devices=f"{self._where.world} x {kind}",
        )
        if self._where.rank == 0:
            others = {
                "README.md": card_of(facts, self._recipe, inputs.template).encode(),
                FIGURE: figure(self._run),
            }
        tokenizer = self._inputs.tokenizer
        ids = {"bos_token_id": tokenizer.bos_id, "eos_token_id": tokenizer.eos_id, "pad_token_id": tokenizer.pad_id}
        export(
            self._assembly.weights(),
            folder,
            dtype=DTYPES[self._recipe.export.dtype],
            max_shard_bytes=int(self._recipe.export.max_shard_gb * 1e9),
            config=self._assembly.causal.config.to_dict() | ids | {"use_cache": True},
            generation_config=ids,
            tokenizer=self._run / TOKENIZER,
            others=others,
        )
        return facts

    def _look_at(self, held_out: Ints) -> Iterator[Step]:
        per_step = self._recipe.batch.examples_per_step
        for begin in range(0, len(held_out), per_step):
            yield self._batches.lay_out(held_out[begin : begin + per_step].tolist())

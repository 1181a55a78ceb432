"""The plan of a run: its numbers, what it settles, and what it refuses with a way out that it has tried."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alpaca_cli.cli.finetune_plan import plan_text, show
from alpaca_cli.errors import UsageError
from alpaca_cli.finetune.plan import plan as plan_module
from alpaca_cli.finetune.plan.architecture import Architecture, describe
from alpaca_cli.finetune.plan.gpus import Gpu, named_gpus
from alpaca_cli.finetune.plan.host import free_disk
from alpaca_cli.finetune.plan.plan import Plan, make_plan
from alpaca_cli.finetune.plan.steps import count
from alpaca_cli.finetune.step.batches import Batches
from alpaca_cli.finetune.tokens.token_set import TokenSet
from alpaca_cli.recipe.finetune import FinetuneRecipe
from conftest import ROOT
from published_models import CONFIGS, alpaca_tokens, tokens_of
from token_sets import token_set

GIB = 1 << 30
LLAMA = describe(CONFIGS["llama-7b"])
TINY = describe(
    {
        "model_type": "llama", "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
        "num_attention_heads": 4, "vocab_size": 300, "max_position_embeddings": 256,
    }
)  # fmt: skip
ALPACA = alpaca_tokens()
SMALL = token_set(100)


def recipe_of(**changes: Any) -> FinetuneRecipe:
    return FinetuneRecipe.model_validate({"kind": "finetune", **changes})


def planned(
    gpus: str | tuple[Gpu, ...] | None = "a100-80g:4",
    *,
    model: Architecture = LLAMA,
    tokens: TokenSet = ALPACA,
    out: Path = Path("run"),
    **changes: Any,
) -> Plan:
    there = named_gpus(gpus) if isinstance(gpus, str) else gpus
    return make_plan(recipe_of(**changes), model, tokens, gpus=there, out=out)


def refused(plan: Plan, message: str, hint: str) -> None:
    """The plan has one problem, its `refuse` raises it, and no more."""
    with pytest.raises(UsageError) as caught:
        plan.refuse()
    (problem,) = caught.value.problems
    assert message in problem.message
    assert hint in str(problem.hint)
    assert caught.value.exit_code == 2


def test_the_plan_of_alpaca_has_the_steps_of_the_original() -> None:
    plan = planned()
    plan.refuse()
    steps = plan.steps
    assert (steps.num_steps, steps.num_warmup, steps.num_seen) == (1219, 37, 156_006)
    assert steps.real_tokens == 3 * ALPACA.facts.real_tokens
    assert steps.supervised_tokens == 3 * ALPACA.facts.supervised_tokens
    assert plan.computed_tokens == steps.real_tokens - 156_006
    assert plan.flops == 6 * 6_738_415_616 * plan.computed_tokens
    assert 0.5 < steps.original_share < 0.7


def test_what_the_recipe_leaves_open_is_settled() -> None:
    on_gpu = planned().settled
    assert (on_gpu.parallel.device, on_gpu.parallel.processes, on_gpu.compile) == ("cuda", 4, "layers")
    assert (on_gpu.memory.activation_checkpointing, on_gpu.memory.shared_preamble) == ("none", "off")
    assert on_gpu.batch.tokens_per_microbatch is not None
    on_cpu = planned((), model=TINY, tokens=SMALL).settled
    assert (on_cpu.parallel.device, on_cpu.parallel.processes, on_cpu.compile) == ("cpu", 1, "off")
    assert (on_cpu.memory.activation_checkpointing, on_cpu.memory.shared_preamble) == ("none", "off")
    dropping = planned((), model=replace(TINY, has_dropout=True), tokens=SMALL).settled
    assert dropping.memory.shared_preamble == "off"
    assert planned((), model=TINY, tokens=SMALL, compile="layers").settled.compile == "layers"
    assert planned("a100-80g:4", parallel={"processes": 2}).gpus == named_gpus("a100-80g:2")


def test_a_settled_recipe_is_planned_the_same_again() -> None:
    plan = planned("h200-141g")
    again = make_plan(plan.settled, LLAMA, ALPACA, gpus=named_gpus("h200-141g"), out=Path("run"))
    assert (again.settled, again.memory) == (plan.settled, plan.memory)


def test_no_more_is_computed_at_once_than_fits_and_no_more_than_a_step_has() -> None:
    budgets = {}
    for name in ("a100-80g:8", "a100-80g:4", "h200-141g"):
        plan = planned(name)
        assert plan.fits
        budgets[name] = plan.settled.batch.tokens_per_microbatch or 0
    assert 128 * 130 / 8 < budgets["a100-80g:8"] < budgets["a100-80g:4"] < budgets["h200-141g"] < 128 * 150
    one_more = planned("h200-141g", batch={"tokens_per_microbatch": budgets["h200-141g"] + 3000})
    assert one_more.settled.memory.activation_checkpointing != "none"  # with as much at once, more is computed again


def test_the_least_is_computed_again_that_fits() -> None:
    gpu = named_gpus("a100-80g")[0]
    sizes = [replace(gpu, memory_bytes=size * GIB) for size in range(60, 20, -2)]
    whole_step = {"tokens_per_microbatch": 1 << 20}
    modes = [
        planned((each,) * 4, batch=whole_step, compile="off").settled.memory.activation_checkpointing for each in sizes
    ]
    assert modes == sorted(modes, key=["none", "selective", "full"].index)
    assert len(set(modes)) == 3
    fixed = planned(memory={"activation_checkpointing": "full"})
    assert fixed.settled.memory.activation_checkpointing == "full"
    assert fixed.flops == pytest.approx(planned().flops * 8 / 6)


def test_a_plan_that_does_not_fit_tells_ways_that_do() -> None:
    plan = planned("a100-40g")
    refused(plan, "a process needs", "fits with: ")
    assert not plan.fits
    hint = plan.problems[0].hint or ""
    assert "--set memory.offload=cpu" in hint
    assert "--set method=lora" in hint
    assert "4 of these GPUs" in hint
    planned("a100-40g", memory={"offload": "cpu"}).refuse()
    planned("a100-40g", method="lora").refuse()
    planned("a100-40g:4").refuse()


def test_what_a_user_fixed_too_large_is_what_is_told_to_change() -> None:
    fixed = planned("a100-40g:4", batch={"tokens_per_microbatch": 1 << 20}, memory={"activation_checkpointing": "none"})
    refused(fixed, "a process needs", "fits with: --set memory.activation_checkpointing=auto;")
    single = planned("a100-80g")
    refused(single, "A100 80 GB has 79.1", "--set precision.weights=bf16_sr --set precision.moments=bf16")
    planned("a100-80g", precision={"weights": "bf16_sr", "moments": "bf16"}).refuse()
    gigantic = replace(LLAMA, num_parameters=4 * 10**12, layer_parameters=10**11)
    nothing = planned("a100-80g", model=gigantic)
    refused(nothing, "a process needs", "smaller model")


def test_gpus_that_are_asked_for_but_not_there_are_refused() -> None:
    assert "1 process on a GPU that is not here" in plan_text(planned((), parallel={"device": "cuda"}))
    refused(planned((), parallel={"device": "cuda"}), "expected a GPU, found none", "--gpu a100-80g:4")
    refused(planned("a100-80g:2", parallel={"processes": 4}), "2 GPUs", "--set parallel.processes=2")


def test_other_impossible_recipes_are_refused() -> None:
    refused(planned("a100-80g:4", parallel={"replicate": 3}), "4 processes are not divisible by 3", "a divisor")
    short = tokens_of([40, 300, 90], [10, 20, 30])
    refused(
        planned((), model=TINY, tokens=short, train={"warmup": 0.0}),
        "longest example has 300 tokens",
        "data.max_tokens=256",
    )
    refused(planned("v100-32g:8"), "V100 32 GB cannot do", "precision.compute=fp32")
    planned("v100-32g:8", precision={"compute": "fp32"}).refuse()


def test_a_disk_or_a_host_without_room_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(plan_module, "seen_gpus", lambda: named_gpus("a100-80g:4"))
    monkeypatch.setattr(plan_module, "free_memory", lambda: 40 * GIB)
    monkeypatch.setattr(plan_module, "free_disk", lambda out: 1000 * GIB)
    refused(planned(None), "not enough host memory: 87.3 GiB needed, 40.0 free", "more memory")
    monkeypatch.setattr(plan_module, "free_memory", lambda: 400 * GIB)
    monkeypatch.setattr(plan_module, "free_disk", lambda out: 100 * GIB)
    plan = planned(None, out=tmp_path / "run")
    refused(plan, "not enough disk: 163.2 GiB needed, 100.0 free", "--out")
    assert plan.problems[0].where == str(tmp_path / "run")
    planned("a100-80g:4").refuse()  # of another machine nothing is known


def test_on_a_cpu_the_free_memory_is_what_processes_share(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan_module, "free_memory", lambda: 4 * GIB)
    monkeypatch.setattr(plan_module, "free_disk", lambda out: 1000 * GIB)
    two = planned(None, model=TINY, tokens=SMALL, parallel={"device": "cpu", "processes": 2})
    two.refuse()
    assert two.room < 2 * GIB
    assert two.host.processes == 2 * two.memory.total
    large = planned(None, parallel={"device": "cpu", "processes": 2}, precision={"compute": "fp32"})
    refused(large, "its share of this machine's free memory", "use a smaller model")


def test_what_a_run_has_written_counts_as_free(tmp_path: Path) -> None:
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    before = free_disk(tmp_path / "run")
    (tmp_path / "run" / "checkpoints" / "shard").write_bytes(bytes(1 << 26))
    assert abs(free_disk(tmp_path / "run") - before) < 1 << 25
    assert free_disk(tmp_path / "not" / "there" / "yet") > 0


def test_time_is_told_only_where_the_peak_is_known() -> None:
    best, worst = planned().seconds or (0, 0)
    assert best == pytest.approx(planned().flops / (4 * 312e12 * 0.5))
    assert worst == pytest.approx(best * 0.5 / 0.35)
    two_nodes = planned("a100-80g:8", parallel={"nodes": 2}).seconds or (0, 0)
    assert two_nodes[0] == pytest.approx(planned().flops / (16 * 312e12 * 0.45))
    unknown = replace(named_gpus("a100-80g")[0], name="B999", peak_flops=0.0)
    for plan in (planned((unknown,) * 4), planned((), model=TINY, tokens=SMALL), planned(memory={"offload": "cpu"})):
        assert plan.seconds is None
        assert "not known beforehand" in plan_text(plan)


def test_notes_are_gathered() -> None:
    busy = replace(named_gpus("a100-80g")[0], used_bytes=10 * GIB)
    model = replace(LLAMA, notes=("of the model",))
    tokens = replace(ALPACA, facts=replace(ALPACA.facts, notes=("of the rows",)))
    notes = planned((busy,) * 4, model=model, tokens=tokens).notes
    assert notes[:3] == ("of the model", "of the rows", "10.0 GiB of GPU 0 (A100 80 GB) are in use by something else")
    offloaded = planned((), model=TINY, tokens=SMALL, memory={"offload": "cpu"})
    assert any("everything lies in host memory" in note for note in offloaded.notes)


def test_the_plan_is_told_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    text = plan_text(planned())
    for words in (
        "6,738,415,616 parameters", "52,002 rows", "1,219 of 128 examples, 3 epochs, 37 of warm-up",
        "4 x A100 80 GB (named, not seen)", "44 of 79 GiB: fits", "151 for 2 checkpoints", "22 min to 31 min",
        "an assumption", "not measured",
    ):  # fmt: skip
        assert words in text
    assert max(map(len, text.splitlines())) <= 130
    assert "does not fit" in plan_text(planned("a100-40g"))
    facts = replace(ALPACA.facts, num_truncated=72, num_bad=4, num_dropped_overlong=1, num_unsupervised=2)
    told = plan_text(
        planned("rtx4090-24g", tokens=replace(ALPACA, facts=facts), data={"val_fraction": 0.1}, method="lora")
    )
    assert "52,002 rows (72 truncated, 7 left out, 5,200 held out)" in told
    assert "rank 16 adapters are trained" in told
    assert "on each of 2 nodes" in plan_text(planned("a100-80g:8", parallel={"nodes": 2}))
    assert "100 offloaded" in plan_text(planned(memory={"offload": "cpu"}))
    show(planned((), model=TINY, tokens=SMALL))
    assert "1 process on a CPU" in capsys.readouterr().err


def test_the_plan_is_told_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    plan = planned()
    show(plan, json=True)
    told = json.loads(capsys.readouterr().out)
    assert told == json.loads(json.dumps(plan.as_json()))
    assert told["memory"]["total"] == plan.memory.total == sum(plan.memory.as_dict().values())
    assert (told["steps"]["num_steps"], told["processes"]["world"], told["memory"]["fits"]) == (1219, 4, True)
    assert told["time"]["is_measured"] is False
    assert told["problems"] == []


@given(st.integers(2, 60), st.integers(1, 20), st.integers(1, 4), st.booleans(), st.integers(0, 99))
def test_tokens_are_those_that_the_steps_really_have(
    num: int, per_step: int, epochs: int, is_shared: bool, seed: int
) -> None:
    """With whole epochs the run's sums are exact, and no step has more than a long one is reckoned to have."""
    tokens = token_set(num, seed)
    recipe = recipe_of(batch={"examples_per_step": per_step}, train={"epochs": epochs})
    found = count(tokens, recipe)
    batches = Batches(
        tokens, np.arange(num), recipe.batch, recipe.train, rank=0, world=1, budget=1 << 30, shared_preamble=is_shared
    )
    steps = [batches.step(number) for number in range(batches.num_steps)]
    assert found.num_steps == len(steps)
    assert found.real_tokens == sum(step.real_tokens for step in steps)
    assert found.supervised_tokens == sum(step.supervised_tokens for step in steps)
    if not is_shared:
        assert found.computed_tokens(is_shared=False, packs_per_step=1) == sum(step.computed_tokens for step in steps)
        if per_step >= num:
            assert found.step_tokens >= max(step.computed_tokens for step in steps)


def test_the_share_of_real_tokens_in_the_originals_batches_is_counted() -> None:
    tokens = tokens_of([10, 20, 30, 40, 8, 6], [5] * 6)
    assert count(tokens, recipe_of()).original_share == pytest.approx(114 / (4 * 40 + 2 * 8))


def test_planning_imports_no_torch() -> None:
    code = (
        "import sys, alpaca_cli.finetune.plan.plan, alpaca_cli.cli.finetune_plan;"
        "assert not {'torch', 'transformers', 'accelerate'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_a_run_that_is_all_warm_up_is_refused() -> None:
    refused(
        planned(train={"max_steps": 1}),
        "nothing would be learnt: 1 step in all, 1 of warm-up from a rate of 0",
        "--set train.warmup=0",
    )
    few = planned(train={"max_steps": 5})
    assert any("only 5 steps, the first with a learning rate of 0" in note for note in few.notes)


def test_gpus_that_are_named_for_a_run_on_a_cpu_or_stay_idle_are_told() -> None:
    refused(planned(parallel={"device": "cpu"}), "parallel.device: cpu, but GPUs are named", "leave out --gpu")
    assert any("3 of 4 GPUs stay idle" in note for note in planned(parallel={"processes": 1}, method="lora").notes)

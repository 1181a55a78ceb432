"""What a run of `alpaca finetune` would do, need and take, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from alpaca_cli.cli import screen

if TYPE_CHECKING:
    from alpaca_cli.finetune.plan import Plan

GIB = 1 << 30
AGAIN = {
    "none": "nothing is computed again",
    "selective": "all but matrix products is computed again going back",
    "full": "each layer is computed again going back",
}
PARTS_A_LINE = 4


def show(plan: Plan, *, json: bool = False) -> None:
    """The plan as talk, or as data on stdout."""
    if json:
        screen.emit_json(plan.as_json())
    else:
        screen.say(plan_text(plan))
    for note in plan.notes:
        screen.note(note)


def plan_text(plan: Plan) -> str:
    """The plan in lines; what is wrong with it is said by its `refuse`."""
    rows = [
        ("model", _model(plan)),
        ("data", _data(plan)),
        ("steps", _steps(plan)),
        ("tokens", _tokens(plan)),
        ("on", _devices(plan)),
        *_memory(plan),
        ("host memory", _host(plan)),
        ("disk", _disk(plan)),
        ("time", _time(plan)),
    ]
    return "\n".join(["the plan, reckoned and not measured:", *(f"  {name:12} {text}" for name, text in rows)])


def _model(plan: Plan) -> str:
    model, recipe = plan.architecture, plan.settled
    trained = f"rank {recipe.lora.rank} adapters are trained" if recipe.method == "lora" else "all are trained"
    return f"{model.model_type}, {model.num_parameters:,} parameters, {trained}; {recipe.model.path}"


def _data(plan: Plan) -> str:
    facts, parts = plan.facts, []
    if facts.num_truncated:
        parts.append(f"{facts.num_truncated:,} truncated")
    if left_out := facts.num_bad + facts.num_dropped_overlong + facts.num_unsupervised:
        parts.append(f"{left_out:,} left out")
    if plan.steps.num_held_out:
        parts.append(f"{plan.steps.num_held_out:,} held out")
    rows = f"{facts.num_rows:,} rows" + (f" ({', '.join(parts)})" if parts else "")
    return f"{rows}, {facts.real_tokens:,} tokens, of which {facts.supervised_tokens:,} carry loss"


def _steps(plan: Plan) -> str:
    steps, recipe = plan.steps, plan.settled
    epochs = f"{steps.num_seen / steps.num_examples:.3g}"
    return (
        f"{steps.num_steps:,} of {recipe.batch.examples_per_step:,} examples, {epochs} epochs, "
        f"{steps.num_warmup:,} of warm-up"
    )


def _tokens(plan: Plan) -> str:
    steps = plan.steps
    return (
        f"{_short(steps.real_tokens)} real, {_short(plan.computed_tokens)} computed, "
        f"{_short(steps.supervised_tokens)} with loss; padded in fours it would be "
        f"{_short(steps.real_tokens / steps.original_share)}"
    )


def _devices(plan: Plan) -> str:
    recipe, processes = plan.settled, plan.settled.parallel.processes or 1
    what = plan.gpus[0].name if plan.gpus else "CPU"
    nodes = f" on each of {recipe.parallel.nodes} nodes" if recipe.parallel.nodes > 1 else ""
    known = "" if plan.is_here else " (named, not seen)"
    budget = recipe.batch.tokens_per_microbatch or 0
    again = AGAIN[recipe.memory.activation_checkpointing]
    who = f"{processes} x {what}" if plan.gpus else f"{processes} process{'es' * (processes > 1)} on the {what}"
    return f"{who}{nodes}{known}, up to {budget:,} tokens at once each; {again}"


def _memory(plan: Plan) -> list[tuple[str, str]]:
    """The parts of one process, then whether they fit."""
    parts = [f"{name} {_gib(size)}" for name, size in plan.memory.as_dict().items() if size]
    lines = [", ".join(parts[at : at + PARTS_A_LINE]) for at in range(0, len(parts), PARTS_A_LINE)]
    verdict = screen.paint("fits", "bold") if plan.fits else screen.paint("does not fit", "red")
    last = f"{_gib(plan.memory.total)} of {_gib(plan.room)} GiB: {verdict}"
    lines[0] = f"of one process at its worst moment, GiB: {lines[0]}"
    return [("memory", lines[0]), *(("", line) for line in [*lines[1:], last])]


def _host(plan: Plan) -> str:
    host, parts = plan.host, [f"{_gib(plan.host.processes)} of processes"]
    if host.offloaded:
        parts.append(f"{_gib(host.offloaded)} offloaded")
    parts.append(f"{_gib(host.staging)} from which checkpoints are written")
    nodes = " on each node" if plan.settled.parallel.nodes > 1 else ""
    return f"{_gib(host.total)} GiB{nodes}{_free(plan.host_free)}: {', '.join(parts)}"


def _disk(plan: Plan) -> str:
    disk, kept = plan.disk, plan.settled.checkpoint.keep
    parts = f"{_gib(disk.checkpoints)} for {kept + 1} checkpoints, {_gib(disk.export)} for the model"
    return f"{_gib(disk.total)} GiB{_free(plan.disk_free)}: {parts}"


def _free(free: int | None) -> str:
    return "" if free is None else f" of {_gib(free)} free"


def _time(plan: Plan) -> str:
    if plan.seconds is None:
        return "not known beforehand here; the first steps tell"
    best, worst = (_about(each) for each in plan.seconds)
    low, high = plan.assumed_shares
    peak = sum(gpu.peak_flops for gpu in plan.gpus) * plan.settled.parallel.nodes
    return (
        f"{best} to {worst} of training: {plan.flops:.2g} FLOP at {high:.0%} to {low:.0%} of "
        f"{peak / 1e12:,.0f} TFLOP/s, an assumption"
    )


def _about(seconds: float) -> str:
    """A guess of minutes does not speak of seconds."""
    return f"{round(seconds / 60)} min" if 120 <= seconds < 3600 else screen.duration(seconds)


def _gib(num_bytes: int) -> str:
    """
    >>> [_gib(each) for each in (80 << 30, 3 << 28, 5 << 20)]
    ['80', '0.75', '0.0049']
    """
    size = num_bytes / GIB
    return f"{size:,.0f}" if size >= 20 else f"{size:.1f}" if size >= 1 else f"{size:.2g}"


def _short(number: float) -> str:
    """
    >>> _short(20_294_400), _short(81_530)
    ('20.3M', '82k')
    """
    return f"{number / 1e6:,.1f}M" if number >= 1e6 else f"{number / 1e3:,.0f}k" if number >= 1e4 else f"{number:,.0f}"

"""What a run of `alpaca finetune` would do, need and take, in words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from alpaca_cli.cli import screen

if TYPE_CHECKING:
    from alpaca_cli.finetune.plan.plan import Plan

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
        f"{_short(steps.supervised_tokens)} with loss; padded in batches of four they would be "
        f"{_short(steps.real_tokens / steps.original_share)}"
    )


def _devices(plan: Plan) -> str:
    recipe, processes = plan.settled, plan.settled.parallel.processes or 1
    what = plan.gpus[0].name if plan.gpus else "CPU" if recipe.parallel.device == "cpu" else "GPU that is not here"
    nodes = f" on each of {recipe.parallel.nodes} nodes" if recipe.parallel.nodes > 1 else ""
    known = "" if plan.is_here else " (named, not seen)"
    budget = recipe.batch.tokens_per_microbatch or 0
    again = AGAIN[recipe.memory.activation_checkpointing]
    who = f"{processes} x {what}" if plan.gpus else f"{processes} process{'es' * (processes > 1)} on a {what}"
    return f"{who}{nodes}{known}, up to {budget:,} tokens at once each; {again}"


def _memory(plan: Plan) -> list[tuple[str, str]]:
    """The parts of one process, then whether they fit."""
    total, size = plan.memory.total, _unit(plan.memory.total)
    parts = [f"{name} {size(part)}" for name, part in plan.memory.as_dict().items() if part]
    lines = [", ".join(parts[at : at + PARTS_A_LINE]) for at in range(0, len(parts), PARTS_A_LINE)]
    verdict = screen.paint("fits", "bold") if plan.fits else screen.paint("does not fit", "red")
    lines[0] = f"of one process at its worst moment, {size.name}: {lines[0]}"
    is_known = plan.gpus or plan.settled.parallel.device == "cpu"
    lines.append(
        f"{size(total)} of {size(plan.room)} {size.name}: {verdict}" if is_known else f"{size(total)} {size.name}"
    )
    return [("memory", lines[0]), *(("", line) for line in lines[1:])]


def _host(plan: Plan) -> str:
    host, size = plan.host, _unit(plan.host.total)
    parts = [f"{size(host.processes)} of processes"]
    if host.offloaded:
        parts.append(f"{size(host.offloaded)} offloaded")
    parts.append(f"{size(host.staging)} from which checkpoints are written")
    nodes = " on each node" if plan.settled.parallel.nodes > 1 else ""
    return f"{size(host.total)} {size.name}{nodes}{_free(plan.host_free, size)}: {', '.join(parts)}"


def _disk(plan: Plan) -> str:
    disk, size = plan.disk, _unit(plan.disk.total)
    checkpoints = f"{size(disk.checkpoints)} for {plan.settled.checkpoint.keep + 1} checkpoints"
    free = _free(plan.disk_free, size)
    return f"{size(disk.total)} {size.name}{free}: {checkpoints}, {size(disk.export)} for the model"


def _free(free: int | None, size: _Size) -> str:
    return "" if free is None else f" of {size(free)} free"


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


@dataclass(frozen=True)
class _Size:
    """Bytes in words, in one unit.

    >>> [_Size("GiB", 1 << 30)(each) for each in (80 << 30, 3 << 29, 5 << 20)]
    ['80', '1.5', '0.0049']
    """

    name: str
    unit: int

    def __call__(self, num_bytes: int) -> str:
        size = num_bytes / self.unit
        return f"{size:,.0f}" if size >= 20 else f"{size:.1f}" if size >= 1 else f"{size:.2g}"


def _unit(total: int) -> _Size:
    """In which the parts of `total` bytes are told."""
    return _Size("GiB", 1 << 30) if total >= 2 << 30 else _Size("MiB", 1 << 20)


def _short(number: float) -> str:
    """
    >>> _short(20_294_400), _short(81_530)
    ('20.3M', '82k')
    """
    return f"{number / 1e6:,.1f}M" if number >= 1e6 else f"{number / 1e3:,.0f}k" if number >= 1e4 else f"{number:,.0f}"

"""What `alpaca finetune` shows: the run while it goes on, its end, and how to go on."""

from __future__ import annotations

import time
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alpaca_cli.cli import screen

if TYPE_CHECKING:
    from alpaca_cli.finetune.metrics import Record

SMOOTH_OVER = 20
PHASES = {
    "loading": "loading the model",
    "checking": "checking our way to the loss against the model's own",
    "probing": "saving and exporting once, so that neither fails for the first time at the end",
    "training": "training",
    "evaluating": "looking at the held-out examples",
    "saving": "saving the last checkpoint",
    "exporting": "exporting the model, and reading it again",
}
MFU = "MFU: 6 FLOPs (LoRA: 4) for each parameter and real token, of what the GPUs could do in bf16 without sparsity"


class View:
    """The live view of a run: its records, on the screen."""

    def __init__(self, command: str = "") -> None:
        self._command = command
        self._ticker = screen.Ticker()
        self._began = time.monotonic()
        self._phase = "starting the processes"
        self._phase_began = self._began
        self._steps: deque[Record] = deque(maxlen=SMOOTH_OVER + 1)
        self._num_steps = 0
        self._held_out: float | None = None
        self._saved: int | None = None
        self._is_stopping = False

    def __enter__(self) -> View:
        self._ticker.__enter__()
        return self

    def __exit__(self, *details: object) -> None:
        self._ticker.__exit__(*details)

    def tokenizing(self, done: int, count: int) -> None:
        """The dataset is made into tokens."""
        self._ticker.show(f"tokenizing: {done:,} of {count:,} rows")

    def record(self, record: Record) -> None:
        """A record of `metrics.jsonl`."""
        {
            "phase": self._on_phase,
            "step": self._on_step,
            "eval": self._on_eval,
            "checkpoint": self._on_checkpoint,
            "resume": self._on_resume,
        }.get(record["kind"], lambda _: None)(record)

    def stopping(self) -> None:
        """The user, or a scheduler, wants an end."""
        self._is_stopping = True
        screen.say("stopping after a checkpoint; again: at once, without one")

    def stopped(self) -> None:
        """The run was asked to stop, and did: the command that goes on."""
        screen.say(f"stopped; to go on: {self._command}")

    def tick(self) -> None:
        """Show the state now; to be called a few times a second."""
        line = self._line() if self._steps else f"{self._phase}, {screen.duration(self._in_phase_s())}"
        self._ticker.show(line, self._block())

    def _on_phase(self, record: Record) -> None:
        phase = record["phase"]
        if phase in ("done", "stopped"):
            return
        self._phase = PHASES.get(phase, str(phase))
        self._phase_began = time.monotonic()
        if not screen.is_terminal() and phase != "evaluating":  # its number comes as an eval record
            screen.say(self._phase)

    def _on_step(self, record: Record) -> None:
        if record["mfu"] is not None and not self._num_steps:
            screen.say(MFU)
        is_first, self._num_steps = not self._num_steps, record["num_steps"]
        self._steps.append(record)
        if not screen.is_terminal() and (is_first or record["step"] == record["num_steps"]):
            screen.say(self._line())

    def _on_eval(self, record: Record) -> None:
        self._held_out = record["loss"]
        screen.say(f"held-out loss {record['loss']:.4f} after step {record['step']:,}")

    def _on_checkpoint(self, record: Record) -> None:
        self._saved = record["step"]
        if not screen.is_terminal() and record["step"]:
            screen.say(f"checkpoint of step {record['step']:,}")

    def _on_resume(self, record: Record) -> None:
        words = f"going on from the checkpoint of step {record['step']:,}"
        if record["again"]:
            words += f", {record['again']:,} step{'s' * (record['again'] != 1)} after it done again"
        same = "as if it had not stopped, bit for bit" if record["is_exact"] else "equal within rounding"
        screen.say(f"{words}: {same}")

    def _line(self) -> str:
        last = self._steps[-1]
        parts = [
            f"step {last['step']:,} of {self._num_steps:,} ({last['step'] / self._num_steps:.0%})",
            f"loss {last['loss']:.4f}",
            f"lr {last['lr']:.2e}",
            f"gradient norm {last['grad_norm']:.3g}",
            f"{self._rate('real_tokens'):,.0f} real tokens/s",
        ]
        if last["mfu"] is not None:
            parts.append(f"MFU {last['mfu']:.0%}")
        return ", ".join([*parts, _memory(last), f"{screen.duration(self._left_s())} left"])

    def _block(self) -> list[str]:
        phase = f"  now      {self._phase}, for {screen.duration(self._in_phase_s())}"
        if self._is_stopping:
            phase += "; stopping after a checkpoint"
        if not self._steps:
            return [phase]
        last = self._steps[-1]
        share = last["step"] / self._num_steps
        smooth = self._mean("loss")
        held_out = "" if self._held_out is None else f", held out {self._held_out:.4f}"
        mfu = f", MFU {last['mfu']:.0%}" if last["mfu"] is not None else ""
        tokens = "{:,.0f} real tokens/s, {:,.0f} computed, {:,.0f} supervised".format(
            *(self._rate(f"{kind}_tokens") for kind in ("real", "computed", "supervised"))
        )
        saved = "none yet" if not self._saved else f"of step {self._saved:,}"
        gone = screen.duration(time.monotonic() - self._began)
        return [
            f"  step     {last['step']:,} of {self._num_steps:,}  {screen.bar(share)}  {share:.0%}",
            f"  loss     {last['loss']:.4f}, mean of the last {len(self._recent())} {smooth:.4f}{held_out}",
            f"  update   lr {last['lr']:.2e}, gradient norm {last['grad_norm']:.3g}, epoch {last['epoch']:.2f}",
            f"  speed    {tokens}{mfu}",
            f"  memory   {_memory(last)} at most in the first process",
            f"  saved    {saved}",
            f"  time     {gone} gone, {screen.duration(self._left_s())} left",
            phase,
        ]

    def _recent(self) -> list[Record]:
        """The last steps; without the very first if there are others: it compiles and warms up."""
        steps = list(self._steps)
        return steps[1:] if len(steps) > 1 else steps

    def _mean(self, key: str) -> float:
        recent = self._recent()
        return float(sum(record[key] for record in recent)) / len(recent)

    def _rate(self, key: str) -> float:
        return self._mean(key) / max(self._mean("seconds"), 1e-9)

    def _left_s(self) -> float:
        return float((self._num_steps - self._steps[-1]["step"]) * self._mean("seconds"))

    def _in_phase_s(self) -> float:
        return time.monotonic() - self._phase_began


def summarise(folder: Path, records: list[Record]) -> None:
    """The end of a run that came to its end: what it told of the held-out examples, and where what lies."""
    looks = [f"{each['loss']:.4f} after step {each['step']:,}" for each in records if each["kind"] == "eval"]
    if looks:
        screen.say(f"  held out {', '.join(dict.fromkeys([looks[0], looks[-1]]))}")
    screen.say(f"  curve    {folder / 'loss.png'}")
    screen.say(f"  report   {folder / 'report.json'}")
    screen.say(f"  model    {folder / 'model'}; its README.md shows how to use it")


def result(folder: Path, report: dict[str, Any]) -> dict[str, object]:
    """What --json prints of a run that came to its end."""
    return {"folder": str(folder), "model": str(folder / "model"), "report": report}


def _memory(record: Record) -> str:
    return f"{record['memory_bytes'] / 1e9:.1f} GB"

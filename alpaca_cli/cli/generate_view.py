"""What `alpaca generate` shows: the run while it goes on, its end, and how to go on."""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Mapping
from decimal import ROUND_UP, Decimal
from pathlib import Path
from typing import TYPE_CHECKING

from alpaca_cli.cli import screen
from alpaca_cli.cli.generate_plan import counted, short, usd
from alpaca_cli.errors import LimitReached

if TYPE_CHECKING:
    from alpaca_cli.generate.openrun import Result
    from alpaca_cli.generate.plan import Plan
    from alpaca_cli.generate.progress import Progress
    from alpaca_cli.recipe.generate import GenerateRecipe

RATE_OVER_S = 30.0
TROUBLE_EVERY_S = 5.0
SILENT_AFTER_S = 60.0
SHORTEST_KEY = 8  # a shorter one is no secret, and would be found in any command


class View:
    """The live view of a run: what the loop tells, on the screen.  `keys`: each key, and the variable it is in."""

    def __init__(self, title: str, recipe: GenerateRecipe, out: Path, keys: Mapping[str, str]) -> None:
        self._title: str | None = title
        self._is_rehearsal = recipe.teacher.kind == "rehearsal"
        self._out = out
        self._keys = keys
        self._ticker = screen.Ticker()
        self._plan: Plan | None = None
        self._last: Progress | None = None
        self._num_retries = 0
        self._told = (0, -TROUBLE_EVERY_S)  # retries that were told, and when
        self._marks: list[tuple[float, int]] = [(0.0, 0)]  # seconds and examples kept by this process, of late

    def __enter__(self) -> View:
        self._ticker.__enter__()
        return self

    def __exit__(self, *details: object) -> None:
        self._ticker.__exit__(*details)

    def note(self, text: str) -> None:
        """A line above the view."""
        screen.note(text)

    def retry(self, text: str) -> None:
        """One line of trouble at a time: sixteen requests fail as one when a server goes away."""
        self._num_retries += 1
        told, when = self._told
        if time.monotonic() - when >= TROUBLE_EVERY_S:
            more = self._num_retries - told - 1
            screen.note(text + (f" (and {counted(more, 'retry', 'retries')} before it)" if more else ""))
            self._told = (self._num_retries, time.monotonic())

    def _begin(self) -> None:
        """Say what is done, once it is sure to be done."""
        if self._title is not None:
            screen.say(self._title)
            self._title = None

    def replaying(self, done: int, count: int) -> None:
        """The journal is read."""
        self._begin()
        self._ticker.show(f"reading the journal: {done:,} of {counted(count, 'completion')}")

    def comparing(self, done: int, count: int) -> None:
        """The dataset is written, and how near each example is to those before it is being found out."""
        self._ticker.show(f"comparing each example with all before it: {done:,} of {counted(count, 'example')}")

    def plan(self, plan: Plan) -> None:
        """What is about to be asked and what it will cost, in a line; of the rehearsal, which is free, nothing."""
        self._begin()
        self._plan = plan
        for warning in plan.warnings:
            screen.note(warning)
        if not self._is_rehearsal:
            is_open = plan.cost and plan.max_cost is None
            screen.say(short(plan) + ("; no --max-cost set" if is_open else ""))

    def waiting(self, text: str) -> None:
        """How a batch stands at its server."""
        self._ticker.show(text)

    def progress(self, progress: Progress) -> None:
        """The run has moved."""
        self._begin()
        self._last = progress
        self._marks.append((progress.seconds, progress.kept - progress.num_kept_before))
        while len(self._marks) > 2 and self._marks[1][0] < progress.seconds - RATE_OVER_S:
            del self._marks[0]
        per_second = self._per_second()
        self._ticker.show(_line(progress, per_second), _block(progress, per_second, self._num_retries))

    def _per_second(self) -> float:
        """Examples kept a second, of late: novelty gets rarer, so the mean of the whole run would promise too much."""
        (began, before), (now, kept) = self._marks[0], self._marks[-1]
        return (kept - before) / (now - began) if now - began > 1 else 0.0

    def stopped(self, error: BaseException) -> None:
        """What there is when the run ends before its end, and the command that goes on."""
        self._ticker.__exit__()
        last = self._last
        if last is None:
            return
        if last.num_completions:
            screen.say(f"stopped: {_line(last, 0.0)}")
            screen.say(f"the answers are in {self._out / 'journal.jsonl'}")
        if isinstance(error, LimitReached) and self._plan is not None:
            self._say_what_is_missing(error.limit, self._plan, last)
        elif last.num_completions:
            screen.say(f"to go on: {command_line(self._keys)}")

    def _say_what_is_missing(self, limit: str, plan: Plan, last: Progress) -> None:
        """After a limit of the user's own: what more would cost, and the command that likely suffices."""
        missing = f"{counted(last.num - last.kept, 'example')} missing"
        pace = last.num_requests / last.kept if last.kept else plan.num_requests / last.num
        spent = last.spent or Decimal(0)
        expected = last.expected or (None if plan.cost is None else spent + plan.cost)
        if expected:
            missing += f", about {usd(max(expected - spent, Decimal(0)))} more"
        if limit == "max_cost" and plan.max_cost is not None:
            enough = max((expected or spent) * Decimal("1.1") + plan.most, plan.max_cost * Decimal("1.2"))
            more = {"--max-cost": f"{enough.quantize(Decimal(1).scaleb(enough.adjusted() - 1), ROUND_UP):f}"}
        else:
            more = {"--max-requests": str(last.num_requests + int((last.num - last.kept) * pace * 1.1) + 2)}
        screen.say(f"{missing}; to go on: {command_line(self._keys, more)}")


def command_line(keys: Mapping[str, str], changes: Mapping[str, str] | None = None) -> str:
    """This command as for a shell, with other values for some flags; of a key in it only its variable is shown."""
    words = sys.argv[1:]
    for flag, value in (changes or {}).items():
        places = [place for place, word in enumerate(words[:-1]) if word == flag]
        words = [f"{flag}={value}" if word.startswith(f"{flag}=") else word for word in words]
        for place in places:
            words[place + 1] = value
        if not places and f"{flag}={value}" not in words:
            words = [*words, flag, value]
    for key, name in keys.items():
        if len(key) >= SHORTEST_KEY:
            words = [word.replace(key, f"${name}") for word in words]
    return shlex.join(["alpaca", *words])


def summarise(result: Result, recipe: GenerateRecipe) -> None:
    """The end of a run that came to its end."""
    found = numbers(result)
    refused = found["refused"]
    assert isinstance(refused, dict)
    words = ", ".join(f"{name} {count:,}" for name, count in sorted(refused.items(), key=lambda pair: -pair[1]))
    now = "all now" if result.num_asked == result.num_completions else f"{result.num_asked:,} of them now"
    now = now if result.num_asked else "none now"
    requests = counted(result.report["run"]["requests"], "request")
    screen.say(f"  kept      {found['kept']:,} examples, {found['with_input']:,} with an input")
    screen.say(f"  refused   {sum(refused.values()):,} of {found['tasks']:,} tasks: {words or 'none'}")
    screen.say(f"  asked     {counted(result.num_completions, 'completion')}, {now}; {requests} in all")
    if result.spent:
        worst = f", of which {usd(result.unknown)} unknown and counted at their worst" if result.unknown else ""
        screen.say(f"  spent     {usd(result.spent)}{worst}")
    if result.num_over:
        screen.say(f"  over      {counted(result.num_over, 'completion')} kept in the journal for a larger --num")
    if found["completions_without_usage"]:
        screen.say(
            f"  uncounted tokens of {found['completions_without_usage']:,} completions: the server did not count"
        )
    screen.say(f"  dataset   {result.dataset}")
    if recipe.license is None and recipe.teacher.kind != "rehearsal":
        screen.say(
            "no licence stated: add --license ID (for example cc-by-nc-4.0) and run again to put it into the card"
        )


def numbers(result: Result) -> dict[str, object]:
    """The report with what this process knows."""
    return {
        **result.report,
        "completions_paid": result.num_completions,
        "completions_over": result.num_over,
        "completions_asked_now": result.num_asked,
    }


def _line(progress: Progress, per_second: float) -> str:
    parts = [
        f"kept {progress.kept:,} of {progress.num:,} ({progress.kept / progress.num:.0%})",
        f"{counted(progress.num_completions, 'completion')}",
        f"{progress.prompt_tokens + progress.completion_tokens:,} tokens",
    ]
    if per_second:
        parts.append(_left(progress, per_second))
    return ", ".join([*parts, *_money(progress), *_silence(progress)])


def _block(progress: Progress, per_second: float, num_retries: int) -> list[str]:
    idle = "beginning" if progress.seconds < RATE_OVER_S else "nothing kept of late"
    rate = f"{per_second * 60:,.0f} examples a minute, {_left(progress, per_second)}" if per_second else idle
    waiting = f", {progress.num_waiting:,} of them wait for an earlier one" if progress.num_waiting else ""
    refused = ", ".join(f"{name} {count:,}" for name, count in progress.reasons.most_common(5))
    retries = f", {counted(num_retries, 'retry', 'retries')}" if num_retries else ""
    under_way = ", ".join([f"{progress.num_under_way} of {progress.limit} under way", *_silence(progress)])
    share = progress.kept / progress.num
    lines = [
        f"  kept     {progress.kept:,} of {progress.num:,}  {screen.bar(share)}  {share:.0%}",
        f"  speed    {rate}",
        f"  asked    {counted(progress.num_requests, 'request')}{retries}, {under_way}",
        f"  answered {counted(progress.num_completions, 'completion')}{waiting}",
        f"  tokens   {progress.prompt_tokens:,} in, {progress.completion_tokens:,} out",
        f"  refused  {refused or 'none'}",
    ]
    return lines + [f"  money    {text}" for text in _money(progress)]


def _money(progress: Progress) -> list[str]:
    if not progress.spent:
        return []
    expected = f", about {usd(progress.expected)} in all" if progress.expected else ""
    return [f"{usd(progress.spent)} spent{expected}"]


def _silence(progress: Progress) -> list[str]:
    """A watchdog: a request under way for very long, so that a server that hangs does not look like one that works."""
    if progress.oldest_s < SILENT_AFTER_S:
        return []
    return [f"the oldest request for {screen.duration(progress.oldest_s)}"]


def _left(progress: Progress, per_second: float) -> str:
    return f"{screen.duration((progress.num - progress.kept) / per_second)} left"

"""What `alpaca diff` shows: how far it is, what came out, and a diff layer by layer."""

from __future__ import annotations

import math
import shlex
import time
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alpaca_cli.cli import screen

if TYPE_CHECKING:
    from alpaca_cli.diff.additive.additive import RecoveredAdditive
    from alpaca_cli.diff.additive.sums import Sums
    from alpaca_cli.diff.recover import Recovered
    from alpaca_cli.diff.summary import Group, Summary
    from alpaca_cli.diff.verify import Verified

EVERY_S = 0.1
RATE_OVER_S = 10.0
MOST_LAYERS = 16
"""Groups of layers on a terminal."""


class Meter:
    """How far it is: a bar, the rate of the last ten seconds, the time left.  `show` may be called from any thread."""

    def __init__(self) -> None:
        self._ticker = screen.Ticker()
        self._began = self._shown = time.monotonic()
        self._what = ""
        self.seconds = 0.0
        """That it took, once it is over."""
        self._marks: deque[tuple[float, int]] = deque()

    def __enter__(self) -> Meter:
        self._ticker.__enter__()
        return self

    def __exit__(self, *details: object) -> None:
        self._ticker.__exit__(*details)
        self.seconds = time.monotonic() - self._began

    def show(self, what: str, done: int, total: int) -> None:
        """So many bytes of all are done."""
        now = time.monotonic()
        if what != self._what:
            self._what, self._marks = what, deque([(self._shown, 0)])
        elif now - self._shown < EVERY_S:
            return
        self._shown = now
        self._marks.append((now, done))
        while len(self._marks) > 2 and now - self._marks[1][0] > RATE_OVER_S:
            self._marks.popleft()
        then, before = self._marks[0]
        rate = (done - before) / max(now - then, 1e-9)
        left = f"{screen.duration((total - done) / rate)} left" if rate else "waiting"
        share, speed = done / max(total, 1), f"{screen.size(rate)}/s, {left}"
        bytes_done = f"{screen.size(done)} of {screen.size(total)}"
        self._ticker.show(
            f"{what}: {bytes_done} ({share:.0%}), {speed}",
            [f"  {what}  {screen.bar(share)}  {share:.0%}", f"  {bytes_done}, {speed}"],
        )


def command(*words: object) -> str:
    """A command line that can be pasted."""
    paths = (f"./{word}" if isinstance(word, Path) and str(word).startswith("-") else str(word) for word in words)
    return shlex.join(["alpaca", "diff", *paths])


def say_rows(rows: Mapping[str, str]) -> None:
    """What is what, a line each."""
    for name, text in rows.items():
        screen.say(f"  {name:9} {text}")


def say_made(summary: Summary, base: Path, seconds: float, more: Mapping[str, str]) -> None:
    """What was made, in words, and the commands that come next."""
    total, out = summary.total, summary.path
    screen.say(f"diff make: {percent(total.size_share)} of the tuned weights")
    say_rows({**_facts(summary), **more})
    say_rows(
        {
            "digest": summary.digest or "",
            "took": took(total.tuned_bytes or 0, seconds),
            "prove": command("verify", out, "--base", base),
            "show": command("show", out),
            "recover": command("recover", "--base", base, "--diff", out, "--out", Path(f"{out}-recovered")),
        }
    )


def say_recovered(recovered: Recovered, seconds: float) -> None:
    """What came out of an exact diff, in words."""
    manifest = recovered.manifest
    kept = f", {recovered.num_kept:,} of them there from before" if recovered.num_kept else ""
    size = f"{screen.size(manifest.tuned.num_bytes)} in {_count(len(manifest.weights), 'file')}"
    count = _count(len(manifest.tensors), "tensor")
    screen.say(f"diff recover: {manifest.tuned.name}, bit for bit: {count}, each proved by its SHA-256")
    say_rows(
        {
            "model": f"{recovered.path}, {size}{kept}",
            "digest": f"{recovered.digest} (of the diff)",
            "took": took(manifest.tuned.num_bytes, seconds),
        }
    )


def recovered_json(recovered: Recovered) -> dict[str, Any]:
    """The same for machines."""
    manifest = recovered.manifest
    return {
        "out": str(recovered.path),
        "kind": "exact",
        "is_proven": True,
        "unequal": 0,
        "digest": recovered.digest,
        "tensors": len(manifest.tensors),
        "bytes": manifest.tuned.num_bytes,
        "kept": recovered.num_kept,
    }


def say_added(recovered: RecoveredAdditive, seconds: float) -> None:
    """What came out of an additive diff, in words."""
    count = _count(recovered.num_tensors, "tensor")
    if recovered.is_proven:
        proof = f"{count}, each proved by its SHA-256: {likeness(recovered.num_unequal)}"
    else:
        proof = f"{count}, added up, and proved by nothing"
        if recovered.manifest is not None:
            proof = f"{count} of base and diff proved by SHA-256, and added up in another type than the tuned model's"
    screen.say(f"diff recover: {proof}")
    say_rows({"model": f"{recovered.path}, {screen.size(recovered.num_bytes)}", "sum": sums_text(recovered.sums)})
    if recovered.digest:
        say_rows({"digest": f"{recovered.digest} (of the diff)"})
    say_rows({"took": took(recovered.num_bytes, seconds)})


def added_json(recovered: RecoveredAdditive) -> dict[str, Any]:
    """The same for machines."""
    return {
        "out": str(recovered.path),
        "kind": "additive",
        "is_proven": recovered.is_proven,
        "unequal": recovered.num_unequal if recovered.is_proven else None,
        "digest": recovered.digest or None,
        "tensors": recovered.num_tensors,
        "bytes": recovered.num_bytes,
        "sum": sums_json(recovered.sums),
    }


def likeness(num_unequal: int) -> str:
    """How near what is recovered comes to the tuned model."""
    if not num_unequal:
        return "every value comes back bit for bit"
    return f"{_count(num_unequal, 'value')} come{'s' * (num_unequal == 1)} back rounded, all others bit for bit"


def sums_text(sums: Sums) -> str:
    """Of all parameters, as --expect-sum takes them."""
    rotary = "" if sums.with_rotary is None else f" ({sums.with_rotary:.4f} with the rotary buffers of old versions)"
    return f"{sums.plain:.4f}{rotary}, of all parameters"


def sums_json(sums: Sums) -> dict[str, float | None]:
    """The same for machines."""
    found = {"plain": sums.plain, "with_rotary": sums.with_rotary}
    return {name: total if total is not None and math.isfinite(total) else None for name, total in found.items()}


def say_verified(verified: Verified) -> None:
    """What was proved, in words."""
    manifest = verified.manifest
    what = "its weights, and the files that come with them, are as they were made"
    screen.say(f"diff verify: this {manifest.kind} diff of {manifest.tuned.name} is whole: {what}")
    say_rows({"digest": verified.digest})
    if verified.base is not None:
        gives = ", and gives the tuned model bit for bit" if manifest.kind == "exact" else ""
        say_rows({"base": f"{verified.base} is what it was made from{gives}"})
    if verified.tuned is not None:
        unequal = sum(each.num_unequal for each in manifest.differences)
        is_what = "the tuned model, bit for bit"
        if verified.is_rounded:
            is_what = f"what the diff gives, with {unequal:,} values rounded"
        elif unequal:
            is_what += f"; of its values, {unequal:,} come back rounded"
        say_rows({"tuned": f"{verified.tuned} is {is_what}"})


def shown(summary: Summary, *, is_folded: bool) -> str:
    """A diff in words and tables, layer by layer and kind by kind; folded, neighbouring layers are told together."""
    from alpaca_cli.diff.summary import folded

    lines = [f"{summary.kind} diff of {summary.tuned_name}, from {summary.base_name}"]
    if summary.digest is None:
        lines = [f"{summary.path.resolve().name}: a model folder; if a diff, then an additive one that others made"]
    facts = _facts(summary)
    if summary.digest:
        facts |= {"made by": summary.made_by or "", "digest": summary.digest}
    lines += [f"  {name:9} {text}" for name, text in facts.items()]
    layers = folded(summary.layers, MOST_LAYERS) if is_folded else summary.layers
    lines += ["", *_table("part", [*summary.before, *layers, *summary.after, summary.total])]
    if summary.kinds:
        lines += ["", *_table("kind, in all layers", summary.kinds)]
    return "\n".join(lines)


def facts_json(summary: Summary) -> dict[str, Any]:
    """What is known of a diff as a whole, for machines."""
    total, tensors = summary.total, {"all": len(summary.pieces)}
    if summary.digest is not None:
        words = {"changed": "changed", "same": "unchanged", "whole": "whole", "repeat": "repeated"}
        tensors |= {word: summary.num_told(method) for method, word in words.items()}  # type: ignore[arg-type]
    return {
        "diff": str(summary.path),
        "kind": summary.kind,
        "made_by": summary.made_by,
        "digest": summary.digest,
        "base": {"name": summary.base_name, "bytes": summary.base_bytes},
        "tuned": {"name": summary.tuned_name, "bytes": total.tuned_bytes, "values": total.num_values},
        "bytes": total.diff_bytes,
        "share": total.size_share,
        "changed_share": total.changed_share,
        "tensors": tensors,
        "rows": {name: {"base": there, "tuned": here} for name, (there, here) in summary.new_rows.items()},
        "files": list(summary.other_files),
    }


def as_json(summary: Summary) -> dict[str, Any]:
    """All that is known of a diff, for machines."""
    parts, kinds = ([_group_json(group) for group in groups] for groups in (summary.parts, summary.kinds))
    return {**facts_json(summary), "parts": parts, "kinds": kinds}


def percent(share: float | None) -> str:
    """A share as a percentage that is 0 or 100 only where it is nothing or all.

    >>> [percent(share) for share in (0, 0.00001, 0.184, 0.99999, 1, None)]
    ['0%', '<0.1%', '18.4%', '>99.9%', '100%', '-']
    """
    if share is None:
        return "-"
    if share in (0, 1):
        return f"{share:.0%}"
    if share < 0.0005:
        return "<0.1%"
    return ">99.9%" if 0.9995 <= share < 1 else f"{share:.1%}"


def _facts(summary: Summary) -> dict[str, str]:
    """Sizes and counts."""
    total, facts = summary.total, {}
    parameters = f"{total.num_values:,} parameters in {_count(len(summary.pieces), 'tensor')}"
    if summary.base_name is not None and summary.base_bytes is not None:
        facts["base"] = f"{summary.base_name}, {screen.size(summary.base_bytes)}"
    if total.tuned_bytes is not None:
        facts["tuned"] = f"{summary.tuned_name}, {screen.size(total.tuned_bytes)}, {parameters}"
    size = f"{screen.size(total.diff_bytes)} in {_count(summary.num_files, 'file')}"
    share = "" if total.size_share is None else f", {percent(total.size_share)} of the tuned weights"
    facts["diff"] = f"{size}{share}" if total.tuned_bytes is not None else f"{size}, {parameters}"
    told = {"changed": "changed", "same": "unchanged", "whole": "whole, which the base lacks", "repeat": "repeated"}
    counts = [f"{count:,} {word}" for method, word in told.items() if (count := summary.num_told(method))]  # type: ignore[arg-type]
    if counts:
        facts["tensors"] = ", ".join(counts)
    if total.changed_share is not None:
        facts["changed"] = f"{percent(total.changed_share)} of all values"
    if summary.new_rows:
        facts["rows"] = "; ".join(
            f"{name}: {there:,} in the base, {here:,} here"
            for name, (there, here) in list(summary.new_rows.items())[:4]
        )
    if summary.other_files:
        facts["files"] = _some(summary.other_files)
    return facts


def _table(heading: str, groups: Sequence[Group]) -> list[str]:
    width = max(len(heading), *(len(group.name) for group in groups))
    lines = [f"{heading:{width}}{'parameters':>15}{'changed':>9}{'diff':>11}{'of tuned':>10}{'bits/value':>11}"]
    for group in groups:
        bits = "-" if group.bits is None else f"{group.bits:.2f}"
        lines.append(
            f"{group.name:{width}}{group.num_values:>15,}{percent(group.changed_share):>9}"
            f"{screen.size(group.diff_bytes):>11}{percent(group.size_share):>10}{bits:>11}"
        )
    return lines


def _group_json(group: Group) -> dict[str, Any]:
    return {
        "name": group.name,
        "values": group.num_values,
        "changed": group.num_changed,
        "tuned_bytes": group.tuned_bytes,
        "diff_bytes": group.diff_bytes,
    }


def took(num_bytes: int, seconds: float) -> str:
    """Seconds, and bytes of the model a second."""
    return f"{seconds:.1f} s, {screen.size(num_bytes / max(seconds, 1e-9))} of the model a second"


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:8]) + (f" and {len(names) - 8:,} more" if len(names) > 8 else "")


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'s' * (number != 1)}"

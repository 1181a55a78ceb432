"""The terminal, and the only module that writes to it.

stdout is data, stderr is talk.  Colour only on a terminal and never under NO_COLOR; something that moves only on a
terminal, plain lines every ten seconds elsewhere.
"""

from __future__ import annotations

import json
import os
import re
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from alpaca_cli.errors import Problem

if TYPE_CHECKING:
    from rich.live import Live

MAX_PROBLEMS = 50
LINE_EVERY_S = 10.0
_STYLES = {"red": "31;1", "yellow": "33", "bold": "1", "dim": "2"}
_PAINTED = re.compile(rf"(\033\[(?:0|{'|'.join(_STYLES.values())})m)")


def say(text: str = "") -> None:
    """A line of talk, on stderr; where nobody can hear it, work goes on."""
    with suppress(OSError):
        print(_printable(text), file=sys.stderr, flush=True)


class OutputClosed(Exception):
    """Whoever read our stdout left (`alpaca ... | head`)."""


def emit(text: str) -> None:
    """A line of data, on stdout, if there is one.  Raises OutputClosed if nobody reads it."""
    try:
        print(_printable(text, getattr(sys.stdout, "encoding", None)), flush=True)
    except BrokenPipeError:
        raise OutputClosed from None


def emit_json(value: object) -> None:
    """A machine-readable result, on stdout."""
    emit(json.dumps(value, ensure_ascii=True, indent=2))


def note(text: str) -> None:
    """Something the user should know, while work goes on."""
    say(f"{paint('note:', 'yellow')} {text}")


def fail(problems: Sequence[Problem]) -> None:
    """What is wrong, a line or two each; of very many the first fifty and their number."""
    for problem in problems[:MAX_PROBLEMS]:
        say(f"{paint('error:', 'red')} {problem}")
        if problem.hint:
            say(f"{paint('hint:', 'yellow')} {problem.hint}")
    if len(problems) > MAX_PROBLEMS:
        say(f"{paint('error:', 'red')} and {len(problems) - MAX_PROBLEMS:,} more; --json tells them")


def paint(text: str, style: str) -> str:
    """`text` in a style (red, yellow, bold, dim), where stderr is a terminal that wants colour."""
    return f"\033[{_STYLES[style]}m{text}\033[0m" if _wants_colour() else text


def is_terminal() -> bool:
    """Whether talk goes to a person's terminal that can redraw."""
    return sys.stderr is not None and sys.stderr.isatty() and os.environ.get("TERM") != "dumb"


def emits_to_terminal() -> bool:
    """Whether data goes to a person's terminal, and not to a file or a program."""
    return sys.stdout is not None and sys.stdout.isatty()


class Ticker:
    """Shows how work moves: a block that is redrawn on a terminal, a plain line every ten seconds elsewhere.

    Use it inside `with`; lines said meanwhile stand above the block.
    """

    def __init__(self) -> None:
        self._live: Live | None = None
        self._last = time.monotonic()

    def __enter__(self) -> Ticker:
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def show(self, line: str, block: Sequence[str] = ()) -> None:
        """The state now: `block` (or `line`) is for a terminal, `line` for a log."""
        if is_terminal():
            from rich.text import Text

            if self._live is None:
                self._live = _started()
            self._live.update(Text("\n".join(block or [line])))
        elif time.monotonic() - self._last >= LINE_EVERY_S:
            self._last = time.monotonic()
            say(line)


def bar(fraction: float, width: int = 30) -> str:
    """A bar of `width` characters, filled to `fraction` (0 to 1)."""
    filled = round(max(0.0, min(1.0, fraction)) * width)
    return "━" * filled + "─" * (width - filled)


def duration(seconds: float) -> str:
    """Seconds in words: 8 s, 1 min 51 s, 2 h 05 min.

    >>> [duration(8.2), duration(111), duration(7500)]
    ['8 s', '1 min 51 s', '2 h 05 min']
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02} min"


def size(num_bytes: float) -> str:
    """Bytes in words.

    >>> [size(812), size(131_300), size(13_476_839_424)]
    ['812 bytes', '131.3 kB', '13.48 GB']
    """
    for unit, word, digits in ((1e12, "TB", 2), (1e9, "GB", 2), (1e6, "MB", 1), (1e3, "kB", 1)):
        if num_bytes >= unit:
            return f"{num_bytes / unit:,.{digits}f} {word}"
    return f"{num_bytes:,.0f} bytes"


def _started() -> Live:
    from rich.console import Console
    from rich.live import Live

    console = Console(stderr=True, no_color=not _wants_colour(), highlight=False)
    live = Live(console=console, refresh_per_second=8, transient=True)
    live.start()
    return live


def _wants_colour() -> bool:
    return is_terminal() and not os.environ.get("NO_COLOR")


def _printable(text: str, encoding: str | None = None) -> str:
    """`text` without what the stream cannot write, and without control characters that would command a terminal.

    Only the styles that `paint` sets are let through.
    """
    parts = _PAINTED.split(text)
    for index in range(0, len(parts), 2):
        parts[index] = "".join(c if c in "\n\t" or c.isprintable() else ascii(c)[1:-1] for c in parts[index])
    safe = "".join(parts)
    encoding = encoding or getattr(sys.stderr, "encoding", None) or "utf-8"
    return safe.encode(encoding, "backslashreplace").decode(encoding)


def skipped(problems: Sequence[Problem], num_rows: int) -> None:
    """Rows that were left out because they are malformed: how many, and the first of them."""
    if not num_rows:
        return
    note(f"{num_rows:,} malformed row{'s' if num_rows != 1 else ''} left out")
    for problem in problems[:MAX_PROBLEMS]:
        say(f"  {problem}")
    if len(problems) > MAX_PROBLEMS:
        say(f"  and {len(problems) - MAX_PROBLEMS:,} more")

"""What this machine has to offer: memory and cores."""

from __future__ import annotations

import os
import re
from pathlib import Path

import psutil

from alpaca_cli.errors import UsageError

_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "KI": 2**10, "MI": 2**20, "GI": 2**30, "TI": 2**40}
_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
LEAST = 16 * 10**6


def num_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def free_memory() -> int:
    """Bytes that nothing else uses, or that a container's limit allows, if that is less."""
    limits = [int(psutil.virtual_memory().available)]
    for path in map(Path, _LIMITS):
        try:
            limits.append(int(path.read_text()))
        except (OSError, ValueError):  # no container, or no limit: "max"
            continue
    return min(limits)


def num_bytes(text: str) -> int:
    """Bytes of a size such as 500MB, 1.5G or 2GiB.  Raises UsageError if it is none, or less than LEAST.

    >>> num_bytes("1.5 GB")
    1500000000
    """
    match = re.fullmatch(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([KMGT]I?)?B?\s*", text.upper())
    if not match:
        raise UsageError(f"--memory: expected a size, found {text}", hint="write it like 500MB or 8GB")
    size = int(float(match[1]) * _UNITS[match[2] or ""])
    if size < LEAST:
        raise UsageError(f"--memory: expected 16MB or more, found {text}")
    return size

"""The GPUs of a node: those that are here, as NVIDIA's driver tells, or others by name.  No torch, no CUDA context."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches

try:
    import pynvml  # type: ignore[import-untyped]
except ImportError:  # nothing is seen without it
    pynvml = None

from alpaca_cli.errors import UsageError

GIB = 1 << 30
BF16_FROM = (8, 0)  # compute capability


@dataclass(frozen=True)
class Gpu:
    """One GPU."""

    name: str
    memory_bytes: int
    """That a program can have of it; as PyTorch sees it, which is less than is printed on the box."""
    peak_flops: float
    """Dense bf16 products a second, fp32 sums; 0: not known."""
    has_bf16: bool = True
    used_bytes: int = 0
    """Of its memory, by whatever runs on it now."""


# What PyTorch reports as total memory; dense peaks from NVIDIA's data sheets.
NAMED = {
    "a100-40g": Gpu("A100 40 GB", round(39.4 * GIB), 312e12),
    "a100-80g": Gpu("A100 80 GB", round(79.1 * GIB), 312e12),
    "h100-80g": Gpu("H100 80 GB", round(79.1 * GIB), 989e12),
    "h200-141g": Gpu("H200 141 GB", round(139.8 * GIB), 989e12),
    "l40s-48g": Gpu("L40S 48 GB", round(44.4 * GIB), 362e12),
    "a10-24g": Gpu("A10 24 GB", round(22.1 * GIB), 125e12),
    "rtx4090-24g": Gpu("RTX 4090 24 GB", round(23.6 * GIB), 165e12),
    "rtx3090-24g": Gpu("RTX 3090 24 GB", round(23.6 * GIB), 71e12),
    "v100-32g": Gpu("V100 32 GB", round(31.7 * GIB), 0, has_bf16=False),
}
# The first that is found in the name which the driver gives.
_PEAKS = {
    "H100 PCIE": 756e12, "H100 NVL": 835e12, "H200": 989e12, "H100": 989e12, "A100": 312e12, "L40S": 362e12,
    "A10G": 70e12, "A10": 125e12, "RTX 4090": 165e12, "RTX 3090": 71e12,
}  # fmt: skip


def named_gpus(text: str) -> tuple[Gpu, ...]:
    """The GPUs of a node that `NAME:COUNT` means, or one of them where no count is given.

    Raises UsageError that lists the names.

    >>> [gpu.name for gpu in named_gpus("a100-80g:2")]
    ['A100 80 GB', 'A100 80 GB']
    """
    name, colon, count = text.strip().lower().partition(":")
    if colon and not (re.fullmatch(r"[0-9]{1,4}", count) and int(count)):
        hint = "for example: --gpu a100-80g:4"
        raise UsageError(f"expected NAME:COUNT, found {text!r}", where="--gpu", hint=hint)
    if name not in NAMED:
        close = get_close_matches(name, NAMED, n=1)
        hint = f"did you mean {close[0]}?" if close else f"known: {', '.join(NAMED)}"
        raise UsageError(f"unknown GPU {name!r}", where="--gpu", hint=hint)
    return (NAMED[name],) * int(count or 1)


def seen_gpus(environment: Mapping[str, str] = os.environ) -> tuple[Gpu, ...]:
    """The GPUs of this machine that CUDA would give a program, in its order; none where there is no driver."""
    if pynvml is None:
        return ()
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return ()
    try:
        handles = [pynvml.nvmlDeviceGetHandleByIndex(number) for number in range(pynvml.nvmlDeviceGetCount())]
        identities = [_text(pynvml.nvmlDeviceGetUUID(handle)) for handle in handles]
        visible = visible_devices(environment.get("CUDA_VISIBLE_DEVICES"), identities)
        return tuple(_seen(handles[number]) for number in visible)
    except pynvml.NVMLError:
        return ()
    finally:
        pynvml.nvmlShutdown()


def visible_devices(setting: str | None, identities: list[str]) -> list[int]:
    """Which GPUs of these UUIDs CUDA_VISIBLE_DEVICES shows: numbers, or beginnings of UUIDs, to the first wrong.

    >>> visible_devices("2,0,9,1", ["GPU-a", "GPU-b", "GPU-c"])
    [2, 0]
    """
    if setting is None:
        return list(range(len(identities)))
    chosen: list[int] = []
    for each in (part.strip() for part in setting.split(",")):
        if each.isdigit():
            found = [int(each)] if int(each) < len(identities) else []
        else:
            found = [number for number, identity in enumerate(identities) if each and identity.startswith(each)]
        if len(found) != 1 or found[0] in chosen:
            break
        chosen += found
    return chosen


def _seen(handle: object) -> Gpu:
    name = _text(pynvml.nvmlDeviceGetName(handle)).removeprefix("NVIDIA ")
    memory = pynvml.nvmlDeviceGetMemoryInfo(handle)
    has_bf16 = tuple(pynvml.nvmlDeviceGetCudaComputeCapability(handle)) >= BF16_FROM
    peak = next((flops for part, flops in _PEAKS.items() if part in name.upper()), 0.0)
    return Gpu(name, int(memory.total), peak if has_bf16 else 0, has_bf16, int(memory.used))


def _text(name: str | bytes) -> str:
    """Old versions give bytes."""
    return name.decode() if isinstance(name, bytes) else name

"""Tensors copied to host memory, so that a checkpoint is written of what they were while training goes on."""

from __future__ import annotations

import mmap
from collections.abc import Mapping
from typing import Any

import torch
from torch.distributed.tensor import DTensor

_ALIGN = 64  # bytes: where a tensor begins in the memory


class Staging:
    """Host memory of the size of all local tensors, made at first use and used again each time.

    It is one piece, on a GPU's machine pinned as it is: torch's own pinned memory comes in powers of two, which may be
    twice what is needed.
    """

    def __init__(self) -> None:
        self._memory: mmap.mmap | None = None

    def copy(self, tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """`tensors` as they are now, in host memory; what the last call gave is overwritten.

        A sharded tensor stays sharded in the same way; only what lies here is copied.  The copy is done on return.
        """
        locals_ = {name: _local(tensor) for name, tensor in tensors.items()}
        on_gpu = any(local.is_cuda for local in locals_.values())
        self._provide(sum(_padded(local) for local in locals_.values()), pinned=on_gpu)
        copies, offset = {}, 0
        for name, local in locals_.items():
            copy = self._view(local, offset)
            copy.copy_(local, non_blocking=True)
            copies[name] = _like(tensors[name], copy)
            offset += _padded(local)
        if on_gpu:
            torch.cuda.synchronize()
        return copies

    def _view(self, local: torch.Tensor, offset: int) -> torch.Tensor:
        """A tensor of the shape of `local` whose storage is its part of the memory and no more."""
        if local.numel() == 0:
            return torch.empty_like(local, device="cpu")
        assert self._memory is not None
        flat = torch.frombuffer(self._memory, dtype=local.dtype, count=local.numel(), offset=offset)
        return flat.view(local.shape)

    def _provide(self, num_bytes: int, *, pinned: bool) -> None:
        if self._memory is not None and len(self._memory) >= num_bytes:
            return
        if self._memory is not None and pinned:
            torch.cuda.check_error(int(_cuda().cudaHostUnregister(_address(self._memory))))
        self._memory = mmap.mmap(-1, max(num_bytes, _ALIGN), flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        if pinned:
            torch.cuda.check_error(int(_cuda().cudaHostRegister(_address(self._memory), len(self._memory), 0)))


def _local(tensor: torch.Tensor) -> torch.Tensor:
    """The part of a tensor that lies in this process."""
    tensor = tensor.detach()
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def _like(tensor: torch.Tensor, local: torch.Tensor) -> torch.Tensor:
    """`local` as part of a tensor sharded as `tensor` is; `DTensor.from_local` would move it to the mesh's device."""
    if not isinstance(tensor, DTensor):
        return local
    return DTensor(local, tensor._spec, requires_grad=False)  # type: ignore[no-untyped-call]


def _cuda() -> Any:
    return torch.cuda.cudart()  # type: ignore[no-untyped-call]


def _padded(local: torch.Tensor) -> int:
    return -(-local.numel() * local.element_size() // _ALIGN) * _ALIGN


def _address(memory: mmap.mmap) -> int:
    return torch.frombuffer(memory, dtype=torch.uint8).data_ptr()

"""Zero-copy: a kernel writes messages where GLOO sends from, and reads them where GLOO received.

It rests on three documented facts and has not run on a GPU yet; ``staging.fault`` tries it before
use. In a 64-bit process the GPU reaches pinned host memory at the host's own address (CUDA runtime,
Unified Addressing). ``torch.as_tensor`` lays a CUDA tensor over an object's
``__cuda_array_interface__`` without a copy; it refuses pointers that CUDA does not know
(``cudaMemoryTypeUnregistered``), and it knows pinned ones. On Jetson pinned memory is not cached
for the GPU (CUDA for Tegra), so a kernel goes through it once, from front to back.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from prism_edge.transport.pinned import Pinned


class Mapped(Pinned):
    """``Staging`` without a copy engine: pinned memory as a tensor of the device."""

    def on_device(self, host: Tensor) -> Tensor:
        """Pinned memory as the device sees it: the same bytes, no copy.  uint8 [bytes]"""
        return torch.as_tensor(_OnDevice(host), device=self._device)

    def _copy_out(self, payload: Tensor, out: Tensor) -> None:
        kernel_copy(payload, self.on_device(out))

    def _copy_in(self, payload: Tensor) -> Tensor:
        found = torch.empty(payload.shape, dtype=torch.uint8, device=self._device)
        kernel_copy(self.on_device(payload), found)
        return found


class _OnDevice:
    """Pinned memory as CUDA libraries hand arrays to each other; the tensor over it keeps it."""

    def __init__(self, host: Tensor) -> None:
        self._host = host

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        return {
            "shape": tuple(self._host.shape),
            "typestr": "|u1",
            "data": (self._host.data_ptr(), False),
            "strides": None,
            "version": 2,
        }


def kernel_copy(source: Tensor, target: Tensor) -> None:
    """``target`` holds the bytes of ``source``, by a kernel.  2 x uint8 [bytes]

    An addition of 0, because ``copy_`` between two CUDA tensors of one dtype is a transfer that
    says both ends are device memory, and one of them is not.
    """
    wide = all(
        tensor.storage_offset() % 8 == tensor.data_ptr() % 8 == tensor.numel() % 8 == 0
        for tensor in (source, target)
    )
    dtype = torch.int64 if wide else torch.uint8
    torch.add(source.view(dtype), 0, out=target.view(dtype))

"""Messages copied by the GPU's copy engine from and to pinned host memory.

The copy has a stream of its own: it waits for what made the payload and for nothing that was asked
of the device later, and the device goes on meanwhile. Written after PyTorch's documentation of
streams, pinned memory and ``record_stream``; it has not run on a GPU yet.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class Pinned:
    """``Staging`` through pinned memory."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        stream: Any = torch.cuda.Stream  # without types in PyTorch's stubs
        self._stream = stream(device)

    def empty(self, size: int) -> Tensor:
        with torch.cuda.device(self._device):
            return torch.empty(size, dtype=torch.uint8, pin_memory=True)

    def to_host(self, payload: Tensor, out: Tensor) -> None:
        if not payload.is_cuda:  # a header, or a request's input
            out.copy_(payload)
            return
        self._stream.wait_stream(torch.cuda.current_stream(self._device))
        with torch.cuda.stream(self._stream):
            self._copy_out(payload, out)
        self._stream.synchronize()  # GLOO reads the bytes as soon as it is told of them

    def to_device(self, payload: Tensor) -> Tensor:
        with torch.cuda.stream(self._stream):
            found = self._copy_in(payload)
        # allocated on this stream, read on another: its memory must not be used again before
        found.record_stream(torch.cuda.current_stream(self._device))
        self._stream.synchronize()  # GLOO may put the next message into the same host memory
        return found

    def _copy_out(self, payload: Tensor, out: Tensor) -> None:
        out.copy_(payload, non_blocking=True)

    def _copy_in(self, payload: Tensor) -> Tensor:
        return payload.to(self._device, non_blocking=True)

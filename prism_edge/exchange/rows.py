"""Rows of D values on the wire, in fp32, fp16, or int8 with one fp32 scale a row.

Letters: B batch, n own tokens, L announced rows, D width.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from prism_edge.plan import WireDtype
from prism_edge.tensors.segments import segment_means

# the rows that travel, their segments' sizes, real tokens or None:  [B,n,D], [B,n] -> [B,L,D]
Announce = Callable[[Tensor, Sequence[int], Tensor | None], Tensor]

FLOATS = {"fp32": torch.float32, "fp16": torch.float16}
LARGEST = 127  # of int8, the same on both sides of 0
SCALE_BYTES = 4


def all_tokens(h: Tensor, sizes: Sequence[int], real: Tensor | None) -> Tensor:
    """Every token, padding included; its count 0 hides it. Voltage (Hu and Li, ICDCS 2024)."""
    assert len(sizes) == h.shape[1]
    return h


class Rows:
    """Tokens travel as they are or as their segments' means (PRISM, arXiv 2507.12145).

    How many tokens a mean stands for follows from plan and lengths, so counts never travel.
    """

    def __init__(self, dtype: WireDtype, *, means: bool) -> None:
        self._announce: Announce = segment_means if means else all_tokens
        self._dtype = dtype

    def encode(self, h: Tensor, sizes: Sequence[int], real: Tensor | None, block: int) -> Tensor:
        rows = self._announce(h, sizes, real)
        if self._dtype == "int8":
            return pack_int8(rows)
        return rows.to(FLOATS[self._dtype]).contiguous().view(-1).view(torch.uint8)

    def decode(self, payload: Tensor, rows: int, block: int, like: Tensor) -> Tensor:
        # always a copy: rows may be used for several blocks, a message's buffer is soon another's
        shape = like.shape[0], rows, like.shape[2]
        if self._dtype == "int8":
            return unpack_int8(payload, shape).to(like)
        return payload.view(FLOATS[self._dtype]).view(shape).to(like, copy=True)


def pack_int8(rows: Tensor) -> Tensor:
    """All scales, then all rows in steps of their scale.  [B,L,D] -> uint8 [B*L*(4+D)]

    A row's largest value becomes 127; the error is at most half a step.
    """
    rows = rows.float()
    scale = rows.abs().amax(dim=-1, keepdim=True) / LARGEST  # [B,L,1]
    steps = (rows / scale.clamp(min=torch.finfo(torch.float32).tiny)).round_().to(torch.int8)
    return torch.cat([scale.view(-1).view(torch.uint8), steps.view(-1).view(torch.uint8)])


def unpack_int8(payload: Tensor, shape: tuple[int, int, int]) -> Tensor:
    """The rows behind ``pack_int8``.  uint8 [B*L*(4+D)] -> fp32 [B,L,D]"""
    batch, rows, _ = shape
    split = batch * rows * SCALE_BYTES
    # a copy, because a message may begin at any byte
    scale = payload[:split].clone().view(torch.float32).view(batch, rows, 1)
    return payload[split:].view(torch.int8).view(shape) * scale

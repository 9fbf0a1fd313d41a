"""Codes as they travel: each in as many bits as it needs, one behind the other, highest bit first.

Letters: M codes, b bits of each.
"""

from __future__ import annotations

import torch
from torch import Tensor


def packed_bytes(count: int, bits: int) -> int:
    """Bytes of ``count`` codes of ``bits`` bits; the last byte is filled up with zeros."""
    return -(-count * bits // 8)


def pack(codes: Tensor, bits: int) -> Tensor:
    """int64 [M] -> uint8 [ceil(M*b/8)]"""
    ones = (codes.to(torch.int32)[:, None] >> _places(bits, codes)) & 1  # [M,b]
    flat = ones.to(torch.uint8).flatten()
    missing = -flat.numel() % 8
    if missing:
        flat = torch.cat([flat, flat.new_zeros(missing)])
    return (flat.view(-1, 8) << _places(8, flat)).sum(dim=1, dtype=torch.uint8)


def unpack(packed: Tensor, bits: int, count: int) -> Tensor:
    """uint8 [ceil(M*b/8)] -> int64 [M]"""
    assert packed.numel() == packed_bytes(count, bits), f"{packed.numel()} bytes, {count} codes"
    ones = (packed[:, None] >> _places(8, packed)) & 1
    ones = ones.flatten()[: count * bits].view(count, bits).to(torch.int32)
    return (ones << _places(bits, ones)).sum(dim=1)


def _places(bits: int, like: Tensor) -> Tensor:
    """How far each bit of a number is from its end, highest bit first.  -> [b]"""
    kind = torch.uint8 if like.dtype == torch.uint8 else torch.int32
    return torch.arange(bits - 1, -1, -1, dtype=kind, device=like.device)

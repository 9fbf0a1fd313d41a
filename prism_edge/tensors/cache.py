"""Keys and values of all blocks, so that a later token costs one row: compressed where means are.

After a causal prefill the rank that owns the last tokens holds, per block, a column per heard mean
(its count in the bias) and one per own token. Later tokens cannot change earlier means, so decoding
here equals running the prefill again with a longer last partition. Letters: B batch, H heads,
F head width, M columns of the prefill, D width.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from prism_edge.tensors.attention import as_mask, attention
from prism_edge.tensors.block import Block
from prism_edge.tensors.known import Known


class BlockCache:
    """One block's columns, with room for more: adding one moves none."""

    def __init__(self, k: Tensor, v: Tensor, bias: Tensor | None, room: int) -> None:
        """Columns [B,H,M,F], the bias [B or 1,1,1,M] of a row that sees them all (None: 0), and how
        many more there can be."""
        self.columns = k.shape[2]
        self._k, self._v = _roomy(k, room), _roomy(v, room)
        self._bias: Tensor | None = None
        if bias is not None:
            later = bias.new_zeros(*bias.shape[:3], room)
            self._bias = as_mask(torch.cat([bias, later], dim=3), k)

    @property
    def elements(self) -> int:
        """Numbers in the columns so far, room left out."""
        return 2 * self._k[:, :, : self.columns].numel()

    def append(self, k: Tensor, v: Tensor) -> None:
        """One more column, standing for one token.  [B,H,1,F]"""
        self._k[:, :, self.columns] = k[:, :, 0]
        self._v[:, :, self.columns] = v[:, :, 0]
        self.columns += 1

    def attend(self, q: Tensor, scale: float) -> Tensor:
        """Attention of one row over all columns so far.  [B,H,1,F] -> [B,1,D]"""
        k, v = self._k[:, :, : self.columns], self._v[:, :, : self.columns]
        bias = None if self._bias is None else self._bias[..., : self.columns]
        return attention(q, k, v, bias, causal=False, scale=scale)


class Cache:
    """The caches of all blocks. ``room``: rows that can be decoded."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.blocks: list[BlockCache] = []

    def keep(self, k: Tensor, v: Tensor, columns: Known) -> None:
        """The next block's columns [B,H,M,F] and what they stand for, as a prefill finds them."""
        bias = None
        if not bool((columns.count == 1).all()):
            bias = columns.count.log()[:, None, None]
        self.blocks.append(BlockCache(k, v, bias, self.room))

    def decode(self, blocks: Sequence[Block], x: Tensor) -> Tensor:
        """The last block's row of the token after all others, which is now known too.

        [B,1,D] its embedding -> [B,1,D]
        """
        for block, cache in zip(blocks, self.blocks, strict=True):
            q, k, v = block.project(block.inputs(x), slice(None))
            cache.append(k, v)
            x = block.finish(x, cache.attend(q, block.scale))
        return x


def _roomy(columns: Tensor, room: int) -> Tensor:
    """The columns and place for more behind them.  [B,H,M,F] -> [B,H,M+room,F]"""
    batch, heads, known, width = columns.shape
    buffer = columns.new_empty(batch, heads, known + room, width)
    buffer[:, :, :known] = columns
    return buffer

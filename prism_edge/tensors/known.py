"""What a rank knows, as columns of its attention: how many tokens each stands for, and up to where.

A column counted c times equals c identical columns when log c is added to its score; this one rule
covers own tokens (1), padding (0), full exchange (1) and segment means (c). Columns are ordered
[heard, own]. Letters: B batch, N tokens, n own tokens, M known columns.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from prism_edge.layout import Layout
from prism_edge.tensors.segments import segment_counts


@dataclass(frozen=True, slots=True)
class Known:
    """``count`` [B or 1, M]: real tokens behind each column; ``last`` [M]: last position it covers;
    ``position`` [n]: positions of the own tokens, which are the last n columns."""

    count: Tensor
    last: Tensor
    position: Tensor
    causal: bool

    def bias(self) -> Tensor | None:
        """Scores to add: log count, and -inf where not visible.  -> [B or 1, 1, n or 1, M] or None

        None means that every column is visible with count 1. A row that would see nothing (padding
        behind a causal mask) sees itself, because a softmax over nothing is NaN in some kernels.
        """
        if not self.causal and bool((self.count == 1).all()):
            return None
        bias = self.count.log()[:, None, None, :]
        n = self.position.shape[0]
        if self.causal:
            hidden = self.last[None, :] > self.position[:, None]
            bias = bias.masked_fill(hidden[None, None], float("-inf"))
        blind = torch.isneginf(bias).all(dim=-1, keepdim=True)
        if bool(blind.any()):
            own = torch.zeros(n, bias.shape[-1], dtype=torch.bool)
            own[:, -n:] = torch.eye(n, dtype=torch.bool)
            bias = bias.expand(-1, -1, n, -1).masked_fill(blind & own, 0.0)
        return bias

    @property
    def plain_causal(self) -> bool:
        """True when the columns are just the own tokens, all real, under a triangular mask."""
        own_only = self.last.shape[0] == self.position.shape[0]
        return self.causal and own_only and bool((self.count == 1).all())


def known(layout: Layout, rank: int, real: Tensor | None, block: int = 0) -> Known:
    """The columns of ``rank`` at ``block``; ``real`` [B,N] is 0 for padding, None: no padding."""
    counts: list[Tensor] = []
    lasts: list[Tensor] = []

    def add(start: int, sizes: tuple[int, ...]) -> None:
        part = None if real is None else real[:, start : start + sum(sizes)]
        counts.append(segment_counts(sizes, part))
        lasts.append(start - 1 + torch.tensor(sizes).cumsum(0))

    for other in layout.hears(rank):
        add(layout.offsets[other], layout.segments(other, block))
    if layout.replicas:
        add(0, (1,) * layout.replicas)
    add(layout.offsets[rank], (1,) * layout.parts[rank])
    last = torch.cat(lasts).long()
    return Known(
        count=torch.cat(counts, dim=1),
        last=last,
        position=last[-layout.own[rank] :],
        causal=layout.shape.causal,
    )


def own_rows(layout: Layout, rank: int, x: Tensor) -> Tensor:
    """The rows of ``rank`` out of those of all tokens, replicas first.  [.,N,...] -> [.,n,...]

    They have memory of their own, so that the others' rows need not be kept.
    """
    part = x[:, layout.part(rank)]
    return torch.cat([x[:, : layout.replicas], part], dim=1) if layout.replicas else part.clone()

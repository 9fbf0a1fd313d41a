"""Segment means (PRISM, arXiv 2507.12145): runs of tokens travel as their means.

How many tokens a mean stands for follows from the plan and the lengths, so counts never travel.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from prism_edge.tensors.segments import segment_means


def announce_means(h: Tensor, sizes: Sequence[int], real: Tensor | None) -> Tensor:
    """The mean of each segment of the own tokens.  [B,n,D] -> [B,L,D]"""
    return segment_means(h, sizes, real)

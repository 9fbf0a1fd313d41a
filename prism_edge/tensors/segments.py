"""Segment means: a run of tokens becomes its mean and the number of real tokens it stands for.

Letters: B batch, n own tokens, L segments, D width. PRISM (arXiv 2507.12145).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

import torch
from torch import Tensor


def segment_means(x: Tensor, sizes: Sequence[int], real: Tensor | None) -> Tensor:
    """Means of consecutive runs of ``x``, padding left out.  [B,n,D], [B,n] or None -> [B,L,D]

    ``real`` is 1 for a token and 0 for padding; a run of padding only has the mean 0. Sums are
    taken in fp32 whatever the dtype of ``x``.
    """
    parts: list[Tensor] = []
    for start, count, size in _runs(sizes):
        run = x[:, start : start + count * size]  # [B, count*size, D]
        if size == 1 and real is None:
            parts.append(run)
            continue
        run = run.reshape(x.shape[0], count, size, x.shape[2])
        if real is None:
            parts.append(run.mean(dim=2, dtype=torch.float32).to(x.dtype))
        else:
            weight = real[:, start : start + count * size].reshape(x.shape[0], count, size, 1)
            # padding may hold anything, NaN included, so it is replaced and not multiplied away
            total = torch.where(weight > 0, run, torch.zeros((), dtype=x.dtype, device=x.device))
            mean = total.sum(dim=2, dtype=torch.float32) / weight.sum(dim=2).clamp(min=1)
            parts.append(mean.to(x.dtype))
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)


def segment_counts(sizes: Sequence[int], real: Tensor | None) -> Tensor:
    """Real tokens in each run, in fp32.  [B,n] -> [B,L]; without padding -> [1,L]"""
    if real is None:
        return torch.tensor([sizes], dtype=torch.float32)
    runs = torch.split(real.float(), list(sizes), dim=1)
    return torch.stack([run.sum(dim=1) for run in runs], dim=1)


def _runs(sizes: Sequence[int]) -> Iterator[tuple[int, int, int]]:
    """Equal neighbours together: (first token, segments, size of each)."""
    start = 0
    for size, group in groupby(sizes):
        count = len(list(group))
        yield start, count, size
        start += count * size

"""k-means: codes fitted to sample rows, group by group; the same seed gives the same codes.

Letters: S samples, D width, G groups, K codes of a group, d = D/G.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from prism_edge.tensors.codebook import nearest

ITERATIONS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Quality:
    """How well codes stand for rows.

    ``relative_error``: |x - x'| / |x| over all rows. ``used``: share of the codes that stand for
    any row. ``perplexity``: codes used as often as one another that would carry as much (1 to K),
    mean of the groups.
    """

    relative_error: float
    used: float
    perplexity: float


def fit(samples: Tensor, g: int, k: int, seed: int = 0, iterations: int = ITERATIONS) -> Tensor:
    """Codes that Lloyd's iterations settle on.  [S,D] -> [G,K,d]

    Every group starts from K of its distinct rows, drawn at random; with no more than K, each
    becomes a code and nothing is lost. A code nobody chooses moves to the worst served row.
    """
    assert samples.shape[0] > 0, "no samples"
    assert samples.shape[1] % g == 0, f"width {samples.shape[1]} in {g} groups"
    groups = samples.reshape(samples.shape[0], g, -1)  # [S,G,d]
    source = torch.Generator().manual_seed(seed)
    return torch.stack([_fit_group(groups[:, group], k, source, iterations) for group in range(g)])


def quality(table: Tensor, samples: Tensor) -> Quality:
    """What ``table`` makes of rows.  [G,K,d], [S,D]"""
    g, k, _ = table.shape
    rows = samples.reshape(samples.shape[0], g, -1).transpose(0, 1)  # [G,S,d]
    codes = nearest(table, _norms(table), rows)
    found = torch.gather(table, 1, codes[:, :, None].expand_as(rows))
    tally = Tally.of(g, k)
    tally.add(codes, rows, found)
    return tally.quality()


@dataclass(slots=True, kw_only=True)
class Tally:
    """What codes made of all rows so far. ``counts`` [G,K]: how often each was chosen; ``lost``,
    ``whole``: sums of squares, of what codes miss and of the rows."""

    counts: Tensor
    lost: float = 0.0
    whole: float = 0.0

    @classmethod
    def of(cls, g: int, k: int) -> Tally:
        """Of no rows yet."""
        return cls(counts=torch.zeros(g, k, dtype=torch.int64))

    def add(self, codes: Tensor, rows: Tensor, found: Tensor) -> None:
        """More rows, and what codes stand for in the same layout.  int64 [G,S], any, any"""
        self.counts += counted(codes, self.counts.shape[1]).to(self.counts)
        self.lost += float((found - rows).double().square().sum())
        self.whole += float(rows.double().square().sum())

    def quality(self) -> Quality:
        part = self.counts.double() / self.counts.sum(dim=1, keepdim=True)
        entropy = -torch.special.xlogy(part, part).sum(dim=1)  # [G]
        return Quality(
            relative_error=math.sqrt(self.lost / self.whole),
            used=float((self.counts > 0).double().mean()),
            perplexity=float(entropy.exp().mean()),
        )


def counted(codes: Tensor, k: int) -> Tensor:
    """How often each code was chosen.  [G,S] -> int64 [G,K]"""
    return torch.stack([row.bincount(minlength=k) for row in codes])


def _fit_group(rows: Tensor, k: int, source: torch.Generator, iterations: int) -> Tensor:
    """[S,d] -> [K,d]"""
    distinct: Tensor = torch.unique(rows, dim=0)
    order = torch.randperm(distinct.shape[0], generator=source)
    codes = distinct[order[:k].to(rows.device)]
    if codes.shape[0] < k:
        return torch.cat([codes, codes[:1].expand(k - codes.shape[0], -1)])
    if distinct.shape[0] == k:
        return codes
    squares = rows.square().sum(dim=-1)
    for _ in range(iterations):
        chosen = nearest(codes[None], _norms(codes[None]), rows[None])[0]  # [S]
        sums = torch.zeros_like(codes).index_add_(0, chosen, rows)
        counts = chosen.bincount(minlength=k)
        moved = sums / counts.clamp(min=1)[:, None]
        dead = counts == 0
        if bool(dead.any()):
            far = squares + codes.square().sum(dim=-1)[chosen] - 2 * (codes[chosen] * rows).sum(-1)
            moved[dead] = rows[far.topk(int(dead.sum())).indices]
        if torch.equal(moved, codes):
            break
        codes = moved
    return codes


def _norms(table: Tensor) -> Tensor:
    """[G,K,d] -> [G,1,K]"""
    return table.square().sum(dim=-1)[:, None]

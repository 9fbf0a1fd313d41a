"""Codes that follow the rows they stand for, and find new ones where nobody chooses them.

Each is the running mean of the rows that chose it (van den Oord et al. 2017, arXiv 1711.00937,
A.1); shares of the rows are kept in place of counts, so that a step of many rows weighs no more.
Letters: S rows of a step, D width, G groups, K codes of a group, d = D/G.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from prism_edge.tensors.codebook import Codebooks
from prism_edge.tensors.kmeans import counted

DECAY = 0.99  # of every running mean, per step; VQ-VAE's
# A code is dead when it is chosen less often than this share of the average: at DECAY, after 458
# steps without a row, or at once when k-means left it without any.
DEAD = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class EmaCodes:
    """The codes of every block in training, written over by each step.

    tables [blocks,G,K,d]; share [blocks,G,K]: of the rows, that choose a code; sums
    [blocks,G,K,d]: share times mean row; spread [blocks,D]: mean square of what codes miss of a
    row; revived [blocks]: how often a dead code was moved.
    """

    tables: Tensor
    share: Tensor
    sums: Tensor
    spread: Tensor
    revived: Tensor

    def state(self) -> dict[str, Tensor]:
        return {field.name: getattr(self, field.name) for field in fields(self)}


@dataclass(frozen=True, slots=True)
class Chosen:
    """Rows of one block that travelled, and the codes they travelled as.  [S,D], [S,G]"""

    rows: Tensor
    codes: Tensor


@torch.no_grad()
def started(books: Codebooks, taken: Sequence[Tensor]) -> EmaCodes:
    """Running means as they would be, had rows like these come for long.  [S,D] per block"""
    found = EmaCodes(
        tables=books.tables.clone(),
        share=books.tables.new_zeros(books.tables.shape[:3]),
        sums=torch.zeros_like(books.tables),
        spread=books.tables.new_zeros(books.blocks, books.width),
        revived=torch.zeros(books.blocks, dtype=torch.int64),
    )
    for block, rows in enumerate(taken):
        chosen = Chosen(rows, books.quantise(block, rows))
        found.share[block] = counted(chosen.codes.t(), books.k) / len(rows)
        found.sums[block] = found.share[block, ..., None] * found.tables[block]
        found.spread[block] = missed(books, block, chosen).square().mean(dim=0)
    return found


@torch.no_grad()
def follow(ema: EmaCodes, block: int, chosen: Chosen, source: torch.Generator) -> None:
    """A block's codes have moved towards the rows that chose them; dead ones are elsewhere."""
    table, share, sums = ema.tables[block], ema.share[block], ema.sums[block]
    g, k, d = table.shape
    rows = chosen.rows.reshape(-1, g, d).transpose(0, 1)  # [G,S,d]
    off = rows - table.gather(1, chosen.codes.t()[..., None].expand_as(rows))
    _blend(ema.spread[block], off.square().mean(dim=1).flatten())
    _blend(share, counted(chosen.codes.t(), k) / len(chosen.rows))
    means = torch.zeros_like(sums)
    for group in range(g):
        means[group].index_add_(0, chosen.codes[:, group], rows[group])
    _blend(sums, means / rows.shape[1])
    alive = share * k >= DEAD
    table.copy_(torch.where(alive[..., None], sums / share.clamp(min=1e-30)[..., None], table))
    for group in torch.nonzero(~alive.all(dim=1)).flatten().tolist():
        dead = torch.nonzero(~alive[group]).flatten()
        moved = _far(rows[group], off[group], len(dead), source)
        dead = dead[: len(moved)]
        table[group, dead], share[group, dead] = moved, 1 / k
        sums[group, dead] = moved / k
        ema.revived[block] += len(dead)


def missed(books: Codebooks, block: int, chosen: Chosen) -> Tensor:
    """What codes leave out of their rows.  -> [S,D]"""
    return chosen.rows - books.reconstruct(block, chosen.codes)


def noise_like(spread: Tensor, like: Tensor, source: torch.Generator) -> Tensor:
    """Gaussian rows of mean 0 whose every dimension varies as what codes miss: the codes are means
    of their rows, so what they miss has mean 0.  [D], [...,D] -> [...,D]"""
    drawn = torch.randn(like.shape, generator=source).to(like)
    return drawn * spread.sqrt().to(like)


def commitment(books: Codebooks, met: Sequence[Sequence[Chosen]]) -> Tensor:
    """|x - stop(x')|^2, its mean over the rows of each block, summed over blocks. Gradients go to
    rows, not to codes.  ``met``: a block's messages"""
    total = books.tables.new_zeros(())
    for block, messages in enumerate(met):
        count = sum(len(chosen.rows) for chosen in messages)
        for chosen in messages:
            meant = books.reconstruct(block, chosen.codes).detach()
            total = total + (chosen.rows - meant).square().sum() / max(1, count)
    return total


def _blend(mean: Tensor, new: Tensor) -> None:
    mean.mul_(DECAY).add_(new, alpha=1 - DECAY)


def _far(rows: Tensor, off: Tensor, count: int, source: torch.Generator) -> Tensor:
    """Distinct rows, drawn by the square of what codes miss of them, as k-means++ draws its start
    (Arthur and Vassilvitskii 2007).  [S,d], [S,d] -> [at most count,d]"""
    weight = off.square().sum(dim=-1).double().cpu()
    count = min(count, int((weight > 0).sum()))
    if not count:
        return rows[:0]
    return rows[torch.multinomial(weight, count, generator=source).to(rows.device)]

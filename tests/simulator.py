"""One process that computes what P ranks compute, written from the formula and not from the code.

Columns are all tokens, then the means of all segments; a row sees the tokens of its own partition
and the means of the others::

    score = q.k * scale + log count + (-inf where not seen)

Letters: B batch, N tokens, S segments of all ranks, D width, H heads. Nothing of the package's
attention, masks, means or layouts is used; a net's blocks are read for their weights only.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from prism_edge.tensors.block import Affine, Block, Norm


def simulate(
    blocks: Sequence[Block],
    x: Tensor,
    segments: Sequence[Sequence[int]],
    *,
    causal: bool = False,
    real: Tensor | None = None,
    wire: torch.dtype = torch.float64,
    own_means_visible: bool = False,
    drop_counts: bool = False,
    average_padding: bool = False,
) -> Tensor:
    """All rows of the last block, in fp64.  [B,N,D] -> [B,N,D]

    ``segments``: per rank the sizes of its segments, which say also what it owns. The last three
    switch a mistake on, so that a test can see how large it would be.
    """
    x = x.double()
    batch, tokens, _ = x.shape
    weight = torch.ones(batch, tokens).double() if real is None else real.double()
    owner = [rank for rank, sizes in enumerate(segments) for _ in range(sum(sizes))]
    spans, mean_owner, start = [], [], 0
    for rank, sizes in enumerate(segments):
        for size in sizes:
            spans.append((start, start + size))
            mean_owner.append(rank)
            start += size
    assert start == tokens
    counts = torch.stack([weight[:, a:b].sum(dim=1) for a, b in spans], dim=1)
    counts = counts.clamp(max=1) if drop_counts else counts
    count = torch.cat([weight, counts], dim=1)
    seen = torch.zeros(tokens, tokens + len(spans), dtype=torch.bool)
    for i in range(tokens):
        for j in range(tokens):
            seen[i, j] = owner[i] == owner[j] and (not causal or j <= i)
        for s, (_, stop) in enumerate(spans):
            heard = mean_owner[s] != owner[i] or own_means_visible
            seen[i, tokens + s] = heard and (not causal or stop - 1 <= i)
    for block in blocks:
        h = norm(block.norm1, x) if block.pre_norm else x
        means = []
        for a, b in spans:
            w = (torch.ones_like(weight) if average_padding else weight)[:, a:b, None]
            means.append((h[:, a:b] * w).sum(dim=1) / w.sum(dim=1).clamp(min=1))
        columns = torch.cat([h, torch.stack(means, dim=1).to(wire).double()], dim=1)
        x = rest_of_block(block, x, attend(block, h, columns, count, seen))
    return x


def plain(
    blocks: Sequence[Block], x: Tensor, *, causal: bool = False, real: Tensor | None = None
) -> Tensor:
    """The net on one device with full attention, in fp64.  [B,N,D] -> [B,N,D]"""
    x = x.double()
    tokens = x.shape[1]
    count = torch.ones(x.shape[:2]).double() if real is None else real.double()
    seen = torch.ones(tokens, tokens, dtype=torch.bool)
    seen = seen.tril() if causal else seen
    for block in blocks:
        h = norm(block.norm1, x) if block.pre_norm else x
        x = rest_of_block(block, x, attend(block, h, h, count, seen))
    return x


def attend(block: Block, h: Tensor, columns: Tensor, count: Tensor, seen: Tensor) -> Tensor:
    """Weighted values of all columns a row sees.  [B,N,D], [B,M,D], [B,M], [N,M] -> [B,N,D]"""
    width = h.shape[-1]
    parts = [Affine(block.qkv.weight[i * width : (i + 1) * width], None) for i in range(3)]
    biases = [block.qkv.bias[i * width : (i + 1) * width].double() for i in range(3)]
    q = affine(parts[0], h) + biases[0]
    k = affine(parts[1], columns) + biases[1]
    v = affine(parts[2], columns) + biases[2]
    size = width // block.heads
    out = []
    for head in range(block.heads):
        own = slice(head * size, (head + 1) * size)
        score = q[..., own] @ k[..., own].transpose(1, 2) / math.sqrt(size)
        score = score.exp() * count[:, None, :] * seen  # a column counted c times weighs c times
        total = score.sum(dim=-1, keepdim=True)
        out.append(score @ v[..., own] / torch.where(total > 0, total, 1.0))
    return torch.cat(out, dim=-1)


def rest_of_block(block: Block, x: Tensor, attended: Tensor) -> Tensor:
    """Projection, feed-forward and norms around what was attended."""
    x = x + affine(block.out, attended)
    if not block.pre_norm:
        x = norm(block.norm1, x)
    inner = norm(block.norm2, x) if block.pre_norm else x
    inner = affine(block.up, inner)
    inner = 0.5 * inner * (1 + torch.erf(inner / math.sqrt(2)))
    x = x + affine(block.down, inner)
    return x if block.pre_norm else norm(block.norm2, x)


def affine(layer: Affine, x: Tensor) -> Tensor:
    y = x @ layer.weight.double().T
    return y if layer.bias is None else y + layer.bias.double()


def norm(layer: Norm, x: Tensor) -> Tensor:
    centred = x - x.mean(dim=-1, keepdim=True)
    scaled = centred / (centred.pow(2).mean(dim=-1, keepdim=True) + layer.eps).sqrt()
    return scaled * layer.weight.double() + layer.bias.double()

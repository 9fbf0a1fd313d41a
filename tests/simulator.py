"""One process that computes what P ranks compute, written from the formula and not from the code.

Columns are all rows of all partitions, then everything announced; a row sees the rows of its own
partition and what the other partitions announced::

    score = q.k * scale + log count + (-inf where not seen)

Letters: B batch, N tokens, T rows (N, more with replicated leading tokens), S announced columns,
D width, G groups, K codes. Nothing of the package's attention, masks, means, codebooks or layouts
is used; a net's blocks are read for their weights only.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from prism_edge.tensors.block import Affine, Block, Norm

Segments = Sequence[Sequence[int]]  # per partition, by position, the sizes of its segments
Wire = Callable[[Tensor, int], Tensor]  # announced [B,S,D] and their block -> what arrives [B,S,D]


def simulate(
    blocks: Sequence[Block],
    x: Tensor,
    segments: Segments,
    *,
    causal: bool = False,
    real: Tensor | None = None,
    tap: str = "after",
    wire: Wire | None = None,
    at: Mapping[int, Segments | None] | None = None,
    replicas: int = 0,
    own_means_visible: bool = False,
    drop_counts: bool = False,
    average_padding: bool = False,
) -> Tensor:
    """All rows of the last block, in fp64.  [B,N,D] -> [B,N,D]

    ``segments`` say also what a partition owns. ``at``: blocks before which other segments are
    announced, or none (then what was heard last stays in force). The ``replicas`` leading tokens
    belong to every partition, are never announced, and are pooled in the end. The last three switch
    a mistake on, so that a test can see how large it would be.
    """
    weight = torch.ones(x.shape[:2]).double() if real is None else real.double()
    position, part = rows_of(segments, replicas)
    rows, weight = x.double()[:, position], weight[:, position]
    columns: Columns | None = None
    for index, block in enumerate(blocks):
        h = norm(block.norm1, rows) if block.pre_norm else rows
        sizes = (at or {}).get(index, segments)
        if sizes is not None:
            told = rows if tap == "before" else h
            columns = announced(told, weight, sizes, replicas, average=average_padding)
            if wire is not None:
                columns.x = wire(columns.x, index)
        assert columns is not None, "nothing was ever announced"
        heard = columns.x
        if tap == "before" and block.pre_norm:
            heard = norm(block.norm1, heard)
        counts = columns.count.clamp(max=1) if drop_counts else columns.count
        seen_own = part[:, None] == part
        seen_heard = (part[:, None] != columns.part) | own_means_visible
        if causal:
            seen_own = seen_own & (position <= position[:, None])
            seen_heard = seen_heard & (columns.last <= position[:, None])
        attended = attend(
            block,
            h,
            torch.cat([h, heard], dim=1),
            torch.cat([weight, counts], dim=1),
            torch.cat([seen_own, seen_heard], dim=1),
        )
        rows = rest_of_block(block, rows, attended)
    return pooled(rows, position, x.shape[1])


def rows_of(segments: Segments, replicas: int) -> tuple[Tensor, Tensor]:
    """Position and partition of every row, replicas first in each partition.  -> [T], [T]"""
    position: list[int] = []
    part: list[int] = []
    start = replicas
    for index, sizes in enumerate(segments):
        own = [*range(replicas), *range(start, start + sum(sizes))]
        position += own
        part += [index] * len(own)
        start += sum(sizes)
    return torch.tensor(position), torch.tensor(part)


def pooled(rows: Tensor, position: Tensor, tokens: int) -> Tensor:
    """The mean of the rows of each position.  [B,T,D], [T] -> [B,N,D]"""
    return torch.stack([rows[:, position == i].mean(dim=1) for i in range(tokens)], dim=1)


@dataclass
class Columns:
    """What all partitions announced: ``x`` [B,S,D], ``count`` [B,S], ``last`` [S], ``part`` [S]."""

    x: Tensor
    count: Tensor
    last: Tensor
    part: Tensor


def announced(
    rows: Tensor, weight: Tensor, segments: Segments, replicas: int, *, average: bool
) -> Columns:
    """The mean of every segment over its real tokens, and how many those are."""
    means, counts, last, part = [], [], [], []
    row, position = 0, replicas
    for index, sizes in enumerate(segments):
        row += replicas
        for size in sizes:
            w = weight[:, row : row + size]
            share = torch.ones_like(w) if average else w
            total = (rows[:, row : row + size] * share[..., None]).sum(dim=1)
            means.append(total / share.sum(dim=1, keepdim=True).clamp(min=1))
            counts.append(w.sum(dim=1))
            row, position = row + size, position + size
            last.append(position - 1)
            part.append(index)
    return Columns(
        torch.stack(means, dim=1),
        torch.stack(counts, dim=1),
        torch.tensor(last),
        torch.tensor(part),
    )


# what the wire makes of announced values


def cast(dtype: torch.dtype) -> Wire:
    """Values travel as ``dtype``."""
    return lambda x, _: x.to(dtype).double()


def int8(x: Tensor, _: int) -> Tensor:
    """Values travel as whole multiples of a 127th of the largest of their row.  [B,S,D]"""
    x = x.float()
    scale = x.abs().amax(dim=-1, keepdim=True) / 127
    return (torch.where(scale > 0, x / scale, 0.0).round() * scale).double()


class Nearest:
    """Each group of a token travels as the nearest of its block's codes.  [blocks,G,K,D/G]

    ``margin``: how much nearer a chosen code was than the next one, at least. Where that is within
    rounding, another choice would have been right too.
    """

    def __init__(self, codebooks: Tensor) -> None:
        self._codebooks = codebooks.double()
        self.margin = math.inf

    def __call__(self, x: Tensor, block: int) -> Tensor:
        table = self._codebooks[block]  # [G,K,D/G]
        groups = x.unflatten(-1, (table.shape[0], table.shape[2]))  # [B,S,G,D/G]
        distance = (groups[..., None, :] - table).pow(2).sum(dim=-1)  # [B,S,G,K]
        two = distance.topk(2, dim=-1, largest=False)
        self.margin = min(self.margin, float((two.values[..., 1] - two.values[..., 0]).min()))
        codes = [table[g][two.indices[..., g, 0]] for g in range(table.shape[0])]
        return torch.cat(codes, dim=-1)


# the block


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

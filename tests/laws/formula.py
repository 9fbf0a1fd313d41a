"""What a plan must answer, by the simulator: one process, written from the formula.

Only sizes are taken from the layout (who owns what, which segments are announced before which
block, what is replicated); the tests of the layout hold those.
"""

from __future__ import annotations

from typing import Any

import torch
from nets import Net
from simulator import Nearest, Segments, Wire, cast, int8, norm, plain, simulate
from torch import Tensor

from prism_edge.layout import Layout, token_layout
from prism_edge.plan import Plan


def formula(
    net: Net,
    plan: str,
    x: Tensor,
    real: Tensor | None = None,
    codebooks: Tensor | None = None,
    **changes: Any,
) -> Tensor:
    """All rows of the last block, in fp64.  [B,N,D] -> [B,N,D]

    ``codebooks`` [blocks,G,K,D/G] for astra. ``changes`` are mistakes of the simulator, or other
    values of what the plan says.
    """
    done = []
    start = 0
    for part, count in Plan.parse(plan).parts(x.shape[0]):
        own = slice(start, start + count)
        mask = None if real is None else real[own]
        done.append(_part(net, part, x[own], mask, codebooks, changes))
        start += count
    return torch.cat(done)


def _part(
    net: Net,
    plan: Plan,
    x: Tensor,
    real: Tensor | None,
    codebooks: Tensor | None,
    changes: dict[str, Any],
) -> Tensor:
    causal = net.shape.causal
    if not plan.exchanges:
        return plain(net.blocks, x, causal=causal, real=real)
    layout = token_layout(plan, net.shape, x.shape[1])
    options = {
        "causal": causal,
        "real": real,
        "tap": plan.tap,
        "wire": changes.get("wire") or wire_of(plan, codebooks),
        "at": announced(layout),
        "replicas": layout.replicas,
    }
    return simulate(net.blocks, x, segments(layout, 0), **{**options, **changes})


def segments(layout: Layout, block: int) -> list[tuple[int, ...]]:
    """Sizes of the segments in force at ``block``, of all parts by position."""
    return [layout.segments(rank, block) for rank in layout.order]


def announced(layout: Layout) -> dict[int, Segments | None]:
    """What is announced before each block; None where the exchange is skipped."""
    counts = layout.plan.l
    skipped = (
        {i for i, count in enumerate(counts) if not count} if isinstance(counts, tuple) else set()
    )
    return {
        block: None if block in skipped else segments(layout, block)
        for block in range(layout.shape.blocks)
    }


def wire_of(plan: Plan, codebooks: Tensor | None) -> Wire:
    """What the plan's wire makes of announced values."""
    if plan.method == "astra":
        assert codebooks is not None
        return Nearest(codebooks)
    return {"fp32": cast(torch.float32), "fp16": cast(torch.float16), "int8": int8}[str(plan.dtype)]


def lossless(net: Net, x: Tensor, groups: int, tap: str) -> Tensor:
    """Codebooks that hold every token of this request at every block.  -> [blocks,G,B*N,D/G]"""
    tables = []
    for index, block in enumerate(net.blocks):
        rows = plain(net.blocks[:index], x, causal=net.shape.causal)
        rows = norm(block.norm1, rows) if block.pre_norm and tap == "after" else rows
        tables.append(rows.flatten(0, 1).unflatten(-1, (groups, -1)).transpose(0, 1))
    return torch.stack(tables)

"""Timing one rank's loop with every message already there: what it computes, without waiting."""

from __future__ import annotations

import time
from collections.abc import Mapping

import torch
from torch import Tensor

from prism_edge.families.model import Model
from prism_edge.forward import run_blocks
from prism_edge.layout import token_layout
from prism_edge.plan import Plan
from prism_edge.spans import Recorder


class Answered:
    """A transport whose messages arrive at once, full of zeros, and cost only their encoding."""

    def __init__(self, rank: int, size: int) -> None:
        self.rank = rank
        self.size = size
        self.sent_bytes = 0

    def begin(self, sends: Mapping[int, Tensor], receives: Mapping[int, int]) -> AnsweredPending:
        self.sent_bytes += sum(t.numel() * t.element_size() for t in sends.values())
        return AnsweredPending(receives)

    def abort(self) -> None:
        pass

    def close(self) -> None:
        pass


class AnsweredPending:
    """Zeros of the right sizes."""

    def __init__(self, receives: Mapping[int, int]) -> None:
        self._receives = receives

    def wait(self, timeout_s: float | None = None) -> dict[int, Tensor]:
        return {rank: torch.zeros(size, dtype=torch.uint8) for rank, size in self._receives.items()}


@torch.inference_mode()
def measure(
    model: Model, plan: Plan, rank: int, batch: int, tokens: int, repeats: int
) -> list[float]:
    """Seconds of ``repeats`` passes of ``rank``'s part of a request: embed, all blocks, head.

    The first pass is not counted. Runs the production loop; only the messages are not real.
    """
    layout = token_layout(plan, model.shape, tokens)
    first = model.inputs[0]
    if model.shape.fixed_tokens:
        shape = [batch if size == -1 else size for size in first.shape]
        prepared = model.prepare({first.name: torch.zeros(shape, dtype=torch.uint8)})
    else:
        prepared = model.prepare({first.name: torch.zeros(batch, tokens, dtype=torch.long)})
    group = Answered(rank, layout.ranks)
    start, stop = layout.offsets[rank], layout.offsets[rank] + layout.own[rank]
    part = model.part(prepared, start, stop)
    heard = (
        torch.zeros(batch, layout.heard(rank), model.shape.width) if layout.heard(rank) else None
    )
    seconds = []
    for _ in range(repeats + 1):
        start_s = time.perf_counter()
        x = model.embed(part, start, stop)
        rows = run_blocks(model, layout, rank, x, heard, None, group, Recorder())
        if rows is not None and rank == 0:
            everyone = layout.shape.needs == "all" and layout.ranks > 1
            model.head(rows.repeat(1, layout.ranks, 1)[:, :tokens] if everyone else rows)
        seconds.append(time.perf_counter() - start_s)
    return seconds[1:]

"""A plan's P ranks in one process, block by block: the same answer, and gradients through it.

Layouts, columns, blocks and wire formats are those of the ranks; only the transport is missing.
What the wire rounds (fp16, int8, codes) is rounded here too, and the gradient passes straight
through it (Bengio et al. 2013, arXiv 1308.3432). Letters: B batch, N tokens, n own tokens, L
announced rows, R heard columns, D width.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from prism_edge.exchange import Exchange, exchange_of
from prism_edge.families.model import Model, Tensors
from prism_edge.forward import head_rows
from prism_edge.layout import Layout, check_fits, token_layout
from prism_edge.plan import LOCAL, Plan
from prism_edge.tensors.attention import as_mask
from prism_edge.tensors.block import Block
from prism_edge.tensors.known import Known, known, own_rows
from prism_edge.tensors.segments import segment_means

# (block, source, target): True where that message is lost, and its tokens unknown to the target
Lost = Callable[[int, int, int], bool]
# a rank of a layout, out of everyone's embeddings [B,N,D] and what of them is real [B,N]
Make = Callable[[Layout, int, Tensor, "Tensor | None"], "Rank"]


def simulate(
    model: Model,
    plan: Plan,
    prepared: Tensors,
    lost: Lost | None = None,
    make: Make | None = None,
) -> Tensors:
    """The outputs of prepared inputs under ``plan``, as its ranks would give them.

    ``make``: ranks that do something otherwise. Raises ``PlanError`` when the plan does not fit,
    ``ModelError`` when its codebooks are missing.
    """
    batch, tokens = next(iter(prepared.values())).shape[0], model.tokens(prepared)
    check_fits(plan, model.shape, batch, tokens, plan.p)
    answers, start = [], 0
    for part, count in plan.parts(batch):
        share = {key: tensor[start : start + count] for key, tensor in prepared.items()}
        layout = token_layout(part if part.exchanges else LOCAL, model.shape, tokens)
        x, real = model.embed(share, 0, tokens), model.real(share)
        rows = simulated_rows(model, layout, x, real, lost, make)
        answers.append(model.head(rows))
        start += count
    return {key: torch.cat([answer[key] for answer in answers]) for key in answers[0]}


def simulated_rows(
    model: Model,
    layout: Layout,
    x: Tensor,
    real: Tensor | None,
    lost: Lost | None = None,
    make: Make | None = None,
) -> Tensor:
    """The rows of the last block that are needed.  [B,N,D], [B,N] or None -> [B,.,D]"""
    exchange = exchange_of(layout.plan, model.codebooks) if layout.plan.exchanges else None
    ranks = [(make or Rank)(layout, number, x, real) for number in range(layout.ranks)]
    for index, block in enumerate(model.blocks):
        for rank in ranks:
            rank.h = block.inputs(rank.x)
        if exchange is not None and (index == 0 or layout.messages(index)):
            told = [rank.tell(exchange, index) for rank in ranks]
            for rank in ranks:
                rank.hear(told, index, lost)
        last = index == layout.shape.blocks - 1
        for rank in ranks:
            if not last or layout.rows(rank.number):
                rank.attend(block, head_rows(layout) if last else slice(None))
    return _gathered(layout, [ranks[number].x for number in layout.order if layout.rows(number)])


class Rank:
    """What one rank has computed and heard. ``x`` [B,n,D]: its rows; ``h``: what a block reads."""

    h: Tensor

    def __init__(self, layout: Layout, number: int, x: Tensor, real: Tensor | None) -> None:
        self.layout, self.number, self.real = layout, number, real
        self.x = own_rows(layout, number, x)
        self.before = layout.plan.tap == "before"
        self.heard: Tensor | None = None
        self.columns = self.known(0)

    def known(self, index: int) -> Known:
        """The columns at a block."""
        return known(self.layout, self.number, self.real, index)

    def own_real(self) -> Tensor | None:
        """1 for a token of its part, 0 for padding.  -> [B,part] or None"""
        if self.real is None:
            return None
        return self.real[:, self.layout.part(self.number)].to(self.x.device)

    def tell(self, exchange: Exchange, index: int) -> Any:
        """What the others read of this rank's message before a block.  -> [B,L,D]"""
        rows, real = (self.x if self.before else self.h)[:, self.layout.replicas :], self.own_real()
        if self.layout.plan.l is not None:
            rows = segment_means(rows, self.layout.segments(self.number, index), real)
            real = None
        return self.arrived(exchange, rows, real, index)

    def arrived(self, exchange: Exchange, rows: Tensor, real: Tensor | None, index: int) -> Tensor:
        """The rows as the wire gives them back.  [B,L,D], [B,L] or None -> [B,L,D]"""
        count = rows.shape[1]
        with torch.no_grad():
            payload = exchange.encode(rows, (1,) * count, real, index)
            arrived = exchange.decode(payload, count, index, rows)
        return through(rows, arrived)

    def hear(self, told: Sequence[Any], index: int, lost: Lost | None) -> None:
        """The others' messages before a block are known from now on, those ``lost`` are not."""
        heard = self.layout.hears(self.number)
        self.columns = self.known(index)
        self.heard = torch.cat([told[other] for other in heard], dim=1) if heard else None
        if lost is None:
            return
        count, start = self.columns.count.clone(), 0
        for other in heard:
            stop = start + told[other].shape[1]
            if lost(index, other, self.number):
                count[:, start:stop] = 0
            start = stop
        self.columns = replace(self.columns, count=count)

    def attend(self, block: Block, rows: slice) -> None:
        """Its ``rows`` have passed ``block``."""
        q, k, v = block.project(self.h, rows)
        if self.heard is not None:
            heard = block.inputs(self.heard) if self.before else self.heard
            k, v = block.prepend(heard, k, v)
        whole = q.shape[2] == self.h.shape[1]
        triangle = self.columns.plain_causal
        bias = None if triangle else self.bias(q, rows)
        # the last row alone sees everything: the triangle would start at it
        attended = block.attend(q, k, v, bias, causal=triangle and whole)
        self.x = block.finish(self.x[:, rows], attended)

    def bias(self, q: Tensor, rows: slice) -> Tensor | None:
        """What is added to the scores of ``rows``.  [B,H,.,F] -> [B or 1,1,. or 1,M] or None"""
        bias = self.columns.bias()
        if bias is None:
            return None
        return as_mask(bias if bias.shape[2] == 1 else bias[:, :, rows], self.x)


def _gathered(layout: Layout, parts: Sequence[Tensor]) -> Tensor:
    """The needed rows by position; a token that every rank owns is the mean of its replicas."""
    if not layout.replicas or layout.needs == "last":
        return torch.cat(list(parts), dim=1)
    shared = torch.stack([part[:, : layout.replicas] for part in parts]).mean(dim=0)
    return torch.cat([shared, *(part[:, layout.replicas :] for part in parts)], dim=1)


class _Through(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, meant: Tensor, arrived: Tensor) -> Tensor:
        return arrived

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        return gradients[0], None


def through(meant: Tensor, arrived: Tensor) -> Tensor:
    """``arrived``, with the gradient going to what was ``meant``."""
    passed: Tensor = _Through.apply(meant, arrived)  # type: ignore[no-untyped-call]
    return passed

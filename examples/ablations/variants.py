"""Segment means done otherwise, or wrongly on purpose: the same simulation, one thing changed.

Letters: B batch, N tokens, n own tokens, L announced rows, R heard columns, D width, H heads,
F = D/H. What a variant sends besides its rows is counted in ``more_bytes``.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import one_hot, pad

from prism_edge.exchange import Exchange
from prism_edge.families.curve import along_curve
from prism_edge.families.model import Model, Tensors
from prism_edge.layout import Layout, segment_sizes, token_layout
from prism_edge.plan import Plan
from prism_edge.simulate import Lost, Rank, simulate
from prism_edge.tensors.attention import as_mask
from prism_edge.tensors.block import Block
from prism_edge.tensors.known import Known
from prism_edge.tensors.segments import segment_counts, segment_means
from prism_edge.traffic import wire_bytes

FLOAT_BYTES = 2  # of a variance: fp16 is enough for it
NUMBER_BYTES = 1  # of a token's place in its part, or of a count: parts of 256 tokens at most
ROUNDS = 3  # of k-means


class Uncounted(Rank):
    """Every mean counts as one token, however many it stands for."""

    def known(self, index: int) -> Known:
        columns = super().known(index)
        return replace(columns, count=columns.count.clamp(max=1))


class Padded(Rank):
    """Means are over padding too."""

    def own_real(self) -> Tensor | None:
        return None


class Message(NamedTuple):
    """``rows`` [B,L,D], and ``about`` them [B,L,...] what plan and lengths do not say."""

    rows: Tensor
    about: Tensor


class Telling(Rank):
    """A rank whose messages say more than rows."""

    about: Tensor | None = None  # [B,R,...]

    def hear(self, told: Sequence[Message], index: int, lost: Lost | None) -> None:
        super().hear([message.rows for message in told], index, lost)
        heard = self.layout.hears(self.number)
        self.about = torch.cat([told[other].about for other in heard], dim=1) if heard else None

    def rows(self) -> Tensor:
        """What is announced of.  -> [B,n,D]"""
        return (self.x if self.before else self.h)[:, self.layout.replicas :]


class Unheard(Rank):
    """Nothing is heard."""

    def known(self, index: int) -> Known:
        columns = super().known(index)
        own = torch.arange(columns.count.shape[1]) >= columns.count.shape[1] - self.x.shape[1]
        return replace(columns, count=columns.count * own)


class Spread(Telling):
    """log c + q.q var/(2F): what the tokens of a segment weigh together, to second order, if their
    keys have the same variance in all directions; it travels for each head."""

    def __init__(self, *rank: object, blocks: Sequence[Block]) -> None:
        super().__init__(*rank)  # type: ignore[arg-type]
        self.blocks = blocks

    def tell(self, exchange: Exchange, index: int) -> Message:
        _, k, _ = self.blocks[index].project(self.h, slice(None))  # [B,H,n,F]
        k = k.transpose(1, 2)[:, self.layout.replicas :].flatten(2)
        sizes, real = self.layout.segments(self.number, index), self.own_real()
        square = segment_means(k.square(), sizes, real) - segment_means(k, sizes, real).square()
        each = square.unflatten(2, (self.blocks[index].heads, -1)).mean(dim=-1).clamp(min=0)
        return Message(super().tell(exchange, index), each.to(torch.float16).to(each))

    def bias(self, q: Tensor, rows: slice) -> Tensor | None:
        bias = super().bias(q, rows)
        if self.about is None or bias is None:
            return bias
        each = self.about.transpose(1, 2)[:, :, None]  # [B,H,1,R]
        more = q.square().sum(dim=-1, keepdim=True) / (2 * q.shape[-1]) * each
        return as_mask(bias + pad(more, (0, bias.shape[-1] - more.shape[-1])), q)


class Counting(Telling):
    """A rank whose messages say what each row counts."""

    def hear(self, told: Sequence[Message], index: int, lost: Lost | None) -> None:
        assert lost is None
        super().hear(told, index, lost)
        if self.about is not None:
            own = self.columns.count[:, -self.x.shape[1] :].expand(self.about.shape[0], -1)
            self.columns = replace(self.columns, count=torch.cat([self.about, own], dim=1))

    def weights(self) -> Tensor:
        """1 for a token of its part, 0 for padding.  -> [B,n]"""
        real = self.own_real()
        return self.rows().new_ones(self.rows().shape[:2]) if real is None else real.float()


class Salient(Counting):
    """``exact`` of the L rows are the tokens farthest from their segments' means, as they are; the
    means are of the others."""

    def __init__(self, *rank: object, exact: int) -> None:
        super().__init__(*rank)  # type: ignore[arg-type]
        self.exact = exact

    def tell(self, exchange: Exchange, index: int) -> Message:
        rows, weight = self.rows(), self.weights()
        lead, trail, exact = alone(self.layout, self.number, index, self.exact)
        count = len(self.layout.segments(self.number, index)) - exact
        sizes = segment_sizes(rows.shape[1], count, lead, trail)
        each = torch.repeat_interleave(torch.arange(count), torch.tensor(sizes))
        far = (rows - segment_means(rows, sizes, weight)[:, each]).norm(dim=-1) * weight
        picked = far.topk(exact, dim=1).indices  # [B,exact]
        chosen = rows.gather(1, picked[..., None].expand(-1, -1, rows.shape[2]))
        counted = weight.gather(1, picked)
        weight = weight.scatter(1, picked, 0.0)
        sent = torch.cat([segment_means(rows, sizes, weight), chosen], dim=1)
        counts = torch.cat([segment_counts(sizes, weight), counted], dim=1)
        return Message(self.arrived(exchange, sent, None, index), counts)


class Clusters(Counting):
    """The rows are means of like tokens, not of neighbours: k-means that starts from segments."""

    def tell(self, exchange: Exchange, index: int) -> Message:
        rows, weight = self.rows(), self.weights()
        lead, trail, _ = alone(self.layout, self.number, index, 0)
        sizes = self.layout.segments(self.number, index)
        middle = slice(lead, rows.shape[1] - trail)
        centres = segment_means(rows, sizes, weight)
        moving = slice(lead, len(sizes) - trail)
        counts = segment_counts(sizes, weight)
        for _ in range(ROUNDS):
            nearest = torch.cdist(rows[:, middle], centres[:, moving]).argmin(dim=2)
            member = one_hot(nearest, len(sizes) - lead - trail).to(rows)
            member = member * weight[:, middle, None]
            total = member.sum(dim=1)  # [B,L]
            means = member.transpose(1, 2) @ rows[:, middle] / total.clamp(min=1)[..., None]
            centres = torch.cat([centres[:, :lead], means, centres[:, moving.stop :]], dim=1)
            counts = torch.cat([counts[:, :lead], total, counts[:, moving.stop :]], dim=1)
        return Message(self.arrived(exchange, centres, None, index), counts)


def alone(layout: Layout, rank: int, index: int, exact: int) -> tuple[int, int, int]:
    """Segments of ``rank`` that are a sink, at either end, and how many of the others may be exact
    tokens: a mean at least stays."""
    sizes = layout.segments(rank, index)
    lead = layout.shape.lead if layout.offsets[rank] == 0 else 0
    trail = layout.shape.trail if layout.part(rank).stop == layout.tokens else 0
    if len(sizes) <= lead + trail:  # as in segment_sizes: nobody, or only those in front
        trail = 0
        lead = 0 if len(sizes) <= lead else lead
    return lead, trail, max(0, min(exact, len(sizes) - lead - trail - 1))


def without_sinks(model: Model) -> Model:
    """The same model, whose class token, first token and separators are averaged with others."""
    twin = copy.copy(model)
    twin.shape = replace(model.shape, lead=0, trail=0)
    return twin


def strips(model: Model) -> Model:
    """The same ViT, whose patches come row by row: segments are strips of a picture, not tiles."""
    lead = int(model.shape.class_token)
    curve = torch.tensor(along_curve(math.isqrt(model.shape.tokens - lead)))
    back = torch.cat([torch.arange(lead), lead + curve.argsort()])
    there = torch.cat([torch.arange(lead), lead + curve])
    twin = copy.copy(model)

    def embed(part: Tensors, start: int, stop: int) -> Tensor:
        assert (start, stop) == (0, len(back))
        return model.embed(part, start, stop)[:, back]

    def head(rows: Tensor) -> Tensors:
        return model.head(rows[:, there] if rows.shape[1] == len(there) else rows)

    twin.embed, twin.head = embed, head  # type: ignore[method-assign]
    return twin


Make = Callable[..., Rank]


@dataclass(frozen=True, slots=True)
class Variant:
    """``twin``: the model it is about; ``rank``: what its ranks are, given a layout's rank and the
    blocks; ``more_bytes``: of a rank's message before a block, beyond the rows."""

    twin: Callable[[Model], Model] = lambda model: model
    rank: Callable[[Sequence[Block]], Make] = lambda blocks: Rank
    more_bytes: Callable[[Layout, int, int], int] = lambda layout, rank, block: 0


def _spread_bytes(layout: Layout, rank: int, block: int) -> int:
    means = sum(size > 1 for size in layout.segments(rank, block))
    return means * layout.shape.heads * FLOAT_BYTES


def _salient(exact: int) -> Variant:
    return Variant(
        rank=lambda blocks: partial(Salient, exact=exact),
        more_bytes=lambda layout, rank, block: alone(layout, rank, block, exact)[2] * NUMBER_BYTES,
    )


VARIANTS = {
    "plain": Variant(),
    "unheard": Variant(rank=lambda blocks: Unheard),
    "uncounted": Variant(rank=lambda blocks: Uncounted),
    "padded": Variant(rank=lambda blocks: Padded),
    "no-sinks": Variant(twin=without_sinks),
    "spread": Variant(rank=lambda blocks: partial(Spread, blocks=blocks), more_bytes=_spread_bytes),
    "strips": Variant(twin=strips),
    "salient1": _salient(1),
    "salient2": _salient(2),
    "salient4": _salient(4),
    "clusters": Variant(
        rank=lambda blocks: Clusters,
        more_bytes=lambda layout, rank, block: (
            sum(size > 1 for size in layout.segments(rank, block)) * NUMBER_BYTES
        ),
    ),
}


def answer(variant: str, model: Model, plan: Plan, prepared: Tensors) -> Tensors:
    """The outputs of prepared inputs under a variant of ``plan``; ``+`` joins variants that do not
    both change the ranks (``strips+spread``)."""
    make: Make = Rank
    for name in variant.split("+"):
        make_one = VARIANTS[name].rank(model.blocks)
        assert make is Rank or make_one is Rank, f"{variant}: both change the ranks"
        make = make_one if make is Rank else make
        model = VARIANTS[name].twin(model)
    return simulate(model, plan, prepared, make=make)


def bytes_sent(variant: str, model: Model, plan: Plan, tokens: int) -> int:
    """What boards send for a request of one sample of so many tokens, its input included."""
    sent = wire_bytes(plan, model.shape, 1, tokens)
    if not plan.exchanges:
        return sent
    layout = token_layout(plan, model.shape, tokens)
    messages = [
        (rank, block) for block in range(model.shape.blocks) for rank, _ in layout.messages(block)
    ]
    if model.shape.fixed_tokens:  # then the first rows travel with the input
        messages += [(other, 0) for rank in range(1, plan.p) for other in layout.hears(rank)]
    of = [VARIANTS[name].more_bytes for name in variant.split("+")]
    return sent + sum(more(layout, rank, block) for more in of for rank, block in messages)

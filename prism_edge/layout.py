"""Who owns which tokens, who hears what, and what it costs in bytes and operations. Pure.

Letters: P ranks, N tokens, n own tokens, L segments a rank announces, R columns a rank hears,
M = n + R known columns, D width, B batch. Engine, cost model and reports all count with this file.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from prism_edge.errors import PlanError
from prism_edge.plan import DTYPE_BYTES, Plan

Needs = Literal["first", "last", "all"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelShape:
    """Everything about a model that decides sizes.

    ``tokens``: positions at most, class token included (``fixed_tokens``: always that many).
    ``lead``: leading tokens rank 0 announces as segments of their own (the class token).
    ``needs``: the rows of the last block its head reads. ``token_bytes``: raw input of one token.
    ``output_fixed`` + ``output_per_token`` x N: floats in one sample's outputs.
    """

    family: str
    tokens: int
    fixed_tokens: bool
    width: int
    heads: int
    blocks: int
    ffn: int
    causal: bool
    lead: int
    needs: Needs
    token_bytes: int
    output_fixed: int
    output_per_token: int


def even(total: int, parts: int) -> tuple[int, ...]:
    """``total`` in ``parts`` whole pieces that differ by at most one, larger ones first."""
    size, rest = divmod(total, parts)
    return (size + 1,) * rest + (size,) * (parts - rest)


@dataclass(frozen=True, kw_only=True)
class Layout:
    """One plan on one model and length: the sizes every rank agrees on without talking.

    ``own[p]``: tokens rank p owns. ``segments[p]``: sizes of the segments it announces, in order;
    full exchange announces every token as a segment of one.
    """

    plan: Plan
    shape: ModelShape
    own: tuple[int, ...]
    segments: tuple[tuple[int, ...], ...]

    def __post_init__(self) -> None:
        assert len(self.own) == len(self.segments)
        for own, segments in zip(self.own, self.segments, strict=True):
            assert not segments or sum(segments) == own

    @cached_property
    def offsets(self) -> tuple[int, ...]:
        """Position of each rank's first own token."""
        return tuple(sum(self.own[:rank]) for rank in range(len(self.own)))

    @property
    def ranks(self) -> int:
        return len(self.own)

    @property
    def tokens(self) -> int:
        return sum(self.own)

    def hears(self, rank: int) -> tuple[int, ...]:
        """Ranks whose tokens ``rank`` learns about, in column order."""
        last = rank if self.shape.causal else self.ranks
        return tuple(other for other in range(last) if other != rank)

    def heard(self, rank: int) -> int:
        """Columns ``rank`` hears (R)."""
        return sum(len(self.segments[other]) for other in self.hears(rank))

    def known(self, rank: int) -> int:
        """Columns ``rank`` attends over (M)."""
        return self.own[rank] + self.heard(rank)

    def finishers(self) -> tuple[int, ...]:
        """Ranks that compute the last block: those that own a row the head needs."""
        if self.shape.needs == "first":
            return (0,)
        if self.shape.needs == "last":
            return (self.ranks - 1,)
        return tuple(range(self.ranks))

    def messages(self, block: int) -> dict[tuple[int, int], int]:
        """(source, destination) -> rows of D values sent before ``block``, per sample.

        Nothing is sent before block 0: its knowledge travels with the input.
        """
        if block == 0:
            return {}
        last = block == self.shape.blocks - 1
        receivers = self.finishers() if last else tuple(range(self.ranks))
        return {(src, dst): len(self.segments[src]) for dst in receivers for src in self.hears(dst)}

    def exchange_bytes(self, batch: int) -> int:
        """Payload of all directed messages of all exchanges of one request, framing excluded."""
        rows = sum(sum(self.messages(block).values()) for block in range(self.shape.blocks))
        return batch * rows * self.row_bytes

    @property
    def row_bytes(self) -> int:
        """Bytes of one announced row on the wire."""
        return self.shape.width * (DTYPE_BYTES[self.plan.dtype] if self.plan.dtype else 0)

    def macs(self, rank: int, block: int = 0) -> int:
        """Multiply-accumulates of one sample in one full block on ``rank`` (projections, attention,
        feed-forward; norms, softmax and biases not counted)."""
        n, m, d = self.own[rank], self.known(rank), self.shape.width
        return 2 * n * d * d + 2 * m * d * d + 2 * n * m * d + 2 * n * d * self.shape.ffn


def token_layout(plan: Plan, shape: ModelShape, tokens: int) -> Layout:
    """The layout of ``plan`` for ``tokens`` positions; ``local`` and ``split`` own them all.

    Raises ``PlanError`` when the plan does not fit the length.
    """
    if tokens > shape.tokens:
        raise PlanError(f"{tokens} tokens, but the model has positions for {shape.tokens}")
    if not plan.exchanges:
        return Layout(plan=plan, shape=shape, own=(tokens,), segments=((),))
    if plan.p > tokens:
        raise PlanError(f"plan {plan}: {plan.p} ranks cannot share {tokens} tokens")
    own = even(tokens, plan.p)
    if plan.method == "voltage":
        return Layout(plan=plan, shape=shape, own=own, segments=tuple((1,) * n for n in own))
    assert plan.l is not None
    if plan.l > own[0]:
        raise PlanError(
            f"plan {plan}: {plan.l} segments for the {own[0]} tokens a rank owns "
            f"({tokens} tokens over {plan.p} ranks); at most l={own[0]}"
        )
    segments = tuple(
        segment_sizes(n, min(plan.l, n), lead=shape.lead if rank == 0 else 0)
        for rank, n in enumerate(own)
    )
    return Layout(plan=plan, shape=shape, own=own, segments=segments)


def segment_sizes(tokens: int, segments: int, lead: int = 0) -> tuple[int, ...]:
    """Sizes of ``segments`` runs over ``tokens``: ``lead`` segments of one token, the rest even.

    With too few segments to set the leading tokens apart (``segments`` <= ``lead``), they are not.
    """
    if segments <= lead:
        return even(tokens, segments)
    return (1,) * lead + even(tokens - lead, segments - lead)


def batch_shares(plan: Plan, batch: int) -> tuple[int, ...]:
    """Samples of the batch each rank answers under ``split``; the leader takes the larger share."""
    if plan.method != "split":
        return (batch,)
    if batch < plan.p:
        raise PlanError(f"plan {plan}: a batch of {batch} cannot be split over {plan.p} boards")
    return even(batch, plan.p)


def check_fits(plan: Plan, shape: ModelShape, batch: int, tokens: int, boards: int) -> Layout:
    """The layout of a plan that fits model, batch, length and cluster; else ``PlanError``."""
    if plan.p > boards:
        raise PlanError(f"plan {plan}: {plan.p} ranks, but {boards} board(s) are in service")
    batch_shares(plan, batch)
    return token_layout(plan, shape, tokens)


def input_bytes(layout: Layout, rank: int, batch: int) -> int:
    """Raw input plus first knowledge the leader sends to ``rank`` (0 for itself), framing excluded.

    Text: all token ids, from which a rank forms everyone's first means itself. Images: under prism
    the rank's own patches and the first means it hears; under voltage and split whole images.
    """
    shape, plan = layout.shape, layout.plan
    if rank == 0 or plan.method == "local":
        return 0
    if plan.method == "split":
        return batch_shares(plan, batch)[rank] * (layout.tokens - _given(shape)) * shape.token_bytes
    if plan.method == "voltage" or not shape.fixed_tokens:
        return batch * (layout.tokens - _given(shape)) * shape.token_bytes
    return batch * (layout.own[rank] * shape.token_bytes + layout.heard(rank) * layout.row_bytes)


def output_bytes(layout: Layout, rank: int, batch: int) -> int:
    """What ``rank`` sends back to the leader: outputs under split, else rows of hidden state."""
    shape, plan = layout.shape, layout.plan
    if rank == 0 or plan.method == "local":
        return 0
    if plan.method == "split":
        floats = shape.output_fixed + shape.output_per_token * layout.tokens
        return batch_shares(plan, batch)[rank] * floats * 4
    if rank not in layout.finishers():
        return 0
    rows = 1 if shape.needs == "last" else layout.own[rank]
    return batch * rows * shape.width * 4


def wire_bytes(layout: Layout, batch: int) -> int:
    """Payload of everything one request sends between boards, either way, framing excluded."""
    ranks = range(1, layout.plan.p)
    scattered = sum(input_bytes(layout, rank, batch) for rank in ranks)
    gathered = sum(output_bytes(layout, rank, batch) for rank in ranks)
    return scattered + layout.exchange_bytes(batch) + gathered


def _given(shape: ModelShape) -> int:
    """Tokens that need no raw input: an image model's class token."""
    return shape.lead if shape.fixed_tokens else 0

"""Who owns which tokens, who hears what, and what it costs in bytes and operations. Pure.

Letters: P ranks, N tokens, n own tokens, L segments a rank announces, R columns a rank hears,
M = n + R known columns, D width, B batch. Engine, cost model and reports all count with this file.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from prism_edge.errors import PlanError
from prism_edge.plan import Plan

Needs = Literal["first", "last", "all"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelShape:
    """Everything about a model that decides sizes.

    ``tokens``: positions at most, class token included (``fixed_tokens``: always that many).
    ``lead``, ``trail``: attention sinks at either end (class token, first token, closing separator)
    that are announced as segments of their own. ``class_token``: the first token is one; ASTRA
    keeps a replica of it on every rank. ``needs``: the rows of the last block its head reads.
    ``token_bytes``: raw input of one token. ``output_fixed`` + ``output_per_token`` x N: floats in
    one sample's outputs.
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
    trail: int
    class_token: bool
    needs: Needs
    token_bytes: int
    output_fixed: int
    output_per_token: int


def even(total: int, parts: int) -> tuple[int, ...]:
    """``total`` in ``parts`` whole pieces that differ by at most one, larger ones first."""
    size, rest = divmod(total, parts)
    return (size + 1,) * rest + (size,) * (parts - rest)


def shared(total: int, shares: Sequence[int]) -> tuple[int, ...]:
    """``total`` in whole pieces in proportion to ``shares``, by largest remainders."""
    exact = [total * share / sum(shares) for share in shares]
    whole = [int(piece) for piece in exact]
    order = sorted(range(len(shares)), key=lambda i: whole[i] - exact[i])
    for i in order[: total - sum(whole)]:
        whole[i] += 1
    return tuple(whole)


@dataclass(frozen=True, kw_only=True)
class Layout:
    """One plan on one model and length: the sizes every rank agrees on without talking.

    ``parts[p]``: tokens that rank p alone owns, a run of positions. ``replicas``: leading tokens
    that every rank owns besides. ``announced``: the sizes of the segments every rank announces of
    its part; one entry, or one for every block, where None means that nothing is sent before that
    block and what was heard last stays. ``needs``: the rows the last block is computed for.
    """

    plan: Plan
    shape: ModelShape
    parts: tuple[int, ...]
    announced: tuple[tuple[tuple[int, ...], ...] | None, ...]
    needs: Needs
    replicas: int = 0

    def __post_init__(self) -> None:
        assert self.announced[0] is not None
        for sizes in filter(None, self.announced):
            for part, segments in zip(self.parts, sizes, strict=True):
                assert not segments or sum(segments) == part

    @property
    def ranks(self) -> int:
        return len(self.parts)

    @property
    def tokens(self) -> int:
        return self.replicas + sum(self.parts)

    @cached_property
    def own(self) -> tuple[int, ...]:
        """Tokens each rank computes (n), replicas included."""
        return tuple(self.replicas + part for part in self.parts)

    @cached_property
    def order(self) -> tuple[int, ...]:
        """Ranks by position. In causal models the leader comes last: it then hears everyone, and
        goes on alone when tokens are generated."""
        return (*range(1, self.ranks), 0) if self.shape.causal else tuple(range(self.ranks))

    @cached_property
    def offsets(self) -> tuple[int, ...]:
        """Position of the first token of each rank's part."""
        starts, start = [0] * self.ranks, self.replicas
        for rank in self.order:
            starts[rank] = start
            start += self.parts[rank]
        return tuple(starts)

    def part(self, rank: int) -> slice:
        """Positions that ``rank`` alone owns."""
        return slice(self.offsets[rank], self.offsets[rank] + self.parts[rank])

    def hears(self, rank: int) -> tuple[int, ...]:
        """Ranks whose tokens ``rank`` learns about, in column order."""
        place = self.order.index(rank)
        return self.order[:place] + (() if self.shape.causal else self.order[place + 1 :])

    def segments(self, rank: int, block: int = 0) -> tuple[int, ...]:
        """Sizes of the segments of ``rank`` that are known to others at ``block``."""
        sizes = self.announced[self.known_since(block)]
        assert sizes is not None
        return sizes[rank]

    def known_since(self, block: int) -> int:
        """The block before which the last exchange took place that still counts at ``block``."""
        if len(self.announced) == 1:
            return 0
        return next(b for b in range(block, -1, -1) if self.announced[b] is not None)

    def heard(self, rank: int, block: int = 0) -> int:
        """Columns ``rank`` hears (R)."""
        return sum(len(self.segments(other, block)) for other in self.hears(rank))

    def known(self, rank: int, block: int = 0) -> int:
        """Columns ``rank`` attends over (M)."""
        return self.own[rank] + self.heard(rank, block)

    def finishers(self) -> tuple[int, ...]:
        """Ranks that compute the last block: those that own a row the head needs."""
        if self.needs == "all" or (self.needs == "first" and self.replicas):
            return tuple(range(self.ranks))
        return (self.order[0] if self.needs == "first" else self.order[-1],)

    def rows(self, rank: int) -> int:
        """Rows of the last block that ``rank`` computes."""
        if rank not in self.finishers():
            return 0
        return self.own[rank] if self.needs == "all" else 1

    def messages(self, block: int) -> dict[tuple[int, int], int]:
        """(source, destination) -> rows sent before ``block``, per sample.

        Nothing is sent before block 0: its knowledge travels with the input.
        """
        if block == 0 or (len(self.announced) > 1 and self.announced[block] is None):
            return {}
        last = block == self.shape.blocks - 1
        receivers = self.finishers() if last else tuple(range(self.ranks))
        return {
            (source, target): len(self.segments(source, block))
            for target in receivers
            for source in self.hears(target)
        }

    def payload_bytes(self, rows: int, batch: int) -> int:
        """Bytes of a message of ``rows`` rows a sample, as the plan's method sends them."""
        plan, width = self.plan, self.shape.width
        if plan.g is not None and plan.k is not None:
            return -(-batch * rows * plan.g * (plan.k - 1).bit_length() // 8)
        if plan.dtype is None:
            return 0
        return batch * rows * {"fp32": 4 * width, "fp16": 2 * width, "int8": width + 4}[plan.dtype]

    def pieces(self, batch: int) -> tuple[int, ...]:
        """Samples in each piece of the batch."""
        return even(batch, min(self.plan.pieces or 1, batch))

    def exchange_bytes(self, batch: int) -> int:
        """Payload of all directed messages of all exchanges of one request, framing excluded."""
        return sum(
            self.payload_bytes(rows, samples)
            for block in range(self.shape.blocks)
            for rows in self.messages(block).values()
            for samples in self.pieces(batch)
        )

    def macs(self, rank: int, block: int = 0) -> int:
        """Multiply-accumulates of one sample in one full block on ``rank``; under astra the search
        for the codes it sends, k of D values for each of its tokens, is one more product."""
        sent = any(rank in self.hears(other) for other in range(self.ranks))
        search = self.parts[rank] * self.plan.k * self.shape.width if sent and self.plan.k else 0
        return block_macs(self.shape, self.own[rank], self.known(rank, block)) + search


def block_macs(shape: ModelShape, own: int, known: int) -> int:
    """Multiply-accumulates of one sample in one block of n own tokens that attend over M columns:
    projections, attention and feed-forward; norms, softmax and biases not counted."""
    d = shape.width
    return 2 * own * d * d + 2 * known * d * d + 2 * own * known * d + 2 * own * d * shape.ffn


def token_layout(plan: Plan, shape: ModelShape, tokens: int, needs: Needs | None = None) -> Layout:
    """The layout of ``plan`` for ``tokens`` positions; ``local`` and ``split`` own them all.

    ``needs``: other rows of the last block than the head reads. ``PlanError`` when it does not fit.
    """
    if tokens > shape.tokens:
        raise PlanError(f"{tokens} tokens, but the model has positions for {shape.tokens}")
    needs = needs or shape.needs
    if not plan.exchanges:
        return Layout(plan=plan, shape=shape, parts=(tokens,), announced=(((),),), needs=needs)
    replicas = int(plan.method == "astra" and shape.class_token)
    divided = tokens - replicas
    # shares say who computes how much: a replica is work too
    parts = even(divided, plan.p) if plan.share is None else shared(divided, plan.share)
    if min(parts) < 1:
        raise PlanError(f"plan {plan}: {plan.p} ranks cannot share {tokens} tokens")
    blank = Layout(plan=plan, shape=shape, parts=parts, announced=(((),) * plan.p,), needs=needs)
    if plan.l is None:
        announced: tuple[tuple[tuple[int, ...], ...] | None, ...]
        announced = (tuple((1,) * part for part in parts),)
    else:
        counts = (plan.l,) if isinstance(plan.l, int) else plan.l
        if len(counts) not in (1, shape.blocks):
            raise PlanError(
                f"plan {plan}: l has {len(counts)} numbers, the model {shape.blocks} blocks; "
                f"give one for all, or one for each"
            )
        most = max(counts)
        if most > max(parts):
            raise PlanError(
                f"plan {plan}: {most} segments for the {max(parts)} tokens a rank owns "
                f"({tokens} tokens over {plan.p} ranks); at most l={max(parts)}"
            )
        announced = tuple(
            tuple(
                segment_sizes(
                    part,
                    min(count, part),
                    lead=shape.lead if blank.offsets[rank] == 0 else 0,
                    trail=shape.trail if blank.part(rank).stop == tokens else 0,
                )
                for rank, part in enumerate(parts)
            )
            if count
            else None
            for count in counts
        )
    return Layout(
        plan=plan,
        shape=shape,
        parts=parts,
        announced=announced,
        needs=needs,
        replicas=replicas,
    )


def segment_sizes(tokens: int, segments: int, lead: int = 0, trail: int = 0) -> tuple[int, ...]:
    """Sizes of ``segments`` runs over ``tokens``: leading and trailing tokens stand alone, the rest
    is even.

    With too few segments to set them apart, the leading ones come first; with none to spare for the
    rest, nobody stands alone.
    """
    trail = trail if segments > lead + trail else 0
    if segments <= lead + trail:
        return even(tokens, segments)
    middle = even(tokens - lead - trail, segments - lead - trail)
    return (1,) * lead + middle + (1,) * trail


def batch_shares(plan: Plan, batch: int) -> tuple[int, ...]:
    """Samples of the batch each rank answers under ``split``; equal shares: more for the leader.

    A worker whose share is 0 is not asked; the leader always takes one.
    """
    if plan.method != "split":
        return (batch,)
    if plan.share is None:
        return even(batch, plan.p)
    samples = shared(batch, plan.share)
    return samples if samples[0] else (1, *shared(batch - 1, plan.share[1:]))


def check_fits(plan: Plan, shape: ModelShape, batch: int, tokens: int, boards: int) -> None:
    """A plan that fits model, batch, length and cluster; else ``PlanError``."""
    if plan.p > boards:
        raise PlanError(f"plan {plan}: {plan.p} ranks, but {boards} board(s) are in service")
    if batch < 1:
        raise PlanError(f"a batch of {batch}: allowed is 1 or more")
    for part, _ in plan.parts(batch):
        token_layout(part, shape, tokens)

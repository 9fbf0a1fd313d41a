"""What a plan makes ranks compute and send, before any link is known. Pure arithmetic."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from prism_edge.errors import PlanError
from prism_edge.layout import Layout, ModelShape, batch_shares, check_fits, token_layout
from prism_edge.plan import Plan
from prism_edge.schedule.cells import Cells, Spread
from prism_edge.traffic import input_bytes, output_bytes, wire_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Wave:
    """``count`` exchanges alike: the bytes that compete, and the compute that hides them.

    ``latency``: False when only the bytes cost, because the message before is still under way.
    """

    count: int
    competing_bytes: int
    hidden_s: float
    latency: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """Everything about a plan that does not depend on the link.

    By rank: ``computes``, and the bytes of ``inputs`` and ``outputs``. ``exchanges`` of
    ``exchange_bytes`` (the largest) happen in ``waves``; ``wire_bytes``: all that is sent.
    """

    computes: tuple[Spread, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    waves: tuple[Wave, ...]
    wire_bytes: int

    @property
    def exchanges(self) -> int:
        return sum(wave.count for wave in self.waves)

    @property
    def exchange_bytes(self) -> int:
        return max((wave.competing_bytes for wave in self.waves), default=0)


def work_of(
    plan: Plan,
    shape: ModelShape,
    batch: int,
    tokens: int,
    cells: Sequence[Cells],
    half_duplex: bool,
) -> Work | str:
    """The work of ``plan``, or why the tables say nothing about it. ``cells``: by rank."""
    try:
        check_fits(plan, shape, batch, tokens, len(cells))
    except PlanError as error:
        return str(error)
    if len(plan.parts(batch)) > 1:
        return "a batch partly split and partly exchanged is not predicted"
    if plan.method == "astra":
        return "not profiled: the search for codes"
    if isinstance(plan.l, tuple):
        return "segments that differ from block to block are not predicted"
    plan = plan.parts(batch)[0][0]
    layout = token_layout(plan, shape, tokens)
    computes = []
    for rank in range(plan.p):
        own, known = (layout.own[rank], layout.known(rank)) if plan.exchanges else (tokens, tokens)
        share = batch if plan.method != "split" else batch_shares(plan, batch)[rank]
        if share == 0:
            return f"rank {rank} would have no sample of a batch of {batch}"
        spread = cells[rank].time(own, known, share)
        if spread is None:
            return f"not profiled: n={own}, M={known}, batch {share} on rank {rank}"
        computes.append(spread)
    return Work(
        computes=tuple(computes),
        inputs=tuple(input_bytes(layout, rank, batch) for rank in range(plan.p)),
        outputs=tuple(output_bytes(layout, rank, batch) for rank in range(plan.p)),
        waves=_waves(layout, batch, computes, half_duplex) if plan.exchanges else (),
        wire_bytes=wire_bytes(plan, shape, batch, tokens),
    )


def _waves(
    layout: Layout, batch: int, computes: Sequence[Spread], half_duplex: bool
) -> tuple[Wave, ...]:
    """The exchanges of one request, equal ones together.

    Mutual: every exchange waits, less what is computed meanwhile without it. Causal:
    knowledge flows one way and nobody waits for a reply, so later ranks fall behind once, by the
    first message of each rank before them; after that a message only waits for the bytes of the one
    before, which travel while a whole block is computed.
    """
    blocks = layout.shape.blocks
    kinds: dict[tuple[int, float], int] = {}
    for block in range(1, blocks):
        messages = layout.messages(block)
        receivers = sorted({target for _, target in messages})
        if receivers:
            hidden_s = min(_hidden_s(layout, rank, batch, computes[rank]) for rank in receivers)
            sizes = {pair: layout.payload_bytes(n, batch) for pair, n in messages.items()}
            key = (_competing(sizes, half_duplex), hidden_s)
            kinds[key] = kinds.get(key, 0) + 1
    if not layout.shape.causal:
        return tuple(
            Wave(count=count, competing_bytes=size, hidden_s=hidden_s)
            for (size, hidden_s), count in kinds.items()
        )
    block_s = max(spread.mid_s for spread in computes) / blocks
    waves: list[Wave] = []
    for (size, hidden_s), count in kinds.items():
        first = 0 if waves else 1
        if first:
            waves.append(Wave(count=layout.ranks - 1, competing_bytes=size, hidden_s=hidden_s))
        if count > first:
            later = Wave(count=count - first, competing_bytes=size, hidden_s=block_s, latency=False)
            waves.append(later)
    return tuple(waves)


def _competing(messages: dict[tuple[int, int], int], half_duplex: bool) -> int:
    """Bytes that share the medium: all, or on full duplex the most one rank moves one way."""
    if half_duplex:
        return sum(messages.values())
    ends = {rank for pair in messages for rank in pair}
    sent = (sum(n for (src, _), n in messages.items() if src == rank) for rank in ends)
    received = (sum(n for (_, dst), n in messages.items() if dst == rank) for rank in ends)
    return max(*sent, *received)


def _hidden_s(layout: Layout, rank: int, batch: int, compute: Spread) -> float:
    """Seconds per block that need no message: the own queries, keys and values; and, where messages
    leave in pieces, what follows attention for all pieces but the first."""
    own, shape = layout.own[rank], layout.shape
    macs: float = 3 * own * shape.width**2
    rest = own * shape.width**2 + 2 * own * shape.width * shape.ffn
    macs += rest * (1 - 1 / len(layout.pieces(batch)))
    return compute.mid_s / shape.blocks * macs / layout.macs(rank)

"""What a plan makes ranks compute and send, before any link is known. Pure arithmetic."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

from prism_edge.errors import PlanError
from prism_edge.layout import Layout, ModelShape, batch_shares, check_fits, token_layout
from prism_edge.plan import Plan
from prism_edge.schedule.cells import Cells, Spread
from prism_edge.schedule.staging import Staging
from prism_edge.traffic import input_bytes, output_bytes, wire_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Wave:
    """``count`` exchanges alike, and the bytes that compete for the medium in each.

    ``latency``: False when only the bytes cost, because the message before is still under way.
    ``staged_s``: of the slowest rank, between its device and host memory.
    """

    count: int
    competing_bytes: int
    latency: bool = True
    staged_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A part of the batch under one method. By rank: ``cells``, own tokens, known ones and batch of
    what it ``computes``; ``free``, the share of a block that needs no message and is computed while
    one travels; bytes of ``inputs`` and ``outputs``."""

    split: bool
    cells: tuple[tuple[int, int, int], ...]
    computes: tuple[Spread, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    free: tuple[float, ...] = ()
    waves: tuple[Wave, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Work:
    """Everything about a plan that does not depend on the link. Its ``parts`` follow each other.

    ``wire_bytes``: all that is sent. ``extrapolated``: some computing was not measured but guessed.
    """

    parts: tuple[Part, ...]
    wire_bytes: int
    extrapolated: bool = False

    @cached_property
    def computes(self) -> tuple[Spread, ...]:
        """By rank, over all parts."""
        ranks = max(len(part.computes) for part in self.parts)
        return tuple(
            Spread(*(sum(getattr(s, name) for s in spreads) for name in Spread.__slots__))
            for spreads in (
                [part.computes[rank] for part in self.parts if rank < len(part.computes)]
                for rank in range(ranks)
            )
        )

    @cached_property
    def input_bytes(self) -> int:
        return sum(sum(part.inputs) for part in self.parts)

    @cached_property
    def output_bytes(self) -> int:
        return sum(sum(part.outputs) for part in self.parts)

    @cached_property
    def exchanges(self) -> int:
        return sum(wave.count for part in self.parts for wave in part.waves)

    @cached_property
    def exchange_bytes(self) -> int:
        """Of the largest exchange."""
        waves = (wave for part in self.parts for wave in part.waves)
        return max((wave.competing_bytes for wave in waves), default=0)

    @cached_property
    def exchanged_bytes(self) -> int:
        """Of all exchanges together."""
        waves = (wave for part in self.parts for wave in part.waves)
        return sum(wave.count * wave.competing_bytes for wave in waves)


@dataclass(slots=True)
class _Clock:
    """Looks times up; ``guess``: also outside what was measured. ``guessed``: it had to."""

    cells: Sequence[Cells]
    guess: bool
    guessed: bool = field(default=False)

    def time(self, rank: int, own: int, known: int, batch: int) -> Spread | None:
        spread = self.cells[rank].time(own, known, batch)
        if spread is None and self.guess:
            spread = self.cells[rank].scaled(own, known, batch)
            self.guessed = True
        return spread


def work_of(
    plan: Plan,
    shape: ModelShape,
    batch: int,
    tokens: int,
    cells: Sequence[Cells],
    half_duplex: bool,
    *,
    stagings: Sequence[Staging] = (),
    guess: bool = False,
) -> Work | str:
    """The work of ``plan``, or why the tables say nothing about it. ``cells``: by rank; ``guess``:
    times outside the tables are scaled by operations. ``stagings``: by rank, none: nothing is
    staged."""
    try:
        check_fits(plan, shape, batch, tokens, len(cells))
    except PlanError as error:
        return str(error)
    if plan.method == "astra":
        return "not profiled: the search for codes"
    if isinstance(plan.l, tuple):
        return "segments that differ from block to block are not predicted"
    clock = _Clock(cells, guess)
    parts = []
    for method, count in plan.parts(batch):
        part = _part(method, shape, count, tokens, clock, half_duplex, stagings)
        if isinstance(part, str):
            return part
        parts.append(part)
    return Work(
        parts=tuple(parts),
        wire_bytes=wire_bytes(plan, shape, batch, tokens),
        extrapolated=clock.guessed,
    )


def _part(
    plan: Plan,
    shape: ModelShape,
    batch: int,
    tokens: int,
    clock: _Clock,
    half_duplex: bool,
    stagings: Sequence[Staging],
) -> Part | str:
    layout = token_layout(plan, shape, tokens)
    shares = batch_shares(plan, batch) if plan.method == "split" else (batch,) * plan.p
    cells, computes = [], []
    for rank, share in enumerate(shares):
        own, known = (layout.own[rank], layout.known(rank)) if plan.exchanges else (tokens, tokens)
        if share == 0:
            return f"rank {rank} would have no sample of a batch of {batch}"
        cells.append((own, known, share))
        spread = clock.time(rank, own, known, share)
        if spread is None:
            return f"not profiled: n={own}, M={known}, batch {share} on rank {rank}"
        computes.append(spread)
    return Part(
        split=plan.method == "split",
        cells=tuple(cells),
        computes=tuple(computes),
        inputs=tuple(input_bytes(layout, rank, batch) for rank in range(plan.p)),
        outputs=tuple(output_bytes(layout, rank, batch) for rank in range(plan.p)),
        free=tuple(_free(layout, rank, batch) for rank in range(plan.p)) if plan.exchanges else (),
        waves=_waves(layout, batch, half_duplex, stagings) if plan.exchanges else (),
    )


def _waves(
    layout: Layout, batch: int, half_duplex: bool, stagings: Sequence[Staging]
) -> tuple[Wave, ...]:
    """The exchanges of one request, equal ones together.

    Mutual: every exchange waits. Causal: knowledge flows one way and nobody waits for a reply, so
    later ranks fall behind once, by the first message of each rank before them; after that a
    message only waits for the bytes of the one before, which travel while a block is computed.
    """
    kinds: dict[tuple[int, float], int] = {}
    for block in range(1, layout.shape.blocks):
        messages = layout.messages(block)
        if messages:
            sizes = {pair: layout.payload_bytes(n, batch) for pair, n in messages.items()}
            kind = _competing(sizes, half_duplex), _staged_s(sizes, stagings)
            kinds[kind] = kinds.get(kind, 0) + 1
    if not layout.shape.causal:
        return tuple(
            Wave(count=count, competing_bytes=size, staged_s=staged_s)
            for (size, staged_s), count in kinds.items()
        )
    waves: list[Wave] = []
    for (size, staged_s), count in kinds.items():
        first = 0 if waves else 1
        if first:
            waves.append(Wave(count=layout.ranks - 1, competing_bytes=size, staged_s=staged_s))
        if count > first:
            later = count - first
            waves.append(Wave(count=later, competing_bytes=size, latency=False, staged_s=staged_s))
    return tuple(waves)


def _staged_s(messages: dict[tuple[int, int], int], stagings: Sequence[Staging]) -> float:
    """Of the slowest rank: one copy off the device serves all that are told the same."""
    rounds = [
        staging.round_s(
            max((n for (src, _), n in messages.items() if src == rank), default=0),
            sum(n for (_, dst), n in messages.items() if dst == rank),
        )
        for rank, staging in enumerate(stagings)
    ]
    return max(rounds, default=0.0)


def _competing(messages: dict[tuple[int, int], int], half_duplex: bool) -> int:
    """Bytes that share the medium: all, or on full duplex the most one rank moves one way."""
    if half_duplex:
        return sum(messages.values())
    ends = {rank for pair in messages for rank in pair}
    sent = (sum(n for (src, _), n in messages.items() if src == rank) for rank in ends)
    received = (sum(n for (_, dst), n in messages.items() if dst == rank) for rank in ends)
    return max(*sent, *received)


def _free(layout: Layout, rank: int, batch: int) -> float:
    """The share of a block that needs no message: the own queries, keys and values; and, where
    messages leave in pieces, what follows attention for all pieces but the first."""
    own, shape = layout.own[rank], layout.shape
    macs: float = 3 * own * shape.width**2
    rest = own * shape.width**2 + 2 * own * shape.width * shape.ffn
    macs += rest * (1 - 1 / len(layout.pieces(batch)))
    return macs / layout.macs(rank)

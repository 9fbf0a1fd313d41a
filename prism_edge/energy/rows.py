"""The rows of a journal as values: what was executed and decided, what happened, power drawn."""

from __future__ import annotations

import math
from dataclasses import dataclass

from prism_edge.energy.sample import Sample


@dataclass(frozen=True, kw_only=True, slots=True)
class RequestRow:
    """One executed batch; ``forced`` when the user named the plan.

    ``start_s`` and ``stop_s`` are CLOCK_REALTIME of dispatch and completion; ``spans`` are (name,
    start relative to ``start_s``, duration_s, bytes).
    """

    id: str
    model: str
    batch: int
    plan: str
    why: str | None
    forced: bool
    start_s: float
    stop_s: float
    latency_s: float | None
    ok: bool
    error: str | None
    wire_bytes: int | None
    spans: tuple[tuple[str, float, float, int | None], ...] = ()

    def __post_init__(self) -> None:
        if self.batch < 1:
            raise ValueError(f"batch is {self.batch}; allowed: 1 or more")
        for name, value in (("start_s", self.start_s), ("stop_s", self.stop_s)):
            if not math.isfinite(value):
                raise ValueError(f"{name} is {value}; it must be finite")
        if self.ok and self.error is not None:
            raise ValueError(f"error is {self.error!r} although ok; only a failed batch has one")


@dataclass(frozen=True, kw_only=True, slots=True)
class EventRow:
    """Something that happened at ``t_s`` (CLOCK_REALTIME): epoch, lost, link, engine, ..."""

    t_s: float
    kind: str
    detail: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class DecisionRow:
    """An event that the policy learnt of at ``t_s`` (CLOCK_REALTIME), as JSON, in its order.

    ``plan`` and ``why``: what it decided, for an event that asks. ``request``: the ``RequestRow``
    that was answered by it.
    """

    t_s: float
    event: str
    plan: str | None = None
    why: str | None = None
    request: str | None = None

    def __post_init__(self) -> None:
        if not math.isfinite(self.t_s):
            raise ValueError(f"t_s is {self.t_s}; it must be finite")


@dataclass(frozen=True, kw_only=True, slots=True)
class JournalData:
    """The rows that a report shows: samples and events by time, requests by dispatch."""

    meta: dict[str, str]
    samples: tuple[Sample, ...]
    requests: tuple[RequestRow, ...]
    events: tuple[EventRow, ...]

    def samples_by_board(self) -> dict[str, list[Sample]]:
        """The samples of every board that sent any, by time."""
        boards: dict[str, list[Sample]] = {}
        for sample in self.samples:
            boards.setdefault(sample.board, []).append(sample)
        return boards

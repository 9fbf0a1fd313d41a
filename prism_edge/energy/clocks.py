"""Samples of all boards on one clock, by offsets that were measured while they were taken.

A board tells the leader how far its clock is ahead, out of the quickest of its last hellos: the
leader's clock was read between sending and answer, so half the round trip bounds the error
(Cristian, Distributed Computing 3, 1989). The journal has it as events of the kind ``clock``, one
when it is first known and one whenever it has changed by more than it is known.
"""

from __future__ import annotations

import json
import math
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from prism_edge.energy.rows import EventRow, JournalData
from prism_edge.energy.sample import Sample

KIND = "clock"


@dataclass(frozen=True, kw_only=True, slots=True)
class Offset:
    """A board's clock minus the leader's, and the bound of that, in seconds."""

    offset_s: float
    bound_s: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.offset_s) and 0 <= self.bound_s < math.inf):
            raise ValueError(f"offset {self.offset_s} s within {self.bound_s} s is no clock offset")

    def apart(self, other: Offset) -> bool:
        """The two cannot both be true of clocks that run evenly."""
        return abs(self.offset_s - other.offset_s) > self.bound_s + other.bound_s

    def differs(self, other: Offset) -> bool:
        """It says something new: the other cannot be true as well, or is known far worse."""
        return self.apart(other) or self.bound_s < other.bound_s / 2


def measured(sent_s: float, answered_s: float, leader_s: float) -> Offset:
    """Out of one round trip: sent and answered by our clock, the leader's read in between."""
    bound_s = max(0.0, (answered_s - sent_s) / 2)
    return Offset(offset_s=(sent_s + answered_s) / 2 - leader_s, bound_s=bound_s)


def event(board: str, offset: Offset, t_s: float) -> EventRow:
    """What the journal keeps of it."""
    detail = {"board": board, "offset_s": offset.offset_s, "bound_s": offset.bound_s}
    return EventRow(t_s=t_s, kind=KIND, detail=json.dumps(detail))


def offsets(events: Iterable[EventRow]) -> dict[str, list[tuple[float, Offset]]]:
    """Every board's offsets by the time they were told; a row that is damaged is left out."""
    found: dict[str, list[tuple[float, Offset]]] = {}
    for row in sorted((row for row in events if row.kind == KIND), key=lambda row: row.t_s):
        try:
            said = json.loads(row.detail or "")
            offset = Offset(offset_s=float(said["offset_s"]), bound_s=float(said["bound_s"]))
            board = str(said["board"])
        except (ValueError, KeyError, TypeError):
            continue
        found.setdefault(board, []).append((row.t_s, offset))
    return found


def aligned(samples: Sequence[Sample], told: Sequence[tuple[float, Offset]]) -> list[Sample]:
    """One board's samples on the leader's clock: each by the last offset told before it."""
    if not told:
        return list(samples)
    times = [t_s for t_s, _ in told]
    shifted = []
    for sample in samples:
        _, offset = told[max(0, bisect_right(times, sample.t_s) - 1)]
        shifted.append(replace(sample, t_s=sample.t_s - offset.offset_s))
    return shifted


def on_one_clock(journal: JournalData) -> dict[str, list[Sample]]:
    """The samples of every board that sent any, on the leader's clock as far as it is known."""
    told = offsets(journal.events)
    return {
        board: aligned(samples, told.get(board, ()))
        for board, samples in journal.samples_by_board().items()
    }


def bound(told: Sequence[tuple[float, Offset]]) -> float | None:
    """The worst of the bounds; None where no offset was measured."""
    return max((offset.bound_s for _, offset in told), default=None)

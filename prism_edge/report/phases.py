"""Phases come from the journal's own events: each lasts until the next one, the last to the end."""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from prism_edge.energy.rows import EventRow, JournalData

BEFORE = "before the first phase"
WHOLE = "whole run"


@dataclass(frozen=True, kw_only=True, slots=True)
class Phase:
    """A named stretch of the run (CLOCK_REALTIME); ``note`` is what else the event said."""

    name: str
    note: str
    start_s: float
    stop_s: float


def phases(journal: JournalData) -> tuple[Phase, ...]:
    """The phases in order, covering every request; a run without phase events is one phase."""
    first_s, last_s = extent(journal)
    marks = sorted((e for e in journal.events if e.kind == "phase"), key=lambda e: e.t_s)
    if not marks:
        return (Phase(name=WHOLE, note="", start_s=first_s, stop_s=last_s),)
    starts = [(mark.t_s, *_named(mark)) for mark in marks]
    if any(row.start_s < marks[0].t_s for row in journal.requests):
        starts.insert(0, (first_s, BEFORE, ""))
    stops = [start_s for start_s, _, _ in starts[1:]] + [last_s]
    names = _distinct([name for _, name, _ in starts])
    return tuple(
        Phase(name=name, note=note, start_s=start_s, stop_s=stop_s)
        for (start_s, _, note), name, stop_s in zip(starts, names, stops, strict=True)
    )


def phase_at(found: Sequence[Phase], t_s: float) -> int:
    """The index of the phase that ``t_s`` lies in; before all of them, the first."""
    return max(0, bisect_right([phase.start_s for phase in found], t_s) - 1)


def extent(journal: JournalData) -> tuple[float, float]:
    """From the first to the last thing that happened; (0, 0) of an empty journal."""
    times = [t for row in journal.requests for t in (row.start_s, row.stop_s)]
    times += [event.t_s for event in journal.events]
    times = times or [sample.t_s for sample in journal.samples]
    return (min(times), max(times)) if times else (0.0, 0.0)


def _named(mark: EventRow) -> tuple[str, str]:
    """A phase event's name and the rest of its detail; a detail that is not JSON is the name."""
    detail = mark.detail or ""
    try:
        said = json.loads(detail)
    except ValueError:
        said = None
    if not isinstance(said, dict):
        return detail or "phase", ""
    rest = [f"{key}: {value}" for key, value in said.items() if key != "name"]
    return str(said.get("name") or "phase"), ", ".join(rest)


def _distinct(names: Sequence[str]) -> list[str]:
    """The names, a repeated one numbered."""
    return [
        f"{name} ({names[: i + 1].count(name)})" if name in names[:i] else name
        for i, name in enumerate(names)
    ]

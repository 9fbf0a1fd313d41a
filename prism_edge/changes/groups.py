"""How far a whole table of one machine has moved: what single cells are not sure of, all may be.

The mean of its cells' log ratios, each weighing as much as it is sure (inverse variance); where
cells disagree by more than their errors say, the interval is wider by as much (Birge 1932). It
does not hold what moves a run as a whole: two runs cannot tell heat from a new power mode.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from prism_edge.changes.significance import LEVEL, Change
from prism_edge.changes.student import half_width

LEAST = 4  # fewer cells say too little about how much they disagree
LEAST_ERROR = 1e-3  # no repeats agree that well for a reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """The compared cells of one table on one machine, or between two. ``ratio``: their mean,
    between ``low`` and ``high``, None for few cells. ``significant``: cells that changed;
    ``moved``: all of it, surely, and by more than the floor."""

    place: str
    cells: int
    significant: int
    ratio: float
    low: float | None
    high: float | None
    moved: bool


def groups(changes: Sequence[Change], floor: float) -> tuple[Group, ...]:
    """The changes by table and machine, in the order in which they come."""
    by_place: dict[str, list[Change]] = {}
    for change in changes:
        by_place.setdefault(change.cell.place, []).append(change)
    return tuple(_group(place, found, floor) for place, found in by_place.items())


def _group(place: str, found: Sequence[Change], floor: float) -> Group:
    weights = [1 / max(change.error, LEAST_ERROR) ** 2 for change in found]
    logs = [math.log(change.ratio) for change in found]
    total = sum(weights)
    mean = sum(weight * log for weight, log in zip(weights, logs, strict=True)) / total
    low = high = None
    moved = False
    if len(found) >= LEAST:
        freedom = len(found) - 1
        apart = sum(weight * (log - mean) ** 2 for weight, log in zip(weights, logs, strict=True))
        half = half_width(LEVEL, freedom) * math.sqrt(max(1.0, apart / freedom) / total)
        low, high = math.exp(mean - half), math.exp(mean + half)
        moved = half < abs(mean) and abs(mean) > math.log(1 + floor)
    return Group(
        place=place,
        cells=len(found),
        significant=sum(change.significant for change in found),
        ratio=math.exp(mean),
        low=low,
        high=high,
        moved=moved,
    )

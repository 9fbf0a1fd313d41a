"""How far a whole table of one machine has moved: what single cells are not sure of, all may be.

The interval is that of a median over cells, drawn again. It holds what tells the cells of one run
apart, not what moves a run as a whole: two runs cannot tell heat from a new power mode.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np

from prism_edge.changes.significance import LEVEL, Change

DRAWS = 1000
LEAST = 6  # of fewer cells drawing again says nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """The compared cells of one table on one machine, or between two. ``ratio``: their median,
    between ``low`` and ``high``, None for few cells. ``significant``: cells that changed;
    ``moved``: all of it, surely by more than the floor."""

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
    ratios = [change.ratio for change in found]
    low = high = None
    moved = False
    if len(ratios) >= LEAST:
        drawn = np.random.default_rng(0).choice(np.log(ratios), size=(DRAWS, len(ratios)))
        ends = np.quantile(np.median(drawn, axis=1), (LEVEL / 2, 1 - LEVEL / 2))
        low, high = (math.exp(end) for end in ends)
        moved = low > 1 + floor or high < 1 / (1 + floor)
    return Group(
        place=place,
        cells=len(found),
        significant=sum(change.significant for change in found),
        ratio=median(ratios),
        low=low,
        high=high,
        moved=moved,
    )

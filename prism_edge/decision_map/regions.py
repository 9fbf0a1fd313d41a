"""What a map shows besides its cells: letters, borders, lines of equal margin, spans. Pure.

Places are counted in columns from the left and bands from the bottom.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from prism_edge.decision_map.grid import Grid, Spot
from prism_edge.plan import Plan

LEVELS = (0.05, 0.1, 0.25)  # margins along which a line is drawn
LEAST = 4  # cells of a region that is worth a letter of its own

# (x, y, whether it runs upwards): a side of a cell, from there on, of length 1
Side = tuple[int, int, bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """Neighbouring bands of one batch with one chosen plan; ``spots`` from the slowest rate up."""

    low_bps: float
    high_bps: float
    spots: tuple[Spot, ...]


def letters(grid: Grid) -> dict[Plan, str]:
    """A to Z, then AA, AB ...: by how much of the map a plan holds."""
    return {plan: _letter(number) for number, plan in enumerate(grid.plans)}


def anchors(grid: Grid) -> list[tuple[Plan, int, int]]:
    """(plan, column, band) of the cell deepest inside every region of one plan."""
    found = []
    left = {(i, k) for k, row in enumerate(grid.spots) for i, spot in enumerate(row) if spot.plan}
    while left:
        start = min(left)
        plan = _at(grid, *start).plan
        assert plan is not None
        region, edge = {start}, [start]
        while edge:
            i, k = edge.pop()
            for near in ((i + 1, k), (i - 1, k), (i, k + 1), (i, k - 1)):
                if near in left and near not in region and _at(grid, *near).plan == plan:
                    region.add(near)
                    edge.append(near)
        left -= region
        if len(region) >= LEAST:
            i, k = max(region, key=lambda place: (_depth(place, region), -place[0], -place[1]))
            found.append((plan, i, k))
    return found


def borders(grid: Grid) -> list[Side]:
    """Sides between cells of different plans."""
    return list(_between(grid, lambda spot: spot.plan))


def margin_line(grid: Grid, level: float) -> list[Side]:
    """Level sides within one plan where the margin passes ``level``: batches do not blend."""
    between_plans = set(borders(grid))
    reached = _between(grid, lambda spot: spot.margin is not None and spot.margin >= level)
    return [side for side in reached if not side[2] and side not in between_plans]


def spans(grid: Grid, column: int) -> list[Span]:
    """What is chosen for one batch, from the slowest rate to the fastest."""
    found: list[Span] = []
    for k, row in enumerate(grid.spots):
        spot, high_bps = row[column], grid.edges_bps[k + 1]
        if found and found[-1].spots[-1].plan == spot.plan:
            last = found.pop()
            spots = (*last.spots, spot)
            found.append(Span(low_bps=last.low_bps, high_bps=high_bps, spots=spots))
        else:
            found.append(Span(low_bps=grid.edges_bps[k], high_bps=high_bps, spots=(spot,)))
    return found


def _between(grid: Grid, of: Callable[[Spot], object]) -> Iterator[Side]:
    for k, row in enumerate(grid.spots):
        for i, spot in enumerate(row):
            if i and of(row[i - 1]) != of(spot):
                yield i, k, True
            if k and of(grid.spots[k - 1][i]) != of(spot):
                yield i, k, False


def _depth(place: tuple[int, int], region: set[tuple[int, int]]) -> float:
    """Bands and columns to the nearest cell outside; a column is as wide as a few bands."""
    i, k = place
    up = next(n for n in range(len(region) + 1) if (i, k + n) not in region)
    down = next(n for n in range(len(region) + 1) if (i, k - n) not in region)
    right = next(n for n in range(len(region) + 1) if (i + n, k) not in region)
    left = next(n for n in range(len(region) + 1) if (i - n, k) not in region)
    return min(up, down, 4 * right, 4 * left) + 0.01 * min(right, left)


def _at(grid: Grid, column: int, band: int) -> Spot:
    return grid.spots[band][column]


def _letter(number: int) -> str:
    more, last = divmod(number, 26)
    return (_letter(more - 1) if more else "") + chr(ord("A") + last)

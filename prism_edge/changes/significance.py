"""Which cells changed: a ratio with its 95 % interval, and false discoveries kept under 5 %.

What varies by chance, and is in the interval: repeats and visits of one run, by bootstrap (visits
drawn first, then repeats within them; no cell is taken to be steadier than half of its peers); and
whole runs, because an unchanged cluster measured twice differs by more than its repeats say. How
much is read off neighbours: a change moves cells of similar cost alike, the chance of a run does
not (Rice 1984: noise from differences of neighbours). Few visits are few degrees of freedom, so
the chances are Student's, not normal ones.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist, median
from typing import TypeVar

import numpy as np

from prism_edge.changes.cells import Cell, Visits
from prism_edge.changes.student import chance_beyond, half_width
from prism_edge.tables import Profile
from prism_edge.tables.rows import Kind

DRAWS = 400
PEERS = 5  # of the same kind, on any machine, nearest in cost
DIFFERENCES = 11  # of neighbours, nearest in cost
LEVEL = 0.05  # of the intervals, and the share of false ones among the cells called changed
# What moves all cells of a run alike (heat, a clock, other load) is in no neighbour's difference,
# so smaller changes are called none. On boards: as much as the policy keeps its plan for. Boards
# of a lab share a machine with all that runs on it: 14 hours after profiles/lab was measured, its
# two boards took 0.93 and 0.92 times as long to compute the same model (median of 12 cells each).
FLOORS: Mapping[Kind, float] = {"boards": 0.05, "lab": 0.1, "paced": 0.1}
LEAST_S = 1e-9  # what a clock that saw nothing saw
_T = TypeVar("_T")
_TYPICAL = NormalDist().inv_cdf(0.75) ** 2  # median of a squared standard normal variable


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """``ratio``: median of b over median of a, between ``low`` and ``high``; ``error``: of its
    logarithm. ``q``: the share of false ones among all cells that are at least as sure to have
    changed. ``n``: repeats. ``significant``: sure to have changed, and by more than the floor.
    """

    cell: Cell
    a_s: float
    b_s: float
    n_a: int
    n_b: int
    ratio: float
    error: float
    low: float
    high: float
    q: float
    significant: bool

    @property
    def size(self) -> float:
        """How many times slower or faster, less 1."""
        return max(self.ratio, 1 / self.ratio) - 1


def floor_of(a: Profile, b: Profile) -> float:
    """The change under which these two cannot be told apart."""
    return max(FLOORS[a.kind], FLOORS[b.kind])


def changes(a: Mapping[Cell, Visits], b: Mapping[Cell, Visits], floor: float) -> tuple[Change, ...]:
    """Every cell that is in both, in the order of ``a``. The same cells give the same answer."""
    shared = [cell for cell in a if cell in b]
    log_a = {cell: _middle(a[cell]) for cell in shared}
    log_ratio = {cell: _middle(b[cell]) - log_a[cell] for cell in shared}
    own = {cell: math.hypot(_error(a[cell], 0), _error(b[cell], 1)) for cell in shared}
    ordered = sorted(shared, key=lambda cell: log_a[cell])
    steady = _steady(ordered, own)
    run = _run(ordered, log_ratio, steady)
    error = {cell: math.hypot(steady[cell], run[cell]) for cell in shared}
    # its own visits, and the peers it is compared with
    freedom = {cell: len(a[cell]) + len(b[cell]) - 2 + PEERS - 1 for cell in shared}
    chances = [_chance(log_ratio[cell], error[cell], freedom[cell]) for cell in shared]
    found = []
    for cell, q in zip(shared, false_discoveries(chances), strict=True):
        middle, half = log_ratio[cell], half_width(LEVEL, freedom[cell]) * error[cell]
        sure = q <= LEVEL and half < abs(middle)
        found.append(
            Change(
                cell=cell,
                a_s=math.exp(log_a[cell]),
                b_s=math.exp(log_a[cell] + middle),
                n_a=sum(map(len, a[cell])),
                n_b=sum(map(len, b[cell])),
                ratio=math.exp(middle),
                error=error[cell],
                low=math.exp(middle - half),
                high=math.exp(middle + half),
                q=q,
                significant=sure and abs(middle) > math.log(1 + floor),
            )
        )
    return tuple(found)


def false_discoveries(chances: Sequence[float]) -> list[float]:
    """Benjamini and Hochberg (1995): the expected share of false ones among all that are called
    changed, if every one with at most this chance is. -> one per chance, in their order"""
    order = sorted(range(len(chances)), key=lambda i: chances[i], reverse=True)
    found, least = [1.0] * len(chances), 1.0
    for behind, i in enumerate(order):
        least = min(least, chances[i] * len(chances) / (len(chances) - behind))
        found[i] = least
    return found


def _middle(visits: Visits) -> float:
    """Log of the median of all repeats."""
    return math.log(max(median(value for visit in visits for value in visit), LEAST_S))


def _error(visits: Visits, seed: int) -> float:
    """Standard error of the log median: visits drawn with replacement, and repeats in each."""
    draw, count = np.random.default_rng(seed), len(visits)
    longest = max(map(len, visits))
    drawn = np.full((DRAWS, count, longest), np.nan)
    which = draw.integers(count, size=(DRAWS, count))
    for number, visit in enumerate(visits):
        logs = np.log(np.maximum(np.asarray(visit, dtype=np.float64), LEAST_S))
        here = which == number
        picked = draw.integers(len(visit), size=(int(here.sum()), len(visit)))
        drawn[here, : len(visit)] = logs[picked]
    spread = float(np.nanmedian(drawn.reshape(DRAWS, -1), axis=1).std())
    # drawing again from few visits shows less than they vary
    return spread * math.sqrt(count / (count - 1)) if count > 1 else spread


def _steady(ordered: Sequence[Cell], own: Mapping[Cell, float]) -> dict[Cell, float]:
    """No error is smaller than half of those of its peers nearest in cost."""
    found = {}
    for peers in _by(ordered, lambda cell: cell.kind):
        for place, cell in enumerate(peers):
            found[cell] = max(own[cell], median(own[peer] for peer in _near(peers, place, PEERS)))
    return found


def _run(
    ordered: Sequence[Cell], log_ratio: Mapping[Cell, float], error: Mapping[Cell, float]
) -> dict[Cell, float]:
    """How far a run moves a cell by chance, beyond its repeats: as it does those near in cost."""
    found = {}
    for cells in _by(ordered, lambda cell: cell.table):
        last: dict[object, Cell] = {}
        squares: list[float] = []
        at = {}
        for cell in cells:
            before = last.get(cell.group)
            if before is not None:
                apart = log_ratio[cell] - log_ratio[before]
                square = apart**2 / _TYPICAL - error[cell] ** 2 - error[before] ** 2
                squares.append(square / 2)
            last[cell.group] = cell
            at[cell] = max(0, len(squares) - 1)
        for cell in cells:
            near = sorted(_near(squares, at[cell], DIFFERENCES)) or [0.0]
            # half of the differences, or nearly, may be true ones and change nothing here
            found[cell] = math.sqrt(max(0.0, near[(len(near) - 1) // 2]))
    return found


def _by(cells: Sequence[Cell], key: Callable[[Cell], object]) -> Iterable[list[Cell]]:
    """The cells in lists of one key each, in their order."""
    lists: dict[object, list[Cell]] = {}
    for cell in cells:
        lists.setdefault(key(cell), []).append(cell)
    return lists.values()


def _near(items: Sequence[_T], place: int, count: int) -> Sequence[_T]:
    """The ``count`` items around a place; fewer where there are not as many."""
    start = max(0, min(place - count // 2, len(items) - count))
    return items[start : start + count]


def _chance(log_ratio: float, error: float, freedom: int) -> float:
    """Chance of a ratio at least as far from 1 if nothing has changed."""
    if error == 0:
        return float(log_ratio == 0)
    return chance_beyond(abs(log_ratio) / error, freedom)

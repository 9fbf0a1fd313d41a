"""How tight measured cells are: the bootstrap interval of a median (Efron 1979). Pure.

Nothing is assumed of the noise, which on a shared machine is one-sided. Of three repeats an
interval spans nearly all of them: few repeats look wide, as they should.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from prism_edge.intervals import resampled_medians
from prism_edge.tables import ComputeRow, LinkRow, Profile, RequestRow

CONFIDENCE = 0.95
RESAMPLES = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """The median of repeats, with the 95 % interval it would have if they were measured again."""

    median: float
    low: float
    high: float

    @property
    def half_width(self) -> float:
        """Half of the interval, as a share of the median."""
        return (self.high - self.low) / 2 / self.median if self.median > 0 else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Tightness:
    """``median``: of the cells' relative half-widths; ``worst``: the largest, and its cell."""

    cells: int
    median: float
    worst: float
    worst_cell: str


def interval(values: Sequence[float], seed: int = 0) -> Interval:
    """The median and its interval by the percentiles of resampled medians.

    The same values and seed give the same interval. Raises ``ValueError`` without values.
    """
    if not values:
        raise ValueError("no values: an interval needs at least one")
    medians = resampled_medians(values, RESAMPLES, np.random.default_rng(seed))
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(medians, (tail, 1 - tail))
    return Interval(median=float(np.median(values)), low=float(low), high=float(high))


def tightness(profile: Profile) -> Tightness | None:
    """How tight the cells of a profile are that decide: compute, link, requests; None without."""
    cells: dict[str, list[float]] = {}
    rows: list[ComputeRow | LinkRow | RequestRow] = [*profile.compute, *profile.link]
    for row in [*rows, *profile.request]:
        cells.setdefault(_cell(row), []).append(row.latency_s)
    widths = {cell: interval(seconds).half_width for cell, seconds in cells.items()}
    return summed_up(widths.items())


def summed_up(widths: Iterable[tuple[str, float]]) -> Tightness | None:
    """The median and the worst of (cell, half-width) pairs; None of none."""
    found = sorted(widths, key=lambda pair: (pair[1], pair[0]))
    if not found:
        return None
    worst_cell, worst = found[-1]
    median = float(np.median([width for _, width in found]))
    return Tightness(cells=len(found), median=median, worst=worst, worst_cell=worst_cell)


def _cell(row: ComputeRow | LinkRow | RequestRow) -> str:
    if isinstance(row, ComputeRow):
        tokens = f"{row.tokens_own} of {row.tokens_known} tokens"
        return f"compute {row.board} {row.model} batch {row.batch}, {tokens}"
    if isinstance(row, LinkRow):
        boards = f"{row.src} - {row.dst}" if row.world == 2 else f"all {row.world} boards"
        return f"link {boards} {row.op} {row.load} {row.bytes} B"
    return f"request {row.model} {row.plan} batch {row.batch}, {row.tokens} tokens"

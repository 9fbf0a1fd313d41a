"""Energy per batch of a group of batches: all boards, idle ones too, from dispatch to completion.

One window is too short for ten samples a second, so the windows of a group are taken together: mean
power over all of them times their mean length. A board that was not covered makes the sum unknown.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from statistics import fmean, median

from prism_edge.energy.meter import GAP_INTERVALS, RELIABLE_SAMPLES, WindowEnergy, energy
from prism_edge.energy.sample import Sample
from prism_edge.report.stats import mean_interval

COVERAGE_NEEDED = 0.9

Window = tuple[float, float]


@dataclass(frozen=True, kw_only=True, slots=True)
class GroupEnergy:
    """Joules per batch over all boards, its interval, and how well the samples cover the windows.

    ``energy_j`` is None when ``missing`` says why. ``samples`` and ``coverage`` are those of the
    worst board; ``reliable`` from 20 samples on.
    """

    n: int
    energy_j: float | None
    low_j: float | None
    high_j: float | None
    mean_w: float | None
    samples: int
    coverage: float
    reliable: bool
    missing: str | None


@dataclass(frozen=True, slots=True)
class PowerLog:
    """One board's samples, found by time. Made by ``power_logs``."""

    samples: Sequence[Sample]
    interval_s: float
    _times: list[float] = field(repr=False)

    def window(self, start_s: float, stop_s: float) -> WindowEnergy:
        """The board's energy from ``start_s`` to ``stop_s``."""
        near_s = (GAP_INTERVALS + 1) * self.interval_s
        first = bisect_left(self._times, start_s - near_s)
        last = bisect_right(self._times, stop_s + near_s)
        return energy(self.samples[first:last], start_s, stop_s, self.interval_s)


def power_logs(samples: Mapping[str, Sequence[Sample]], boards: Sequence[str]) -> list[PowerLog]:
    """The power of every board; the nominal interval is the median between its own samples."""
    logs = []
    for board in boards:
        ordered = sorted(samples.get(board, ()), key=lambda sample: sample.t_s)
        times = [sample.t_s for sample in ordered]
        gaps = [b - a for a, b in pairwise(times) if b > a]
        logs.append(PowerLog(ordered, median(gaps) if gaps else 1.0, times))
    return logs


def group_energy(
    boards: Sequence[str], logs: Sequence[PowerLog], windows: Sequence[Window]
) -> GroupEnergy:
    """The energy of one batch of those that ran in ``windows``; ``logs`` are in board order."""
    windows = [window for window in windows if window[1] > window[0]]
    found = [[log.window(*window) for window in windows] for log in logs]
    lengths_s = [stop_s - start_s for start_s, stop_s in windows]
    covered_s = [
        sum(one.coverage * length_s for one, length_s in zip(each, lengths_s, strict=True))
        for each in found
    ]
    shares = [covered / sum(lengths_s) if windows else 0.0 for covered in covered_s]
    samples = min((sum(one.samples for one in each) for each in found), default=0)
    missing = _missing(boards, windows, shares)
    total_w = None
    singles: list[float] = []
    if missing is None:
        total_w = sum(
            sum(one.energy_j or 0.0 for one in each) / covered
            for each, covered in zip(found, covered_s, strict=True)
        )
        singles = [
            sum(one.energy_j or 0.0 for one in column)
            for column in zip(*found, strict=True)
            if all(one.complete for one in column)
        ]
    low_j, high_j = mean_interval(singles)
    return GroupEnergy(
        n=len(windows),
        energy_j=None if total_w is None else total_w * fmean(lengths_s),
        low_j=low_j,
        high_j=high_j,
        mean_w=total_w,
        samples=samples,
        coverage=min(shares, default=0.0),
        reliable=samples >= RELIABLE_SAMPLES,
        missing=missing,
    )


def _missing(
    boards: Sequence[str], windows: Sequence[Window], shares: Sequence[float]
) -> str | None:
    """Why there is no sum, or None."""
    if not windows:
        return "no request was answered"
    if not boards:
        return "no board sent power samples"
    worst = min(range(len(boards)), key=lambda i: shares[i])
    if shares[worst] < COVERAGE_NEEDED:
        return (
            f"samples of {boards[worst]} cover {100 * shares[worst]:.0f} % of the time; "
            f"{100 * COVERAGE_NEEDED:.0f} % are needed"
        )
    return None

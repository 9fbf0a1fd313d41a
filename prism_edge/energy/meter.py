"""Energy of a window is the trapezoid over what really arrived; what is missing is said, never 0.

Between two samples the power is taken as a straight line, also at the window's ends, which fall
between samples. Nothing is extrapolated before the first or after the last sample, a gap over three
intervals is not bridged, and neither is one across which the source was started again. Negative
samples count: they are the sensor's offset, and clipping them would bias every sum.

Samples are instants, not interval means, so short windows are noise: under 20 samples a window is
not reliable (arXiv 2206.10377 found up to 80 % error at 1 Hz on short kernels).
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

from prism_edge.energy.sample import Sample

GAP_INTERVALS = 3
RELIABLE_SAMPLES = 20
COVERAGE_NEEDED = 0.9  # of a window, for its energy to be given
LONGEST_S = 10.0  # what is further apart has gaps, and not a long interval
UNTOLD_S = 1.0  # the default of tegrastats
CLOCK_S = 1e-6  # a double holds today's CLOCK_REALTIME to 0.24 us; smaller differences are rounding


@dataclass(frozen=True, kw_only=True, slots=True)
class WindowEnergy:
    """One board's energy in one window; the first four are None when nothing could be integrated.

    ``energy_j`` and ``mean_w`` are over the covered part only, so compare them with ``coverage``,
    the covered share of the window. ``gaps``: stretches of it that are not covered. ``complete``:
    all of it is covered. ``reliable``: at least 20 samples. ``sampling_j``: standard uncertainty of
    ``energy_j`` from what the power did between samples (``uncertainty.py``).
    """

    energy_j: float | None
    mean_w: float | None
    peak_w: float | None
    lowest_w: float | None
    samples: int
    coverage: float
    covered_s: float
    gaps: int
    complete: bool
    reliable: bool
    sampling_j: float | None


class Curve:
    """One board's power over time. ``interval_s``: nominal, by default the median between samples.

    ``assumed``: there are too few to tell, or none was ever meant to be so far from the next; then
    it is tegrastats' own, a second. Samples may come in any order; those without a known total are
    left out, and of equal ones with one stamp (a line that was delivered twice) there is one.
    """

    def __init__(self, samples: Sequence[Sample], interval_s: float | None = None) -> None:
        points: list[tuple[float, float, bool]] = []
        broken = False
        for sample in sorted(samples, key=lambda sample: (sample.t_s, sample.power_w or 0.0)):
            broken = broken or sample.gap is not None
            if sample.power_w is None or points[-1:] == [(sample.t_s, sample.power_w, False)]:
                continue
            points.append((sample.t_s, sample.power_w, broken))
            broken = False
        self._origin_s = points[0][0] if points else 0.0
        self._t = [t - self._origin_s for t, _, _ in points]
        self._w = [w for _, w, _ in points]
        self._broken = [broken for _, _, broken in points]
        steps = [b - a for a, b in pairwise(self._t) if b > a]
        usual_s = median(steps) if len(steps) >= 2 else math.inf
        self.assumed = interval_s is None and usual_s > LONGEST_S
        self.interval_s = interval_s or (UNTOLD_S if self.assumed else usual_s)
        assert self.interval_s > 0, interval_s
        self._longest_s = GAP_INTERVALS * self.interval_s + CLOCK_S

    @property
    def extent_s(self) -> tuple[float, float] | None:
        """When the first and the last sample were taken; None of none."""
        return (self._origin_s, self._origin_s + self._t[-1]) if self._t else None

    def window(self, start_s: float, stop_s: float) -> WindowEnergy:
        """The energy from ``start_s`` to ``stop_s`` on the samples' clock.

        A window that ends before it starts (the clock was set back) covers nothing.
        """
        start, stop = start_s - self._origin_s, stop_s - self._origin_s
        first = max(bisect_right(self._t, start) - 1, 0)
        last = min(bisect_left(self._t, stop) + 1, len(self._t))
        joules: list[float] = []
        covered: list[float] = []
        rough: list[float] = []
        peak_w, lowest_w, gaps, reached = -math.inf, math.inf, 0, start
        for i in range(first, last - 1):
            t0, t1, p0, p1 = self._t[i], self._t[i + 1], self._w[i], self._w[i + 1]
            a, b = max(t0, start), min(t1, stop)
            if b <= a or t1 - t0 > self._longest_s or self._broken[i + 1]:
                continue
            gaps += a - reached > CLOCK_S
            reached = b
            slope = (p1 - p0) / (t1 - t0)
            pa, pb = p0 + slope * (a - t0), p0 + slope * (b - t0)
            joules.append((pa + pb) / 2 * (b - a))
            covered.append(b - a)
            rough.append(((p1 - p0) * (b - a)) ** 2 / 2)
            peak_w, lowest_w = max(peak_w, pa, pb), min(lowest_w, pa, pb)
        inside = self._t[bisect_left(self._t, start) : bisect_left(self._t, stop)]
        samples = len(set(inside))  # moments
        energy_j, covered_s, window_s = math.fsum(joules), math.fsum(covered), stop - start
        return WindowEnergy(
            energy_j=energy_j if covered else None,
            mean_w=energy_j / covered_s if covered else None,
            peak_w=peak_w if covered else None,
            lowest_w=lowest_w if covered else None,
            samples=samples,
            coverage=min(covered_s / window_s, 1.0) if covered else 0.0,
            covered_s=covered_s,
            gaps=gaps + (stop - reached > CLOCK_S),
            complete=bool(covered) and window_s - covered_s <= CLOCK_S,
            reliable=samples >= RELIABLE_SAMPLES,
            sampling_j=math.sqrt(math.fsum(rough)) if covered else None,
        )


def energy(
    samples: Sequence[Sample], start_s: float, stop_s: float, interval_s: float
) -> WindowEnergy:
    """The energy of one board from ``start_s`` to ``stop_s`` (CLOCK_REALTIME), in any order.

    ``interval_s`` is the nominal time between samples.
    """
    return Curve(samples, interval_s).window(start_s, stop_s)

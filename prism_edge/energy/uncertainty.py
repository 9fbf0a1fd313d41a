"""How far a window's energy may be off, as standard uncertainties that add in quadrature.

Rules and words of the Guide to the Expression of Uncertainty in Measurement (JCGM 100:2008):

- **step**: a reading is rounded to the sensor's step ``q``, a rectangular distribution of that
  width, ``q / sqrt(12)`` (4.3.7, F.2.2.1). At steady power every reading is rounded alike, so over
  a window of ``T`` covered seconds it is taken as fully correlated: ``q T / sqrt(12)``.
- **sampling**: between two samples the power took a way that nobody saw. Half the mean square
  successive difference estimates the variance of a sample about its neighbours whatever the trend
  is (von Neumann, Annals of Mathematical Statistics 12, 1941), so the sum of trapezoids has
  ``sqrt(sum((P_i+1 - P_i)^2 dt_i^2) / 2)``. One step of the power between two samples errs by at
  most ``|P_i+1 - P_i| dt_i / 2``, which is inside. A load in step with the sampling is not seen.
- **clock**: a window that lies up to ``c`` seconds beside the samples, because another board's
  clock is known no better, errs by at most ``c (P_max - P_min)``, rectangular: ``/ sqrt(3)``.
- **repeats**: the mean of ``n`` windows of the same work has ``s / sqrt(n)`` (4.2.3). The scatter
  holds their sampling and clock errors already; the step they share is added.

``expanded`` is the half width of a 95 % interval: twice the standard uncertainty (6.3.3), of
repeats Student's t times it. What the sensor is off by beyond its step (offset, gain of the shunt)
is in none of them: nobody publishes it for these boards.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from prism_edge.changes.student import half_width
from prism_edge.energy.meter import WindowEnergy

COVERAGE_FACTOR = 2
FEWEST_REPEATS = 5
# 40 uV over a 5 mOhm shunt is 8 mA, at 5 V 40 mW (TI, INA3221 data sheet; Orin Nano's shunt).
SENSOR_STEP_W = 0.040
PRINTED_STEP_W = 0.001  # of what no sensor rounded: tegrastats prints whole milliwatts


@dataclass(frozen=True, kw_only=True, slots=True)
class Uncertainty:
    """The parts and their sum, standard, in joules; ``expanded_j``: 95 %."""

    step_j: float
    sampling_j: float
    clock_j: float
    combined_j: float
    expanded_j: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Repeats:
    """The mean of ``n`` windows of the same work; ``enough``: at least five of them."""

    n: int
    mean_j: float
    sd_j: float
    standard_j: float
    expanded_j: float
    enough: bool


def uncertainty(window: WindowEnergy, *, step_w: float, clock_s: float = 0.0) -> Uncertainty:
    """Of one board's energy. ``clock_s``: bound of its clock against the one of the window."""
    peak_w, lowest_w, sampling_j = window.peak_w, window.lowest_w, window.sampling_j
    assert None not in (peak_w, lowest_w, sampling_j), "nothing was measured"
    return combined(
        step_j=step_w * window.covered_s / math.sqrt(12),
        sampling_j=sampling_j or 0.0,
        clock_j=clock_s * ((peak_w or 0.0) - (lowest_w or 0.0)) / math.sqrt(3),
    )


def combined(*, step_j: float, sampling_j: float, clock_j: float) -> Uncertainty:
    """The parts, independent of each other, and their sum."""
    whole_j = math.hypot(step_j, sampling_j, clock_j)
    return Uncertainty(
        step_j=step_j,
        sampling_j=sampling_j,
        clock_j=clock_j,
        combined_j=whole_j,
        expanded_j=COVERAGE_FACTOR * whole_j,
    )


def repeats(energies_j: Sequence[float], step_j: float) -> Repeats | None:
    """Of windows of the same work; ``step_j``: what the sensor's step adds. None of under three."""
    n = len(energies_j)
    if n < 3:
        return None
    sd_j = stdev(energies_j)
    standard_j = math.hypot(sd_j / math.sqrt(n), step_j)
    return Repeats(
        n=n,
        mean_j=fmean(energies_j),
        sd_j=sd_j,
        standard_j=standard_j,
        expanded_j=half_width(0.05, n - 1) * standard_j,
        enough=n >= FEWEST_REPEATS,
    )

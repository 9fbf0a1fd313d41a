"""A window's energy as it may be stated: gross and net, with its uncertainty, or why there is none.

It is refused below 90 % coverage, and marked unreliable under 20 samples. Net is gross less the
idle power of the stretches before and after the window, in the same clock state. All of it is what
the module's rails measure: carrier board, storage, radio, fan and supply losses are outside.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from prism_edge.energy.meter import COVERAGE_NEEDED, RELIABLE_SAMPLES, Curve
from prism_edge.energy.uncertainty import COVERAGE_FACTOR, Uncertainty, combined, uncertainty

Stretch = tuple[float, float]


@dataclass(frozen=True, kw_only=True, slots=True)
class Baseline:
    """Idle power of one board: the mean of the stretches; ``standard_w``: its uncertainty.

    In that are the step, the sampling, and the drift between the stretches, which is taken to have
    been anywhere between them (rectangular). ``refused`` says why there is none.
    """

    refused: str | None = None
    idle_w: float | None = None
    standard_w: float | None = None
    stretches_w: tuple[float, ...] = ()
    seconds: float = 0.0
    samples: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class BoardEnergy:
    """One board in one window, SI units. Where ``refused`` says why, nothing was stated.

    ``edp_js``: energy-delay product, gross energy times the window. ``interval_s``: between the
    samples as they came. ``net_expanded_j``: 95 %, as ``uncertainty.expanded_j`` is of the gross.
    """

    refused: str | None
    energy_j: float | None
    net_j: float | None
    edp_js: float | None
    mean_w: float | None
    peak_w: float | None
    uncertainty: Uncertainty | None
    net_expanded_j: float | None
    idle: Baseline | None
    coverage_pct: float
    samples: int
    interval_s: float
    gaps: int
    complete: bool
    reliable: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class ClusterEnergy:
    """The boards' energies and their sum, which is there only if every board has one.

    Idle boards are in it. ``coverage_pct`` is that of the worst board; ``complete`` and
    ``reliable`` hold when they do for all. Uncertainties of boards are independent of each other.
    """

    refused: str | None
    energy_j: float | None
    net_j: float | None
    edp_js: float | None
    mean_w: float | None
    uncertainty: Uncertainty | None
    net_expanded_j: float | None
    coverage_pct: float
    complete: bool
    reliable: bool
    boards: dict[str, BoardEnergy]


def baseline(curve: Curve, stretches: Sequence[Stretch], step_w: float) -> Baseline:
    """The idle power out of one or more stretches without work."""
    assert stretches, "a baseline has at least one stretch"
    found = [curve.window(*stretch) for stretch in stretches]
    for one, (start_s, stop_s) in zip(found, stretches, strict=True):
        if why := _too_little(one.coverage) or _too_few(one.samples):
            return Baseline(refused=f"idle stretch of {stop_s - start_s:g} s: {why}")
    means = [one.mean_w for one in found if one.mean_w is not None]
    each_w = [uncertainty(one, step_w=step_w).combined_j / one.covered_s for one in found]
    drift_w = (max(means) - min(means)) / math.sqrt(12)
    return Baseline(
        idle_w=fmean(means),
        standard_w=math.hypot(math.hypot(*each_w) / len(each_w), drift_w),
        stretches_w=tuple(means),
        seconds=sum(one.covered_s for one in found),
        samples=sum(one.samples for one in found),
    )


def board_energy(
    curve: Curve,
    start_s: float,
    stop_s: float,
    *,
    step_w: float,
    clock_s: float = 0.0,
    idle: Baseline | None = None,
) -> BoardEnergy:
    """One board's energy in the window. ``clock_s``: bound of its clock against the window's."""
    found = curve.window(start_s, stop_s)
    refused = _too_little(found.coverage)
    gross = None if refused else uncertainty(found, step_w=step_w, clock_s=clock_s)
    net_j = net_expanded_j = None
    if gross and found.energy_j is not None and idle and idle.idle_w is not None:
        assert idle.standard_w is not None
        net_j = found.energy_j - idle.idle_w * found.covered_s
        standard_j = math.hypot(gross.combined_j, idle.standard_w * found.covered_s)
        net_expanded_j = COVERAGE_FACTOR * standard_j
    return BoardEnergy(
        refused=refused,
        energy_j=None if refused else found.energy_j,
        net_j=net_j,
        edp_js=None if refused or found.energy_j is None else found.energy_j * (stop_s - start_s),
        mean_w=None if refused else found.mean_w,
        peak_w=None if refused else found.peak_w,
        uncertainty=gross,
        net_expanded_j=net_expanded_j,
        idle=idle,
        coverage_pct=100 * found.coverage,
        samples=found.samples,
        interval_s=curve.interval_s,
        gaps=found.gaps,
        complete=found.complete,
        reliable=found.reliable,
    )


def cluster_energy(
    boards: Mapping[str, BoardEnergy], start_s: float, stop_s: float
) -> ClusterEnergy:
    """The sum over the whole cluster: a board that never sent a sample is missing, not free."""
    assert boards, "a cluster has at least one board"
    missing = [f"{name}: {one.refused}" for name, one in boards.items() if one.refused]
    energy_j = _sum([one.energy_j for one in boards.values()])
    parts = [one.uncertainty for one in boards.values() if one.uncertainty is not None]
    return ClusterEnergy(
        refused="; ".join(missing) or None,
        energy_j=energy_j,
        net_j=_sum([one.net_j for one in boards.values()]),
        edp_js=None if energy_j is None else energy_j * (stop_s - start_s),
        mean_w=_sum([one.mean_w for one in boards.values()]),
        uncertainty=None
        if missing
        else combined(
            step_j=math.hypot(*(one.step_j for one in parts)),
            sampling_j=math.hypot(*(one.sampling_j for one in parts)),
            clock_j=math.hypot(*(one.clock_j for one in parts)),
        ),
        net_expanded_j=_root_sum([one.net_expanded_j for one in boards.values()]),
        coverage_pct=min(one.coverage_pct for one in boards.values()),
        complete=all(one.complete for one in boards.values()),
        reliable=all(one.reliable for one in boards.values()),
        boards=dict(boards),
    )


def _too_little(coverage: float) -> str | None:
    if coverage >= COVERAGE_NEEDED:
        return None
    return f"samples cover {100 * coverage:.0f} % of it; {100 * COVERAGE_NEEDED:.0f} % are needed"


def _too_few(samples: int) -> str | None:
    if samples >= RELIABLE_SAMPLES:
        return None
    return f"it holds {samples} samples; {RELIABLE_SAMPLES} are needed"


def _sum(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return math.fsum(known) if len(known) == len(values) else None


def _root_sum(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return math.hypot(*known) if len(known) == len(values) else None

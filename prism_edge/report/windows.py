"""Energy per batch of a group of batches: all boards, idle ones too, shared among those in flight.

One window is too short for ten samples a second, so the batches of a group are taken together: the
mean of what each is charged (``energy/shares.py``). A board that was not covered makes it unknown.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from prism_edge.changes.student import half_width
from prism_edge.energy.meter import COVERAGE_NEEDED, RELIABLE_SAMPLES, Curve, WindowEnergy
from prism_edge.energy.sample import Sample
from prism_edge.energy.shares import InFlight, RequestEnergy, shares
from prism_edge.energy.uncertainty import PRINTED_STEP_W, SENSOR_STEP_W
from prism_edge.report.stats import FEWEST


@dataclass(frozen=True, kw_only=True, slots=True)
class GroupEnergy:
    """Joules per batch over all boards, its interval, and how well the samples cover the windows.

    ``energy_j`` is None when ``missing`` says why. ``low_j`` and ``high_j``: 95 %, of the scatter
    or of what the power did between samples, whichever is wider, and of the sensors' steps.
    ``mean_w``: of all boards while they ran. ``samples`` and ``coverage`` are those of the worst
    board; ``reliable`` from 20 samples on.
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


@dataclass(frozen=True, slots=True, kw_only=True)
class PowerLogs:
    """The power of every board over time, and what each request is charged of it."""

    curves: Mapping[str, Curve]
    charged: Mapping[str, RequestEnergy]


def power_logs(
    samples: Mapping[str, Sequence[Sample]], boards: Sequence[str], requests: Sequence[InFlight]
) -> PowerLogs:
    """``requests``: every one there was, as each is charged less for those beside it."""
    curves = {board: Curve(samples.get(board, ())) for board in boards}
    if not boards or not requests:
        return PowerLogs(curves=curves, charged={})
    divided = shares(
        list(curves.values()),
        requests,
        min(one.start_s for one in requests),
        max(one.stop_s for one in requests),
        step_w=[_step_w(samples.get(board, ())) for board in boards],
    )
    return PowerLogs(curves=curves, charged={one.id: one for one in divided.requests})


def group_energy(logs: PowerLogs, requests: Sequence[InFlight]) -> GroupEnergy:
    """The energy of one of these batches."""
    requests = [one for one in requests if one.stop_s > one.start_s]
    found = {
        board: [curve.window(one.start_s, one.stop_s) for one in requests]
        for board, curve in logs.curves.items()
    }
    length_s = sum(one.stop_s - one.start_s for one in requests)
    covered_s = {board: sum(one.covered_s for one in each) for board, each in found.items()}
    coverage = {
        board: min(s / length_s, 1.0) if requests else 0.0 for board, s in covered_s.items()
    }
    samples = min((sum(one.samples for one in each) for each in found.values()), default=0)
    known = {
        number: logs.charged[one.id]
        for number, one in enumerate(requests)
        if one.id in logs.charged and logs.charged[one.id].energy_j is not None
    }
    charged = list(known.values())
    missing = _missing(requests, coverage) or (None if charged else "no request is covered")
    if missing is None and not samples:
        missing = "no power sample lies within these requests: they are too short and too few"
    filled = _filled([[each[number] for number in known] for each in found.values()])
    joules = [(one.energy_j or 0.0) * filled for one in charged]
    energy_j = None if missing else fmean(joules)
    half_j = _half_j(charged, joules) if len(joules) >= FEWEST else None
    return GroupEnergy(
        n=len(requests),
        energy_j=energy_j,
        low_j=None if energy_j is None or half_j is None else energy_j - half_j,
        high_j=None if energy_j is None or half_j is None else energy_j + half_j,
        mean_w=None
        if missing
        else sum(
            math.fsum(one.energy_j or 0.0 for one in each) / covered_s[board]
            for board, each in found.items()
        ),
        samples=samples,
        coverage=min(coverage.values(), default=0.0),
        reliable=samples >= RELIABLE_SAMPLES,
        missing=missing,
    )


def _filled(boards: Sequence[Sequence[WindowEnergy]]) -> float:
    """The energy over what was covered, as each board drew as much on in its gaps."""
    seen = [math.fsum(one.energy_j or 0.0 for one in each) for each in boards]
    if not math.fsum(seen):
        return 1.0
    length_s = [
        sum(one.covered_s / one.coverage for one in each if one.coverage) for each in boards
    ]
    covered_s = [sum(one.covered_s for one in each) for each in boards]
    whole = [
        joules * all_s / some_s if some_s else 0.0
        for joules, all_s, some_s in zip(seen, length_s, covered_s, strict=True)
    ]
    return math.fsum(whole) / math.fsum(seen)


def _half_j(charged: Sequence[RequestEnergy], joules: Sequence[float]) -> float:
    """Half of the 95 % interval of their mean."""
    n = len(joules)
    scatter_j = stdev(joules) / math.sqrt(n)
    unseen_j = math.hypot(*(one.uncertainty.sampling_j for one in charged)) / n
    step_j = fmean(one.uncertainty.step_j for one in charged)
    return half_width(0.05, n - 1) * math.hypot(max(scatter_j, unseen_j), step_j)


def _step_w(samples: Sequence[Sample]) -> float:
    modelled = any(sample.source == "modelled" for sample in samples)
    return PRINTED_STEP_W if modelled else SENSOR_STEP_W


def _missing(requests: Sequence[InFlight], coverage: Mapping[str, float]) -> str | None:
    """Why there is no sum, or None."""
    if not requests:
        return "no request was answered"
    if not coverage:
        return "no board sent power samples"
    worst = min(coverage, key=lambda board: coverage[board])
    if coverage[worst] < COVERAGE_NEEDED:
        return (
            f"samples of {worst} cover {100 * coverage[worst]:.0f} % of the time; "
            f"{100 * COVERAGE_NEEDED:.0f} % are needed"
        )
    return None

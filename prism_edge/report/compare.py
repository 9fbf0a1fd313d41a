"""Two reports side by side: for every way of answering in both, how many times slower B is. Pure.

Ratios are B over A. The interval of a latency ratio is a bootstrap of both medians, 95 %, none
under six values on a side; that of an energy ratio is the widest that the two intervals allow.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from prism_edge.intervals import resampled_medians
from prism_edge.report.stats import FEWEST
from prism_edge.report.values import Batch, Report, Series

DRAWS = 2000
CHOSEN = "the policy's choice"
Key = tuple[str, str, int, str]  # phase, model, batch, way of answering


@dataclass(frozen=True, kw_only=True, slots=True)
class Ratio:
    """B over A; without an interval where there are too few values for one."""

    value: float
    low: float | None
    high: float | None

    @property
    def differs(self) -> bool:
        """Whether 1 is outside the interval."""
        return self.low is not None and self.high is not None and not self.low <= 1 <= self.high


@dataclass(frozen=True, kw_only=True, slots=True)
class Pair:
    """One way of answering, in A and in B; ``way`` is a plan, or what the policy chose."""

    phase: str
    model: str
    batch: int
    way: str
    a: Series
    b: Series
    latency: Ratio | None
    energy: Ratio | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """``differences``: conditions under which A and B did not run alike. ``only``: what one side
    has and the other has not, as (side, phase, model, batch, way)."""

    differences: tuple[tuple[str, str, str], ...]
    pairs: tuple[Pair, ...]
    only: tuple[tuple[str, str, str, int, str], ...]


def compare(a: Report, b: Report) -> Comparison:
    """What ``b`` took, as a ratio to ``a``, wherever both did the same."""
    ours, theirs = _series(a), _series(b)
    values_a, values_b = _latencies(a), _latencies(b)
    pairs = []
    for key, found in ours.items():
        if key in theirs:
            phase, model, batch, way = key
            pairs.append(
                Pair(
                    phase=phase,
                    model=model,
                    batch=batch,
                    way=way,
                    a=found,
                    b=theirs[key],
                    latency=_latency_ratio(values_a.get(key, []), values_b.get(key, [])),
                    energy=_energy_ratio(found, theirs[key]),
                )
            )
    sides = (("A", ours, theirs), ("B", theirs, ours))
    return Comparison(
        differences=tuple(
            (name, said_a, said_b)
            for name, of in _CONDITIONS.items()
            if (said_a := of(a)) != (said_b := of(b))
        ),
        pairs=tuple(pairs),
        only=tuple((side, *key) for side, has, lacks in sides for key in has if key not in lacks),
    )


_CONDITIONS: Mapping[str, Callable[[Report], str]] = {
    "cluster": lambda report: report.cluster,
    "setting": lambda report: report.setting,
    "boards": lambda report: ", ".join(report.boards) or "unknown",
    "power": lambda report: report.power,
    "the policy's aim": lambda report: report.aim or "unknown",
    "prism-edge": lambda report: report.version,
}


def _series(report: Report) -> dict[Key, Series]:
    """What was measured: by choice of the policy, and by every plan however it was chosen."""
    found: dict[Key, Series] = {}
    for group in report.groups:
        phase, model, batch = place = group.phase, group.model, group.batch
        if group.adaptive.n:
            found[phase, model, batch, CHOSEN] = group.adaptive
        for plan in report.plans:
            if (plan.phase, plan.model, plan.batch) == place:
                found[phase, model, batch, plan.plan] = plan.series
    return found


def _latencies(report: Report) -> dict[Key, list[float]]:
    found: dict[Key, list[float]] = {}

    def add(batch: Batch, way: str) -> None:
        key = (report.phases[batch.phase].name, batch.model, batch.batch, way)
        assert batch.latency_s is not None
        found.setdefault(key, []).append(batch.latency_s)

    for batch in report.batches:
        if batch.ok and batch.latency_s is not None:
            if not batch.asked:
                add(batch, CHOSEN)
            if batch.meant is None:  # a fallback is no example of the plan that ran in the end
                add(batch, batch.plan)
    return found


def _latency_ratio(a: list[float], b: list[float]) -> Ratio | None:
    if not a or not b:
        return None
    value = float(np.median(b) / np.median(a)) if np.median(a) > 0 else math.nan
    if min(len(a), len(b)) < FEWEST or not math.isfinite(value):
        return Ratio(value=value, low=None, high=None) if math.isfinite(value) else None
    draw = np.random.default_rng(0)
    medians = [resampled_medians(side, DRAWS, draw) for side in (a, b)]
    low, high = np.quantile(medians[1] / medians[0], (0.025, 0.975))
    return Ratio(value=value, low=float(low), high=float(high))


def _energy_ratio(a: Series, b: Series) -> Ratio | None:
    ours, theirs = a.energy, b.energy
    if not ours.energy_j or theirs.energy_j is None:
        return None
    bounds = (ours.low_j, ours.high_j, theirs.low_j, theirs.high_j)
    value = theirs.energy_j / ours.energy_j
    if any(bound is None or bound <= 0 for bound in bounds):
        return Ratio(value=value, low=None, high=None)
    low_a, high_a, low_b, high_b = (bound or 0.0 for bound in bounds)
    return Ratio(value=value, low=low_b / high_a, high=high_b / low_a)

"""Power over time, thinned to even bins that keep every bin's lowest and highest sample."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean

from prism_edge.energy.sample import Sample
from prism_edge.report.values import Trace

BINS = 300


def traces(
    samples: Mapping[str, Sequence[Sample]], first_s: float, last_s: float
) -> tuple[Trace, ...]:
    """One trace per board with samples between ``first_s`` and ``last_s``; a gap stays a gap."""
    found = []
    for board, every in sorted(samples.items()):
        inside = [
            (sample.t_s, sample.power_w)
            for sample in every
            if sample.power_w is not None and first_s <= sample.t_s <= last_s
        ]
        source = " and ".join(sorted({sample.source for sample in every}))
        if inside and last_s > first_s:
            found.append(_trace(board, source, inside, first_s, last_s))
    return tuple(found)


def _trace(
    board: str, source: str, points: Sequence[tuple[float, float]], first_s: float, last_s: float
) -> Trace:
    # two samples a bin, so that an ordinary jitter of the sampling leaves none empty
    count = max(1, min(BINS, len(points) // 2))
    width_s = (last_s - first_s) / count
    bins: list[list[float]] = [[] for _ in range(count)]
    for t_s, power_w in points:
        bins[min(count - 1, int((t_s - first_s) / width_s))].append(power_w)
    return Trace(
        board=board,
        source=source,
        mean_w=fmean(power_w for _, power_w in points),
        samples=len(points),
        t_s=tuple((at + 0.5) * width_s for at in range(count)),
        power_w=tuple(fmean(each) if each else None for each in bins),
        low_w=tuple(min(each) if each else None for each in bins),
        high_w=tuple(max(each) if each else None for each in bins),
    )

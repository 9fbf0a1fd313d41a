"""Medians, percentiles and paired ratios carry their n and, from six values on, a 95 % interval.

Intervals of a median are order statistics (binomial, no assumption on the shape). They take the
values as independent. Under six values there is none.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from prism_edge.intervals import quantile

FEWEST = 6  # the range of five values holds the median with 94 % only
FEWEST_P99 = 100
FEWEST_P95 = 20  # of fewer values the 95th percentile is the largest one, more or less


@dataclass(frozen=True, kw_only=True, slots=True)
class Latency:
    """Latencies of ``n`` batches: median with its interval, 95th percentile, 99th from 100 on."""

    n: int
    p50_s: float
    low_s: float | None
    high_s: float | None
    p95_s: float
    p95_reliable: bool
    p99_s: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Speedup:
    """Median of ``n`` paired ratios theirs / ours with its interval; above 1 ours is faster."""

    n: int
    ratio: float
    low: float | None
    high: float | None


def latency(values_s: Sequence[float]) -> Latency | None:
    """The summary of these latencies; None of none."""
    if not values_s:
        return None
    low_s, high_s = median_interval(values_s)
    return Latency(
        n=len(values_s),
        p50_s=median(values_s),
        low_s=low_s,
        high_s=high_s,
        p95_s=quantile(values_s, 0.95),
        p95_reliable=len(values_s) >= FEWEST_P95,
        p99_s=quantile(values_s, 0.99) if len(values_s) >= FEWEST_P99 else None,
    )


def median_interval(values: Sequence[float]) -> tuple[float | None, float | None]:
    """Two of the values that hold the median between them in at least 95 of 100 such samples."""
    n = len(values)
    if n < FEWEST:
        return None, None
    ways = below = 1  # of 2**n; `below` samples have at most `rank` values under the median
    rank = 0
    while True:
        ways = ways * (n - rank) // (rank + 1)
        if (below + ways) * 40 > 2**n:  # more than 2.5 % on this side
            break
        below += ways
        rank += 1
    ordered = sorted(values)
    return ordered[rank], ordered[n - 1 - rank]


def speedup(
    ours: Sequence[tuple[float, float]], theirs: Sequence[tuple[float, float]]
) -> Speedup | None:
    """How many times faster ours are, each batch with its nearest in time; None without a pair.

    Both are (start_s, latency_s). Every batch is in one pair at most.
    """
    ratios = [b / a for a, b in pair_in_time(ours, theirs) if a > 0]
    if not ratios:
        return None
    low, high = median_interval(ratios)
    return Speedup(n=len(ratios), ratio=median(ratios), low=low, high=high)


def pair_in_time(
    ours: Sequence[tuple[float, float]], theirs: Sequence[tuple[float, float]]
) -> list[tuple[float, float]]:
    """(our latency, their latency) for each batch of the smaller side and its nearest free one."""
    if len(ours) > len(theirs):
        return [(a, b) for b, a in pair_in_time(theirs, ours)]
    free = sorted(theirs)
    pairs = []
    for start_s, latency_s in sorted(ours):
        at = bisect_left(free, (start_s,))
        near = [i for i in (at - 1, at) if 0 <= i < len(free)]
        best = min(near, key=lambda i: abs(free[i][0] - start_s))
        pairs.append((latency_s, free.pop(best)[1]))
    return pairs

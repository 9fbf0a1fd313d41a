"""Intervals hold what they promise, and speed-ups pair what was near in time."""

from __future__ import annotations

import random
from math import comb
from statistics import fmean, median

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prism_edge.report.stats import (
    FEWEST,
    latency,
    median_interval,
    pair_in_time,
    speedup,
)

values = st.lists(st.floats(0.001, 100), min_size=1, max_size=60)


def holds_median(values: list[int], low: float, high: float) -> float:
    """How often low to high, by their ranks, hold the median of what the values are drawn from."""
    ranks = values.index(int(low)), values.index(int(high))
    return sum(comb(len(values), k) for k in range(ranks[0] + 1, ranks[1] + 1)) / 2 ** len(values)


@pytest.mark.parametrize("n", [6, 7, 9, 20, 51, 400])
def test_median_interval_is_the_narrowest_that_holds_it_95_times_in_100(n: int) -> None:
    some = list(range(n))
    low, high = median_interval(some)
    assert low is not None
    assert high is not None
    assert holds_median(some, low, high) >= 0.95
    assert holds_median(some, low + 1, high - 1) < 0.95  # negative control


def test_median_interval_does_not_mind_the_shape() -> None:
    draw = random.Random(11)
    hits = 0
    for _ in range(1000):
        low, high = median_interval([draw.expovariate(1.0) for _ in range(12)])
        assert low is not None
        assert high is not None
        hits += low <= 0.6931 <= high  # the median of that distribution
    assert 940 <= hits <= 990


@given(values)
def test_few_values_have_no_interval_and_many_hold_their_median(few: list[float]) -> None:
    low, high = median_interval(few)
    if len(few) < FEWEST:
        assert (low, high) == (None, None)
    else:
        assert low is not None
        assert high is not None
        assert min(few) <= low <= median(few) <= high <= max(few)


def test_latency_says_its_n_and_whether_p95_means_anything() -> None:
    few, many = latency([1.0] * 19), latency([float(i) for i in range(1, 21)])
    assert few is not None
    assert many is not None
    assert (few.n, few.p95_reliable) == (19, False)
    assert (many.n, many.p95_reliable) == (20, True)
    assert many.p50_s == 10.5
    assert many.p95_s == pytest.approx(19.05)
    assert latency([]) is None


def test_pairs_are_nearest_in_time_and_used_once() -> None:
    ours = [(0.0, 1.0), (10.0, 2.0)]
    theirs = [(9.0, 40.0), (1.0, 30.0), (100.0, 50.0)]
    assert pair_in_time(ours, theirs) == [(1.0, 30.0), (2.0, 40.0)]
    # the smaller side leads; order of the pair stays ours, theirs
    assert pair_in_time(theirs, ours) == [(30.0, 1.0), (40.0, 2.0)]
    assert pair_in_time([(0.0, 1.0), (0.1, 2.0)], [(0.05, 9.0)]) == [(1.0, 9.0)]


@given(
    st.lists(st.tuples(st.floats(0, 100), st.floats(0.1, 9)), max_size=30),
    st.lists(st.tuples(st.floats(0, 100), st.floats(0.1, 9)), max_size=30),
)
def test_every_batch_is_in_one_pair_at_most(
    ours: list[tuple[float, float]], theirs: list[tuple[float, float]]
) -> None:
    pairs = pair_in_time(ours, theirs)
    assert len(pairs) == min(len(ours), len(theirs))
    left = [latency_s for _, latency_s in theirs]
    for _, latency_s in pairs:
        left.remove(latency_s)  # raises when used twice


def test_speedup_cancels_drift_that_both_sides_share() -> None:
    # both get slower from 1 to 10 in the same way; ours is always twice as fast
    ours = [(2.0 * i, 1.0 + i) for i in range(10)]
    theirs = [(2.0 * i + 1, 2.0 * (1.0 + i)) for i in range(10)]
    found = speedup(ours, theirs)
    assert found is not None
    assert (found.n, found.ratio, found.low, found.high) == (10, 2.0, 2.0, 2.0)
    # negative control: pairs that are not near in time do not cancel it
    backwards = [(18.0 - start_s, latency_s) for start_s, latency_s in ours]
    far = speedup(backwards, theirs)
    assert far is not None
    assert far.low != far.high


def test_speedup_of_nothing_is_none() -> None:
    assert speedup([], [(0.0, 1.0)]) is None
    assert speedup([(0.0, 1.0)], []) is None
    one = speedup([(0.0, 1.0)], [(0.0, 3.0)])
    assert one is not None
    assert (one.n, one.ratio, one.low, one.high) == (1, 3.0, None, None)


def test_speedup_is_a_median_not_a_mean() -> None:
    ours = [(float(i), 1.0) for i in range(7)]
    theirs = [(float(i), 2.0) for i in range(6)] + [(6.0, 900.0)]
    found = speedup(ours, theirs)
    assert found is not None
    assert found.ratio == 2.0
    assert fmean([2.0] * 6 + [900.0]) > 100

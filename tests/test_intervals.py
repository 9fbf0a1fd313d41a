"""Intervals hold what they should as often as they should; quantiles lie among the values."""

from __future__ import annotations

from statistics import median

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prism_edge.intervals import quantile, resampled_medians, tango, wilson

DRAW = np.random.default_rng(3)
values = st.lists(st.floats(1e-6, 1e6), min_size=1, max_size=30)


def test_the_interval_of_a_share_is_wilsons() -> None:
    low, high = wilson(356, 360)  # scipy.stats.binomtest(356, 360).proportion_ci(method="wilson")
    assert (round(low, 4), round(high, 4)) == (0.9718, 0.9957)
    assert wilson(0, 10)[0] == 0.0
    assert wilson(10, 10)[1] == 1.0


def test_the_interval_of_a_difference_is_tangos() -> None:
    """As follows from his formula where no sample differs."""
    n, z2 = 500, 1.959964**2
    for end, side in zip(tango(0, 0, n), (-1, 1), strict=True):
        assert end == pytest.approx(side * z2 / (n + z2), rel=1e-5)
    low, high = tango(30, 10, 200)
    assert low < 0.1 < high
    assert tango(10, 30, 200) == pytest.approx((-high, -low))  # the other way round
    # negative control: more samples leave less open
    assert tango(60, 20, 400)[1] < high


@pytest.mark.parametrize(("lost", "won"), [(0.02, 0.01), (0.05, 0.0), (0.002, 0.002)])
def test_a_differences_interval_covers_it_about_19_times_in_20(lost: float, won: float) -> None:
    counts = DRAW.multinomial(200, [lost, won, 1 - lost - won], size=400)
    ends = [tango(int(a), int(b), 200) for a, b, _ in counts]
    assert np.mean([low <= lost - won <= high for low, high in ends]) > 0.92


@given(values, st.floats(0, 1))
def test_a_quantile_is_monotone_and_within(some: list[float], share: float) -> None:
    found = quantile(some, share)
    assert min(some) - 1e-9 <= found <= max(some) * (1 + 1e-12)
    assert quantile(some, share / 2) <= found + 1e-9
    assert quantile(some, 0.5) == pytest.approx(median(some))


def test_quantiles_of_known_values() -> None:
    assert quantile([3.0, 1.0, 2.0], 0.5) == 2
    assert quantile([1.0, 2.0], 0.5) == 1.5
    assert quantile([0.0, 10.0], 0.9) == 9
    assert quantile([1.0, 2.0, 3.0, 4.0, 5.0], 0.95) == pytest.approx(4.8)
    assert quantile([7.0], 0.1) == 7


def test_resampled_medians_spread_as_medians_do() -> None:
    sample = DRAW.normal(5, 1, size=60)
    low, high = np.quantile(
        resampled_medians(sample, 1000, np.random.default_rng(0)), (0.025, 0.975)
    )
    assert low < np.median(sample) < high
    # of a normal sample of 60 the median's standard error is about 1.25 / sqrt(60) = 0.16
    assert 0.3 < high - low < 1.2
    alone = resampled_medians([7.0], 10, np.random.default_rng(0))
    assert alone.tolist() == [7.0] * 10

"""The interval of a median covers it as often as it says, and narrows with repeats."""

from __future__ import annotations

import measured
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prism_edge.profile.interval import interval, summed_up, tightness

SECONDS = st.lists(st.floats(1e-4, 10.0), min_size=1, max_size=30)


@given(SECONDS, st.integers(0, 5))
def test_it_lies_among_the_values_around_the_median(values: list[float], seed: int) -> None:
    found = interval(values, seed)
    assert min(values) <= found.low <= found.high <= max(values)
    assert found.median == pytest.approx(float(np.median(values)))
    assert found == interval(values, seed)
    assert found.half_width >= 0


@given(SECONDS, st.floats(0.01, 100.0))
def test_its_width_has_no_unit(values: list[float], factor: float) -> None:
    scaled = interval([factor * value for value in values])
    assert scaled.half_width == pytest.approx(interval(values).half_width, rel=1e-6, abs=1e-12)


def coverage(repeats: int, shift: float = 1.0) -> float:
    source = np.random.default_rng(1)
    hits = 0
    for _ in range(300):
        found = interval(list(source.lognormal(0.0, 0.1, repeats)))
        hits += found.low <= shift <= found.high
    return hits / 300


def test_it_covers_the_true_median_nearly_always_and_not_another_value() -> None:
    assert 0.88 <= coverage(15) <= 1.0
    assert coverage(15, shift=1.2) < 0.1  # the control


def test_more_repeats_are_tighter() -> None:
    source = np.random.default_rng(2)
    few = [interval(list(source.normal(1, 0.05, 5))).half_width for _ in range(50)]
    many = [interval(list(source.normal(1, 0.05, 50))).half_width for _ in range(50)]
    assert np.median(many) < np.median(few) / 2


def test_nothing_has_no_interval() -> None:
    with pytest.raises(ValueError, match="at least one"):
        interval([])
    assert summed_up([]) is None


def test_a_profile_says_its_median_and_its_worst_cell() -> None:
    found = tightness(measured.profile())
    assert found is not None
    assert 0 < found.median <= found.worst < 0.05
    assert found.worst_cell.startswith("compute edge-")
    assert found.cells > 20
    summed = summed_up([("a", 0.1), ("b", 0.3), ("c", 0.2)])
    assert summed is not None
    assert (summed.median, summed.worst, summed.worst_cell) == (0.2, 0.3, "b")

"""Passes are warm when they no longer creep, however much they scatter; the wait is bounded."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prism_edge.engine.steady import TOLERANCE, WARM_PASSES, drift, last_drift, steady, warm_enough


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([], 0.0),
        ([3.0], 0.0),
        ([1.0, 1.1], 0.1),
        ([1.0, 9.0, 0.8], -0.2),  # the middle one belongs to neither half
        ([1.0, 1.2, 1.4, 1.0, 1.2, 1.4], 0.0),
        ([1.0, 1.0, 1.0, 1.3, 1.3, 1.3], 0.3),
        ([1.0, 1.0, 1.0, 1.3, 1.0, 1.0], 0.0),  # one disturbed repeat is no drift
    ],
)
def test_drift_is_between_the_medians_of_the_halves(values: list[float], expected: float) -> None:
    assert drift(values) == pytest.approx(expected)


@given(st.lists(st.floats(0.1, 10.0), max_size=12), st.floats(0.01, 100.0))
def test_drift_has_no_unit_and_turns_with_the_order(values: list[float], factor: float) -> None:
    assert drift([factor * value for value in values]) == pytest.approx(drift(values))
    assert (1 + drift(values)) * (1 + drift(values[::-1])) == pytest.approx(1.0)


def test_short_passes_are_compared_in_fours_and_long_ones_in_pairs() -> None:
    assert math.isinf(last_drift([0.1] * 3))
    assert last_drift([9.0, 0.1, 0.1, 0.1, 0.1]) == 0.0
    assert math.isinf(last_drift([2.0]))
    assert last_drift([9.0, 2.0, 2.2]) == pytest.approx(0.1)


def test_scatter_is_steady_and_creeping_is_not() -> None:
    assert steady([0.10, 0.12, 0.10, 0.12])
    assert not steady([0.10, 0.11, 0.12, 0.13])
    assert steady([2.0, 2.0 * (1 + TOLERANCE * 0.9)])
    assert not steady([2.0, 2.0 * (1 + TOLERANCE * 1.1)])


@given(st.lists(st.floats(0.001, 3.0), min_size=WARM_PASSES), st.floats(0.001, 60.0))
def test_warming_up_ends_but_not_before_two_passes(passes: list[float], most_s: float) -> None:
    done = [warm_enough(passes[:count], most_s) for count in range(len(passes) + 1)]
    assert not any(done[:2])
    assert done[WARM_PASSES]
    assert warm_enough([most_s, most_s], most_s)


def test_a_cold_start_is_warmed_away() -> None:
    passes = [1.5, 1.2, 1.0, 1.0]
    assert [warm_enough(passes[:count], 60.0) for count in range(1, 5)] == [False] * 3 + [True]

"""The integral obeys its laws, and what is missing is never 0 J."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prism_edge.energy.meter import Curve, WindowEnergy, energy
from prism_edge.energy.sample import Sample

INTERVAL_S = 0.1


def trace(*points: tuple[float, float], board: str = "edge-1") -> list[Sample]:
    return [Sample(board=board, t_s=t, power_w=p, source="modelled") for t, p in points]


def regular(power_w: list[float], start_s: float = 0.0, board: str = "edge-1") -> list[Sample]:
    return trace(*((start_s + i * INTERVAL_S, p) for i, p in enumerate(power_w)), board=board)


def window(samples: list[Sample], start_s: float, stop_s: float) -> WindowEnergy:
    return energy(samples, start_s, stop_s, INTERVAL_S)


def joules(samples: list[Sample], start_s: float, stop_s: float) -> float:
    energy_j = window(samples, start_s, stop_s).energy_j
    assert energy_j is not None
    return energy_j


def near(value: float) -> Any:
    return pytest.approx(value, rel=1e-6, abs=1e-6)


powers = st.floats(-2, 60)
regular_traces = st.lists(powers, min_size=32, max_size=80).map(regular)
moments = st.floats(0, 3.0)


def test_a_window_worked_out_by_hand() -> None:
    samples = trace((0.0, 2.0), (0.1, 4.0), (0.2, 4.0), (0.3, 0.0))
    # from 0.05 (3 W) to 0.25 (2 W): 0.175 + 0.4 + 0.15
    assert window(samples, 0.05, 0.25) == WindowEnergy(
        energy_j=near(0.725),
        mean_w=near(3.625),
        peak_w=4.0,
        lowest_w=near(2.0),
        samples=2,
        coverage=near(1.0),
        covered_s=near(0.2),
        gaps=0,
        complete=True,
        reliable=False,
        # half the squares of 2 W x 0.05 s, 0 and 4 W x 0.05 s
        sampling_j=near(((0.1**2 + 0.2**2) / 2) ** 0.5),
    )


@given(powers, moments, moments)
def test_constant_power_is_power_times_time(power_w: float, a: float, b: float) -> None:
    start_s, stop_s = min(a, b), max(a, b) + 0.01
    found = window(regular([power_w] * 40), start_s, stop_s)
    assert found.energy_j == near(power_w * (stop_s - start_s))
    assert found.mean_w == near(power_w)
    assert found.peak_w == near(power_w)
    assert found.complete


def test_constant_power_law_can_fail() -> None:
    """Negative control: one different sample breaks the law."""
    assert joules(regular([5.0] * 10 + [6.0] + [5.0] * 20), 0.5, 2.0) != near(5.0 * 1.5)
    assert joules(regular([5.0] * 31), 0.5, 2.0) == near(5.0 * 1.5)


@given(regular_traces, moments, moments, moments)
def test_splitting_a_window_adds_up(samples: list[Sample], a: float, b: float, c: float) -> None:
    start_s, middle_s, stop_s = sorted((a, b, c))
    if middle_s - start_s < 1e-3 or stop_s - middle_s < 1e-3:
        return
    left, right = window(samples, start_s, middle_s), window(samples, middle_s, stop_s)
    whole = window(samples, start_s, stop_s)
    assert left.energy_j is not None
    assert right.energy_j is not None
    assert left.energy_j + right.energy_j == near(joules(samples, start_s, stop_s))
    assert left.samples + right.samples == whole.samples


def test_splitting_law_can_fail() -> None:
    """Negative control: two windows that overlap do not add up."""
    samples = regular([5.0, 7.0] * 20)
    overlapping = joules(samples, 0.0, 1.1) + joules(samples, 1.0, 2.0)
    assert overlapping != near(joules(samples, 0.0, 2.0))


@given(regular_traces, moments, st.integers(-2_000_000_000, 2_000_000_000))
def test_moving_everything_in_time_changes_nothing(
    samples: list[Sample], start_s: float, shift_s: int
) -> None:
    moved = trace(*((sample.t_s + shift_s, sample.power_w) for sample in samples))
    here = window(samples, start_s, start_s + 0.5)
    there = window(moved, start_s + shift_s, start_s + 0.5 + shift_s)
    # 0.24 us of rounding at today's CLOCK_REALTIME, times at most 62 W and 600 W/s
    assert there.energy_j == pytest.approx(here.energy_j, abs=1e-3)
    assert there.complete == here.complete


def test_moving_only_the_samples_is_noticed() -> None:
    """Negative control of the shift law."""
    samples = regular([float(i) for i in range(40)])
    moved = trace(*((sample.t_s + 0.1, sample.power_w) for sample in samples))
    assert joules(moved, 1.0, 1.5) != pytest.approx(joules(samples, 1.0, 1.5), abs=1e-3)


@given(regular_traces, st.randoms(use_true_random=False))
def test_order_of_samples_does_not_matter(samples: list[Sample], random: Random) -> None:
    shuffled = list(samples)
    random.shuffle(shuffled)
    assert window(shuffled, 0.33, 2.22) == window(samples, 0.33, 2.22)


@pytest.mark.parametrize(
    "samples",
    [
        [],
        trace((1.0, 5.0)),  # one sample has no duration
        trace((-50.0, 5.0), (50.0, 5.0)),  # only a gap over the window
        regular([5.0] * 20, start_s=-10.0),  # ended long before
        regular([5.0] * 20, start_s=10.0),  # starts long after
    ],
)
def test_nothing_to_integrate_is_none(samples: list[Sample]) -> None:
    found = window(samples, 0.0, 2.0)
    assert (found.energy_j, found.mean_w, found.peak_w) == (None, None, None)
    assert (found.coverage, found.complete, found.reliable) == (0.0, False, False)


@pytest.mark.parametrize("stop_s", [1.0, 0.5])
def test_an_empty_or_reversed_window_is_none(stop_s: float) -> None:
    found = window(regular([5.0] * 40), 1.0, stop_s)
    assert found.energy_j is None
    assert (found.samples, found.coverage, found.complete) == (0, 0.0, False)


def test_a_measured_zero_is_zero_and_not_none() -> None:
    assert window(regular([0.0] * 40), 0.0, 2.0).energy_j == 0.0


def test_a_gap_of_three_intervals_is_bridged_and_a_longer_one_is_not() -> None:
    early = [(i * 0.1, 5.0) for i in range(11)]  # to 1.0
    bridged = trace(*early, *((1.3 + i * 0.1, 5.0) for i in range(11)))
    assert window(bridged, 0.0, 2.0).energy_j == near(10.0)
    assert window(bridged, 0.0, 2.0).complete
    broken = trace(*early, *((1.31 + i * 0.1, 5.0) for i in range(11)))
    found = window(broken, 0.0, 2.0)
    assert found.energy_j == near(5.0 * (2.0 - 0.31))
    assert found.mean_w == near(5.0)
    assert found.coverage == near((2.0 - 0.31) / 2.0)
    assert not found.complete


@pytest.mark.parametrize(("start_s", "stop_s"), [(-0.01, 1.0), (1.0, 3.91)])
def test_nothing_is_extrapolated_beyond_the_first_and_last_sample(
    start_s: float, stop_s: float
) -> None:
    samples = regular([5.0] * 40)  # 0.0 to 3.9
    found = window(samples, start_s, stop_s)
    assert not found.complete
    assert found.energy_j == near(5.0 * (min(stop_s, 3.9) - max(start_s, 0.0)))
    assert window(samples, max(start_s, 0.0), min(stop_s, 3.9)).complete


def test_a_request_between_two_samples_is_interpolated_and_unreliable() -> None:
    found = window(trace((0.0, 2.0), (0.1, 4.0)), 0.025, 0.075)
    assert found.energy_j == near(0.15)
    assert found.peak_w == near(3.5)
    assert (found.samples, found.complete, found.reliable) == (0, True, False)


@pytest.mark.parametrize(("count", "reliable"), [(19, False), (20, True)])
def test_twenty_samples_make_a_window_reliable(count: int, reliable: bool) -> None:
    found = window(regular([5.0] * 40), 0.05, 0.05 + count * INTERVAL_S)
    assert found.samples == count
    assert found.reliable is reliable


def test_two_samples_with_one_stamp_do_no_harm() -> None:
    samples = trace((0.0, 1.0), (0.1, 1.0), (0.1, 3.0), (0.2, 3.0))
    assert window(samples, 0.0, 0.2).energy_j == near(0.4)


def test_one_line_twice_is_one_sample() -> None:
    samples = regular([5.0] * 40)
    assert window([*samples, *samples], 0.05, 2.0) == window(samples, 0.05, 2.0)


def test_a_source_that_was_started_again_is_not_bridged() -> None:
    samples = regular([5.0] * 40)
    samples[10] = replace(samples[10], gap="tegrastats was started again")
    found = window(samples, 0.0, 2.0)
    assert (found.energy_j, found.gaps, found.complete) == (near(5.0 * 1.9), 1, False)


def test_a_gap_that_a_reading_without_a_total_carries_is_not_bridged_either() -> None:
    samples = regular([5.0] * 40)
    samples[10] = replace(samples[10], power_w=None, gap="tegrastats was started again")
    assert window(samples, 0.0, 2.0).energy_j == near(5.0 * 1.8)


def test_gaps_are_counted_at_the_ends_too() -> None:
    samples = regular([5.0] * 10) + regular([5.0] * 10, start_s=2.0)
    assert window(samples, -1.0, 3.5).gaps == 3
    assert window(samples, 0.0, 2.9).gaps == 1
    assert window(samples, 0.1, 0.9).gaps == 0


def test_a_reading_without_a_total_is_missing_and_not_zero() -> None:
    samples = [replace(one, power_w=None) for one in regular([0.0] * 10)]
    assert window(samples, 0.0, 0.9).energy_j is None
    assert Curve(samples).extent_s is None


def test_the_interval_is_the_median_of_what_came() -> None:
    samples = trace((0.0, 1.0), (0.5, 1.0), (1.0, 1.0), (1.5, 1.0), (9.0, 1.0))
    curve = Curve(samples)
    assert curve.interval_s == near(0.5)
    assert curve.extent_s == (0.0, 9.0)
    assert curve.window(0.0, 9.0).covered_s == near(1.5)


@pytest.mark.parametrize(
    "points",
    [[(0.0, 5.0), (3600.0, 5.0)], [(0.0, 5.0), (0.4, 5.0)], [(k * 11.0, 5.0) for k in range(9)]],
)
def test_an_interval_is_not_made_of_gaps(points: list[tuple[float, float]]) -> None:
    """Two samples an hour apart do not cover the five seconds between."""
    curve = Curve(trace(*points))
    assert (curve.interval_s, curve.assumed) == (1.0, True)
    assert curve.window(4.0, 9.0).energy_j is None
    told = Curve(trace(*points), 3600.0)  # unless that is what was asked of it
    assert not told.assumed

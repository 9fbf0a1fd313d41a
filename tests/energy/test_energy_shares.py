"""Requests that overlap share the power, and nothing of the window is lost or counted twice."""

from __future__ import annotations

import math
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prism_edge.energy.meter import Curve
from prism_edge.energy.sample import Sample
from prism_edge.energy.shares import InFlight, Shares, shares


def curve(watts: list[float], start_s: float = 0.0) -> Curve:
    return Curve(
        [
            Sample(board="b", t_s=start_s + i / 10, power_w=w, source="modelled")
            for i, w in enumerate(watts)
        ],
        0.1,
    )


FLAT = curve([6.0] * 101)


def among(
    *spans: tuple[float, float], curves: tuple[Curve, ...] = (FLAT,), stop_s: float = 10.0
) -> Shares:
    requests = [InFlight(id=f"r{i}", start_s=a, stop_s=b) for i, (a, b) in enumerate(spans)]
    return shares(curves, requests, 0.0, stop_s, step_w=[0.001] * len(curves))


def joules(found: Shares) -> list[float | None]:
    return [one.energy_j for one in found.requests]


def test_worked_out_by_hand() -> None:
    found = among((1.0, 4.0), (3.0, 5.0), (8.0, 9.0))
    assert joules(found) == pytest.approx([6 * 2.5, 6 * 1.5, 6 * 1.0])
    assert (found.idle_j, found.idle_s) == pytest.approx((30.0, 5.0))
    assert found.energy_j == pytest.approx(60.0)
    assert [one.together for one in found.requests] == pytest.approx([4 / 3, 1.5, 1.0])
    assert [one.reliable for one in found.requests] == [True, True, False]
    assert all(one.whole and one.coverage == pytest.approx(1.0) for one in found.requests)


def test_a_request_alone_is_charged_its_window_on_all_boards() -> None:
    found = among((2.0, 3.0), curves=(FLAT, curve([4.0] * 101)))
    assert joules(found) == pytest.approx([10.0])
    assert found.energy_j == pytest.approx(100.0)


def test_two_at_the_very_same_time_are_charged_half_each() -> None:
    assert joules(among((2.0, 3.0), (2.0, 3.0))) == pytest.approx([3.0, 3.0])


def test_what_lies_outside_or_took_no_time_is_not_charged() -> None:
    found = among((-2.0, -1.0), (11.0, 12.0), (5.0, 5.0), (-1.0, 1.0), (9.5, 12.0))
    assert [one.id for one in found.requests] == ["r3", "r4"]
    assert joules(found) == pytest.approx([6.0, 3.0])
    assert not any(one.whole for one in found.requests)


def test_a_request_that_is_not_covered_is_refused_and_its_part_is_kept() -> None:
    broken = curve([6.0] * 11 + [6.0] * 0)  # ends at 1.0
    found = among((0.2, 0.9), (0.5, 5.0), curves=(broken,), stop_s=5.0)
    assert found.requests[0].energy_j == pytest.approx(6 * 0.5)
    assert found.requests[1].energy_j is None
    assert found.refused_j == pytest.approx(6 * 0.3)
    assert found.energy_j == pytest.approx(6.0)


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.floats(-1, 11), st.floats(0, 4)), max_size=12),
    st.randoms(use_true_random=False),
)
def test_requests_idle_and_refused_are_the_window(
    spans: list[tuple[float, float]], random: Random
) -> None:
    """However they overlap, with gaps in the samples: the sum is the energy of the window."""
    curves = tuple(
        Curve(
            [
                Sample(board="b", t_s=i / 10, power_w=random.uniform(-0.1, 20), source="sensor")
                for i in range(101)
                if random.random() > 0.3
            ],
            0.1,
        )
        for _ in range(2)
    )
    found = among(*((a, a + length) for a, length in spans), curves=curves)
    whole = sum(one.window(0.0, 10.0).energy_j or 0.0 for one in curves)
    parts = [value for value in joules(found) if value is not None]
    assert math.fsum([*parts, found.idle_j, found.refused_j]) == pytest.approx(whole, abs=1e-6)
    assert found.energy_j == pytest.approx(whole, abs=1e-6)


def test_charging_each_its_whole_window_would_not_add_up() -> None:
    """Control: the rule that is often used counts overlapping time twice."""
    spans = [(1.0, 4.0), (3.0, 5.0)]
    each = sum(FLAT.window(*span).energy_j or 0.0 for span in spans)
    found = among(*spans)
    assert found.idle_j + each != pytest.approx(found.energy_j)

"""Gross and net energy of boards and of their cluster, or why nothing is stated."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest

from prism_edge.energy.measure import baseline, board_energy, cluster_energy
from prism_edge.energy.meter import Curve
from prism_edge.energy.sample import Sample

STEP_W = 0.04


def curve(power: Callable[[float], float], start_s: float = 0.0, stop_s: float = 30.0) -> Curve:
    count = round((stop_s - start_s) * 10) + 1
    moments = [start_s + i / 10 for i in range(count)]
    return Curve(
        [Sample(board="b", t_s=t, power_w=power(t), source="sensor") for t in moments], 0.1
    )


def busy(t_s: float) -> float:
    """5 W idle before, 10 W from 10 s to 20 s, 5.5 W after."""
    return 5.0 if t_s < 10 else 10.0 if t_s <= 20 else 5.5


def test_net_is_gross_less_the_idle_power_before_and_after() -> None:
    log = curve(busy)
    idle = baseline(log, [(1.0, 9.0), (21.0, 29.0)], STEP_W)
    assert idle.idle_w == pytest.approx(5.25)
    assert idle.stretches_w == pytest.approx((5.0, 5.5))
    assert idle.samples == 160
    found = board_energy(log, 11.0, 19.0, step_w=STEP_W, idle=idle)
    assert found.refused is None
    assert (found.energy_j, found.net_j) == pytest.approx((80.0, 80.0 - 8 * 5.25))
    assert (found.mean_w, found.peak_w) == pytest.approx((10.0, 10.0))
    assert found.edp_js == pytest.approx(640.0)
    assert found.uncertainty is not None
    assert found.net_expanded_j is not None
    # the drift between the stretches decides: half a watt, rectangular, over 8 s, twice
    assert found.net_expanded_j == pytest.approx(2 * 8 * 0.5 / math.sqrt(12), rel=0.02)
    assert found.uncertainty.expanded_j < found.net_expanded_j


def test_without_a_baseline_there_is_no_net() -> None:
    found = board_energy(curve(busy), 11.0, 19.0, step_w=STEP_W)
    assert found.energy_j == pytest.approx(80.0)
    assert (found.net_j, found.net_expanded_j, found.idle) == (None, None, None)


@pytest.mark.parametrize(
    ("stretch", "why"),
    [
        ((-9.0, 1.0), "samples cover 10 % of it; 90 % are needed"),
        ((1.0, 2.5), "it holds 15 samples; 20 are needed"),
    ],
)
def test_a_poor_baseline_is_refused_and_so_is_the_net(
    stretch: tuple[float, float], why: str
) -> None:
    idle = baseline(curve(busy), [stretch], STEP_W)
    assert idle.idle_w is None
    assert why in (idle.refused or "")
    assert board_energy(curve(busy), 11.0, 19.0, step_w=STEP_W, idle=idle).net_j is None


@pytest.mark.parametrize(("missing_s", "refused"), [(0.9, False), (1.1, True)])
def test_below_ninety_per_cent_nothing_is_stated(missing_s: float, refused: bool) -> None:
    log = curve(busy, start_s=10 + missing_s)
    found = board_energy(log, 10.0, 20.0, step_w=STEP_W)
    assert found.coverage_pct == pytest.approx(100 - 10 * missing_s)
    assert not found.complete
    assert found.gaps == 1
    stated = (found.energy_j, found.mean_w, found.peak_w, found.edp_js, found.uncertainty)
    if refused:
        assert found.refused == "samples cover 89 % of it; 90 % are needed"
        assert stated == (None,) * 5
    else:
        assert found.refused is None
        assert None not in stated


def test_a_window_of_few_samples_is_marked() -> None:
    assert not board_energy(curve(busy), 11.0, 12.9, step_w=STEP_W).reliable
    assert board_energy(curve(busy), 11.0, 13.0, step_w=STEP_W).reliable


def test_the_cluster_is_the_sum_of_all_boards_idle_ones_too() -> None:
    logs = {"a": curve(busy), "b": curve(lambda t: 4.0)}
    each = {name: board_energy(log, 11.0, 19.0, step_w=STEP_W) for name, log in logs.items()}
    found = cluster_energy(each, 11.0, 19.0)
    assert (found.energy_j, found.mean_w, found.edp_js) == pytest.approx((112.0, 14.0, 896.0))
    assert (found.complete, found.reliable, found.coverage_pct) == (True, True, 100.0)
    one = each["b"].uncertainty
    assert one is not None
    assert found.uncertainty is not None
    assert found.uncertainty.step_j == pytest.approx(math.sqrt(2) * one.step_j)
    assert found.net_j is None


def test_a_cluster_without_one_board_has_no_sum() -> None:
    logs = {"a": curve(busy), "b": Curve([])}
    each = {name: board_energy(log, 11.0, 19.0, step_w=STEP_W) for name, log in logs.items()}
    found = cluster_energy(each, 11.0, 19.0)
    assert (found.energy_j, found.mean_w, found.uncertainty) == (None, None, None)
    assert found.refused == "b: samples cover 0 % of it; 90 % are needed"
    assert found.boards["a"].energy_j == pytest.approx(80.0)


def test_a_clock_known_badly_makes_the_energy_known_badly() -> None:
    sharp = board_energy(curve(busy), 5.0, 15.0, step_w=STEP_W)
    blurred = board_energy(curve(busy), 5.0, 15.0, step_w=STEP_W, clock_s=0.5)
    assert sharp.uncertainty is not None
    assert blurred.uncertainty is not None
    assert blurred.uncertainty.clock_j == pytest.approx(0.5 * 5.0 / math.sqrt(3))
    late = board_energy(curve(busy), 5.5, 15.5, step_w=STEP_W)  # as if it were off by the bound
    assert late.energy_j is not None
    assert sharp.energy_j is not None
    assert abs(late.energy_j - sharp.energy_j) <= blurred.uncertainty.expanded_j
    assert abs(late.energy_j - sharp.energy_j) > sharp.uncertainty.expanded_j  # control

"""Every spot of the map is what the policy decides there, marked where that is a guess."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st
from measured import BERT, profile
from paper_map import paper_map

from prism_edge.decision_map.grid import BANDS_PER_DECADE, bands, columns, grid
from prism_edge.errors import TableError
from prism_edge.schedule.cost import costs_of
from prism_edge.schedule.events import Aim
from prism_edge.schedule.policy import choose


def test_a_spot_is_what_the_policy_decides_there() -> None:
    costs, made = costs_of(profile(batches=(1, 2, 4)), "net"), paper_map()
    assert costs.links is not None
    for row in made.spots[::7]:
        for spot in row[:4]:
            link = costs.links.given(spot.rate_bps)
            decision = choose(costs, batch=spot.batch, tokens=197, link=link)
            assert decision.predicted is not None
            assert (spot.plan, spot.latency_s) == (decision.plan, decision.predicted.latency_s)
            assert spot.margin == decision.margin
            assert not spot.extrapolated


def test_slow_links_are_left_alone_and_fast_ones_used() -> None:
    made = paper_map()
    assert {str(spot.plan) for spot in made.spots[0][:2]} == {"local"}
    assert "local" not in {str(spot.plan) for spot in made.spots[-1]}
    assert {str(plan) for plan in made.plans} >= {"local", "split:p=2"}


def test_beyond_the_largest_measured_batch_all_is_extrapolated() -> None:
    made = paper_map()
    assert made.batches == (1, 2, 3, 4, 5, 6)
    for row in made.spots:
        assert [spot.extrapolated for spot in row] == [False] * 4 + [True] * 2
        assert not any(spot.doubtful for spot in row[4:])


def test_boards_that_were_not_measured_are_extrapolated() -> None:
    made = paper_map(boards=3)
    found = [spot for row in made.spots for spot in row[:4] if spot.plan and spot.plan.p > 2]
    assert found
    assert all(spot.extrapolated for spot in found)


def test_of_a_model_that_was_not_measured_no_batch_was() -> None:
    costs = costs_of(profile(batches=(1, 2)), "net").for_shape("text", BERT)
    made = grid(costs, Aim(), tokens=128, measured={1, 2})
    assert made.batches == (1, 2, 3)
    assert made.measured == frozenset()
    assert all(spot.extrapolated for row in made.spots for spot in row)


def test_certain_means_that_the_best_two_lie_apart() -> None:
    spots = [spot for row in paper_map().spots for spot in row if spot.runner_up]
    assert {spot.certain for spot in spots} == {True, False}
    for spot in spots:
        assert spot.high_s is not None
        assert spot.runner_up_s is not None
        if spot.certain:
            assert spot.high_s < spot.runner_up_s


@given(st.floats(1e4, 1e11), st.floats(1e4, 1e11))
def test_bands_hold_both_rates_and_whole_decades(middle_bps: float, also_bps: float) -> None:
    edges = bands(middle_bps, also_bps)
    for rate_bps in (middle_bps, also_bps):
        assert edges[0] <= rate_bps * 1.001
        assert edges[-1] >= rate_bps * 0.999
    assert (len(edges) - 1) % BANDS_PER_DECADE == 0
    assert list(edges) == sorted(edges)


@given(st.sets(st.integers(1, 512), min_size=1))
def test_columns_hold_every_measured_batch_and_stay_few(measured: set[int]) -> None:
    found = columns(measured)
    assert set(found) >= (measured if max(found) > 32 else set(range(1, max(measured) + 1)))
    assert len(found) <= 32 + len(measured)
    assert list(found) == sorted(set(found))


def test_ticks_and_heights_agree_with_the_bands() -> None:
    made = paper_map()
    assert made.height(made.edges_bps[0]) == 0
    assert made.height(made.edges_bps[5]) == pytest.approx(5)
    assert made.ticks_bps[0] == pytest.approx(made.edges_bps[0])
    assert made.ticks_bps[-1] == pytest.approx(made.edges_bps[-1])


def test_without_a_link_or_any_computing_there_is_no_map() -> None:
    bare = dataclasses.replace(profile(), link=())
    with pytest.raises(TableError, match="no link was profiled"):
        grid(costs_of(bare, "net"), Aim(), tokens=197, measured={1})
    idle = dataclasses.replace(profile(), compute=())
    with pytest.raises(TableError, match="no computing was measured"):
        grid(costs_of(idle, "net"), Aim(), tokens=197, measured=set())

"""A trace is the same for the same seed, and long enough where something is to be judged."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prism_edge.bench.trace import LEAST, MIX, STORY, apportion, make_trace
from prism_edge.errors import SettingsError


def test_a_seed_makes_one_trace_and_another_seed_another() -> None:
    assert make_trace(240, ["m"], 7) == make_trace(240, ["m"], 7)
    assert make_trace(240, ["m"], 7) != make_trace(240, ["m"], 8)


def test_the_usual_trace_has_steps_ramps_and_a_slowed_board() -> None:
    trace = make_trace(240, ["m"], 0)
    assert sum(len(situation.requests) for situation in trace) == 240
    steady = [(s.rate_bps / 1e6, s.slowed) for s in trace if s.steady]
    assert steady == [(200, 0), (50, 0), (20, 0), (20, 0.5), (5, 0), (100, 0)]
    assert [s.rate_bps / 1e6 for s in trace if s.ramp] == [14, 10, 7, 5, 10, 22, 47, 100]
    slowed = [k for k, situation in enumerate(trace) if situation.slowed]
    assert len(slowed) == 1
    assert 0 < slowed[0] < len(trace) - 1
    for situation in trace:
        if situation.steady:
            assert {request.batch for request in situation.requests} == set(MIX)
    assert {3, 6} <= set(MIX)  # not what a profile measures


def test_half_of_the_requests_come_at_once() -> None:
    gaps = [request.gap_s for s in make_trace(2000, ["m"], 1) for request in s.requests]
    assert 0.4 < sum(gap == 0 for gap in gaps) / len(gaps) < 0.6
    assert min(gaps) >= 0


def test_a_short_trace_drops_short_situations() -> None:
    trace = make_trace(12, ["m"], 0)
    assert sum(len(situation.requests) for situation in trace) == 12
    assert 1 < len(trace) < len(STORY)
    assert all(situation.requests for situation in trace)
    assert not any(situation.steady for situation in trace)
    assert len(make_trace(1, ["m"], 0)) == 1


def test_several_models_are_mixed() -> None:
    found = {r.model for s in make_trace(100, ["a", "b"], 0) for r in s.requests}
    assert found == {"a", "b"}


def test_no_request_is_no_trace() -> None:
    with pytest.raises(SettingsError, match="--requests 0"):
        make_trace(0, ["m"], 0)


@given(st.integers(0, 5000), st.lists(st.integers(0, 9), min_size=1, max_size=9).filter(any))
def test_parts_add_up_and_are_near_their_weights(total: int, weights: list[int]) -> None:
    parts = apportion(total, weights)
    assert sum(parts) == total
    for part, weight in zip(parts, weights, strict=True):
        assert abs(part - total * weight / sum(weights)) <= 1


def test_a_plain_division_would_not_add_up() -> None:
    weights = [1, 1, 1]
    assert (
        sum(10 * weight // sum(weights) for weight in weights) != 10 == sum(apportion(10, weights))
    )
    assert LEAST == 30

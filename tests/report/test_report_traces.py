"""Power over time keeps its extremes and its gaps, however many samples there are."""

from __future__ import annotations

import pytest

from prism_edge.energy.sample import Sample
from prism_edge.report.traces import BINS, traces


def samples(count: int, board: str = "a", every_s: float = 0.1) -> list[Sample]:
    return [
        Sample(board=board, t_s=every_s * k, power_w=5.0 + k % 3, source="sensor")
        for k in range(count)
    ]


def test_bins_keep_mean_and_extremes() -> None:
    some = samples(6000)
    some[1234] = Sample(board="a", t_s=some[1234].t_s, power_w=99.0, source="sensor")
    (trace,) = traces({"a": some}, 0.0, 599.9)
    assert len(trace.t_s) == len(trace.power_w) == BINS
    assert max(w for w in trace.high_w if w is not None) == 99.0
    assert min(w for w in trace.low_w if w is not None) == 5.0
    assert trace.mean_w == pytest.approx(sum(s.power_w for s in some) / 6000)
    assert trace.samples == 6000
    for low_w, mean_w, high_w in zip(trace.low_w, trace.power_w, trace.high_w, strict=True):
        assert low_w is not None
        assert mean_w is not None
        assert high_w is not None
        assert low_w <= mean_w <= high_w


def test_a_gap_stays_a_gap() -> None:
    gone = [s for s in samples(600) if not 20 < s.t_s < 40]
    (trace,) = traces({"a": gone}, 0.0, 59.9)
    empty = [t for t, w in zip(trace.t_s, trace.power_w, strict=True) if w is None]
    assert empty
    assert min(empty) > 19.5
    assert max(empty) < 40.5
    (whole,) = traces({"a": samples(600)}, 0.0, 59.9)
    assert None not in whole.power_w


def test_only_the_run_is_shown() -> None:
    (trace,) = traces({"a": samples(600)}, 10.0, 20.0)
    assert trace.samples == pytest.approx(101, abs=1)
    assert 0 < trace.t_s[0] < trace.t_s[-1] < 10.0
    assert traces({"a": samples(600)}, 100.0, 200.0) == ()
    assert traces({"a": samples(600)}, 5.0, 5.0) == ()


def test_boards_are_in_order_and_a_single_sample_is_enough() -> None:
    found = traces({"b": samples(10, "b"), "a": samples(1)}, 0.0, 1.0)
    assert [trace.board for trace in found] == ["a", "b"]
    assert found[0].power_w == (5.0,)

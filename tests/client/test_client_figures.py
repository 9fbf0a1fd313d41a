"""Figures of runs whose every number is known."""

from __future__ import annotations

from typing import Any

import pytest

from prism_edge.client.connection import Sent
from prism_edge.client.figures import figures, quantiles
from prism_edge.client.overhead import overhead
from prism_edge.errors import ClusterError


def sent(due_s: float, latency_s: float, status: int | None = 200, **said: Any) -> Sent:
    error = None if status == 200 else "full"
    return Sent(
        due_s=due_s,
        sent_s=due_s + 0.01,
        done_s=due_s + latency_s,
        status=status,
        error=error,
        said=said,
    )


def test_a_percentile_needs_a_request_beyond_it() -> None:
    assert quantiles([]) == {"p50": None, "p90": None, "p99": None, "p99.9": None}
    assert quantiles([1.0])["p50"] is None
    assert quantiles([1.0, 3.0])["p50"] == 2.0
    assert quantiles([1.0] * 99)["p99"] is None
    assert quantiles([1.0] * 100)["p99"] == 1.0
    assert quantiles([1.0] * 1000)["p99.9"] == 1.0


def test_latency_counts_from_when_a_request_was_due() -> None:
    late = Sent(due_s=10.0, sent_s=13.0, done_s=13.5, status=200)
    assert late.latency_s == 3.5
    found = figures([late, late], rows=1, planned=2, seconds=1.0)
    assert found["latency_s"]["p50"] == 3.5  # type: ignore[index]
    assert found["late_s"]["p50"] == 3.0  # type: ignore[index]


def test_refusals_are_counted_but_have_no_latency() -> None:
    run = [sent(0.0, 1.0, plan="local", queue_s=0.25, batch=2), sent(1.0, 1.0, plan="split:p=2")]
    run += [sent(1.5, 0.001, 503), sent(1.6, 0.001, 503), sent(1.7, 0.3, None)]
    found = figures(run, rows=4, planned=7, seconds=2.0)
    assert found["outcomes"] == {"200": 2, "503": 2, "no answer": 1}
    assert found["reasons"] == {"full": 3}
    assert found["latency_s"]["p50"] == 1.0  # type: ignore[index]
    assert found["plans"] == {"local": 1, "split:p=2": 1}
    assert (found["requests"], found["not_sent"], found["offered_hz"]) == (5, 2, 3.5)
    assert (found["achieved_hz"], found["rows_per_s"]) == (1.0, 4.0)
    assert found["queue_s"]["p50"] is None  # type: ignore[index]  # one reply had it


def test_nothing_sent_is_said_so() -> None:
    assert figures([], rows=1, planned=3, seconds=1.0) == {"requests": 0}


def test_what_is_added_is_taken_request_by_request() -> None:
    """Slow engines and fast ones: the differences are the same, those of medians are not."""
    run = [
        sent(0.0, engine_s + 0.004, queue_s=0.002, run_s=engine_s + 0.001, engine_s=engine_s)
        for engine_s in (0.1, 0.5, 0.9)
    ]
    found = overhead(run)
    assert found["added_p50_s"] == pytest.approx(0.004)
    assert found["http_s"]["p50"] == pytest.approx(0.001)  # type: ignore[index]
    assert found["queue_s"]["p50"] == pytest.approx(0.002)  # type: ignore[index]
    assert found["hand_over_s"]["p50"] == pytest.approx(0.001)  # type: ignore[index]
    assert found["added_p50_low_s"] <= found["added_p50_s"]  # type: ignore[operator]


def test_another_server_s_replies_cannot_be_told_apart() -> None:
    with pytest.raises(ClusterError, match="1 of 1 requests were answered, 0 with the engine's"):
        overhead([sent(0.0, 0.1, plan="local")])

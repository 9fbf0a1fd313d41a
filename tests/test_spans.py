"""Spans: what was recorded is what can be read off, also when the work failed."""

from __future__ import annotations

import pytest

from prism_edge.spans import Effort, Recorder, Span


def test_a_span_is_recorded_when_it_ends() -> None:
    recorder = Recorder()
    with recorder.span("outer", 10):
        with recorder.span("inner"):
            assert recorder.spans == []
        assert [span.name for span in recorder.spans] == ["inner"]
    inner, outer = recorder.spans
    assert outer.start_s <= inner.start_s <= inner.stop_s <= outer.stop_s
    assert (inner.bytes, outer.bytes) == (0, 10)


def test_a_span_is_recorded_when_its_work_fails() -> None:
    recorder = Recorder()
    with pytest.raises(ZeroDivisionError), recorder.span("work"):
        _ = 1 / 0
    assert [span.name for span in recorder.spans] == ["work"]


def test_totals_are_by_name() -> None:
    recorder = Recorder()
    recorder.spans += [
        Span("exchange", 1.0, 1.5, 100),
        Span("wait", 1.25, 1.5, 100),
        Span("exchange", 2.0, 2.25, 50),
    ]
    assert recorder.total_s("exchange") == 0.75
    assert recorder.total_s("wait") == 0.25
    assert recorder.total_bytes("exchange") == 150
    assert recorder.total_s("missing") == 0
    assert recorder.total_bytes("missing") == 0


def test_efforts_are_by_rank_and_add_up() -> None:
    recorder = Recorder()
    recorder.add_efforts({1: Effort(1.0, 0.5), 3: Effort(2.0, 0.0)})
    recorder.add_efforts({3: Effort(0.25, 4.0)})
    assert recorder.efforts_of(4) == [Effort(1.0, 0.5), None, Effort(2.25, 4.0)]
    assert recorder.efforts_of(2) == [Effort(1.0, 0.5)]
    assert recorder.efforts_of(1) == []


def test_recorders_share_nothing() -> None:
    first, second = Recorder(), Recorder()
    first.add_efforts({1: Effort(1.0, 0.0)})
    assert second.efforts == {}
    with first.span("mine"):
        pass
    assert second.spans == []


def test_a_span_cannot_be_changed() -> None:
    span = Span("wait", 1.0, 3.0)
    assert (span.duration_s, span.bytes) == (2.0, 0)
    with pytest.raises(AttributeError):
        span.stop_s = 2.0  # type: ignore[misc]

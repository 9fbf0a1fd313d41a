"""The daemon's sentences are understood; an ordinary explanation is no fallback."""

from __future__ import annotations

import pytest
from synthetic_profile import synthetic_profile

from prism_edge.report.why import Fallback, fallback, predicted_s
from prism_edge.schedule.cost import costs_of
from prism_edge.schedule.policy import Fixed, choose

ORDINARY = (
    None,
    "",
    "asked for by the request",
    "prism:p=2,l=10,dtype=fp16 predicted 0.778 s against local 1.460 s (47 % less); link 96 Mbit/s",
    "local predicted 0.120 s; no other plan fits",
    "answered locally",
)


@pytest.mark.parametrize(
    ("why", "meant", "reason"),
    [
        (
            "prism:p=2,l=10,dtype=fp16 failed (edge-2: closed (epoch 3)); answered locally",
            "prism:p=2,l=10,dtype=fp16",
            "edge-2: closed (epoch 3)",
        ),
        ("split:p=2 failed (a\nb); answered locally", "split:p=2", "a\nb"),
        (
            "voltage:p=2,dtype=fp32 was lost with its engine; answered locally by the next one",
            "voltage:p=2,dtype=fp32",
            "was lost with its engine",
        ),
        (
            "split:p=2 was asked for, but 1 board(s) are in service; answered locally",
            "split:p=2",
            "was asked for, but 1 board(s) are in service",
        ),
        ("local: no cost tables", "a choice", "no cost tables"),
    ],
)
def test_a_fallback_is_understood(why: str, meant: str, reason: str) -> None:
    assert fallback(why) == Fallback(meant=meant, reason=reason)


@pytest.mark.parametrize("why", [*ORDINARY, "local: this board serves alone"])
def test_an_explanation_is_no_fallback(why: str | None) -> None:
    assert fallback(why) is None


@pytest.mark.parametrize(
    ("why", "value_s"),
    [
        ("prism:p=2,l=10,dtype=fp16 predicted 0.778 s against local 1.460 s", 0.778),
        ("local predicted 12.30 s; no other plan fits", 12.3),
        ("local predicted 85 ms", 0.085),
        ("local predicted 1.2.3 s", None),
        ("local predicted 5 sheep", None),
        ("it was predicted 3 s", None),
        ("asked for by the request", None),
        (None, None),
    ],
)
def test_what_was_expected(why: str | None, value_s: float | None) -> None:
    assert predicted_s(why) == (None if value_s is None else pytest.approx(value_s))


def test_the_real_policy_speaks_this_language() -> None:
    costs = costs_of(synthetic_profile(), "vit-b16")
    decision = choose(costs, batch=4, tokens=197, boards=2)
    assert decision.predicted is not None
    assert predicted_s(decision.why) == pytest.approx(decision.predicted.latency_s, rel=0.01)
    assert fallback(decision.why) is None
    nothing = fallback(Fixed("no tables at all").why)
    assert nothing is not None
    assert nothing.reason == "no tables at all"

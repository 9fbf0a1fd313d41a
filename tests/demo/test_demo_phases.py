"""What the demo asks is balanced, complete and small enough for its time."""

from __future__ import annotations

from collections import Counter

from prism_edge.demo.phases import DIGITS, FULL, SPEED, accuracy_phase, loss_phase, speed_phase
from prism_edge.plan import Plan


def test_every_speed_request_is_asked_of_the_policy_and_of_one_board():
    phase = speed_phase("any", "100mbit", ones=6, fours=4, full=3)
    by_start: dict[int, Counter[str | None]] = {}
    for ask in phase.asks:
        assert ask.model == SPEED
        by_start.setdefault(ask.start, Counter())[ask.plan] += 1
    assert len(by_start) == 10
    assert all(plans[None] == 1 and plans["local"] == 1 for plans in by_start.values())


def test_full_exchange_is_asked_as_often_as_said_for_each_batch():
    phase = speed_phase("any", "5mbit", ones=6, fours=3, full=1)
    full = Counter(ask.batch for ask in phase.asks if ask.plan == FULL)
    assert full == {1: 1, 4: 1}
    none = speed_phase("any", "5mbit", ones=2, fours=2, full=0)
    assert not [ask for ask in none.asks if ask.plan == FULL]


def test_no_plan_always_goes_first():
    phase = speed_phase("any", "100mbit", ones=6, fours=0, full=6)
    first = {phase.asks[at].plan for at in range(0, len(phase.asks), 3)}
    assert first == {None, "local", FULL}


def test_every_digit_is_asked_once_of_every_plan():
    phase = accuracy_phase(images=20, batch=8)
    starts = Counter((ask.plan, ask.start) for ask in phase.asks)
    assert set(starts.values()) == {1}
    assert {start for _, start in starts} == {0, 8, 16}
    assert {ask.model for ask in phase.asks} == {DIGITS}


def test_every_plan_of_the_demo_parses():
    phases = [
        speed_phase("any", "1mbit", ones=3, fours=1, full=1),
        accuracy_phase(images=8, batch=8),
        loss_phase("any", 2),
    ]
    plans = {ask.plan for phase in phases for ask in phase.asks if ask.plan is not None}
    assert {str(Plan.parse(plan)) for plan in plans} == plans


def test_the_loss_phase_leaves_every_choice_to_the_policy():
    assert {ask.plan for ask in loss_phase("any", 5).asks} == {None}

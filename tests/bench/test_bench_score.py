"""Regret and ratios of rounds whose oracle is known."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from played import SPLIT, VOLTAGE, played

from prism_edge.bench.contest import EVERY, Round, Sparing
from prism_edge.bench.score import (
    energy_ratios,
    filled,
    latency_ratios,
    oracle,
    ratio_of_sums,
    regret,
    run_length,
)

FAST, SLOW = {"local": 2.0, SPLIT: 1.0}, {"local": 2.0, SPLIT: 5.0}


def test_the_oracle_takes_the_least_median_of_every_cell() -> None:
    rounds = [
        *(played(0, 4, SPLIT, {"local": 2.0, SPLIT: took}) for took in (1.0, 1.1, 9.0)),
        played(1, 4, "local", SLOW),
        played(0, 1, "local", {"local": 1.0, SPLIT: 1.0}, stands_in=(SPLIT,)),
    ]
    best = oracle(rounds)
    assert {cell: known.plan for cell, known in best.items()} == {
        (0, "m", 4): SPLIT,
        (1, "m", 4): "local",
        (0, "m", 1): "local",
    }
    assert best[0, "m", 4].medians == {"local": 2.0, SPLIT: 1.1}
    assert set(best[0, "m", 1].medians) == {"local"}  # a stand-in is no answer of its own
    assert best[0, "m", 4].good(SPLIT, 0.05)
    assert not best[0, "m", 4].good("local", 0.05)
    assert not best[0, "m", 4].good("never run", 0.05)


def test_the_oracle_takes_what_may_be_taken() -> None:
    rounds = [played(0, 4, "local", FAST)]
    best = oracle(rounds, lambda model, plan: plan != SPLIT)[0, "m", 4]
    assert (best.plan, best.medians) == ("local", FAST)
    assert regret(rounds, {(0, "m", 4): best}, 0).value == pytest.approx(0)


def test_answers_of_the_adaptive_one_are_known_too() -> None:
    rounds = [played(0, 4, "prism:p=2,l=1,dtype=fp16", FAST, took_s=0.5)]
    assert oracle(rounds)[0, "m", 4].plan == "prism:p=2,l=1,dtype=fp16"


@given(st.integers(0, 99))
def test_who_follows_the_oracle_regrets_nothing(seed: int) -> None:
    source = random.Random(seed)
    rounds = [best_played(number, source) for number in range(20)]
    assert regret(rounds, oracle(rounds), 0).value == pytest.approx(0)


def best_played(situation: int, source: random.Random) -> Round:
    seconds = {"local": source.uniform(1, 2), SPLIT: source.uniform(1, 2)}
    return played(situation, 4, min(seconds, key=lambda plan: seconds[plan]), seconds)


def test_who_does_not_is_told_how_much() -> None:
    rounds = [played(0, 4, SPLIT, FAST), played(1, 4, SPLIT, SLOW)]
    found = regret(rounds, oracle(rounds), 0)
    assert found.value == pytest.approx((1 + 5) / (1 + 2) - 1)
    assert found.low <= found.value <= found.high


def test_deciding_and_waiting_for_probes_count() -> None:
    rounds = [played(0, 4, SPLIT, FAST, late_s=0.5)]
    assert regret(rounds, oracle(rounds), 0).value == pytest.approx(0.5)
    assert latency_ratios(rounds, ["local", SPLIT], 0)["local"].value == pytest.approx(0.75)


def test_ratios_are_of_sums() -> None:
    rounds = [played(0, 4, SPLIT, FAST), played(1, 4, "local", SLOW)]
    ratios = latency_ratios(rounds, ["local", SPLIT], 0)
    assert ratios["local"].value == pytest.approx(3 / 4)
    assert ratios[SPLIT].value == pytest.approx(3 / 6)
    assert energy_ratios(rounds, ["local"], 0)["local"].value == pytest.approx(3 / 4)


def test_an_interval_is_narrow_only_where_requests_agree() -> None:
    same = ratio_of_sums([1.0] * 50, [2.0] * 50, 0)
    assert (same.low, same.value, same.high) == (0.5, 0.5, 0.5)
    taken_s = random.Random(0).choices([1.0, 3.0], k=50)
    mixed = ratio_of_sums(taken_s, [2.0] * 50, 0)
    assert mixed.low < mixed.value - 0.05 < mixed.value + 0.05 < mixed.high


@given(st.integers(0, 20))
def test_bad_answers_that_come_together_widen_the_interval(seed: int) -> None:
    together = ([3.0] * 10 + [1.0] * 50) * 4  # after every change
    apart = random.Random(seed).sample(together, k=len(together))
    wide, narrow = (ratio_of_sums(taken_s, [2.0] * 240, seed) for taken_s in (together, apart))
    assert wide.value == pytest.approx(narrow.value)
    assert wide.high - wide.low > 1.5 * (narrow.high - narrow.low)


def test_a_short_trace_is_drawn_in_shorter_runs() -> None:
    assert [run_length(requests) for requests in (1, 12, 50, 240, 1000)] == [1, 1, 5, 10, 10]


def test_what_was_left_out_is_scaled_by_batch_within_its_situation() -> None:
    rounds = [
        played(0, 2, "local", {"local": 1.0, VOLTAGE: 8.0}),
        played(0, 4, "local", {"local": 2.0}),
        played(1, 4, "local", {"local": 2.0, VOLTAGE: 4.0}),
    ]
    assert filled(rounds, VOLTAGE, lambda answer: answer.latency_s) == [8.0, 16.0, 4.0]
    with pytest.raises(AssertionError):  # nothing to scale by
        filled(rounds[1:2], VOLTAGE, lambda answer: answer.latency_s)


def test_slow_plans_are_run_in_every_fourth_request() -> None:
    sparing, ran = Sparing(), []
    for _ in range(9):
        due = sparing.due(VOLTAGE)
        ran.append(due)
        sparing.note({"local": 1.0, SPLIT: 0.9, **({VOLTAGE: 3.5} if due else {})})
        assert sparing.due("local")
        assert sparing.due(SPLIT)
    assert ran == [True, False, False, False, True, False, False, False, True]
    assert EVERY == 4


def test_local_stands_in_for_others_and_is_never_left_out() -> None:
    sparing = Sparing()
    sparing.note({"local": 9.0, SPLIT: 1.0})
    assert sparing.due("local")


def test_plans_that_are_not_slow_are_always_run() -> None:
    sparing = Sparing()
    for _ in range(9):
        assert sparing.due(VOLTAGE)
        sparing.note({"local": 1.0, VOLTAGE: 2.9})

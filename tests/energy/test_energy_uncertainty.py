"""The energy of powers that are known is right within what is stated; wrong methods are not."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from random import Random

import pytest

from prism_edge.energy.meter import Curve
from prism_edge.energy.sample import Sample
from prism_edge.energy.uncertainty import repeats, uncertainty

INTERVAL_S = 0.1
STEP_W = 0.04
SEEDS = range(60)
WINDOW = (2.03, 12.07)


@dataclass(frozen=True)
class Power:
    """A power over time, and its integral from 0."""

    at: Callable[[float], float]
    joules_to: Callable[[float], float]

    def joules(self, start_s: float, stop_s: float) -> float:
        return self.joules_to(stop_s) - self.joules_to(start_s)


def sine(period_s: float) -> Power:
    w = 2 * math.pi / period_s
    return Power(lambda t: 8 + 3 * math.sin(w * t), lambda t: 8 * t + 3 * (1 - math.cos(w * t)) / w)


POWERS = {
    "constant": Power(lambda t: 6.018, lambda t: 6.018 * t),
    "ramp": Power(lambda t: 5 + 0.9 * t, lambda t: 5 * t + 0.45 * t * t),
    "slow sine": sine(7.0),
    "fast sine": sine(0.7),
    "step": Power(
        lambda t: 4.7 if t < 6.04 else 15.3,
        lambda t: 4.7 * t + 10.6 * max(0.0, t - 6.04),
    ),
    "bursts": Power(  # half a second of work every second
        lambda t: 12.0 if t % 1.0 >= 0.5 else 5.0,
        lambda t: 5 * t + 7 * (0.5 * math.floor(t) + max(0.0, t % 1.0 - 0.5)),
    ),
}


def samples(power: Power, random: Random, missing: float, twice: float) -> list[Sample]:
    """Readings of a sensor with steps, at jittered moments, some lost and some delivered twice."""
    found = []
    for i in range(150):
        t_s = i * INTERVAL_S + random.uniform(-0.03, 0.03)
        reading_w = round(power.at(t_s) / STEP_W) * STEP_W
        one = Sample(board="edge-1", t_s=t_s, power_w=reading_w, source="sensor")
        if random.random() >= missing:
            found += [one, one] if random.random() < twice else [one]
    random.shuffle(found)
    return found


def error_and_stated(power: Power, taken: list[Sample]) -> tuple[float, float]:
    """How far off the energy of what is covered is, and how far it may be."""
    found = Curve(taken, INTERVAL_S).window(*WINDOW)
    assert found.energy_j is not None
    stated_j = uncertainty(found, step_w=STEP_W).expanded_j
    return abs(found.energy_j - covered(power, taken)), stated_j


def covered(power: Power, taken: list[Sample]) -> float:
    """The true energy of the window without its gaps."""
    times = sorted({sample.t_s for sample in taken})
    return sum(
        power.joules(max(a, WINDOW[0]), min(b, WINDOW[1]))
        for a, b in pairwise(times)
        if b - a <= 3 * INTERVAL_S + 1e-6 and min(b, WINDOW[1]) > max(a, WINDOW[0])
    )


@pytest.mark.parametrize("missing", [0.0, 0.05, 0.3])
@pytest.mark.parametrize("name", list(POWERS))
def test_the_error_is_within_what_is_stated(name: str, missing: float) -> None:
    """Steps are rounded, moments jitter, samples are missing and come twice: no seed is outside."""
    for seed in SEEDS:
        taken = samples(POWERS[name], Random(seed), missing, twice=0.1)
        error_j, stated_j = error_and_stated(POWERS[name], taken)
        assert error_j <= stated_j, (seed, error_j, stated_j)


@pytest.mark.parametrize("name", list(POWERS))
def test_what_is_stated_is_not_boundless(name: str) -> None:
    """Control: a few per cent of the energy, not so much that nothing could be outside."""
    power = POWERS[name]
    _, stated_j = error_and_stated(power, samples(power, Random(1), 0.0, 0.0))
    assert stated_j < 0.07 * power.joules(*WINDOW)


def left_rectangles(taken: list[Sample]) -> float:
    """A wrong method: each sample holds until the next."""
    ordered = sorted((s.t_s, s.power_w or 0.0) for s in taken)
    inside = [(t, w) for t, w in ordered if WINDOW[0] <= t < WINDOW[1]]
    return sum(w * (b - a) for (a, w), (b, _) in pairwise([*inside, (WINDOW[1], 0.0)]))


def averages(taken: list[Sample]) -> float:
    """A wrong method: integrating what tegrastats prints behind the slash, the mean so far."""
    total, means = 0.0, []
    for count, one in enumerate(sorted(taken, key=lambda s: s.t_s), start=1):
        total += one.power_w or 0.0
        means.append(Sample(board="edge-1", t_s=one.t_s, power_w=total / count, source="sensor"))
    return Curve(means, INTERVAL_S).window(*WINDOW).energy_j or 0.0


def zeros(taken: list[Sample]) -> float:
    """A wrong method: a missing sample counts as 0 W."""
    seen = {round(one.t_s / INTERVAL_S) for one in taken}
    lost = [
        Sample(board="edge-1", t_s=i * INTERVAL_S, power_w=0.0, source="sensor")
        for i in range(150)
        if i not in seen
    ]
    return Curve([*taken, *lost], INTERVAL_S).window(*WINDOW).energy_j or 0.0


@pytest.mark.parametrize(
    ("wrong", "name", "missing"),
    [
        (left_rectangles, "ramp", 0.0),
        (averages, "ramp", 0.0),
        (averages, "step", 0.0),
        (zeros, "constant", 0.1),
    ],
)
def test_wrong_methods_are_outside(
    wrong: Callable[[list[Sample]], float], name: str, missing: float
) -> None:
    """Control: the same test would find them, with every seed."""
    power = POWERS[name]
    for seed in SEEDS:
        taken = samples(power, Random(seed), missing, twice=0.0)
        _, stated_j = error_and_stated(power, taken)
        assert abs(wrong(taken) - power.joules(*WINDOW)) > stated_j, seed


def test_the_parts_worked_out_by_hand() -> None:
    taken = [
        Sample(board="b", t_s=float(t), power_w=w, source="sensor")
        for t, w in enumerate([5.0, 5.0, 7.0, 7.0])
    ]
    found = uncertainty(Curve(taken).window(0.0, 3.0), step_w=0.12, clock_s=0.003)
    assert found.step_j == pytest.approx(0.12 * 3 / math.sqrt(12))
    assert found.sampling_j == pytest.approx(2 / math.sqrt(2))
    assert found.clock_j == pytest.approx(0.003 * 2 / math.sqrt(3))
    whole = math.sqrt(found.step_j**2 + found.sampling_j**2 + found.clock_j**2)
    assert (found.combined_j, found.expanded_j) == pytest.approx((whole, 2 * whole))


def test_repeated_windows_have_students_interval() -> None:
    found = repeats([10.0, 11.0, 12.0, 13.0, 14.0], step_j=0.0)
    assert found is not None
    assert (found.n, found.mean_j, found.enough) == (5, 12.0, True)
    assert found.sd_j == pytest.approx(math.sqrt(2.5))
    assert found.expanded_j == pytest.approx(2.776 * math.sqrt(2.5 / 5), rel=1e-3)
    assert repeats([10.0, 11.0], step_j=0.0) is None
    few = repeats([10.0, 11.0, 12.0], step_j=0.5)
    assert few is not None
    assert not few.enough
    assert few.standard_j == pytest.approx(math.hypot(1 / math.sqrt(3), 0.5))


def test_the_mean_of_repeats_is_within_their_interval() -> None:
    """Windows of bursts at any phase: about 95 of 100 intervals hold the truth."""
    power, inside = POWERS["bursts"], 0
    for seed in SEEDS:
        random = Random(seed)
        taken = samples(power, random, 0.0, 0.0)
        starts = [random.uniform(1.0, 12.0) for _ in range(6)]
        curve = Curve(taken, INTERVAL_S)
        energies = [curve.window(start, start + 1.0).energy_j or 0.0 for start in starts]
        found = repeats(energies, STEP_W / math.sqrt(12))
        assert found is not None
        inside += abs(found.mean_j - power.joules(3.0, 4.0)) <= found.expanded_j
    assert inside >= 0.9 * len(SEEDS)

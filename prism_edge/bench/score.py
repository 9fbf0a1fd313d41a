"""What rounds say of the adaptive contestant: regret, and ratios to every static plan. Pure.

The oracle knows every plan's median in each (situation, model, batch), and takes the least of those
that the policy may take.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np

from prism_edge.bench.compare import RESAMPLES
from prism_edge.bench.contest import Answer, Round
from prism_edge.intervals import LEVEL

RUN = 10  # consecutive requests that are drawn together
RUNS = 10  # the least number of draws

Cell = tuple[int, str, int]  # situation, model, batch


@dataclass(frozen=True, slots=True, kw_only=True)
class Best:
    """A cell as the oracle knows it: every plan's median seconds, and the plan with the least of
    those that may be taken."""

    plan: str
    medians: Mapping[str, float]

    def good(self, plan: str, tolerance: float) -> bool:
        """The plan is the oracle's, or slower by no more than that share."""
        return self.medians.get(plan, float("inf")) <= (1 + tolerance) * self.medians[self.plan]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ratio:
    """A ratio of two sums over requests, with the interval of 95 % of its resamples: see
    ``ratio_of_sums``."""

    value: float
    low: float
    high: float


def cell_of(one: Round) -> Cell:
    return one.situation, one.model, one.batch


def taken_s(one: Round) -> float:
    """Seconds the adaptive contestant made its request wait, deciding included."""
    return one.adaptive.latency_s + one.late_s


def answers(one: Round) -> list[Answer]:
    """Every answer that was computed in this round, once: a stand-in is the local one's."""
    own = [answer for plan, answer in one.static.items() if answer.plan == plan]
    return [one.adaptive, *own]


def anything(model: str, plan: str) -> bool:
    """Every plan may be taken."""
    return True


def oracle(rounds: Sequence[Round], may: Callable[[str, str], bool] = anything) -> dict[Cell, Best]:
    """The oracle's knowledge of every cell, from all answers there. ``may``: which plans of a model
    it takes, adaptive's choices among them."""
    seconds: dict[Cell, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for one in rounds:
        for answer in answers(one):
            seconds[cell_of(one)][answer.plan].append(answer.latency_s)
    best = {}
    for cell, plans in seconds.items():
        medians = {plan: median(times) for plan, times in plans.items()}
        allowed = {plan: took_s for plan, took_s in medians.items() if may(cell[1], plan)}
        best[cell] = Best(plan=min(allowed, key=lambda plan: allowed[plan]), medians=medians)
    return best


def regret(rounds: Sequence[Round], best: Mapping[Cell, Best], seed: int) -> Ratio:
    """Summed latency over the oracle's, less 1.

    The oracle's answer to a request is its plan's in that very round, as a static contestant gave
    it; where that was left out, the plan's median in the cell.
    """
    mine = [taken_s(one) for one in rounds]
    ideal = []
    for one in rounds:
        known = best[cell_of(one)]
        same = next((a for plan, a in one.static.items() if known.plan == plan == a.plan), None)
        ideal.append(known.medians[known.plan] if same is None else same.latency_s)
    found = ratio_of_sums(mine, ideal, seed)
    return Ratio(value=found.value - 1, low=found.low - 1, high=found.high - 1)


def latency_ratios(rounds: Sequence[Round], plans: Sequence[str], seed: int) -> dict[str, Ratio]:
    """Summed latency over every static plan's."""
    mine = [taken_s(one) for one in rounds]
    return {
        plan: ratio_of_sums(mine, filled(rounds, plan, lambda answer: answer.latency_s), seed)
        for plan in plans
    }


def energy_ratios(rounds: Sequence[Round], plans: Sequence[str], seed: int) -> dict[str, Ratio]:
    """Summed modelled energy over every static plan's; probes count, gaps do not."""
    mine = [one.adaptive.energy_j + one.extra_j for one in rounds]
    return {
        plan: ratio_of_sums(mine, filled(rounds, plan, lambda answer: answer.energy_j), seed)
        for plan in plans
    }


def filled(rounds: Sequence[Round], plan: str, value: Callable[[Answer], float]) -> list[float]:
    """The value of a static plan in every round; where it was left out, scaled by batch size.

    A plan is left out where it takes several times as long as others, which is where its bytes take
    the time: they are proportional to the batch. Of one situation and model, the median counts.
    """
    per_sample: dict[tuple[int, str], list[float]] = defaultdict(list)
    for one in rounds:
        answer = one.static.get(plan)
        if answer is not None and answer.plan == plan:
            per_sample[one.situation, one.model].append(value(answer) / one.batch)
    found = []
    for one in rounds:
        answer = one.static.get(plan)
        known = per_sample[one.situation, one.model]
        assert answer is not None or known, (plan, cell_of(one))
        found.append(value(answer) if answer is not None else median(known) * one.batch)
    return found


def ratio_of_sums(mine: Sequence[float], theirs: Sequence[float], seed: int) -> Ratio:
    """sum(mine) / sum(theirs); requests are drawn again in pairs for the interval.

    They are drawn in runs of consecutive ones, the last followed by the first: bad answers come
    together, after a change, and drawn one by one they would seem to be more evidence than they
    are.
    """
    above, below = np.asarray(mine), np.asarray(theirs)
    count = len(above)
    length = run_length(count)
    starts = np.random.default_rng(seed).integers(0, count, (RESAMPLES, -(-count // length), 1))
    picks = (starts + np.arange(length)).reshape(RESAMPLES, -1)[:, :count] % count
    ratios = np.sort(above[picks].sum(axis=1) / below[picks].sum(axis=1))
    cut = round(RESAMPLES * (1 - LEVEL) / 2)
    return Ratio(
        value=float(above.sum() / below.sum()), low=float(ratios[cut]), high=float(ratios[-1 - cut])
    )


def run_length(requests: int) -> int:
    """How many consecutive requests are drawn together; fewer of a short trace."""
    return max(1, min(RUN, requests // RUNS))

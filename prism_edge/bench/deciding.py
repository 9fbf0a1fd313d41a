"""What a decision costs: the events of a trace told again to a policy that has many candidates."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np

from prism_edge.bench.player import Mind
from prism_edge.layout import ModelShape, even
from prism_edge.plan import LOCAL, Plan
from prism_edge.schedule.candidates import WIRE_DTYPES
from prism_edge.schedule.cost import Prediction
from prism_edge.schedule.events import Asked, Event, Started

CANDIDATES = 40
DECISIONS = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """99th percentiles over ``decisions``: choosing, and putting the reason into words.

    ``candidates``: the most that had a prediction.
    """

    decisions: int
    candidates: int
    choose_p99_s: float
    choose_median_s: float
    why_p99_s: float


def many_plans(shape: ModelShape, tokens: int, boards: int, count: int = CANDIDATES) -> list[Plan]:
    """That many plans that lie between measured ones, fewer where the model has no more."""
    plans = [LOCAL]
    if boards > 1:
        most = even(tokens, boards)[-1]
        plans.append(Plan(method="split", p=boards))
        plans += [Plan(method="voltage", p=boards, dtype=dtype) for dtype in WIRE_DTYPES]
        plans += [
            Plan(method="prism", p=boards, l=l, dtype=dtype)
            for l, dtype in product(range(most - 1, 0, -1), WIRE_DTYPES)  # noqa: E741
        ]
    return plans[:count]


def time_decisions(
    mind: Mind, events: Sequence[Event], decisions: int = DECISIONS
) -> Timing | None:
    """All events told to ``mind``, then all but its start again, later; None without a question."""
    if not any(isinstance(event, Asked) for event in events):
        return None
    choose_s: list[float] = []
    why_s: list[float] = []
    candidates, later_s, told = 0, 0.0, events
    while len(choose_s) < decisions:
        for event in told:
            start_s = time.perf_counter()
            decision = mind.step(event)
            chosen_s = time.perf_counter()
            if decision is None:
                continue
            assert decision.why
            why_s.append(time.perf_counter() - chosen_s)
            choose_s.append(chosen_s - start_s)
            candidates = max(candidates, predicted(decision.considered))
        later_s += events[-1].now_s - events[0].now_s
        again = [event for event in events if not isinstance(event, Started)]
        told = [replace(event, now_s=event.now_s + later_s) for event in again]
    return Timing(
        decisions=len(choose_s),
        candidates=candidates,
        choose_p99_s=float(np.quantile(choose_s, 0.99)),
        choose_median_s=float(np.median(choose_s)),
        why_p99_s=float(np.quantile(why_s, 0.99)),
    )


def predicted(considered: Iterable[object]) -> int:
    """How many of the plans considered had a prediction."""
    return sum(isinstance(one, Prediction) for one in considered)

"""The plan to take: the cheapest candidate by the tables, kept while nothing is clearly better."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from prism_edge.errors import PlanError
from prism_edge.layout import ModelShape, check_fits
from prism_edge.plan import LOCAL, Plan, WireDtype
from prism_edge.schedule.cost import Costs, Prediction, Unpredictable, predict
from prism_edge.schedule.explain import explain
from prism_edge.schedule.link import LinkState

Objective = Literal["latency", "energy", "edp"]

USUAL_SEGMENTS = (1, 2, 5, 10, 20)
WIRE_DTYPES: tuple[WireDtype, ...] = ("fp32", "fp16")
HYSTERESIS = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """The plan taken, why in one sentence, and everything it was compared with.

    ``margin``: how much longer the runner-up would take, as a share; negative when the plan was
    kept although another was slightly better.
    """

    plan: Plan
    why: str
    predicted: Prediction | None
    considered: tuple[Prediction | Unpredictable, ...] = ()
    runner_up: Prediction | None = None
    margin: float | None = None


def candidates(
    shape: ModelShape,
    batch: int,
    tokens: int,
    boards: int,
    segments: Sequence[int] = USUAL_SEGMENTS,
) -> list[Plan]:
    """Every plan worth comparing that fits: local, split, prism with ``segments``, voltage."""
    return list(_candidates(shape, batch, tokens, boards, tuple(segments)))


@lru_cache(maxsize=1024)
def _candidates(
    shape: ModelShape, batch: int, tokens: int, boards: int, segments: tuple[int, ...]
) -> tuple[Plan, ...]:
    wanted = [LOCAL]
    ranks = range(2, min(boards, 8) + 1)
    wanted += [Plan(method="split", p=p) for p in ranks if p <= batch]
    for p in ranks:
        for l in segments:  # noqa: E741
            wanted += [Plan(method="prism", p=p, l=l, dtype=dtype) for dtype in WIRE_DTYPES]
        wanted += [Plan(method="voltage", p=p, dtype=dtype) for dtype in WIRE_DTYPES]
    return tuple(plan for plan in wanted if _fits(plan, shape, batch, tokens, boards))


def without_tables(reason: str) -> Decision:
    """Local, because there is nothing to decide by."""
    return Decision(plan=LOCAL, why=f"local: {reason}", predicted=None)


def choose(
    costs: Costs,
    *,
    batch: int,
    tokens: int,
    boards: int,
    link: LinkState | None = None,
    previous: Plan | None = None,
    exact_only: bool = False,
    objective: Objective = "latency",
    hysteresis: float = HYSTERESIS,
    plans: Sequence[Plan] | None = None,
    correction: Callable[[Plan, int], float] | None = None,
) -> Decision:
    """The candidate with the least ``objective``; ``previous`` unless that is clearly beaten.

    ``boards``: how many are in service. ``link``: as it is now, left out as it was measured.
    ``exact_only``: no plan that approximates. ``plans``: only these besides local. ``correction``:
    how many times the measured computing a (plan, batch) takes now. Nothing is guessed: what was
    not profiled is not a candidate, and without ``local`` there is nothing to compare with.
    """
    link = costs.link if link is None else link
    if plans is None:
        segments = costs.segments(tokens) or USUAL_SEGMENTS
        plans = _candidates(costs.shape, batch, tokens, boards, segments)
    considered = tuple(
        predict(costs, plan, batch, tokens, link, correction(plan, batch) if correction else 1.0)
        for plan in (LOCAL, *(plan for plan in plans if plan != LOCAL))
        if plan.p <= boards and (plan.exact or not exact_only)
    )
    if isinstance(considered[0], Unpredictable):
        reason = f"local: {considered[0].reason}; run `prism-edge profile` to measure it"
        return Decision(plan=LOCAL, why=reason, predicted=None, considered=considered)
    ranking = [found for found in considered if isinstance(found, Prediction)]
    measured = all(found.energy_j is not None for found in ranking)
    effective: Objective = objective if measured else "latency"
    ranking.sort(key=lambda found: (_value(found, effective), *_preference(found)))
    best = chosen = ranking[0]
    kept = next((found for found in ranking if found.plan == previous), None)
    if kept is not None and _value(best, effective) >= _value(kept, effective) * (1 - hysteresis):
        chosen = kept
    runner_up = next((found for found in ranking if found is not chosen), None)
    margin = None
    if runner_up is not None:
        margin = _value(runner_up, effective) / _value(chosen, effective) - 1
    why = explain(chosen, considered, link, runner_up)
    if _value(best, effective) < _value(chosen, effective):
        less = 1 - _value(best, effective) / _value(chosen, effective)
        why += f"; kept, because {best.plan} would take only {100 * less:.0f} % less"
    if effective != "latency" and chosen.energy_j is not None:
        why += f"; least {effective}, {chosen.energy_j:.3g} J"
    if effective != objective:
        why += "; by latency, because energy was not measured"
    if exact_only:
        why += "; exact plans only"
    return Decision(
        plan=chosen.plan,
        why=why,
        predicted=chosen,
        considered=considered,
        runner_up=runner_up,
        margin=margin,
    )


def _fits(plan: Plan, shape: ModelShape, batch: int, tokens: int, boards: int) -> bool:
    try:
        check_fits(plan, shape, batch, tokens, boards)
    except PlanError:
        return False
    return True


def _value(found: Prediction, objective: Objective) -> float:
    if objective == "latency" or found.energy_j is None:
        return found.latency_s
    return found.energy_j * (found.latency_s if objective == "edp" else 1.0)


def _preference(found: Prediction) -> tuple[int, int, str]:
    """Among equals: local, then split, then the fewest bytes."""
    methods = {"local": 0, "split": 1}
    return methods.get(found.plan.method, 2), found.work.wire_bytes, str(found.plan)

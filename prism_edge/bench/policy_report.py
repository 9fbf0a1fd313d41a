"""What the benchmark of decisions found, as JSON values. Pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from prism_edge.bench.compare import RESAMPLES
from prism_edge.bench.contest import EVERY, SLOW, Round
from prism_edge.bench.following import SETTLED, TOLERANCE, flapping, reactions
from prism_edge.bench.foresight import Rate, Told, foretold, summary
from prism_edge.bench.policy import Found
from prism_edge.bench.score import (
    Best,
    Cell,
    Ratio,
    cell_of,
    energy_ratios,
    latency_ratios,
    oracle,
    regret,
    run_length,
    taken_s,
)
from prism_edge.bench.trace import BACK_TO_BACK, GAP_S, LEAST, MIX
from prism_edge.plan import Plan
from prism_edge.schedule.accuracy import too_inaccurate
from prism_edge.schedule.cost import Prediction, predict


def report(found: Found) -> dict[str, Any]:
    """Everything, with the rules by which it was counted; of the rounds finished so far."""
    rounds, plans, seed = found.rounds, found.plans, found.seed
    best = oracle(rounds, lambda model, plan: permitted(found, model, plan))
    loss = regret(rounds, best, seed)
    latency = latency_ratios(rounds, plans, seed)
    energy = energy_ratios(rounds, plans, seed)
    reacted = reactions(rounds, best)
    steps = [not found.trace[one.situation].ramp for one in reacted]
    flaps = flapping(rounds, [situation.steady for situation in found.trace])
    decided_s = [one.decide_s for one in rounds]
    timing = found.timing
    exact = {plan: ratio for plan, ratio in latency.items() if Plan.parse(plan).exact}
    return {
        "regret": loss.value,
        "regret_interval": interval(loss),
        "latency_ratio": {plan: ratio.value for plan, ratio in latency.items()},
        "latency_ratio_interval": {plan: interval(ratio) for plan, ratio in latency.items()},
        "energy_ratio": {plan: ratio.value for plan, ratio in energy.items()},
        "energy_ratio_interval": {plan: interval(ratio) for plan, ratio in energy.items()},
        "best_static_exact": max(exact, key=lambda plan: exact[plan].value),
        "reaction_requests": reaction([one.requests for one in reacted], steps),
        "reaction_s": reaction([one.seconds for one in reacted], steps),
        "reactions": [
            {**asdict(one), "in_time": one.in_time, "step": step}
            for one, step in zip(reacted, steps, strict=True)
        ],
        "switches_per_100": flaps.per_100,
        "switches": asdict(flaps),
        "decision_p99_s": None if timing is None else timing.choose_p99_s,
        "decision_candidates": None if timing is None else timing.candidates,
        "decisions": None if timing is None else asdict(timing),
        "decision_in_trace": {
            "median_s": float(np.median(decided_s)),
            "p99_s": float(np.quantile(decided_s, 0.99)),
            "candidates": len(plans),
        },
        "prediction": prediction(found),
        "situations": situations(found, best),
        "rounds": [asdict(one) for one in rounds],
        "conditions": {**found.conditions, **rules(found)},
    }


def permitted(found: Found, model: str, plan: str) -> bool:
    """The aim lets the policy take this plan."""
    parsed, aim = Plan.parse(plan), found.aim.of(model)
    drops = dict(found.costs[model].drops) if model in found.costs else {}
    return (parsed.exact or not aim.exact) and not too_inaccurate(
        parsed, drops, aim.max_accuracy_drop
    )


def reaction(values: Sequence[float], steps: Sequence[bool]) -> dict[str, Any]:
    """By change; the most of all, and of those that were steps; None without any."""
    stepped = [value for value, step in zip(values, steps, strict=True) if step]
    return {
        "by_change": list(values),
        "max": max(values, default=None),
        "max_after_steps": max(stepped, default=None),
    }


def interval(ratio: Ratio) -> list[float]:
    return [ratio.low, ratio.high]


def rules(found: Found) -> dict[str, object]:
    """How things were counted, in words."""
    counted: Counter[str] = Counter()
    stood_in: Counter[str] = Counter()
    for one in found.rounds:
        counted.update(plan for plan in found.plans if plan in one.static)
        stood_in.update(plan for plan, answer in one.static.items() if answer.plan != plan)
    total = len(found.rounds)
    return {
        "batches": {str(size): weight for size, weight in MIX.items()},
        "gaps": f"{BACK_TO_BACK:.0%} of requests come at once, others after {GAP_S:g} s on average",
        "oracle": (
            "by situation, model and batch the plan with the least median of all answers there, of "
            "those that the aim allows; its answer is that plan's in the same round"
        ),
        "deciding": (
            "timed in the benchmark's own process, outside every board: not held to a board's "
            "core, and not beside its engine; the reason, put into words when it is read, is a "
            "figure of its own"
        ),
        "intervals": (
            f"95 % of {RESAMPLES} resamples; requests are drawn in runs of {run_length(total)}, "
            f"since bad answers come together after changes"
        ),
        "left_out": (
            f"a plan that took more than {SLOW:g} times as long as the fastest is run in every "
            f"{EVERY}th request; the rest of its sums is scaled by batch size"
        ),
        "answered": {plan: f"{counted[plan]} of {total} requests" for plan in found.plans},
        "answered_locally": dict(stood_in),
        "reaction": (
            f"requests answered by a plan more than {TOLERANCE:.0%} slower than the oracle's, "
            f"before the first good one for which the plan of its batch size before the change "
            f"would have been bad; without such requests, before the first good one"
        ),
        "flapping": (
            f"situations of at least {LEAST} requests, without the first {SETTLED} of each, "
            f"requests of one batch size compared"
        ),
    }


def prediction(found: Found) -> dict[str, Any]:
    """The cost model's errors on cells that were not profiled, and the ten worst of them."""

    def told(model: str, plan: Plan, batch: int, rate_bps: Rate) -> Told | None:
        costs = found.costs[model]
        links = None if rate_bps is None else costs.links
        link = None if links is None or rate_bps is None else links.given(rate_bps)
        said = predict(costs, plan, batch, found.tokens[model], link)
        if not isinstance(said, Prediction):
            return None
        return Told(latency_s=said.latency_s, low_s=said.low_s, high_s=said.high_s)

    def profiled(model: str, plan: Plan, batch: int, rate_bps: Rate) -> bool:
        return batch in found.profiled[model] and rate_bps in (None, found.profiled_bps)

    cells = foretold(found.rounds, found.trace, told, profiled)
    worst = sorted(cells, key=lambda cell: -abs(cell.error))[:10]
    return {
        **summary(cells),
        "worst": [
            {
                "rate_bps": cell.rate_bps,
                "model": cell.model,
                "batch": cell.batch,
                "plan": cell.plan,
                "predicted_s": cell.told.latency_s,
                "measured_s": list(cell.seconds),
                "error": cell.error,
            }
            for cell in worst
        ],
    }


def situations(found: Found, best: Mapping[Cell, Best]) -> list[dict[str, Any]]:
    """A row per situation, model and batch: what was best, what was chosen, and the medians."""
    groups: dict[Cell, list[Round]] = defaultdict(list)
    for one in found.rounds:
        groups[cell_of(one)].append(one)
    return [_row(found, cell, groups[cell], best[cell]) for cell in sorted(groups)]


def _row(found: Found, cell: Cell, rounds: Sequence[Round], best: Best) -> dict[str, Any]:
    number, model, batch = cell
    chosen = Counter(one.adaptive.plan for one in rounds)
    return {
        "situation": number,
        "rate_bps": found.trace[number].rate_bps,
        "slowed": found.trace[number].slowed,
        "model": model,
        "batch": batch,
        "requests": len(rounds),
        "oracle": best.plan,
        "adaptive": chosen.most_common(1)[0][0],
        "good": sum(best.good(one.adaptive.plan, TOLERANCE) for one in rounds),
        "adaptive_s": float(np.median([taken_s(one) for one in rounds])),
        "medians_s": dict(best.medians),
    }

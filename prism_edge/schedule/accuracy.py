"""How much accuracy a plan costs at worst, out of ``accuracy.csv``. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from prism_edge.plan import LOCAL, Plan
from prism_edge.tables import AccuracyRow

LESS_IS_BETTER = frozenset({"perplexity", "loss"})
AGAINST_EXACT = frozenset({"agreement", "cosine_to_exact"})  # the exact model's is 1


def worst_drops(rows: Iterable[AccuracyRow], model: str) -> dict[str, float]:
    """By plan text, the most its accuracy may lie below the exact model's, over all data sets and
    metrics: at the bad end of its interval. A metric needs a row of ``local`` to be compared with.
    """
    mine = [row for row in rows if row.model == model]
    exact = {(row.dataset, row.metric): row.value for row in mine if row.plan == str(LOCAL)}
    drops: dict[str, float] = {}
    for row in mine:
        reference = 1.0 if row.metric in AGAINST_EXACT else exact.get((row.dataset, row.metric))
        if reference is None or row.plan == str(LOCAL):
            continue
        if row.metric in LESS_IS_BETTER:
            drop = (row.value if row.ci_high is None else row.ci_high) - reference
        else:
            drop = reference - (row.value if row.ci_low is None else row.ci_low)
        drops[row.plan] = max(drop, drops.get(row.plan, drop))
    return drops


def too_inaccurate(plan: Plan, drops: Mapping[str, float], limit: float | None) -> str | None:
    """Why ``plan`` may not be used under a limit on the drop; None when it may."""
    if limit is None or plan.exact:
        return None
    drop = drops.get(str(plan))
    if drop is None:
        return f"its accuracy was never measured, and at most {limit:g} may be lost"
    if drop > limit:
        return f"its accuracy may be {drop:.3g} lower, and at most {limit:g} may be lost"
    return None

"""How much accuracy a plan costs at worst, out of ``accuracy.csv``. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping

from prism_edge.plan import LOCAL, Plan
from prism_edge.tables import AccuracyRow

DROP = "drop"  # a metric: how much worse a plan's first metric was on the same samples, as measured
LESS_IS_BETTER = frozenset({"perplexity", "loss"})
AGAINST_EXACT = frozenset({"agreement", "cosine_to_exact"})  # the exact model's is 1


def worst_drops(rows: Iterable[AccuracyRow], model: str) -> dict[str, float]:
    """By the text of a plan's part that approximates, the most its accuracy may lie below the exact
    model's: at the bad end of its interval, over all data sets and plans with that part.

    A data set with a measured drop says that. Any other, as tables from elsewhere have it, says
    what the worst of its metrics lies below that of ``local`` there.
    """
    by_data = defaultdict[tuple[str, str], list[AccuracyRow]](list)
    for row in rows:
        if row.model == model:
            by_data[row.dataset, row.plan].append(row)
    drops: dict[str, float] = {}
    for (dataset, plan), mine in by_data.items():
        measured = [row.ci_high for row in mine if row.metric == DROP]
        exact = {row.metric: row.value for row in by_data.get((dataset, str(LOCAL)), ())}
        for drop in measured or ([] if plan == str(LOCAL) else _below(mine, exact)):
            if drop is not None:
                part = str(approximating(Plan.parse(plan)))
                drops[part] = max(drop, drops.get(part, drop))
    return drops


def _below(rows: Iterable[AccuracyRow], exact: Mapping[str, float]) -> list[float]:
    """By how much each may be worse; a metric needs its reference to be compared with."""
    found = []
    for row in rows:
        reference = 1.0 if row.metric in AGAINST_EXACT else exact.get(row.metric)
        if reference is None:
            continue
        if row.metric in LESS_IS_BETTER:
            found.append((row.value if row.ci_high is None else row.ci_high) - reference)
        else:
            found.append(reference - (row.value if row.ci_low is None else row.ci_low))
    return found


def approximating(plan: Plan) -> Plan:
    """The part of a plan that is as good as the worst of it: of a hybrid, which samples that part
    answers is another in every batch."""
    return plan.parts(plan.p + 1)[-1][0]


def drop_of(plan: Plan, drops: Mapping[str, float]) -> float | None:
    """The most that ``plan`` may lose; None when it was never measured. An exact one loses what
    local does, which is something only against another model."""
    return drops.get(str(LOCAL if plan.exact else approximating(plan)))


def too_inaccurate(plan: Plan, drops: Mapping[str, float], limit: float | None) -> str | None:
    """Why ``plan`` may not be used under a limit on the drop; None when it may."""
    if limit is None or plan.exact:
        return None
    drop = drop_of(plan, drops)
    if drop is None:
        return f"its accuracy was never measured, and at most {limit:g} may be lost"
    if drop > limit:
        return f"its accuracy may be {drop:.3g} lower, and at most {limit:g} may be lost"
    return None


def budget_text(
    chosen: Plan, plans: Iterable[Plan], drops: Mapping[str, float], limit: float
) -> str:
    """What a limit on the drop means for a choice among ``plans``, in words."""
    text, drop = f"at most {limit:g} less accuracy", drop_of(chosen, drops)
    if not chosen.exact:
        text += f", {chosen} may lose {drop:.3g}"
    elif drop is not None and drop > limit:  # against another model, and nothing else is there
        text += f", but {chosen} may lose {drop:.3g} itself"
    return f"{text} ({ruled_out(plans, drops, limit)})"


def ruled_out(plans: Iterable[Plan], drops: Mapping[str, float], limit: float) -> str:
    """``out: 3 may lose more, 5 never measured``."""
    out = [plan for plan in plans if too_inaccurate(plan, drops, limit)]
    never = sum(drop_of(plan, drops) is None for plan in out)
    counts = {"may lose more": len(out) - never, "never measured": never}
    said = [f"{count} {what}" for what, count in counts.items() if count]
    return f"out: {', '.join(said)}" if said else "no plan is out"

"""What the policy expected of every plan it chose, against what that took. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from prism_edge.report.stats import median_interval
from prism_edge.report.values import Batch, Foresight


def foresights(batches: Sequence[Batch]) -> tuple[Foresight, ...]:
    """By model, batch size and plan; of batches that ran as the policy meant them to."""
    members: dict[tuple[str, int, str], list[tuple[float, float]]] = {}
    for one in batches:
        if one.ok and one.meant is None and one.predicted_s:
            key = (one.model, one.batch, one.plan)
            members.setdefault(key, []).append((one.predicted_s, one.run_s))
    found = []
    for (model, batch, plan), pairs in sorted(members.items()):
        ratios = [ran_s / predicted_s for predicted_s, ran_s in pairs]
        low, high = median_interval(ratios)
        found.append(
            Foresight(
                model=model,
                batch=batch,
                plan=plan,
                n=len(pairs),
                predicted_s=median(predicted_s for predicted_s, _ in pairs),
                ran_s=median(ran_s for _, ran_s in pairs),
                ratio=median(ratios),
                low=low,
                high=high,
                error=median(abs(ratio - 1) for ratio in ratios),
            )
        )
    return tuple(found)

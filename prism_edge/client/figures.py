"""What a run of requests says about a daemon: rates, percentiles, outcomes, plans. Pure.

A percentile is null where fewer requests were answered than it takes to have one beyond it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from prism_edge.client.connection import Sent

QUANTILES: Mapping[str, float] = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p99.9": 0.999}
PARTS = ("queue_s", "run_s", "engine_s")  # of a reply's parameters
REASONS = 5


def quantiles(values: Sequence[float]) -> dict[str, float | None]:
    """By name, null where ``values`` are too few for it."""
    enough = {name: len(values) * (1 - q) >= 1 - 1e-9 for name, q in QUANTILES.items()}
    return {
        name: float(np.quantile(values, q)) if enough[name] else None
        for name, q in QUANTILES.items()
    }


def figures(
    sent: Sequence[Sent], *, rows: int, planned: int | None, seconds: float
) -> dict[str, object]:
    """The figures of one run, every request with ``rows`` rows; ``planned``: arrivals of an open
    loop in so many seconds. Latencies are of requests that were answered."""
    if not sent:
        return {"requests": 0}
    ok = [one for one in sent if one.status == 200]
    span_s = max(one.done_s for one in sent) - min(one.due_s for one in sent)
    return {
        "requests": len(sent),
        "not_sent": None if planned is None else planned - len(sent),
        "seconds": span_s,
        "offered_hz": None if planned is None else planned / seconds,
        "achieved_hz": len(ok) / span_s,
        "rows_per_s": rows * len(ok) / span_s,
        "outcomes": dict(Counter(outcome(one) for one in sent).most_common()),
        "reasons": reasons(sent),
        "latency_s": quantiles([one.latency_s for one in ok]),
        "late_s": quantiles([one.sent_s - one.due_s for one in sent]),
        **{part: quantiles(told(ok, part)) for part in PARTS},
        "batch": quantiles(told(ok, "batch")),
        "plans": dict(Counter(str(one.said.get("plan", "unknown")) for one in ok).most_common()),
    }


def outcome(one: Sent) -> str:
    """The status as text, or that there was no answer."""
    return "no answer" if one.status is None else str(one.status)


def reasons(sent: Sequence[Sent]) -> dict[str, int]:
    """The commonest words of refusals, and how often each."""
    return dict(Counter(one.error for one in sent if one.error).most_common(REASONS))


def told(ok: Sequence[Sent], part: str) -> list[float]:
    """A number of every reply that has it."""
    found = (one.said.get(part) for one in ok)
    return [float(value) for value in found if isinstance(value, int | float)]

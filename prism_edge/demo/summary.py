"""The demo's closing table, counted from what its client saw. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from prism_edge.demo.phases import DIGITS, FULL, SPEED

Results = Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One phase at one batch size. Latencies are medians in seconds; None: nothing was asked.

    ``plans``: the methods that answered where the policy chose, and how often.
    """

    phase: str
    batch: int
    requests: int
    lost: int
    plans: str
    adaptive_s: float | None
    local_s: float | None
    full_s: float | None


def lines(results: Mapping[str, Results]) -> list[Line]:
    """A line for each phase and batch of the speed model, in order."""
    found = []
    for phase, asked in results.items():
        speed = [result for result in asked if result["model"] == SPEED]
        for batch in sorted({result["batch"] for result in speed}):
            rows = [result for result in speed if result["batch"] == batch]
            ran = (r["ran"] for r in rows if r["plan"] is None and r["ok"])
            chosen = Counter(plan.partition(":")[0] for plan in ran)
            found.append(
                Line(
                    phase=phase,
                    batch=batch,
                    requests=len(rows),
                    lost=sum(not row["ok"] for row in rows),
                    plans=", ".join(f"{method} x{count}" for method, count in chosen.most_common()),
                    adaptive_s=_median(rows, None),
                    local_s=_median(rows, "local"),
                    full_s=_median(rows, FULL),
                )
            )
    return found


def accuracy(results: Mapping[str, Results]) -> dict[str | None, tuple[int, int]]:
    """Right answers and images by the plan asked for (None: the policy's), on the trained model."""
    counts: dict[str | None, tuple[int, int]] = {}
    for asked in results.values():
        for result in asked:
            if result["model"] == DIGITS and result["ok"]:
                right, images = counts.get(result["plan"], (0, 0))
                counts[result["plan"]] = (right + result["right"], images + result["batch"])
    return counts


def lost(results: Mapping[str, Results]) -> int:
    """Requests without an answer."""
    return sum(not result["ok"] for asked in results.values() for result in asked)


def _median(rows: Results, plan: str | None) -> float | None:
    values = [row["latency_s"] for row in rows if row["plan"] == plan and row["ok"]]
    return median(values) if values else None

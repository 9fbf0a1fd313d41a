"""What a reply says about the plan that ran: the one that was chosen, or what became of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from prism_edge.serve.choice import Choice
from prism_edge.serve.cluster import Cluster
from prism_edge.serve.metrics import Metrics


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """What was ordered, and ``why``: when, and of which ``boards`` by rank. ``lost``: what the next
    engine did after one was lost; None: none was."""

    choice: Choice
    why: str
    boards: tuple[str, ...]
    start_s: float
    lost: str | None


def why_ran(ran: Ran, fields: Mapping[str, Any], cluster: Cluster, metrics: Metrics) -> str:
    """Why an engine's ``result`` has the plan that it has; fallbacks are counted."""
    if fields["fallback"]:
        reason = cluster.why_lost(fields["fallback"], ran.boards, ran.start_s)
        metrics.fallback("peer_lost")
        return f"{ran.choice.plan} failed ({reason}); answered locally"
    if ran.lost is not None:
        metrics.fallback("engine_lost")
        return f"{ran.choice.plan} was lost with its engine; {ran.lost}"
    if ran.choice.fallback is not None:
        metrics.fallback(ran.choice.fallback)
    return ran.why

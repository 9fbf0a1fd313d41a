"""What is wanted or chosen for one batch, and under which name it is remembered."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field

from prism_edge.layout import ModelShape, check_fits
from prism_edge.plan import Plan
from prism_edge.schedule.policy import Decision
from prism_edge.serve.metrics import Fallback


def new_id() -> str:
    """A name for one batch, in the journal and in the log."""
    return uuid.uuid4().hex[:12]


def wanted_plan(
    text: object, shape: ModelShape, rows: int, tokens: int, boards: int
) -> Plan | None:
    """The plan that a request names, None: the policy's. Raises ``PlanError`` when it does not fit
    the request or the cluster."""
    if text is None or text == "auto":
        return None
    plan = Plan.parse(str(text))
    check_fits(plan, shape, rows, tokens, boards)
    return plan


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """The plan for one batch and why; ``fallback`` when tables or boards left no choice.

    ``decision``: the policy's, None when it was not asked; it says why once it is read, which may
    be after the plan is under way. ``id``: of the request, in the journal.
    """

    id: str
    plan: Plan
    model: str
    batch: int
    tokens: int
    boards: tuple[str, ...]
    fallback: Fallback | None = None
    decision: Decision | None = None
    reason: str = field(default="")

    @property
    def why(self) -> str:
        """In one sentence."""
        return self.decision.why if not self.reason and self.decision else self.reason

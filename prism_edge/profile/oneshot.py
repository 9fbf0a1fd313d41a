"""One request answered by engines that live just as long: what ``infer --local-cluster`` runs."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from prism_edge.engine.messages import Array
from prism_edge.errors import PlanError
from prism_edge.plan import Plan
from prism_edge.profile.engines import local_hosts, start_engines
from prism_edge.settings import ModelSettings

NAME = "model"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """Outputs by name, and how they came about. ``why``: what made another plan answer, if any."""

    outputs: Mapping[str, Array]
    plan: str
    why: str | None
    seconds: float
    wire_bytes: int


def answer_once(directory: Path, plan: Plan, ranks: int, inputs: Mapping[str, Array]) -> Answer:
    """The answer of the model in ``directory`` under ``plan``, by processes over loopback.

    Raises ``PlanError`` before anything is started when the plan needs more ranks, and whatever the
    engines refuse: ``ModelError``, ``InputError``, ``PlanError``.
    """
    if plan.p > ranks:
        raise PlanError(
            f"plan {plan}: {plan.p} ranks, but --local-cluster is {ranks}; "
            f"give --local-cluster {plan.p}"
        )
    with start_engines(local_hosts(plan.p), [ModelSettings(name=NAME, path=directory)]) as engines:
        if plan.p > 1:
            engines.join()
        start_s = time.monotonic()
        reply = engines.ask(0, "run", inputs, model=NAME, plan=str(plan))
        seconds = time.monotonic() - start_s
    return Answer(
        outputs=dict(reply.arrays),
        plan=reply.fields["plan"],
        why=reply.fields["fallback"],
        seconds=seconds,
        wire_bytes=reply.fields["wire_bytes"],
    )

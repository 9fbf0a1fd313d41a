"""What is wrong with a board, worst first: pure, from facts and from what it is meant for.

Sources are named where a limit stands. docs/check.md explains every code.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from prism_edge.deploy.facts import Facts
from prism_edge.deploy.findings import (
    clock,
    identity,
    jtop,
    mesh,
    network,
    own_torch,
    power,
    service,
    storage,
)
from prism_edge.deploy.findings.finding import SEVERITIES, Case, Finding
from prism_edge.settings import BoardSettings, Settings

RULES: tuple[Callable[[Case], Iterator[Finding]], ...] = (
    identity.findings,
    own_torch.findings,
    network.findings,
    mesh.findings,
    power.findings,
    clock.findings,
    storage.findings,
    service.findings,
    jtop.findings,
)


def findings(
    facts: Facts, settings: Settings | None = None, board: BoardSettings | None = None
) -> tuple[Finding, ...]:
    """What is wrong with this board, worst first. What is not known is not wrong.

    ``settings`` and ``board``: what it is meant for; without them nothing is expected of it.
    """
    case = Case(facts=facts, settings=settings, board=board)
    return worst_first(found for rule in RULES for found in rule(case))


def worst_first(found: Iterator[Finding]) -> tuple[Finding, ...]:
    return tuple(sorted(found, key=lambda item: -SEVERITIES.index(item.severity)))

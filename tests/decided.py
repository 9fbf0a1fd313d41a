"""A day of decisions as a leader records it: real policy and tables, a link made of arithmetic."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from pathlib import Path

from prism_edge.energy.rows import DecisionRow
from prism_edge.schedule.adapt import Adaptive
from prism_edge.schedule.cost import Costs
from prism_edge.schedule.events import Aim, Answered, Asked, Event, Probed, Started, to_json
from prism_edge.schedule.policy import Decision

LAB = Path(__file__).parents[1] / "profiles" / "lab"
MODEL, TOKENS = "vit-b16", 197
BOARDS = ("edge-1", "edge-2")
DAWN_S = 1_790_000_000.0
RATES_BPS = (100e6, 2e6, 300e6)  # the link's, each for a third of the day
ALPHA_S = 0.001
PROBE_BYTES = 65536


def day(
    costs: Mapping[str, Costs],
    digest: str,
    *,
    seed: int = 1,
    turns: int = 60,
    aim: Aim | None = None,
) -> Iterator[DecisionRow]:
    """One life of a policy: batches of drawn sizes, answered over the link as it then is."""
    draw = random.Random(seed)
    aim = aim or Aim()
    policy = Adaptive(costs, aim)
    now_s = 1000.0
    yield _heard(policy, Started(now_s=now_s, aim=aim, profile=digest, boards=BOARDS))[0]
    for turn in range(turns):
        now_s += draw.uniform(0.05, 2.0)
        rate_bps = RATES_BPS[turn * len(RATES_BPS) // turns]
        if draw.random() < 0.3:
            took_s = tuple(_seconds(draw, PROBE_BYTES, rate_bps) for _ in range(2))
            yield _heard(policy, Probed(now_s=now_s, bytes=PROBE_BYTES, seconds=took_s))[0]
        boards = BOARDS if draw.random() < 0.95 else BOARDS[:1]
        asked = Asked(
            now_s=now_s,
            model=MODEL,
            batch=draw.choice((1, 2, 4, 8)),
            tokens=TOKENS,
            boards=boards,
            left_s=draw.choice((None, 30.0)),
        )
        row, decision = _heard(policy, asked, f"r-{turn}")
        yield row
        assert decision is not None
        now_s += 0.5
        yield _heard(policy, _answer(draw, asked, decision, now_s, rate_bps))[0]


def _heard(
    policy: Adaptive, event: Event, request: str | None = None
) -> tuple[DecisionRow, Decision | None]:
    """The event's row, once the policy has heard it, and the decision."""
    decision = policy.step(event)
    row = DecisionRow(
        t_s=DAWN_S + event.now_s,
        event=to_json(event),
        plan=None if decision is None else str(decision.plan),
        why=None if decision is None else decision.why,
        request=request,
    )
    return row, decision


def _seconds(draw: random.Random, payload_bytes: int, rate_bps: float) -> float:
    return draw.uniform(0.95, 1.1) * (ALPHA_S + 8 * payload_bytes / rate_bps)


def _answer(
    draw: random.Random, asked: Asked, decision: Decision, now_s: float, rate_bps: float
) -> Answered:
    """What the engine would report: a compute span, and an exchange and its wait per block."""
    assert decision.predicted is not None
    computed_s = draw.uniform(0.95, 1.1) * decision.predicted.terms["compute_s"]
    spans: list[tuple[str, float, float, int]] = [("compute", 0.0, computed_s, 0)]
    at_s = computed_s
    for _ in range(11 if decision.plan.exchanges else 0):
        size = 30_000 * asked.batch
        took_s = _seconds(draw, size, rate_bps)
        spans += [("exchange", at_s, took_s, size), ("wait", at_s, took_s, 0)]
        at_s += took_s
    return Answered(
        now_s=now_s,
        model=asked.model,
        plan=str(decision.plan),
        batch=asked.batch,
        tokens=asked.tokens,
        boards=asked.boards,
        engine_s=at_s,
        spans=tuple(spans),
        efforts=((computed_s, at_s - computed_s),) * (decision.plan.p - 1),
    )

"""Rounds made of arithmetic, so that a test knows the oracle."""

from __future__ import annotations

from collections.abc import Mapping

from prism_edge.bench.contest import Answer, Round

SPLIT, VOLTAGE = "split:p=2", "voltage:p=2,dtype=fp32"


def played(
    situation: int,
    batch: int,
    chosen: str,
    seconds: Mapping[str, float],
    *,
    took_s: float | None = None,
    at_s: float = 0.0,
    late_s: float = 0.0,
    stands_in: tuple[str, ...] = (),
) -> Round:
    """One request: adaptive chose ``chosen``, static ones took ``seconds``, at 10 W."""
    static = {
        plan: Answer(
            plan="local" if plan in stands_in else plan, latency_s=value, energy_j=10 * value
        )
        for plan, value in seconds.items()
    }
    mine_s = seconds[chosen] if took_s is None else took_s
    return Round(
        situation=situation,
        model="m",
        batch=batch,
        at_s=at_s,
        decide_s=0.0,
        late_s=late_s,
        extra_j=0.0,
        link_bps=None,
        predicted_s=None,
        adaptive=Answer(plan=chosen, latency_s=mine_s, energy_j=10 * mine_s),
        static=static,
    )

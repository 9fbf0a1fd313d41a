"""What a daemon adds to its engine's own time, request by request. Pure.

Every reply says how long its batch computed, so each difference is of one and the same request:
what slows a machine down for a while cancels.
"""

from __future__ import annotations

from collections.abc import Sequence

from prism_edge.client.connection import Sent
from prism_edge.client.figures import quantiles, told
from prism_edge.errors import ClusterError
from prism_edge.profile.interval import interval


def overhead(sent: Sequence[Sent]) -> dict[str, object]:
    """``added_s`` and its parts. Raises ``ClusterError`` when no reply carries its times.

    ``added_s`` latency less the engine's own time; ``http_s`` what is outside of queue and batch;
    ``queue_s`` waiting for company; ``hand_over_s`` from the agent to the engine and back.
    """
    ok = [one for one in sent if one.status == 200]
    latency = [one.latency_s for one in ok]
    queue, run, engine = (told(ok, part) for part in ("queue_s", "run_s", "engine_s"))
    if not ok or not len(queue) == len(run) == len(engine) == len(ok):
        raise ClusterError(
            f"{len(ok)} of {len(sent)} requests were answered, {len(engine)} with the engine's "
            f"time; is it a prism-edge of this version?"
        )
    added = [whole - own for whole, own in zip(latency, engine, strict=True)]
    middle = interval(added)
    return {
        "requests": len(ok),
        "added_p50_s": middle.median,
        "added_p50_low_s": middle.low,
        "added_p50_high_s": middle.high,
        "added_s": quantiles(added),
        "http_s": quantiles([a - b - c for a, b, c in zip(latency, queue, run, strict=True)]),
        "queue_s": quantiles(queue),
        "hand_over_s": quantiles([a - b for a, b in zip(run, engine, strict=True)]),
        "engine_s": quantiles(engine),
    }

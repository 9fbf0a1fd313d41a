"""Whole requests, end to end: the truth that the cost model is judged by."""

from __future__ import annotations

import math
import random
import statistics
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

import numpy as np

from prism_edge.engine.messages import Array
from prism_edge.errors import ClusterError
from prism_edge.profile.engines import Engines, LoadedModel
from prism_edge.profile.measured import Measured
from prism_edge.profile.pause import until_cool
from prism_edge.profile.sensors import NONE, Sensors
from prism_edge.profile.sweep import Request
from prism_edge.tables import RequestRow

ANSWERS = 100  # in a row at most, for the sake of a power meter; round 2 is numbered from 200 on


def measure_requests(
    engines: Engines,
    requests: Sequence[Request],
    *,
    rounds: int,
    seed: int,
    aim_s: float,
    deadline_s: float,
    now: Callable[[], float],
    done: Collection[str] = (),
    sensors: Sensors = NONE,
) -> Iterator[Measured]:
    """Whole requests, each visited once per round in random order; one round more is not counted.
    What is ``done`` is left out; after ``aim_s`` further rounds are, after ``deadline_s`` all.

    What disturbs a machine for seconds disturbs a whole round, so ratios within rounds stay true.
    Where every board has a power meter, short requests are answered several times in a row, and
    share their energy: that of all boards, idle ones included.
    """
    models = {model.name: model for model in engines.models}
    source = random.Random(f"{seed}/requests")
    usual_s: dict[Request, float] = {}
    unmetered = set[Request]()
    for turn in range(-1, rounds):
        for request in source.sample(requests, len(requests)):
            turns = range(rounds) if turn < 0 else (turn,)  # the first is for those to come
            if all(request_key(request, one) in done for one in turns):
                continue
            late = now() >= (min(aim_s, deadline_s) if turn > 0 else deadline_s)
            stop = _why_stop(engines, sensors, turn, rounds, late)
            if stop is not None:
                yield Measured(text="requests", warning=stop)
                return
            for rank, host in enumerate(engines.hosts):
                yield from until_cool(sensors, rank, host.name)
            text = f"request {request.model} {request.plan} batch {request.batch}"
            wanted = sensors.request_s / usual_s[request] if turn >= 0 else 1
            answers = max(1, min(ANSWERS, math.ceil(wanted)))
            start_s, seconds = time.monotonic(), list[float]()
            for _ in range(answers):
                latency_s, fallback = answer(engines, models[request.model], request)
                if fallback is not None:
                    raise ClusterError(f"{text}: {fallback}")
                seconds.append(latency_s)
            stop_s = time.monotonic()
            usual_s[request] = max(statistics.median(seconds), 1e-6)
            if turn < 0:
                yield Measured(text=text, weight_s=request.weight_s)
                continue
            spent_j = sensors.spent_j(start_s, stop_s)
            mean_w = None if spent_j is None else spent_j / (stop_s - start_s)
            if spent_j is None and sensors.request_s:
                unmetered.add(request)
            yield Measured(
                text=f"{text}: {usual_s[request] * 1e3:.1f} ms",
                key=request_key(request, turn),
                rows=tuple(
                    _request_row(request, turn * ANSWERS + index, latency_s, mean_w)
                    for index, latency_s in enumerate(seconds)
                ),
                weight_s=request.weight_s,
            )
    if unmetered:
        yield Measured(
            text="requests",
            warning=f"{len(unmetered)} of {len(requests)} kinds of request have visits without "
            f"energy: too few samples of a power meter fell into them",
            lasting=True,
        )


def answer(engines: Engines, model: LoadedModel, request: Request) -> tuple[float, str | None]:
    """Seconds from order to answer, and why another plan answered, if one did."""
    given = inputs(model, request.batch, request.tokens)
    start_s = time.monotonic()
    reply = engines.ask(0, "run", given, model=request.model, plan=str(request.plan))
    return time.monotonic() - start_s, reply.fields["fallback"]


def inputs(model: LoadedModel, batch: int, tokens: int) -> Mapping[str, Array]:
    """Raw input of the right size: grey pixels, or the first token again and again."""
    name, _, shape = model.inputs[0]
    if model.shape.fixed_tokens:
        return {name: np.full((batch, *shape[1:]), 127, dtype=np.uint8)}
    return {name: np.zeros((batch, tokens), dtype=np.int64)}


def _why_stop(engines: Engines, sensors: Sensors, turn: int, rounds: int, late: bool) -> str | None:
    """Why no further request is answered: the time is up, or a board has changed."""
    done = f"after {max(0, turn)} of {rounds} rounds of requests"
    if late:
        return f"time was up {done}"
    for rank, host in enumerate(engines.hosts):
        if (why := sensors.changed(rank)) is not None:
            return f"board {host.name}: {why} during the sweep: it ended {done}; set it back"
    return None


def request_key(request: Request, turn: int) -> str:
    """The name of one visit."""
    words = f"{request.model}/{request.plan}/{request.batch}/{request.tokens}"
    return f"request/{words}/{turn}"


def _request_row(
    request: Request, repeat: int, latency_s: float, mean_w: float | None
) -> RequestRow:
    return RequestRow(
        plan=str(request.plan),
        model=request.model,
        batch=request.batch,
        tokens=request.tokens,
        repeat=repeat,
        latency_s=latency_s,
        energy_j=None if mean_w is None else max(0.0, mean_w) * latency_s,
    )

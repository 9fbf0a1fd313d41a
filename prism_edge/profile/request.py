"""Whole requests, end to end: the truth that the cost model is judged by."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

import numpy as np

from prism_edge.engine.messages import Array
from prism_edge.errors import ClusterError
from prism_edge.profile.engines import Engines, LoadedModel
from prism_edge.profile.measured import Measured
from prism_edge.profile.sweep import Request
from prism_edge.tables import RequestRow


def measure_requests(
    engines: Engines,
    requests: Sequence[Request],
    *,
    rounds: int,
    seed: int,
    deadline_s: float,
    now: Callable[[], float],
    done: Collection[str] = (),
) -> Iterator[Measured]:
    """Whole requests, each once per round in random order; one round more is not counted.
    What is ``done`` is left out.

    What disturbs a machine for seconds disturbs a whole round, so ratios within rounds stay true.
    """
    models = {model.name: model for model in engines.models}
    source = random.Random(f"{seed}/requests")
    for turn in range(-1, rounds):
        for request in source.sample(requests, len(requests)):
            turns = range(rounds) if turn < 0 else (turn,)  # the first is for those to come
            if all(_key(request, one) in done for one in turns):
                continue
            if now() >= deadline_s:
                yield Measured(
                    text="requests",
                    warning=f"time was up after {max(0, turn)} of {rounds} rounds of requests",
                )
                return
            text = f"request {request.model} {request.plan} batch {request.batch}"
            latency_s, fallback = answer(engines, models[request.model], request)
            if fallback is not None:
                raise ClusterError(f"{text}: {fallback}")
            yield Measured(
                text=f"{text}: {latency_s * 1e3:.1f} ms",
                key=_key(request, turn) if turn >= 0 else "",
                rows=(_request_row(request, turn, latency_s),) if turn >= 0 else (),
                weight_s=request.weight_s,
            )


def answer(engines: Engines, model: LoadedModel, request: Request) -> tuple[float, str | None]:
    """Seconds from order to answer, and why another plan answered, if one did."""
    start_s = time.monotonic()
    reply = engines.ask(
        0,
        "run",
        inputs(model, request.batch, request.tokens),
        model=request.model,
        plan=str(request.plan),
    )
    return time.monotonic() - start_s, reply.fields["fallback"]


def inputs(model: LoadedModel, batch: int, tokens: int) -> Mapping[str, Array]:
    """Raw input of the right size: grey pixels, or the first token again and again."""
    name, _, shape = model.inputs[0]
    if model.shape.fixed_tokens:
        return {name: np.full((batch, *shape[1:]), 127, dtype=np.uint8)}
    return {name: np.zeros((batch, tokens), dtype=np.int64)}


def _key(request: Request, turn: int) -> str:
    return f"request/{request.model}/{request.plan}/{request.batch}/{request.tokens}/{turn}"


def _request_row(request: Request, repeat: int, latency_s: float) -> RequestRow:
    return RequestRow(
        plan=str(request.plan),
        model=request.model,
        batch=request.batch,
        tokens=request.tokens,
        repeat=repeat,
        latency_s=latency_s,
    )

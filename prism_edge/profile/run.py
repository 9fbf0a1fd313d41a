"""One sweep over running engines: rows are handed on as they arrive, whatever happens later.

Order: staging and link (short, and every plan needs them), compute on all boards at once, whole
requests last. Every first pass is left out; every other one is a row.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator

from prism_edge.profile.compute import measure_compute
from prism_edge.profile.engines import Engines
from prism_edge.profile.link import measure_link
from prism_edge.profile.measured import Measured
from prism_edge.profile.request import measure_requests, request_key
from prism_edge.profile.sensors import NONE, Sensors
from prism_edge.profile.sweep import Request, Sweep
from prism_edge.profile.transfers import measure_staging
from prism_edge.profile.visits import BoardVisits


def measure_all(
    engines: Engines,
    sweep: Sweep,
    *,
    aim_s: float,
    deadline_s: float,
    done: Collection[str] = (),
    sensors: Sensors = NONE,
    now: Callable[[], float] = time.monotonic,
) -> Iterator[Measured]:
    """Every row of ``sweep``; repeats are dropped to be done at ``aim_s``, cells at ``deadline_s``.
    ``done``: keys of what was finished before, which is left out. ``sensors``: of the same boards.

    What is left out is told by warnings. Raises ``ClusterError`` when a board is lost; what was
    handed on before stays true.
    """
    yield from measure_staging(engines, sweep.payloads, done)
    together = meet(engines)
    if len(engines.hosts) > 1 and not together:
        yield Measured(
            text="no link", warning="a board's PyTorch has no GLOO: only compute is measured"
        )
    if together:
        engines.join()
        yield from measure_link(engines, sweep, done, deadline_s=deadline_s, now=now)
        engines.leave()  # a worker in a group waits for requests and takes no other orders
    yield from measure_compute(
        engines,
        sweep,
        aim_s=min(aim_s, deadline_s),
        deadline_s=deadline_s,
        now=now,
        done=done,
        sensors=sensors,
        later_s=sweep.requests_weight_s,
    )
    if together:
        engines.join()
    yield from measure_requests(
        engines,
        possible(engines, sweep),
        rounds=sweep.request_rounds,
        seed=sweep.seed,
        aim_s=aim_s,
        deadline_s=deadline_s,
        now=now,
        done=done,
        sensors=sensors,
    )


def meet(engines: Engines) -> bool:
    """True when the boards can exchange anything."""
    return len(engines.hosts) > 1 and engines.distributed


def possible(engines: Engines, sweep: Sweep) -> list[Request]:
    """The requests of the sweep that these boards can answer."""
    return [request for request in sweep.requests if request.plan.p == 1 or meet(engines)]


def missing(engines: Engines, sweep: Sweep, done: Collection[str]) -> int:
    """How many visits of compute cells and requests are not ``done``."""
    wanted = [
        BoardVisits(rank, engines.hosts[rank].name, "").key(cell, turn)
        for rank, cells in enumerate(sweep.cells)
        for cell in cells
        for turn in range(sweep.rounds)
    ]
    wanted += [
        request_key(request, turn)
        for request in possible(engines, sweep)
        for turn in range(sweep.request_rounds)
    ]
    return sum(key not in done for key in wanted)

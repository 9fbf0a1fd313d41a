"""Requests in flight together share the power equally, so their energies and idle time add up.

At every instant the power of all boards, idle ones included, is divided by the number of requests
in flight and each is charged one part; with none in flight it is idle. So the energies of the
requests, of idle time, and of what is refused are exactly the energy of the window, however they
overlap. The rule is a convention: which request made a board draw more cannot be measured.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from prism_edge.energy.meter import COVERAGE_NEEDED, RELIABLE_SAMPLES, Curve
from prism_edge.energy.uncertainty import Uncertainty, combined


@dataclass(frozen=True, kw_only=True, slots=True)
class InFlight:
    """A request from its dispatch to its completion, on the samples' clock."""

    id: str
    start_s: float
    stop_s: float


@dataclass(frozen=True, kw_only=True, slots=True)
class RequestEnergy:
    """What one request is charged of the window; ``energy_j`` None when ``coverage`` is too low.

    ``together``: how many were in flight on the mean, itself counted. ``samples``: of the board
    with the fewest. ``whole``: no part of it lies outside the window.
    """

    id: str
    energy_j: float | None
    uncertainty: Uncertainty
    together: float
    samples: int
    coverage: float
    reliable: bool
    whole: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Shares:
    """``energy_j`` of the window is that of the requests, ``idle_j`` and ``refused_j`` together.

    ``idle_s``: without any request in flight. ``refused_j``: of requests covered too little.
    """

    energy_j: float
    idle_j: float
    idle_s: float
    refused_j: float
    requests: tuple[RequestEnergy, ...]


@dataclass(slots=True)
class _Account:
    """What one request has been charged so far."""

    joules: float = 0.0
    share_s: float = 0.0  # time, each stretch divided by how many were in flight
    busy_s: float = 0.0
    covered_s: float = 0.0
    crowd: float = 0.0


def shares(
    curves: Sequence[Curve],
    requests: Sequence[InFlight],
    start_s: float,
    stop_s: float,
    *,
    step_w: Sequence[float],
) -> Shares:
    """The energy of all boards from ``start_s`` to ``stop_s``, divided among ``requests``.

    A request that took no time, or lies outside, is not in the result. ``step_w``: of each board.
    """
    assert curves
    assert len(curves) == len(step_w)
    found = [one for one in requests if min(one.stop_s, stop_s) > max(one.start_s, start_s)]
    edges = sorted(
        {start_s, stop_s}
        | {min(max(t, start_s), stop_s) for one in found for t in (one.start_s, one.stop_s)}
    )
    starting = sorted(range(len(found)), key=lambda i: found[i].start_s, reverse=True)
    accounts = [_Account() for _ in found]
    flying: set[int] = set()
    idle, idle_s = [0.0], 0.0
    for a, b in pairwise(edges):
        flying = {i for i in flying if found[i].stop_s > a}
        while starting and found[starting[-1]].start_s <= a:
            flying.add(starting.pop())
        windows = [curve.window(a, b) for curve in curves]
        joules = math.fsum(one.energy_j or 0.0 for one in windows)
        if not flying:
            idle.append(joules)
            idle_s += b - a
        n = len(flying)
        for i in flying:
            account = accounts[i]
            account.joules += joules / n
            account.share_s += (b - a) / n
            account.busy_s += b - a
            account.covered_s += min(one.coverage for one in windows) * (b - a)
            account.crowd += n * (b - a)
    step = math.hypot(*step_w) / math.sqrt(12)
    charged = tuple(
        _charged(one, account, curves, step, (start_s, stop_s))
        for one, account in zip(found, accounts, strict=True)
    )
    refused = [a.joules for a, one in zip(accounts, charged, strict=True) if one.energy_j is None]
    return Shares(
        energy_j=math.fsum([*idle, *(account.joules for account in accounts)]),
        idle_j=math.fsum(idle),
        idle_s=idle_s,
        refused_j=math.fsum(refused),
        requests=charged,
    )


def _charged(
    request: InFlight,
    account: _Account,
    curves: Sequence[Curve],
    step_w: float,
    window: tuple[float, float],
) -> RequestEnergy:
    start_s, stop_s = max(request.start_s, window[0]), min(request.stop_s, window[1])
    own = [curve.window(start_s, stop_s) for curve in curves]
    part = account.share_s / account.busy_s
    samples = min(one.samples for one in own)
    coverage = account.covered_s / account.busy_s
    return RequestEnergy(
        id=request.id,
        energy_j=account.joules if coverage >= COVERAGE_NEEDED else None,
        uncertainty=combined(
            step_j=step_w * account.share_s,
            sampling_j=part * math.hypot(*(one.sampling_j or 0.0 for one in own)),
            clock_j=0.0,
        ),
        together=account.crowd / account.busy_s,
        samples=samples,
        coverage=coverage,
        reliable=samples >= RELIABLE_SAMPLES,
        whole=(start_s, stop_s) == (request.start_s, request.stop_s),
    )

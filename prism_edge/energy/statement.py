"""What can be stated of one or more windows of a recording, and what must be said beside it."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean

from prism_edge.energy.measure import (
    Baseline,
    ClusterEnergy,
    baseline,
    board_energy,
    cluster_energy,
)
from prism_edge.energy.meter import Curve
from prism_edge.energy.recording import Recording
from prism_edge.energy.shares import InFlight, Shares, shares
from prism_edge.energy.stamps import ASSUMED
from prism_edge.energy.uncertainty import FEWEST_REPEATS, Repeats, repeats

IDLE_S = 60.0  # a shorter baseline is noise: idle differences under 0.1 W are

Stretch = tuple[float, float]


@dataclass(frozen=True, kw_only=True, slots=True)
class WindowStatement:
    """One window. ``requests`` is None where the recording has none. ``throttled``: by board, what
    slowed it down, and how often."""

    start_s: float
    stop_s: float
    energy: ClusterEnergy
    requests: Shares | None
    throttled: dict[str, dict[str, int]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Statement:
    """Windows of one recording; ``repeats``: of three or more that hold the same work."""

    windows: tuple[WindowStatement, ...]
    repeats: Repeats | None
    sources: dict[str, str]
    rule: str | None
    excludes: str
    notes: tuple[str, ...]


def statement(
    found: Recording,
    windows: Sequence[Stretch],
    *,
    idle_s: float | None = None,
    interval_s: float | None = None,
) -> Statement:
    """The energy of the windows, net of the idle power ``idle_s`` before and after each."""
    curves = {name: found.curve(name, interval_s) for name in found.boards}
    stated = tuple(_window(found, curves, window, idle_s) for window in windows)
    known = [one.energy for one in stated if one.energy.energy_j is not None]
    steps = [one.uncertainty.step_j for one in known if one.uncertainty is not None]
    energies = [one.energy_j for one in known if one.energy_j is not None]
    return Statement(
        windows=stated,
        repeats=repeats(energies, fmean(steps)) if len(windows) > 1 and steps else None,
        sources={name: found.source(name) for name in found.boards},
        rule=found.rule,
        excludes=found.excludes,
        notes=tuple(_notes(found, curves, stated, idle_s)),
    )


def idle(
    found: Recording, stretch: Stretch, *, interval_s: float | None = None
) -> dict[str, Baseline]:
    """The idle power of every board in one stretch."""
    return {
        name: baseline(found.curve(name, interval_s), [stretch], found.step_w(name))
        for name in found.boards
    }


def _window(
    found: Recording, curves: dict[str, Curve], window: Stretch, idle_s: float | None
) -> WindowStatement:
    start_s, stop_s = window
    boards = {
        name: board_energy(
            curve,
            start_s,
            stop_s,
            step_w=found.step_w(name),
            clock_s=found.bounds_s.get(name) or 0.0,
            idle=None
            if idle_s is None
            else baseline(
                curve, [(start_s - idle_s, start_s), (stop_s, stop_s + idle_s)], found.step_w(name)
            ),
        )
        for name, curve in curves.items()
    }
    energy = cluster_energy(boards, start_s, stop_s)
    flying = [InFlight(id=r.id, start_s=r.start_s, stop_s=r.stop_s) for r in found.requests]
    divided = None
    if flying and energy.energy_j is not None:
        steps = [found.step_w(name) for name in curves]
        divided = shares(list(curves.values()), flying, start_s, stop_s, step_w=steps)
    return WindowStatement(
        start_s=start_s,
        stop_s=stop_s,
        energy=energy,
        requests=divided,
        throttled=_throttled(found, window),
    )


def _throttled(found: Recording, window: Stretch) -> dict[str, dict[str, int]]:
    counts: dict[str, Counter[str]] = {}
    for event in found.events:
        if event.kind == "throttle" and window[0] <= event.t_s < window[1]:
            said = json.loads(event.detail or "{}")
            counts.setdefault(said.pop("board"), Counter()).update(said)
    return {board: dict(each) for board, each in counts.items()}


def _notes(
    found: Recording,
    curves: dict[str, Curve],
    stated: Sequence[WindowStatement],
    idle_s: float | None,
) -> Iterator[str]:
    """What must not be overlooked."""
    if any(found.source(name) == "modelled" for name in found.boards):
        yield "MODELLED: power is computed from CPU time of emulated boards; no sensor was read"
    if found.clock == ASSUMED:
        yield f"times: {found.clock}"
    for name, curve in curves.items():
        samples = found.samples.get(name, ())
        if unknown := sum(sample.power_w is None for sample in samples):
            yield f"{name}: {unknown} of {len(samples)} samples have no total: rails are missing"
        if curve.assumed and curve.extent_s:
            yield f"{name}: {curve.interval_s:g} s between samples is ASSUMED: too few to tell"
    blind = [name for name in found.boards if found.bounds_s.get(name) is None]
    if len(found.boards) > 1 and len(blind) > 1:  # one of them is the leader
        yield f"clock offsets between boards were not measured: {', '.join(blind)}"
    for one in stated:
        for name, each in one.energy.boards.items():
            if not each.reliable and not each.refused:
                yield (
                    f"{name}: unreliable: {each.samples} samples in {one.stop_s - one.start_s:g} s"
                )
            if each.idle is not None and each.idle.refused:
                yield f"{name}: no net energy: {each.idle.refused}"
        for name, counts in one.throttled.items():
            yield f"{name}: throttled: {', '.join(f'{k} {n}' for k, n in counts.items())}"
    if idle_s is not None and idle_s < IDLE_S:
        yield f"idle baselines of {idle_s:g} s are short: {IDLE_S:g} s are usual"
    if 1 < len(stated) < FEWEST_REPEATS:
        yield f"{len(stated)} windows are few: {FEWEST_REPEATS} or more show the spread"


def half_width_text(value: float | None, half: float | None, unit: str) -> str:
    """A value with what it may be off by, to the digits that hold."""
    if value is None or half is None:
        return "n/a"
    digits = 3 if half <= 0 else max(0, min(6, 1 - math.floor(math.log10(half))))
    return f"{value:.{digits}f} ± {half:.{digits}f} {unit}"

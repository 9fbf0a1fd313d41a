"""Readers on every board while a sweep runs: power, temperatures, power mode, load, memory."""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Literal

from prism_edge.cluster.host import Host
from prism_edge.profile.board_state import BoardState
from prism_edge.profile.conditions import steal
from prism_edge.profile.gate import COOL_C, changed, hottest, too_hot
from prism_edge.profile.lines import Lines
from prism_edge.profile.power import INTERVAL_S, LEAST_S, PowerMeter, spent
from prism_edge.profile.watch import from_line
from prism_edge.settings import BoardSettings

WATCH_S = 2.0
FIRST_LOOK_S = 10.0  # for a reader to start, on a slow board
SILENCE_S = 30.0  # a reader that says nothing for so long has stopped; nvpmodel may take 10 s


class Watcher:
    """The states of one board since its reader started."""

    def __init__(self, host: Host) -> None:
        self.states: list[BoardState] = []
        self._last_s = time.monotonic()
        argv = (sys.executable, "-m", "prism_edge.profile.watch", f"{WATCH_S:g}")
        self._lines = Lines(host, argv, self._take)

    def await_first(self) -> None:
        """A state is there, or it is clear that none comes."""
        until_s = time.monotonic() + FIRST_LOOK_S
        while not self.states and self._lines.why_ended is None and time.monotonic() < until_s:
            time.sleep(0.02)

    @property
    def problem(self) -> str | None:
        """Why it says nothing now; None while it does."""
        if self._lines.why_ended is not None:
            return self._lines.why_ended
        silent_s = time.monotonic() - self._last_s
        if self.states and silent_s <= SILENCE_S:
            return None
        return f"it has said nothing for {silent_s:.0f} s"

    def close(self) -> None:
        self._lines.close()

    def _take(self, line: str, now_s: float) -> None:
        state = from_line(line)
        if state is not None:
            self.states.append(state)
            self._last_s = now_s


class Sensors:
    """What the boards' readers say, by rank; without readers, nothing. Use ``start_sensors``."""

    def __init__(
        self,
        names: Sequence[str] = (),
        meters: Sequence[PowerMeter | None] = (),
        watchers: Sequence[Watcher] = (),
    ) -> None:
        self._names, self._meters, self._watchers = tuple(names), tuple(meters), tuple(watchers)
        self._tolerated: set[int] = set()

    def least_s(self, rank: int) -> float:
        """How long passes of a cell have to go on for the board's meter to see them."""
        return LEAST_S if self._meter(rank) is not None else 0.0

    @property
    def request_s(self) -> float:
        """How long a request has to be repeated for its energy to be known."""
        return LEAST_S if self._all_meters() else 0.0

    def mean_w(self, rank: int, start_s: float, stop_s: float) -> float | None:
        """A board's mean power between two moments of the monotonic clock, None if not known."""
        meter = self._meter(rank)
        return None if meter is None else meter.mean_w(start_s, stop_s)

    def spent_j(self, start_s: float, stop_s: float) -> float | None:
        """Joules of all boards between two moments; None when one of them has no meter."""
        return spent(self._all_meters(), start_s, stop_s)

    def rest(self, seconds: float) -> list[float | None]:
        """What each board draws while nothing runs for ``seconds``; None where it is not known."""
        time.sleep(2 * INTERVAL_S)  # what ran just before is in the next sample still
        start_s = time.monotonic()
        time.sleep(seconds)
        stop_s = time.monotonic()
        return [self.mean_w(rank, start_s, stop_s) for rank in range(len(self._names))]

    def power(self, rank: int) -> Literal["sensor", "modelled", "none"]:
        """Where the board's watts come from: ``none`` when its meter says nothing."""
        meter = self._meter(rank)
        return "none" if meter is None or meter.rule is None else meter.source

    def facts(self, rank: int) -> dict[str, str]:
        """What belongs among the board's facts: power mode, clock limits, what watts are."""
        meter, state = self._meter(rank), self._first(rank)
        found = {"power_rail": meter.rule or "" if meter is not None else ""}
        if state is not None:
            limits = [f"{name} {khz / 1e3:g} MHz" for name, khz in state.limits_khz.items()]
            found |= {"power_mode": state.power_mode or "", "clock_limits": ", ".join(limits)}
        return {key: value for key, value in found.items() if value}

    def warnings(self) -> list[str]:
        """What is missing of the readings."""
        mute = [
            f"board {meter.name}: no power readings: {meter.problem}; its energy is left empty"
            for meter in self._meters
            if meter is not None and meter.problem is not None
        ]
        blind = [
            f"board {name}: the reader of its temperatures, clocks and power mode: {problem}; "
            f"heat and changes from then on were not seen"
            for name, watcher in zip(self._names, self._watchers, strict=True)
            if (problem := watcher.problem) is not None
        ]
        return mute + blind

    def too_hot(self, rank: int, *, paused: bool = False) -> str | None:
        """What is too hot to go on, in words; a board that ``paused`` has to cool down further."""
        state = self._last(rank)
        if state is None or rank in self._tolerated:
            return None
        return too_hot(state, COOL_C) if paused else too_hot(state)

    def tolerate(self, rank: int) -> None:
        """The board is as hot as it will be: it is no longer called too hot."""
        self._tolerated.add(rank)

    def changed(self, rank: int) -> str | None:
        """What made the board another one since the sweep began, in words; also if only for a
        while."""
        first = self._first(rank)
        if first is None:
            return None
        seen = (changed(first, state) for state in self._watchers[rank].states)
        return next((why for why in seen if why is not None), None)

    def conditions(self) -> dict[str, str]:
        """What was true while the readers ran, as text; what no board says is left out."""
        found: dict[str, str] = {}
        seen = [watcher.states for watcher in self._watchers]
        loads = [state.load_1m for states in seen for state in states if state.load_1m is not None]
        if loads:
            found["load_average_median"] = f"{statistics.median(loads):.2f}"
            found["load_average_max"] = f"{max(loads):.2f}"
        for name, states in zip(self._names, seen, strict=True):
            said = {
                "steal": steal(states[0].ticks, states[-1].ticks) if states else "",
                "temperature_max": _hottest(states),
                "memory_available_min": _least_memory(states),
                "throttled": ", ".join(dict.fromkeys(t for s in states for t in s.throttled)),
            }
            found |= {f"{key} {name}": value for key, value in said.items() if value}
        for rank, name in enumerate(self._names):
            if (why := self.changed(rank)) is not None:
                found[f"changed {name}"] = why
        return found

    def close(self) -> None:
        """No reader is left on any board."""
        for reader in (*self._meters, *self._watchers):
            if reader is not None:
                reader.close()

    def _meter(self, rank: int) -> PowerMeter | None:
        return self._meters[rank] if rank < len(self._meters) else None

    def _all_meters(self) -> list[PowerMeter]:
        """The meters of all boards; none when one board has none."""
        meters = [meter for meter in self._meters if meter is not None]
        return meters if len(meters) == len(self._meters) else []

    def _first(self, rank: int) -> BoardState | None:
        states = self._watchers[rank].states if rank < len(self._watchers) else []
        return states[0] if states else None

    def _last(self, rank: int) -> BoardState | None:
        states = self._watchers[rank].states if rank < len(self._watchers) else []
        return states[-1] if states else None


NONE = Sensors()


@contextmanager
def start_sensors(hosts: Sequence[Host], boards: Sequence[BoardSettings]) -> Iterator[Sensors]:
    """Readers on every board, which have said something where they can; none is left afterwards."""
    meters = [
        None if board.power == "none" else PowerMeter(board, host)
        for board, host in zip(boards, hosts, strict=True)
    ]
    sensors = Sensors([board.name for board in boards], meters, [Watcher(host) for host in hosts])
    try:
        for reader in (*sensors._meters, *sensors._watchers):
            if reader is not None:
                reader.await_first()
        yield sensors
    finally:
        sensors.close()


def _hottest(states: Sequence[BoardState]) -> str:
    found = [zone for state in states if (zone := hottest(state.temps_c)) is not None]
    if not found:
        return ""
    name, degrees = max(found, key=lambda zone: zone[1])
    return f"{degrees:.1f} C ({name})"


def _least_memory(states: Sequence[BoardState]) -> str:
    found = [state.available_mb for state in states if state.available_mb is not None]
    return f"{min(found)} MB" if found else ""

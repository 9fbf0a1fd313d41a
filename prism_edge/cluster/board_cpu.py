"""CPU time of one board: the sum over the processes that run on it, read from /proc at little cost.

Listing every process and asking each where it belongs is dear, and a board's power is asked for ten
times a second. So the answer is remembered, and those that did not belong are asked again every
second: nsenter moves into a board after it has started.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from prism_edge.cluster import processes

_ASK_AGAIN_S = 1.0


class BoardCpu:
    """Counts from its first sample on. ``belongs`` says whether a process is on the board."""

    def __init__(self, belongs: Callable[[int], bool], proc: Path = processes.PROC) -> None:
        self._belongs = belongs
        self._proc = proc
        self._seen: dict[int, tuple[int, int]] = {}  # pid -> start, CPU time in ticks
        self._strangers: set[int] = set()
        self._asked_s = float("-inf")
        self._ticks: int | None = None
        self._tick_s = 1.0 / os.sysconf("SC_CLK_TCK")

    def sample(self, now_s: float) -> float:
        """Seconds of CPU that the board has used between the first sample and ``now_s``."""
        there = set(processes.pids(self._proc))
        if now_s - self._asked_s >= _ASK_AGAIN_S:
            self._strangers.clear()
            self._asked_s = now_s
        self._strangers &= there
        for pid in there - self._strangers - self._seen.keys():
            if self._belongs(pid):
                self._seen[pid] = (-1, 0)
            else:
                self._strangers.add(pid)
        used = sum(self._used(pid) for pid in list(self._seen))
        # The first sample sees lives that began long ago: they are where counting starts.
        self._ticks = 0 if self._ticks is None else self._ticks + used
        return self._ticks * self._tick_s

    def _used(self, pid: int) -> int:
        start, before = self._seen.pop(pid)
        stat = processes.stat(pid, self._proc)
        if stat is None:
            return 0
        if start not in (-1, stat.start_ticks):
            return 0  # the pid has another owner: it is asked about at the next sample
        self._seen[pid] = (stat.start_ticks, stat.cpu_ticks)
        return stat.cpu_ticks - before

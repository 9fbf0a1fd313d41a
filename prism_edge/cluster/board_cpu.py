"""CPU time of one board: the sum over the processes that run on it, read from /proc at little cost.

A board's power is asked for ten times a second, and asking every process of the machine where it
belongs is dear: that is done twice a second. In between only the board's own are read. A new
process is therefore noticed up to half a second late, with all it has used until then; one that
lives shorter may never be.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from prism_edge.cluster import processes

_LOOK_AGAIN_S = 0.5


class BoardCpu:
    """Counts from its first sample on. ``belongs`` says whether a process is on the board."""

    def __init__(self, belongs: Callable[[int], bool], proc: Path = processes.PROC) -> None:
        self._belongs = belongs
        self._proc = proc
        self._used: dict[tuple[int, int], int] = {}  # (pid, start) -> CPU time, both in ticks
        self._members: set[int] = set()
        self._looked_s: float | None = None
        self._total = 0
        self._tick_s = 1.0 / os.sysconf("SC_CLK_TCK")

    def sample(self, now_s: float) -> float:
        """Seconds of CPU that the board has used between the first sample and ``now_s``."""
        first = self._looked_s is None
        if self._looked_s is None or now_s - self._looked_s >= _LOOK_AGAIN_S:
            self._members = {pid for pid in processes.pids(self._proc) if self._belongs(pid)}
            self._looked_s = now_s
        stats = ((pid, processes.stat(pid, self._proc)) for pid in self._members)
        now = {(pid, stat.start_ticks): stat.cpu_ticks for pid, stat in stats if stat is not None}
        if not first:  # the first sample sees lives that began long ago: counting starts there
            self._total += sum(used - self._used.get(life, 0) for life, used in now.items())
        self._used = now
        return self._total * self._tick_s

"""GLOO's network thread, kept from interrupting the computation where they share the only core.

When a packet wakes that thread while the computing thread is inside a send, it finds the connection
locked and asks again and again until the scheduler takes the core away, up to a tick (4 ms) later.
Seen in spans: 5 of 11 exchanges of a request took 4 ms more than the others, none with the thread
idle. ViT-B/16, batch 1, P=2, 100 Mbit/s, one x86 core a board: 1.56x the speed of one board before,
1.62x with it (lab, medians of two runs). Where the process may use several cores nothing changes.
"""

from __future__ import annotations

import os
from pathlib import Path

NETWORK_THREAD = "gloo_tcp_loop"
TASKS = Path("/proc/self/task")


def network_threads() -> set[int]:
    """GLOO's network threads of this process."""
    found = set()
    for task in TASKS.iterdir():
        try:
            name = (task / "comm").read_text(encoding="utf-8").strip()
        except OSError:  # the thread has ended meanwhile
            continue
        if name == NETWORK_THREAD:
            found.add(int(task.name))
    return found


def quieten(threads: set[int]) -> None:
    """The threads run when nothing else wants the core; no change where there are several."""
    if len(os.sched_getaffinity(0)) > 1:
        return
    for thread in threads:
        os.sched_setscheduler(thread, os.SCHED_IDLE, os.sched_param(0))

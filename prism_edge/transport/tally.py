"""What one rank has done in the request under way: seconds at work, and seconds waiting for others.

It tells a slow link from a slow worker: every message carries its sender's tally (``frame.py``), so
the leader learns it with no message more.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from prism_edge.spans import Effort


class Tally:
    """Seconds since ``restart``; those inside ``with tally:`` were waits. One thread's.

    ``heard``: what other ranks said of themselves last, by rank.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.heard: dict[int, Effort] = {}
        self._clock = clock
        self._start_s: float | None = None  # None: no request has begun
        self._waiting_s = 0.0  # when the wait under way began
        self._waited_s = 0.0

    def restart(self) -> dict[int, Effort]:
        """A request begins. The dict in which its messages, those asked for from here on, will
        leave what their senders did."""
        self.heard = {}
        self._start_s = self._clock()
        self._waited_s = 0.0
        return self.heard

    def effort(self) -> Effort:
        """So far. Before the first request it is nothing, which boards of older releases can read
        (``frame.py``)."""
        if self._start_s is None:
            return Effort(0.0, 0.0)
        return Effort(self._clock() - self._start_s - self._waited_s, self._waited_s)

    def __enter__(self) -> None:
        self._waiting_s = self._clock()

    def __exit__(self, *_: object) -> None:
        self._waited_s += self._clock() - self._waiting_s

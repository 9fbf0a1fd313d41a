"""Whether somebody set the clock of the wall: measuring rests on another one, its dates do not."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime, timedelta, timezone

JUMP_S = 2.0  # NTP slews the clock by at most 0.5 ms in a second; what is more was set


class WallClock:
    """The time of day next to the time that passes."""

    def __init__(
        self, wall: Callable[[], float] = time.time, steady: Callable[[], float] = time.monotonic
    ) -> None:
        self._wall, self._steady = wall, steady
        self._ahead_s = wall() - steady()

    def now(self) -> str:
        """The time of day, ISO 8601 with zone."""
        moment = datetime.fromtimestamp(self._wall(), timezone.utc)
        return moment.isoformat(timespec="seconds")

    def jump(self) -> str | None:
        """What happened to the time of day since the last call, in words; None: it only passed."""
        ahead_s = self._wall() - self._steady()
        jumped_s, self._ahead_s = ahead_s - self._ahead_s, ahead_s
        if abs(jumped_s) <= JUMP_S:
            return None
        way = "forward" if jumped_s > 0 else "back"
        return (
            f"the clock was set {way} by {abs(jumped_s):.0f} s during the run (or the machine "
            f"slept): measured times do not rest on it, created and started do"
        )

    def behind(self, moment: str) -> str | None:
        """By how much ``moment``, which is past, lies in the future, in words; None: it is past."""
        try:
            ahead = datetime.fromisoformat(moment) - datetime.fromtimestamp(
                self._wall(), timezone.utc
            )
        except (ValueError, TypeError):
            return f"{moment!r} is no time of day with a zone"
        if ahead <= timedelta(seconds=JUMP_S):
            return None
        return (
            f"the clock was set back: the run began at {moment}, which is "
            f"{ahead.total_seconds():.0f} s from now"
        )

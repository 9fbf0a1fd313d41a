"""Runs on a board while it is measured: its state as a line of JSON now and then, until stdin ends.

``python -m prism_edge.profile.watch SECONDS``
"""

from __future__ import annotations

import json
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, replace

from prism_edge.profile.board_state import BoardState, read_state, said_mode

NVPMODEL_S = 10.0
AGAIN_S = 30.0  # after nvpmodel has failed: it may take long to fail


def to_line(state: BoardState) -> str:
    """The state as one line."""
    return json.dumps(asdict(state))


def from_line(line: str) -> BoardState | None:
    """The state in a line of ``to_line``; None when it is something else."""
    try:
        said = json.loads(line)
        said["throttled"], said["ticks"] = tuple(said["throttled"]), tuple(said["ticks"])
        return BoardState(**said)
    except (ValueError, TypeError, KeyError):
        return None


def asked_mode() -> str | None:
    """The power mode by ``nvpmodel -q``, for boards that keep it in no file; None without."""
    program = shutil.which("nvpmodel")
    if program is None:
        return None
    try:
        done = subprocess.run(
            [program, "-q"], capture_output=True, text=True, timeout=NVPMODEL_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return said_mode(done.stdout)


class Asking:
    """The power mode of a board, asked at every look; less often while nothing is said."""

    def __init__(
        self,
        ask: Callable[[], str | None] = asked_mode,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ask, self._now = ask, now
        self._next_s = float("-inf")

    def mode(self) -> str | None:
        """What is said now; None without an answer, or when it is too early to ask again."""
        if self._now() < self._next_s:
            return None
        said = self._ask()
        if said is None:
            self._next_s = self._now() + AGAIN_S
        return said


def main(interval_s: float) -> None:
    """Print until nobody listens."""
    asking = Asking()
    while True:
        state = read_state()
        if state.power_mode is None:
            state = replace(state, power_mode=asking.mode())
        try:
            print(to_line(state), flush=True)
        except BrokenPipeError:
            return
        if select.select([sys.stdin], [], [], interval_s)[0] and not sys.stdin.readline():
            return


if __name__ == "__main__":
    main(float(sys.argv[1]))

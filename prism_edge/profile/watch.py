"""Runs on a board while it is measured: its state as a line of JSON now and then, until stdin ends.

``python -m prism_edge.profile.watch SECONDS``
"""

from __future__ import annotations

import json
import select
import shutil
import subprocess
import sys
from dataclasses import asdict

from prism_edge.profile.board_state import BoardState, read_state, said_mode

NVPMODEL_S = 10.0


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


def main(interval_s: float) -> None:
    """Print until nobody listens."""
    mode = asked_mode() if read_state().power_mode is None else None
    while True:
        if mode is not None:
            mode = asked_mode()
        try:
            print(to_line(read_state(asked_mode=mode)), flush=True)
        except BrokenPipeError:
            return
        if select.select([sys.stdin], [], [], interval_s)[0] and not sys.stdin.readline():
            return


if __name__ == "__main__":
    main(float(sys.argv[1]))

"""Whether one board reaches another, and how quickly: a few connections that nothing is sent over.

The port may be closed: a refusal too is an answer, and proves the way there and back.
"""

from __future__ import annotations

import shlex
import statistics
from dataclasses import dataclass

CONNECTIONS = 5
PATIENCE_S = 2.0
_SCRIPT = f"""
import socket, sys, time
for _ in range({CONNECTIONS}):
    begun_s = time.monotonic()
    try:
        socket.create_connection((sys.argv[1], int(sys.argv[2])), {PATIENCE_S}).close()
        said = "open"
    except ConnectionRefusedError:
        said = "refused"
    except OSError as error:
        print("lost 0", error.strerror or error)
        break
    print(said, time.monotonic() - begun_s)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """From ``start`` to ``address`` of ``end``. ``answer``: ``open``, ``refused``, or why there
    was none; ``median_s``: of the time to it."""

    start: str
    end: str
    address: str
    port: int
    answer: str
    median_s: float | None


def command(python: str, address: str, port: int) -> str:
    """For ``sh`` on the board where the way begins."""
    return shlex.join([python, "-c", _SCRIPT, address, str(port)])


def parse(said: str) -> tuple[str, float | None]:
    """``Way.answer`` and ``Way.median_s``. What is no such output is ``not found out``."""
    rows = [line.split(maxsplit=2) for line in said.splitlines()]
    for row in rows:
        if row[0] == "lost":
            return row[2] if len(row) > 2 else "no answer", None
    try:
        times_s = [float(seconds) for _, seconds in rows]
    except ValueError:
        times_s = []
    if not times_s:
        return "not found out", None
    return rows[-1][0], statistics.median(times_s)

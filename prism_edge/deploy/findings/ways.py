"""Whether one board reaches another, and how quickly: a few connections that nothing is sent over,
and what is wrong with the way.

The port may be closed: a refusal too is an answer, and proves the way there and back.
"""

from __future__ import annotations

import shlex
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from prism_edge.deploy.findings.finding import Finding

CONNECTIONS = 5
PATIENCE_S = 2.0
SLOW_S = 0.02  # on a cable it is under a millisecond, on awake Wi-Fi a few
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


def ways(found: Sequence[Way], active: frozenset[str]) -> Iterator[Finding]:
    """``active``: the boards whose service runs, and so shall answer."""
    for way in found:
        between = f"{way.start}, {way.end}"
        if way.median_s is None and way.answer != "not found out":
            yield Finding(
                code="way-lost",
                severity="blocked",
                what=f"{way.start} does not reach {way.end} at {way.address}, port {way.port}: "
                f"{way.answer} ({PATIENCE_S:g} s)",
                where=between,
                remedy=f"Is that the address of {way.end} in the network they share, does a "
                f"firewall drop the port, does the access point keep its clients apart? On "
                f"{way.start}:\n$ ping -c 3 {way.address}",
            )
        elif way.answer == "refused" and way.end in active:
            yield Finding(
                code="way-refused",
                severity="blocked",
                what=f"{way.start} is refused by {way.end} at {way.address}, port {way.port}, "
                f"while its service runs",
                where=between,
                remedy=f"It listens elsewhere, or a firewall refuses. On {way.end}:\n"
                f"$ sudo ss -ltnp 'sport = :{way.port}'",
            )
        if way.median_s is not None and way.median_s > SLOW_S:
            yield Finding(
                code="way-slow",
                severity="note",
                what=f"{way.end} answers {way.start} after {1e3 * way.median_s:.0f} ms (median)",
                where=between,
                remedy="Only measuring tells whether it pays to compute together over this link "
                "(prism-edge profile). On Wi-Fi, see that power save is off on both ends.",
            )

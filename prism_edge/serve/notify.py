"""systemd knows how the daemon does: that it serves, what is degraded, that it lives, that it ends.

The protocol of sd_notify(3): datagrams of NAME=VALUE lines to the socket that NOTIFY_SOCKET names.
Without one nobody is told. The watchdog is fed only while the event loop turns and the supervisor
of the engine still does its work: an engine that hangs is the agent's business, an agent that hangs
is systemd's, which kills and restarts it.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from prism_edge.serve.service import Readiness

LOG = logging.getLogger(__name__)
LOOK_S = 0.25  # how long news may wait


class Notifier:
    """Whoever started this process and wants to be told, or nobody.

    ``watchdog_s``: how often it must hear of us, None: it does not mind. ``environ`` and ``pid``:
    of this process; a watchdog that is meant for another one is not fed.
    """

    def __init__(self, environ: Mapping[str, str], pid: int) -> None:
        address = environ.get("NOTIFY_SOCKET", "")
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        usec = environ.get("WATCHDOG_USEC", "")
        ours = environ.get("WATCHDOG_PID", str(pid)) == str(pid)
        self.watchdog_s = int(usec) / 1e6 if usec.isdigit() and int(usec) and ours else None

    def say(self, *lines: str) -> None:
        """The lines have been sent, in one datagram; nobody there to listen is no error of ours."""
        if not self._address or not lines:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as out:
                out.setblocking(False)
                out.sendto("\n".join(lines).encode(), self._address)
        except OSError as error:
            LOG.warning("service manager was not told %s: %s", lines[0], error.strerror)


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What the service manager has heard so far."""

    ready: bool = False
    status: str = ""
    fed_s: float = float("-inf")


def news(
    told: Told, readiness: Readiness, *, alive: bool, now_s: float, watchdog_s: float | None
) -> tuple[Told, list[str]]:
    """What there is to tell now, and what has been told then."""
    lines = []
    status = ("ready" if readiness.ready else "not ready") + (
        f": {' '.join(readiness.reason.split())}" if readiness.reason else ""
    )
    if readiness.ready and not told.ready:
        lines.append("READY=1")
    if status != told.status:
        lines.append(f"STATUS={status}")
    told = replace(told, ready=told.ready or readiness.ready, status=status)
    if alive and watchdog_s is not None and now_s - told.fed_s >= watchdog_s / 2 - LOOK_S:
        lines.append("WATCHDOG=1")
        told = replace(told, fed_s=now_s)
    return told, lines


async def keep_told(
    notifier: Notifier, readiness: Callable[[], Readiness], alive: Callable[[float], bool]
) -> None:
    """Tell the service manager all there is to tell, until cancelled. ``alive``: at a time."""
    told, limit_s = Told(), notifier.watchdog_s
    while True:
        now_s = time.monotonic()
        told, lines = news(told, readiness(), alive=alive(now_s), now_s=now_s, watchdog_s=limit_s)
        notifier.say(*lines)
        await asyncio.sleep(LOOK_S)

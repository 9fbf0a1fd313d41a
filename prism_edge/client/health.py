"""How soon a daemon says how it is: while it infers, and while its engine is killed and is back."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from prism_edge.client.connection import Connection, Sent, Where
from prism_edge.client.figures import quantiles
from prism_edge.client.load import Load, send
from prism_edge.client.loops import Ask
from prism_edge.cluster.processes import arguments
from prism_edge.errors import ClusterError

READY = "/v2/health/ready"
PATHS = ("/metrics", "/v2/health/live", READY)
PAUSE_S = 0.01  # between two questions
BACK_S = 120.0  # an engine imports and loads its models
Asked = dict[str, list[Sent]]


def health(
    where: Where, ask: Ask, load: Load, agent: int | None, found: list[Sent]
) -> dict[str, object]:
    """The figures by path during ``load``, whose requests ``found`` gets; also during a restart
    where ``agent``, the daemon's process, is one of this machine's.

    Raises ``ClusterError`` when no engine runs there, or none comes back.
    """
    with asking(where) as asked:
        send(where, load, ask, found)
    said: dict[str, object] = {"inference": _figures(asked)}
    if agent is not None:
        start_s = time.monotonic()
        with asking(where) as asked:
            killed = _engines(where, agent)
            if not killed:
                raise ClusterError(f"{where.url}: no engine was running that could be restarted")
            for engine in killed:
                os.kill(engine, signal.SIGKILL)
            another_s, back_s = None, None
            while back_s is None:
                if time.monotonic() > start_s + BACK_S:
                    raise ClusterError(f"{where.url}: not ready {BACK_S:.0f} s after a restart")
                time.sleep(PAUSE_S)
                if another_s is None and _engines(where, agent) - killed:
                    another_s = time.monotonic()
                back_s = _back(asked[READY], another_s)
        said |= {"restart": _figures(asked), "restart_s": back_s - start_s}
    return said


@contextmanager
def asking(where: Where) -> Iterator[Asked]:
    """What became of every question, by path, while this is entered; each is asked once or more."""
    asked: Asked = {path: [] for path in PATHS}
    stop = threading.Event()

    def keep_asking() -> None:
        with Connection(where) as connection:
            while True:
                for path, sent in asked.items():
                    sent.append(connection.get(path))
                if stop.wait(PAUSE_S):
                    return

    thread = threading.Thread(target=keep_asking)
    thread.start()
    try:
        yield asked
    finally:
        stop.set()
        thread.join()


def _figures(asked: Asked) -> Mapping[str, object]:
    return {
        path: {
            "asked": len(sent),
            "unanswered": sum(one.status is None for one in sent),
            **quantiles([one.latency_s for one in sent]),
            "max": max((one.latency_s for one in sent), default=None),
        }
        for path, sent in asked.items()
    }


def _engines(where: Where, agent: int) -> set[int]:
    try:
        children = Path(f"/proc/{agent}/task/{agent}/children").read_text().split()
    except (FileNotFoundError, ProcessLookupError) as error:
        raise ClusterError(f"{where.url}: the daemon is gone") from error
    return {int(child) for child in children if "prism_edge.engine.main" in arguments(int(child))}


def _back(sent: list[Sent], another_s: float | None) -> float | None:
    """When it was ready again, with ``another`` engine; nobody need have seen that it was not."""
    if another_s is None:
        return None
    return next((one.done_s for one in sent if one.sent_s > another_s and one.status == 200), None)

"""Who sends when: arrivals that wait for nobody (open), or users who wait for answers (closed).

An open loop is what a daemon meets in the world. A closed one slows down with the daemon and then
forgets what its users waited for (coordinated omission); it finds the most a daemon can do.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack

from prism_edge.client.connection import Connection, Sent, Where

Ask = Callable[[Connection, float], Sent]  # a connection and when the request was due
LEAD_S = 0.1  # for threads to start


def open_loop(
    where: Where, ask: Ask, arrivals: Sequence[float], connections: int, found: list[Sent]
) -> None:
    """Every arrival is sent when it is due, or as soon as one of ``connections`` is free.

    ``found`` grows as answers come. An interrupt lets go of what has not been sent.
    """
    due: queue.SimpleQueue[float | None] = queue.SimpleQueue()

    def send(connection: Connection) -> None:
        while (due_s := due.get()) is not None:
            found.append(ask(connection, due_s))

    with ExitStack() as stack:
        opened = [stack.enter_context(Connection(where)) for _ in range(connections)]
        threads = [threading.Thread(target=send, args=(one,)) for one in opened]
        start_s = time.monotonic() + LEAD_S
        for thread in threads:
            thread.start()
        try:
            for arrival_s in arrivals:
                due_s = start_s + arrival_s
                time.sleep(max(0.0, due_s - time.monotonic()))
                due.put(due_s)
        except BaseException:
            while not due.empty():
                due.get()
            raise
        finally:
            for _ in threads:
                due.put(None)
            for thread in threads:
                thread.join()


def closed_loop(
    where: Where, ask: Ask, seconds: float, users: int, found: list[Sent], most: int | None = None
) -> None:
    """``users`` each send one request after the other for so long, one at least; at most ``most``
    in all."""
    stop, left = threading.Event(), threading.Semaphore(most or 1)
    start_s = time.monotonic()

    def send(connection: Connection) -> None:
        over = False
        while not over and not stop.is_set():
            if most is not None and not left.acquire(blocking=False):
                return
            found.append(ask(connection, time.monotonic()))
            over = time.monotonic() >= start_s + seconds

    with ExitStack() as stack:
        opened = [stack.enter_context(Connection(where)) for _ in range(users)]
        threads = [threading.Thread(target=send, args=(one,)) for one in opened]
        for thread in threads:
            thread.start()
        try:
            for thread in threads:
                thread.join()
        finally:
            stop.set()
            for thread in threads:
                thread.join()

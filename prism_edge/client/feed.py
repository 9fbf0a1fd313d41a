"""Items brought to a daemon one by one: as fast as it answers, or as a camera gives them.

A camera does not wait: a frame for which nobody is free is dropped and counted, so the answers
stay fresh.
"""

from __future__ import annotations

import queue
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from prism_edge.client.figures import quantiles
from prism_edge.errors import PrismError, UnavailableError
from prism_edge.serve.oip_client import Reply

Found = TypeVar("Found")


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """Something to be answered: what it is called, and what is to be done to ask."""

    name: str
    ask: Callable[[], Reply]


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """An item's reply, or its error; ``seconds`` include what was waited between tries."""

    name: str
    seconds: float
    tries: int
    reply: Reply | None
    error: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """At most ``concurrency`` at once, each asked again ``retries`` times while the daemon is full.

    ``rate_hz``: a camera's, which asks once; None waits for whoever is free. ``seconds``: no item
    but the first begins later.
    """

    concurrency: int = 1
    retries: int = 0
    rate_hz: float | None = None
    seconds: float | None = None


def patiently(ask: Callable[[], Found], retries: int) -> tuple[Found, int]:
    """What it gives and how many tries it took; a full daemon is asked again when it says so."""
    for tried in range(1, retries + 1):
        try:
            return ask(), tried
        except UnavailableError as error:
            time.sleep(error.retry_after_s)
    return ask(), retries + 1


def answer(item: Item, retries: int) -> Result:
    """The item's result; never raises what is the user's world."""
    start_s, tries = time.monotonic(), retries + 1
    reply, error = None, None
    try:
        reply, tries = patiently(item.ask, retries)
    except PrismError as refused:
        error = str(refused)
        tries = retries + 1 if isinstance(refused, UnavailableError) else 1
    return Result(
        name=item.name,
        seconds=time.monotonic() - start_s,
        tries=tries,
        reply=reply,
        error=error,
    )


def feed(
    items: Iterable[Item],
    tell: Callable[[Result], None],
    dropped: Callable[[Item], None],
    pace: Pace,
) -> None:
    """Every item is told of once, answered or not, or ``dropped``.

    After an interrupt nobody waits for what is under way, and nothing is told of any more: Python
    may abort where a thread still writes to stdout when it ends.
    """
    due: queue.SimpleQueue[Item | None] = queue.SimpleQueue()
    free, lock = threading.Semaphore(pace.concurrency), threading.Lock()
    interrupted = False

    def serve() -> None:
        while (item := due.get()) is not None:
            result = answer(item, 0 if pace.rate_hz else pace.retries)
            with lock:
                if interrupted:
                    return
                tell(result)
            free.release()

    threads = [threading.Thread(target=serve, daemon=True) for _ in range(pace.concurrency)]
    for thread in threads:
        thread.start()
    start_s = time.monotonic()
    try:
        for number, item in enumerate(items):
            if pace.rate_hz is not None:
                time.sleep(max(0.0, start_s + number / pace.rate_hz - time.monotonic()))
            over = pace.seconds is not None and time.monotonic() >= start_s + pace.seconds
            if number and over:
                break
            if free.acquire(blocking=pace.rate_hz is None):
                due.put(item)
            else:
                dropped(item)
        for _ in threads:
            due.put(None)
        for thread in threads:
            thread.join()
    except BaseException:
        with lock:
            interrupted = True
        raise


def said(results: Sequence[Result], dropped: int, seconds: float) -> str:
    """What came of all of them, in a line or two."""
    ok = [result for result in results if result.reply is not None]
    again = sum(result.tries - 1 for result in results)
    text = f"{len(ok)} answered, {len(results) - len(ok)} failed, {dropped} dropped"
    text += f", {again} times asked again" if again else ""
    if not ok:
        return text
    known = {k: v for k, v in quantiles([one.seconds for one in ok]).items() if v is not None}
    plans = Counter(str(one.reply.parameters.get("plan", "?")) for one in ok if one.reply)
    parts = [f"{k} {1e3 * v:.0f} ms" for k, v in known.items()]
    parts += [f"{len(ok) / seconds:.1f} per second"] if seconds > 0 else []
    parts += [f"{count} x {plan}" for plan, count in plans.most_common()]
    return f"{text}\n{', '.join(parts)}"

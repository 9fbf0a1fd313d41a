"""More is asked of a daemon than it can answer: what it could, what it does then, and after."""

from __future__ import annotations

import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import numpy as np

from prism_edge.client.connection import Connection, Sent, Where
from prism_edge.client.figures import outcome, quantiles
from prism_edge.client.load import Load, send
from prism_edge.client.loops import Ask
from prism_edge.errors import ClusterError
from prism_edge.serve.admission import SLOWER
from prism_edge.serve.tls import trusting

USERS, CALM_S = 16, 10.0  # who find out what can be sustained, and for how long
PATIENCE, SHORTEST_S, LONGEST_S = 4.0, 1.0, 20.0  # of users: so many times what those waited
ALONE = 20  # requests one after the other, before and after
LOOK_S = 0.1
PAGE_MIB = os.sysconf("SC_PAGE_SIZE") / 2**20
TOO_SLOW = "not sent: this client was too slow for its deadline"


@dataclass(frozen=True, slots=True, kw_only=True)
class Overload:
    """``times`` what can be sustained for ``seconds``; an answer after ``deadline_s`` is useless,
    None: after four times what users wait while all is well. ``agent``: the daemon's process, if it
    is one of this machine's."""

    times: float
    seconds: float
    deadline_s: float | None
    connections: int
    seed: int
    agent: int | None


@dataclass(slots=True)
class Seen:
    """Of the daemon meanwhile: the longest queue, and the most memory by process."""

    queue: int | None = None
    most_mib: dict[str, float] = field(default_factory=dict)


def overload(
    where: Where, asking: Callable[[float | None], Ask], wish: Overload, found: list[Sent]
) -> dict[str, object]:
    """The figures; ``found`` gets the requests of the overload itself. ``asking(deadline_s)`` asks
    with that deadline.

    Raises ``ClusterError`` when the daemon answers nothing even before it.
    """
    alone: list[Sent] = []
    send(where, Load(requests=ALONE), asking(None), alone)
    calm: list[Sent] = []
    send(where, Load(users=USERS, seconds=min(CALM_S, wish.seconds)), asking(None), calm)
    answered = [one for one in calm if one.status == 200]
    if not answered:
        raise ClusterError(f"{where.url}: none of {len(calm)} requests was answered: {calm[:1]}")
    deadline_s = wish.deadline_s or min(
        max(SHORTEST_S, PATIENCE * (middle(calm) or 0.0)), LONGEST_S
    )
    ask = asking(deadline_s)
    sustained_hz = len(answered) / (max(one.done_s for one in calm) - calm[0].due_s)
    load = Load(
        rate_hz=wish.times * sustained_hz,
        seconds=wish.seconds,
        connections=wish.connections,
        seed=wish.seed,
    )
    before = resident(wish.agent)

    def ask_in_time(connection: Connection, due_s: float) -> Sent:
        now_s = time.monotonic()
        if now_s > due_s + deadline_s:
            return Sent(due_s=due_s, sent_s=now_s, done_s=now_s, status=None, error=TOO_SLOW)
        return ask(connection, due_s)

    with looking(where, wish.agent) as seen:
        send(where, load, ask_in_time, found)
    end_s = time.monotonic()
    after: list[Sent] = []
    send(where, Load(requests=ALONE), asking(None), after)
    now = resident(wish.agent)
    first_s = min((one.done_s for one in after if one.status == 200), default=None)
    sent = [one for one in found if one.error != TOO_SLOW]
    accepted = [one for one in sent if one.status != 503]
    in_time = [one for one in accepted if one.status == 200 and took(one) <= deadline_s]
    return {
        "times": wish.times,
        "sustained_hz": sustained_hz,
        "offered_hz": load.rate_hz,
        "sent_hz": len(sent) / wish.seconds,
        "too_slow_to_send": len(found) - len(sent),
        "deadline_s": deadline_s,
        "answered_hz": len(in_time) / wish.seconds,
        "accepted": len(accepted),
        "accepted_in_time": len(in_time),
        "accepted_s": quantiles([took(one) for one in accepted]),
        "refused": dict(Counter(outcome(one) for one in sent if one.status != 200)),
        "refused_later": sum(one.error == SLOWER for one in sent),
        "refused_s": quantiles([took(one) for one in sent if one.status == 503]),
        "queue_most": seen.queue,
        "resident_mib": {
            name: {"before": mib, "most": seen.most_mib.get(name), "after": now.get(name)}
            for name, mib in before.items()
        },
        "recovered_s": None if first_s is None else first_s - end_s,
        "alone_p50_s": {"before": middle(alone), "after": middle(after)},
    }


def took(one: Sent) -> float:
    """From when it was sent, so that this client's own delay is not the daemon's."""
    return one.done_s - one.sent_s


def middle(sent: Sequence[Sent]) -> float | None:
    answered = [took(one) for one in sent if one.status == 200]
    return float(np.median(answered)) if answered else None


@contextmanager
def looking(where: Where, agent: int | None) -> Iterator[Seen]:
    """What is seen of the daemon while this is entered."""
    seen, stop = Seen(), threading.Event()
    headers = {"Authorization": f"Bearer {where.token}"} if where.token else {}

    def look() -> None:
        with httpx.Client(
            base_url=where.url, headers=headers, trust_env=False, verify=trusting(where.authority)
        ) as client:
            while not stop.wait(LOOK_S):
                for name, mib in resident(agent).items():
                    seen.most_mib[name] = max(mib, seen.most_mib.get(name, 0.0))
                try:
                    queue = client.get("/status").json().get("queue")
                except (httpx.HTTPError, ValueError):
                    continue
                if isinstance(queue, int):
                    seen.queue = max(queue, seen.queue or 0)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield seen
    finally:
        stop.set()
        thread.join()


def resident(agent: int | None) -> Mapping[str, float]:
    """MiB of the daemon's agent and of its child, the engine; nothing of a daemon elsewhere."""
    if agent is None:
        return {}
    children = Path(f"/proc/{agent}/task/{agent}/children").read_text().split()
    found = {}
    for name, pid in zip(("agent", "engine"), (agent, *children), strict=False):
        try:
            pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        except (OSError, ValueError):
            continue
        found[name] = round(pages * PAGE_MIB, 1)
    return found

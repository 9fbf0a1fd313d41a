"""Twenty times what can be answered, in made-up time: who is let in is answered in time, and the
engine is never idle for it."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest

from prism_edge.errors import UnavailableError
from prism_edge.serve.admission import Admission
from prism_edge.serve.batcher import Batcher, Waiting

MAX_BATCH, QUEUE = 8, 64
BATCH_S = 0.1  # a full one; a request alone takes half of it
LIMIT_S, SECONDS, TIMES = 0.8, 12.0, 20
CAPACITY_HZ = MAX_BATCH / BATCH_S
PIXELS = {"x": np.zeros((1, 2), np.float32)}

Pace = Callable[[float], float]  # by the time, how much slower than usual batches are


def steady(now_s: float) -> float:
    return 1.0


def twice_as_slow_later(now_s: float) -> float:
    return 2.0 if now_s > SECONDS / 2 else 1.0


def asking(ticket: int, now_s: float) -> Waiting[int]:
    return Waiting(
        ticket=ticket,
        model="m",
        inputs=PIXELS,
        plan=None,
        arrived_s=now_s,
        deadline_s=now_s + LIMIT_S,
    )


def played(pace: Pace, *, admitting: bool = True) -> tuple[Counter[str], int]:
    """What came of every request, and the longest queue. A batch's time varies by a tenth."""
    chance, outcomes, longest = random.Random(5), Counter[str](), 0
    batcher: Batcher[int] = Batcher(MAX_BATCH, 0.0, QUEUE)
    admission, free_s, now_s = Admission(MAX_BATCH), 0.0, 0.0
    running: list[Waiting[int]] = []
    started_s = 0.0

    def engine_until(until_s: float) -> None:
        nonlocal running, free_s, started_s
        while free_s <= until_s:
            if running:
                admission.ended()
                admission.took(running, free_s - started_s)
                outcomes.update(
                    "in time" if free_s <= one.deadline_s else "late" for one in running
                )
                running = []
            outcomes["late"] += len(batcher.expired(free_s))
            if admitting:
                for late, _ in admission.hopeless(batcher.queue, free_s):
                    batcher.remove(late.ticket)
                    outcomes["told later"] += 1
            running = batcher.take(free_s)
            if not running:
                free_s = until_s + 1e-9
                return
            admission.started(running, free_s)
            started_s = free_s
            size = 0.5 + 0.5 * len(running) / MAX_BATCH
            free_s += BATCH_S * size * pace(free_s) * chance.uniform(0.95, 1.05)

    admission.took([asking(0, 0.0)] * MAX_BATCH, BATCH_S)
    ticket = 0
    while now_s < SECONDS:
        now_s += chance.expovariate(TIMES * CAPACITY_HZ)
        engine_until(now_s)
        ticket += 1
        request = asking(ticket, now_s)
        try:
            if admitting:
                admission.check(batcher.queue, request, now_s)
            batcher.add(request)
        except UnavailableError:
            outcomes["refused"] += 1
        longest = max(longest, len(batcher.queue))
    return outcomes, longest


@pytest.mark.parametrize(("pace", "slowness"), [(steady, 1.0), (twice_as_slow_later, 4 / 3)])
def test_who_is_let_in_is_answered_in_time_and_the_engine_is_busy(
    pace: Pace, slowness: float
) -> None:
    outcomes, longest = played(pace)
    accepted = outcomes["in time"] + outcomes["late"]
    most = CAPACITY_HZ * SECONDS / slowness
    assert outcomes["in time"] >= 0.98 * accepted
    assert outcomes["in time"] >= 0.85 * most  # batches that become slower find some in vain
    assert outcomes["told later"] <= (0 if pace is steady else QUEUE)
    assert longest < QUEUE
    assert outcomes["refused"] > 0.9 * (TIMES - 1) * CAPACITY_HZ * SECONDS


def test_control_without_admission_most_are_too_late() -> None:
    outcomes, longest = played(steady, admitting=False)
    assert longest == QUEUE
    assert outcomes["late"] > outcomes["in time"]

"""GLOO's network thread steps back where there is one core, and nowhere else."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from puppet import ADDRESS, PATIENCE_S, join

from prism_edge.transport.gloo import GlooStore
from prism_edge.transport.quiet import NETWORK_THREAD, TASKS, network_threads, quieten


def tasks() -> list[Path]:
    return sorted(TASKS.iterdir())


@contextmanager
def thread_called(name: str) -> Iterator[int]:
    """A thread of this process with that name in the kernel, by its number."""
    ready, over = threading.Event(), threading.Event()

    def idle() -> None:
        ready.set()
        over.wait()

    thread = threading.Thread(target=idle)
    thread.start()
    ready.wait()
    number = thread.native_id
    assert number is not None
    Path(f"/proc/self/task/{number}/comm").write_text(name, encoding="utf-8")
    try:
        yield number
    finally:
        over.set()
        thread.join()
        gone(number)


def gone(number: int) -> None:
    """Return once the kernel has let go of a thread: ``join`` comes back a little earlier."""
    until = time.monotonic() + PATIENCE_S
    while (TASKS / str(number)).exists():
        assert time.monotonic() < until, f"thread {number} did not end"
        time.sleep(0.001)


def on_cores(cores: set[int], work: Callable[[], None]) -> None:
    """``work`` done by a thread that may use these cores only."""

    def run() -> None:
        os.sched_setaffinity(0, cores)
        work()

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()


def test_network_threads_are_known_by_name() -> None:
    with thread_called(NETWORK_THREAD) as ours, thread_called("gloo_other") as other:
        found = network_threads()
        assert ours in found
        assert other not in found
    assert ours not in network_threads()


def test_on_one_core_they_wait_for_everybody_else() -> None:
    core = {min(os.sched_getaffinity(0))}
    with thread_called(NETWORK_THREAD) as ours, thread_called("another") as other:
        on_cores(core, lambda: quieten({ours}))
        assert os.sched_getscheduler(ours) == os.SCHED_IDLE
        assert os.sched_getscheduler(other) == os.sched_getscheduler(0) == os.SCHED_OTHER


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="this machine has one core")
def test_on_several_cores_nothing_is_changed() -> None:
    with thread_called(NETWORK_THREAD) as ours:
        on_cores(os.sched_getaffinity(0), lambda: quieten({ours}))
        assert os.sched_getscheduler(ours) == os.SCHED_OTHER


@pytest.mark.gloo
def test_it_is_the_name_that_gloo_gives() -> None:
    before = network_threads()
    store = GlooStore(ADDRESS)
    group = join(store.store, store.port, epoch=1, rank=0, size=1)
    deadline_s = time.monotonic() + PATIENCE_S
    while network_threads() == before:  # it names itself, a moment after it has begun
        assert time.monotonic() < deadline_s, [(task / "comm").read_text() for task in tasks()]
    group.close()

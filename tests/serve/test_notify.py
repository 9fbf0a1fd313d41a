"""systemd hears of the daemon on a real socket: ready once, news at once, food while it lives."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import pytest

from prism_edge.serve.notify import LOOK_S, Notifier, Told, keep_told, news
from prism_edge.serve.service import Readiness

LOADING = Readiness(ready=False, reason="the engine is loading")
READY = Readiness(ready=True)
ALONE = Readiness(ready=True, reason="no other board is in service:\nlocal only")


@contextmanager
def manager(address: str) -> Iterator[socket.socket]:
    """A service manager's end; ``@`` at the front stands for an abstract socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as found:
        found.bind(f"\0{address[1:]}" if address.startswith("@") else address)
        found.settimeout(30)
        yield found


def heard(end: socket.socket) -> list[str]:
    return end.recv(4096).decode().splitlines()


@pytest.fixture(params=["path", "abstract"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "path":
        return str(tmp_path / "notify")
    return f"@prism-edge/{os.getpid()}/{tmp_path.name}"


def test_lines_arrive_as_one_datagram(address: str) -> None:
    with manager(address) as end:
        Notifier({"NOTIFY_SOCKET": address}, 1).say("READY=1", "STATUS=x")
        assert heard(end) == ["READY=1", "STATUS=x"]


@pytest.mark.parametrize("environ", [{}, {"NOTIFY_SOCKET": ""}, {"NOTIFY_SOCKET": "/none/there"}])
def test_nobody_there_is_no_error(environ: dict[str, str]) -> None:
    Notifier(environ, 1).say("READY=1")


@pytest.mark.parametrize(
    ("environ", "watchdog_s"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "30000000"}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "7"}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "8"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
    ],
)
def test_the_watchdog_is_that_of_this_process(
    environ: dict[str, str], watchdog_s: float | None
) -> None:
    assert Notifier(environ, 7).watchdog_s == watchdog_s


def told(*moments: tuple[float, Readiness, bool], watchdog_s: float | None) -> list[list[str]]:
    """What is said at each (time, readiness, alive)."""
    state, said = Told(), []
    for now_s, readiness, alive in moments:
        state, lines = news(state, readiness, alive=alive, now_s=now_s, watchdog_s=watchdog_s)
        said.append(lines)
    return said


def test_ready_is_said_once_and_news_when_there_are_any() -> None:
    assert told(
        (0, LOADING, True),
        (1, LOADING, True),
        (2, READY, True),
        (3, ALONE, True),
        (4, READY, True),
        watchdog_s=None,
    ) == [
        ["STATUS=not ready: the engine is loading"],
        [],
        ["READY=1", "STATUS=ready"],
        ["STATUS=ready: no other board is in service: local only"],  # one line, or it is another
        ["STATUS=ready"],
    ]


def test_the_watchdog_is_fed_twice_in_its_time_and_never_while_the_supervisor_is_stuck() -> None:
    moments = [(k * LOOK_S, READY, not 100 <= k < 200) for k in range(300)]
    said = told(*moments, watchdog_s=10.0)
    fed = [k * LOOK_S for k, lines in enumerate(said) if "WATCHDOG=1" in lines]
    assert fed[0] == 0.0
    assert not [at for at in fed if 25.0 <= at < 50.0]
    gaps = [late - early for early, late in pairwise(fed)]
    assert all(gap <= 5.0 for gap in gaps if gap < 25)
    assert max(gaps) > 25.0  # the control: while stuck nothing was said
    assert told((0, READY, True), watchdog_s=None) == [["READY=1", "STATUS=ready"]]


def test_a_daemon_tells_from_its_event_loop(address: str) -> None:
    async def scene(end: socket.socket) -> None:
        notifier = Notifier({"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "1000000"}, 1)
        states = iter([LOADING])
        task = asyncio.create_task(
            keep_told(notifier, lambda: next(states, ALONE), lambda now_s: True)
        )
        said = []
        while "READY=1" not in said:
            said += await asyncio.to_thread(heard, end)
        assert said[:2] == ["STATUS=not ready: the engine is loading", "WATCHDOG=1"]
        while said.count("WATCHDOG=1") < 3:
            said += await asyncio.to_thread(heard, end)
        assert said.count("READY=1") == 1
        task.cancel()
        await asyncio.wait([task])

    with manager(address) as end:
        asyncio.run(scene(end))

"""Three emulated boards under load while engines, agents, cables and whole boards fail.

Every request is answered exactly once, as the model itself answers it, or refused with 503; then
all boards are in service again and hold no more than before. One strike of each kind;
``PRISM_EDGE_CHAOS=full`` makes it 20, 10, 5, 5, 10, 5 and 3, ``-s`` shows as JSON how it went, and
``PRISM_EDGE_CHAOS_JSON=FILE`` keeps that.
"""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from boards_in_lab import Boards, Held, send
from chaos_figures import figures
from daemons import until
from load import REFUSAL, Load, counted

from prism_edge.cluster.lab import Lab
from prism_edge.cluster.modes import obstacle
from prism_edge.energy.journal import read

pytestmark = [pytest.mark.lab, pytest.mark.gloo, pytest.mark.slow, pytest.mark.timeout(900)]

FULL = os.environ.get("PRISM_EDGE_CHAOS") == "full"
RATE_BPS = 8e6  # a request of all boards takes about half a second
ALL, TWO = "voltage:p=3,dtype=fp32", "voltage:p=2,dtype=fp32"
MORE_MIB = 64.0  # what a process may hold beyond what it held: fragments, not a leak per strike
MORE_FILES = 8

Strike = Callable[[Boards, int], tuple[float, float]]  # when it struck, when the board was back


@pytest.fixture(scope="module")
def boards(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Boards]:
    refused = obstacle("root")
    if refused is not None:  # the boards of a rootless lab are out of this process's reach
        pytest.skip(refused)
    lab = Lab.up("chaos", 3, RATE_BPS, mode="root", root=tmp_path_factory.mktemp("labs"))
    found = None
    try:
        found = Boards(lab, tmp_path_factory.mktemp("boards"))
        found.together()
        yield found
    finally:
        if found is not None:
            found.end()
        lab.down()


def worker_of(boards: Boards, number: int) -> str:
    return boards.names[1 + number % 2]


def engine_killed(boards: Boards, name: str) -> tuple[float, float]:
    engine, start_s = boards.daemons[name].engine(), time.time()
    send(signal.SIGKILL, engine)
    boards.until_next_engine(name, engine)
    return start_s, time.time()


def workers_engine(boards: Boards, number: int) -> tuple[float, float]:
    return engine_killed(boards, worker_of(boards, number))


def leaders_engine(boards: Boards, number: int) -> tuple[float, float]:
    return engine_killed(boards, boards.names[0])


def workers_agent(boards: Boards, number: int) -> tuple[float, float]:
    name, start_s = worker_of(boards, number), time.time()
    send(signal.SIGKILL, boards.daemons[name].process.pid)
    boards.start(name).until_ready()
    return start_s, time.time()


def board_frozen(boards: Boards, number: int) -> tuple[float, float]:
    """The whole board, as when its power supply sags."""
    name = worker_of(boards, number)
    daemon, start_s = boards.daemons[name], time.time()
    engine = daemon.engine()
    send(signal.SIGSTOP, daemon.process.pid, engine)
    try:
        until(lambda: not in_group(boards, name), "the loss of a frozen board")
    finally:
        send(signal.SIGCONT, engine, daemon.process.pid)
    return start_s, time.time()


def engine_frozen(boards: Boards, number: int) -> tuple[float, float]:
    name, start_s = worker_of(boards, number), time.time()
    engine = boards.daemons[name].engine()
    send(signal.SIGSTOP, engine)
    boards.until_next_engine(name, engine)
    return start_s, time.time()


def cable_pulled(boards: Boards, number: int) -> tuple[float, float]:
    name, start_s = worker_of(boards, number), time.time()
    boards.lab.set_link(name, up=False)
    try:
        until(lambda: not in_group(boards, name), "the loss of a board without a cable")
    finally:
        boards.lab.set_link(name, up=True)
    return start_s, time.time()


def both_workers(boards: Boards, number: int) -> tuple[float, float]:
    names, start_s = boards.names[1:], time.time()
    engines = [boards.daemons[name].engine() for name in names]
    send(signal.SIGKILL, *engines)
    for name, engine in zip(names, engines, strict=True):
        boards.until_next_engine(name, engine)
    return start_s, time.time()


def in_group(boards: Boards, name: str) -> bool:
    found = {board["name"]: board["in_group"] for board in boards.leader.status()["boards"]}
    return bool(found[name])


KILLED_S, SILENT_S = 0.5, 10.0  # within which it is noticed; the latter is configured
# how often in full and otherwise, and how soon it is noticed
KINDS: dict[str, tuple[Strike, int, int, float]] = {
    "a worker's engine is killed": (workers_engine, 20, 1, KILLED_S),
    "a worker's agent is killed": (workers_agent, 10, 1, KILLED_S),
    "a board is frozen": (board_frozen, 5, 1, SILENT_S),
    "a worker's engine is frozen": (engine_frozen, 5, 0, SILENT_S),
    "a cable is pulled": (cable_pulled, 10, 1, SILENT_S),
    "the leader's engine is killed": (leaders_engine, 5, 1, KILLED_S),
    "both workers are killed": (both_workers, 3, 1, KILLED_S),
}


@pytest.fixture(scope="module")
def told() -> Iterator[dict[str, object]]:
    """The figures of every kind, for people who run this by hand."""
    found: dict[str, object] = {}
    yield found
    text = json.dumps(found, indent=1)
    print(f"\n{text}")
    if path := os.environ.get("PRISM_EDGE_CHAOS_JSON"):
        Path(path).write_text(text + "\n")


@pytest.mark.parametrize("kind", [kind for kind in KINDS if KINDS[kind][1 if FULL else 2]])
def test_every_request_is_answered_once_and_all_boards_are_back(
    kind: str, boards: Boards, told: dict[str, object]
) -> None:
    strike, often, seldom, notice_s = KINDS[kind]
    boards.together()
    before, metrics = boards.held(), counted(boards.leader.get("/metrics").text)
    struck, returned = [], []
    with Load(boards.leader.url, "net", boards.cases([ALL, TWO, ALL])) as load:
        until(lambda: len(load.told) >= 6, "a load")
        for number in range(often if FULL else seldom):
            struck_s, back_s = strike(boards, number)
            waited_s = boards.together()
            struck.append(struck_s)
            returned.append(time.time() - back_s)
            assert waited_s < 60
            count = len(load.told)
            until(lambda count=count: len(load.told) > count + 3, "answers of all boards")  # type: ignore[misc]
        load.stop()
    assert load.wrong() == []
    answered = counted(boards.leader.get("/metrics").text) - metrics
    counts = load.counts()
    assert (answered["ok"], answered["unavailable"]) == (counts[200], counts[REFUSAL])
    assert sum(answered.values()) == len(load.told)
    assert load.told[-1].plan in (ALL, TWO)  # with other boards again
    nothing_is_left_behind(boards, before)
    held = {name: (before[name], now) for name, now in boards.held().items()}
    told[kind] = figures(load, noticed_s(boards, struck), returned, held, notice_s)


def noticed_s(boards: Boards, struck: list[float]) -> list[float]:
    """How long after each strike the leader said that it has lost something."""
    time.sleep(1.2)  # the journal's last second
    losses = [
        event.t_s for event in read(boards.journal).events if event.kind in ("lost", "engine")
    ]
    return [min((t_s for t_s in losses if t_s >= at_s), default=at_s) - at_s for at_s in struck]


def nothing_is_left_behind(boards: Boards, before: dict[str, Held]) -> None:
    def excess() -> list[str]:
        found = []
        for name, now in boards.held().items():
            was = before[name]
            found += [f"{name}: {now} after {was}"] * (
                now.processes > was.processes
                or now.files > was.files + MORE_FILES
                or now.sockets > was.sockets + MORE_FILES
                or now.threads > was.threads + MORE_FILES
                or now.abandoned > was.abandoned
                or now.agent_mib > was.agent_mib + MORE_MIB
                or now.engine_mib > was.engine_mib + MORE_MIB
            )
        return found

    until(lambda: not excess(), f"boards that hold no more than before: {excess()}")


def test_the_journal_is_whole(boards: Boards) -> None:
    with closing(sqlite3.connect(boards.journal)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert {request.ok for request in read(boards.journal).requests} == {True}

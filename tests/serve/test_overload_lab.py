"""Two emulated boards under load: more than they can answer, being stopped, and being killed.

``PRISM_EDGE_CHAOS=full`` overloads them for a minute; ``-s`` shows how it went.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing

import httpx
import pytest
from boards_in_lab import Boards, resident_mib, send
from daemons import until
from load import Case, Load, Told, judged, percentile, request_of

from prism_edge.cluster.lab import Lab
from prism_edge.cluster.modes import obstacle
from prism_edge.energy.journal import read

pytestmark = [pytest.mark.lab, pytest.mark.gloo, pytest.mark.slow, pytest.mark.timeout(300)]

OVERLOAD_S = 60.0 if os.environ.get("PRISM_EDGE_CHAOS") == "full" else 4.0
TIMES = 20  # what can be answered
RATE_BPS = 8e6
QUEUE, TIMEOUT_S = 16, 45
MORE_MIB = 64.0
ATTENDED = 64
VOLTAGE = "voltage:p=2,dtype=fp32"


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    refused = obstacle("root")
    if refused is not None:  # the boards of a rootless lab are out of this process's reach
        pytest.skip(refused)
    lab = Lab.up("overload", 2, RATE_BPS, mode="root", root=tmp_path_factory.mktemp("labs"))
    try:
        yield lab
    finally:
        lab.down()


@pytest.fixture(scope="module")
def boards(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Boards]:
    limits = {"queue": QUEUE, "timeout_s": TIMEOUT_S}
    found = Boards(lab, tmp_path_factory.mktemp("boards"), limits)
    try:
        yield found
    finally:
        found.end()


@pytest.fixture
def together(boards: Boards) -> Boards:
    for name, daemon in boards.daemons.items():
        if daemon.process.poll() is not None:
            boards.start(name)
    boards.together()
    return boards


async def pelt(url: str, cases: list[Case], per_s: float, for_s: float) -> list[Told]:
    """``per_s`` requests a second, whether or not those before them have been answered; as long as
    no more are under way than this client can attend to, or it would be the slow one."""
    # each has a connection of its own: one that is kept may be ended by one side while the other
    # begins to use it again, which a client would have to try again
    limits = httpx.Limits(max_connections=ATTENDED, max_keepalive_connections=0)
    async with httpx.AsyncClient(timeout=60.0, trust_env=False, limits=limits) as client:

        async def one(case: Case) -> Told:
            body, headers = request_of(case)
            sent_s = time.monotonic()
            return judged(await client.post(url, content=body, headers=headers), case, sent_s)

        start_s, asked = time.monotonic(), []
        while (now_s := time.monotonic() - start_s) < for_s:
            under_way = sum(not one.done() for one in asked)
            while len(asked) < now_s * per_s and under_way < ATTENDED:
                under_way += 1
                asked.append(asyncio.ensure_future(one(cases[len(asked) % len(cases)])))
            await asyncio.sleep(0.01)
        return list(await asyncio.gather(*asked))


def test_more_than_can_be_answered_is_refused_at_once_and_the_rest_is_in_time(
    together: Boards,
) -> None:
    leader, cases = together.leader, together.cases([VOLTAGE] * 8)
    url = f"{leader.url}/v2/models/net/infer"
    with Load(leader.url, "net", cases) as load:  # as many clients as are batched
        start_s = time.monotonic()
        until(lambda: len(load.told) >= 16, "a rate that can be sustained")
        sustained = len(load.told) / (time.monotonic() - start_s)
    assert load.wrong() == []
    before_mib = resident_mib(leader.process.pid)
    told = asyncio.run(pelt(url, cases, TIMES * sustained, OVERLOAD_S))
    grown_mib = resident_mib(leader.process.pid) - before_mib
    assert [one for one in told if one.wrong is not None] == []
    answered = [one.took_s for one in told if one.status == 200]
    refused = [one.took_s for one in told if one.status != 200]
    assert answered
    assert len(refused) > len(told) / 2
    assert grown_mib < MORE_MIB
    start_s = time.monotonic()
    after = judged_alone(url, cases[0])
    assert (after.status, after.wrong) == (200, None)
    assert leader.status()["queue"] == 0
    print(
        f"\n{TIMES} x {sustained:.1f} requests/s for {OVERLOAD_S:g} s: {len(answered)} of "
        f"{len(told)} answered, p50 {percentile(answered, 0.5):.2f} s, p99 "
        f"{percentile(answered, 0.99):.2f} s, slowest {max(answered):.2f} s; refusals p99 "
        f"{percentile(refused, 0.99):.3f} s; agent {before_mib:.0f} MiB and {grown_mib:+.1f} MiB; "
        f"the next request took {time.monotonic() - start_s:.2f} s"
    )


def judged_alone(url: str, case: Case) -> Told:
    body, headers = request_of(case)
    sent_s = time.monotonic()
    reply = httpx.post(url, content=body, headers=headers, timeout=60.0, trust_env=False)
    return judged(reply, case, sent_s)


def fallbacks(boards: Boards) -> float:
    lines = boards.leader.get("/metrics").text.splitlines()
    found = [line for line in lines if line.startswith('prism_edge_fallbacks_total{reason="peer')]
    return sum(float(line.split()[-1]) for line in found)


def test_a_worker_that_is_stopped_under_load_costs_no_batch(together: Boards) -> None:
    worker = together.names[1]
    before = fallbacks(together)
    with Load(together.leader.url, "net", together.cases([VOLTAGE] * 3)) as load:
        until(lambda: len(load.told) >= 6, "a load")
        assert together.daemons[worker].stop() == 0
        count = len(load.told)
        until(lambda: len(load.told) > count + 6, "answers without the worker")
    assert load.wrong() == []
    assert set(load.counts()) == {200}
    assert load.told[-1].plan == "local"
    assert fallbacks(together) == before  # no batch was lost with it


def test_the_leader_stopped_under_load_loses_nothing_that_it_admitted(together: Boards) -> None:
    leader = together.leader
    rows = sum(row.batch for row in read(together.journal).requests if row.ok)
    with Load(leader.url, "net", together.cases([VOLTAGE] * 6)) as load:
        until(lambda: len(load.told) >= 12, "a load")
        leader.process.send_signal(signal.SIGTERM)
        assert leader.ended() == 0
        load.stop()
    # a request that meets a closed door, or one that closes, has not been admitted
    assert [told for told in load.wrong() if told.status] == []
    assert load.counts()[200] >= 12
    journal = read(together.journal)  # it has every request that was admitted
    assert sum(row.batch for row in journal.requests if row.ok) - rows == load.counts()[200]
    assert all(row.ok for row in journal.requests)


def test_a_killed_leader_leaves_a_whole_journal_that_lacks_no_more_than_its_last_second(
    together: Boards,
) -> None:
    leader = together.leader
    rows = sum(row.batch for row in read(together.journal).requests if row.ok)
    with Load(leader.url, "net", together.cases([VOLTAGE] * 3)) as load:
        start_s = time.monotonic()
        until(lambda: time.monotonic() > start_s + 4.0 and len(load.told) > 12, "a load")
        killed_s = time.monotonic()
        send(signal.SIGKILL, leader.process.pid)
        leader.ended()
        load.stop()
    ends = sorted(told.sent_s + told.took_s for told in load.told if told.status == 200)
    # a machine that stands still costs the journal no more than it costs the clients
    still_s = max(later - sooner for sooner, later in zip(ends, [*ends[1:], killed_s], strict=True))
    older = [end_s for end_s in ends if end_s < killed_s - 1.0 - still_s]
    with closing(sqlite3.connect(together.journal)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    found = sum(row.batch for row in read(together.journal).requests if row.ok) - rows
    assert 0 < len(older) <= found
    missing = [killed_s - end_s for end_s in ends[found:]]
    print(
        f"\n{len(ends)} answered, {found} in the journal; the oldest that is missing was answered "
        f"{max(missing, default=0.0):.2f} s before; no answers for {still_s:.2f} s at most"
    )

"""A worker's agent against a leader that is a script: hellos out, seats in, never stuck."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from engine_puppet import FINGERPRINT, argv, orders
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send

from prism_edge.energy.sample import Sample
from prism_edge.engine.client import local_popen
from prism_edge.engine.manifest import PROTOCOL
from prism_edge.errors import UnavailableError
from prism_edge.serve.daemon import end
from prism_edge.serve.service import InferCall
from prism_edge.serve.supervisor import Supervisor
from prism_edge.serve.worker import Worker
from prism_edge.settings import BoardSettings, ModelSettings, ServeSettings, Settings

PATIENCE_S = 30.0
SEAT = {"rank": 1, "size": 2, "store_host": "127.0.0.1", "store_port": 4242}


class Leader:
    """What the worker talks to: notes hellos, hands out one seat, may be broken."""

    def __init__(self) -> None:
        self.heard: list[dict[str, Any]] = []
        self.tokens: set[str | None] = set()
        self.seat: Mapping[str, object] | None = None
        self.status = 200
        self.ahead_s: float | None = None  # of its clock, if it says what that is

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        assert (request.method, request.url.path) == ("POST", "/cluster/hello")
        said = json.loads(await request.body())
        self.tokens.add(request.headers.get("authorization"))
        status, ahead_s = self.status, self.ahead_s  # the test's thread may change them meanwhile
        if status == 200:
            self.heard.append(said)
        clock = {} if ahead_s is None else {"now_s": time.time() + ahead_s}
        await JSONResponse({"seat": self.seat, **clock}, status)(scope, receive, send)

    def offer(self, epoch: int) -> None:
        self.seat = {"epoch": epoch, **SEAT}

    @property
    def last(self) -> dict[str, Any]:
        return self.heard[-1] if self.heard else {}


async def until(condition: Callable[[], object]) -> None:
    for _ in range(int(PATIENCE_S / 0.01)):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError(f"not within {PATIENCE_S} s")


@asynccontextmanager
async def working(
    stage: Any, directory: Path, token: str | None = None, start: bool = True
) -> AsyncIterator[tuple[Worker, Leader]]:
    leader = Leader()
    stage.app = leader
    settings = Settings(
        name="c",
        leader="a",
        profiles=directory,
        boards=(
            BoardSettings(name="a", address="127.0.0.1"),
            BoardSettings(name="b", address="127.0.0.2"),
        ),
        models=(ModelSettings(name="m", path=directory),),
        serve=ServeSettings(port=stage.port),
    )
    worker = Worker(settings, "b", token)
    supervisor = Supervisor(argv(directory), local_popen, worker.engine_event)
    worker.engine = supervisor
    tasks = [asyncio.create_task(worker.run())]
    if start:
        tasks.append(asyncio.create_task(supervisor.run()))
        await supervisor.until_ready(PATIENCE_S)
    try:
        yield worker, leader
    finally:
        await end(tasks)
        await supervisor.stop()
        stage.app = None


def play(scene: Callable[[], Awaitable[None]]) -> None:
    async def limited() -> None:
        await asyncio.wait_for(scene(), 2 * PATIENCE_S)

    asyncio.run(limited())


def kinds(directory: Path) -> list[str]:
    return [kind for kind, _ in orders(directory)]


def test_a_hello_says_what_the_leader_must_know(stage: Any, tmp_path: Path) -> None:
    async def scene() -> None:
        async with working(stage, tmp_path, token="secret") as (worker, leader):
            await until(lambda: leader.last.get("ready"))
            assert worker.engine is not None
            assert leader.last == {
                "board": "b",
                "instance": worker.engine.instance,
                "ready": True,
                "models": {"m": FINGERPRINT},
                "protocol": PROTOCOL,
                "seat": None,
                "left": None,
                "leaving": False,
                "power": [],
            }
            assert leader.tokens == {"Bearer secret"}

    play(scene)


def test_it_tells_how_far_its_clock_is_from_the_leaders(stage: Any, tmp_path: Path) -> None:
    async def scene() -> None:
        async with working(stage, tmp_path) as (_, leader):
            for ahead_s in (3600.0, -50.0):  # and is not misled by what it knew before
                leader.ahead_s = ahead_s
                await until(lambda a=ahead_s: abs(leader.last.get("clock", [9e9])[0] + a) < 20)
                offset_s, bound_s = leader.last["clock"]
                assert abs(offset_s + ahead_s) <= bound_s + 1e-3

    play(scene)


def test_a_board_that_is_loading_says_so(stage: Any, tmp_path: Path) -> None:
    async def scene() -> None:
        async with working(stage, tmp_path, start=False) as (worker, leader):
            await until(lambda: leader.heard)
            assert leader.last["ready"] is False
            assert leader.tokens == {None}
            assert not worker.readiness().ready
            leader.offer(1)  # a seat for an engine that is not there is not taken
            count = len(leader.heard)
            await until(lambda: len(leader.heard) > count + 1)
            assert leader.last["seat"] is None

    play(scene)


def test_it_takes_the_seat_it_is_given_and_says_so(stage: Any, tmp_path: Path) -> None:
    async def scene() -> None:
        async with working(stage, tmp_path) as (worker, leader):
            assert worker.readiness().reason is not None
            leader.offer(5)
            await until(lambda: leader.last.get("seat") == 5)
            assert worker.readiness().reason is None
            assert worker.status()["epoch"] == 5
            leader.offer(6)
            await until(lambda: leader.last.get("seat") == 6)
            leader.seat = None
            await until(lambda: leader.last.get("seat") is None)
        found = [(kind, fields["epoch"]) for kind, fields in orders(tmp_path)]
        assert found == [("join", 5), ("join", 6), ("leave", 6)]
        assert orders(tmp_path)[0][1] == {"epoch": 5, **SEAT}

    play(scene)


def test_a_group_its_engine_fell_out_of_is_reported_and_not_entered_again(
    stage: Any, tmp_path: Path
) -> None:
    async def scene() -> None:
        (tmp_path / "clumsy").touch()
        async with working(stage, tmp_path) as (_, leader):
            leader.offer(1)
            await until(lambda: leader.last.get("left") == 1)
            count = len(leader.heard)
            await until(lambda: len(leader.heard) > count + 2)
            assert leader.last["seat"] is None
            await until(lambda: kinds(tmp_path) == ["join"])
            (tmp_path / "clumsy").unlink()
            leader.offer(2)
            await until(lambda: leader.last.get("seat") == 2)

    play(scene)


def test_a_new_engine_has_no_seat_and_another_name(stage: Any, tmp_path: Path) -> None:
    async def scene() -> None:
        async with working(stage, tmp_path) as (worker, leader):
            leader.offer(1)
            await until(lambda: leader.last.get("seat") == 1)
            before = leader.last["instance"]
            leader.seat = None
            assert worker.engine is not None
            worker.engine.kill()
            await until(lambda: leader.last["instance"] != before and leader.last["ready"])
            assert leader.last["seat"] is None
            leader.offer(2)
            await until(lambda: leader.last.get("seat") == 2)

    play(scene)


@pytest.mark.parametrize("status", [500, 401])
def test_a_leader_that_answers_nothing_useful_has_closed_the_epoch(
    status: int, stage: Any, tmp_path: Path
) -> None:
    async def scene() -> None:
        async with working(stage, tmp_path) as (worker, leader):
            leader.offer(1)
            await until(lambda: leader.last.get("seat") == 1)
            leader.status = status
            await until(lambda: worker.status()["epoch"] is None)
            await until(lambda: kinds(tmp_path) == ["join", "leave"])
            leader.status = 200
            leader.offer(2)
            await until(lambda: leader.last.get("seat") == 2)

    play(scene)


def test_power_samples_travel_once_and_are_kept_while_the_leader_is_away(
    stage: Any, tmp_path: Path
) -> None:
    async def scene() -> None:
        async with working(stage, tmp_path) as (worker, leader):
            leader.status = 503
            for k in range(3):
                worker.sample(Sample(board="b", t_s=k, power_w=5 + k, source="modelled"))
            sent = [[k, 5 + k, "modelled"] for k in range(3)]
            leader.heard.clear()
            leader.status = 200
            await until(lambda: len(leader.heard) > 2)
            assert [item for said in leader.heard for item in said["power"]] == sent

    play(scene)


def test_a_worker_that_drains_sits_until_the_leader_lets_it_go(stage: Any, tmp_path: Path) -> None:
    async def scene() -> None:
        async with working(stage, tmp_path) as (worker, leader):
            leader.offer(1)
            await until(lambda: leader.last.get("seat") == 1)
            drained = asyncio.create_task(worker.drain(PATIENCE_S))
            await until(lambda: leader.last.get("leaving"))
            assert worker.readiness().reason == "draining"
            count = len(leader.heard)
            await until(lambda: len(leader.heard) > count + 2)
            assert (leader.last["seat"], drained.done()) == (1, False)
            leader.seat = None
            await drained
            await until(lambda: kinds(tmp_path) == ["join", "leave"])

    play(scene)


def test_a_worker_that_drains_does_not_wait_for_ever(stage: Any, tmp_path: Path) -> None:
    async def scene() -> None:
        async with working(stage, tmp_path) as (worker, leader):
            await worker.drain(PATIENCE_S)  # there was nothing to wait for
            worker.draining = False
            leader.offer(1)
            await until(lambda: leader.last.get("seat") == 1)
            await worker.drain(0.1)
            assert worker.status()["epoch"] == 1

    play(scene)


def test_it_sends_users_to_the_leader(stage: Any, tmp_path: Path) -> None:
    async def scene() -> None:
        async with working(stage, tmp_path, start=False) as (worker, _):
            with pytest.raises(
                UnavailableError, match=f"leader, a at http://127.0.0.1:{stage.port}"
            ):
                await worker.infer(InferCall(model="m", request_id="r", inputs={}))

    play(scene)

"""Pages that watch: one snapshot for all, few of them, none that holds a place for ever."""

from __future__ import annotations

import asyncio
import itertools
import json
import socket
import time
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest
from starlette.types import Message

from prism_edge.errors import UnavailableError
from prism_edge.serve.twin import Echo
from prism_edge.serve.watch import MOST, Watch

PATIENCE_S = 30.0
SCOPE = {"type": "http", "asgi": {"version": "3.0", "spec_version": "2.3"}}


class Client:
    """A client on the other side of ASGI, and what it was sent."""

    def __init__(self, watch: Watch) -> None:
        self.body = b""
        self.ended = False
        self.news = asyncio.Event()
        self._gone = asyncio.Event()
        self.task = asyncio.create_task(watch.stream()(SCOPE, self._receive, self._send))

    async def _receive(self) -> Message:
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        self.body += message.get("body", b"")
        self.ended = message["type"] == "http.response.body" and not message["more_body"]
        self.news.set()

    @property
    def snapshots(self) -> list[Any]:
        blocks = self.body.decode().split("\n\n")
        return [json.loads(block[6:]) for block in blocks if block.startswith("data: ")]

    async def until(self, count: int) -> list[Any]:
        while len(self.snapshots) < count:
            self.news.clear()
            await self.news.wait()
        return self.snapshots

    async def leave(self) -> None:
        self._gone.set()
        await self.task


def play(scene: Callable[[], Awaitable[None]]) -> None:
    async def limited() -> None:
        await asyncio.wait_for(scene(), PATIENCE_S)

    asyncio.run(limited())


def counting() -> Callable[[], dict[str, object]]:
    numbers = itertools.count()
    return lambda: {"number": next(numbers)}


def test_all_clients_are_sent_the_same_snapshot_made_once() -> None:
    async def scene() -> None:
        watch = Watch(counting(), period_s=1000.0)
        clients = [Client(watch) for _ in range(5)]
        for client in clients:
            assert await client.until(1) == [{"number": 0}]
            assert client.body.startswith(b"retry: 2000\n\ndata: {")
        for client in clients:
            await client.leave()
        assert watch.clients == 0

    play(scene)


def test_a_client_is_sent_one_after_the_other() -> None:
    async def scene() -> None:
        watch = Watch(counting(), period_s=0.01)
        client = Client(watch)
        found = await client.until(5)
        assert [one["number"] for one in found[:5]] == [0, 1, 2, 3, 4]
        await client.leave()

    play(scene)


def test_nothing_is_made_while_nobody_watches() -> None:
    async def scene() -> None:
        made = []
        watch = Watch(lambda: made.append(1) or {}, period_s=0.01)  # type: ignore[func-returns-value]
        await asyncio.sleep(0.1)
        assert made == []
        client = Client(watch)
        await client.until(1)
        await client.leave()

    play(scene)


def test_one_more_than_the_most_is_refused_until_one_leaves() -> None:
    async def scene() -> None:
        watch = Watch(counting())
        clients = [Client(watch) for _ in range(MOST)]
        for client in clients:
            await client.until(1)
        with pytest.raises(UnavailableError, match="16 pages watch already"):
            watch.stream()
        await clients[0].leave()
        another = Client(watch)
        await another.until(1)
        for client in [another, *clients[1:]]:
            await client.leave()

    play(scene)


def test_every_stream_ends_when_the_daemon_drains() -> None:
    async def scene() -> None:
        watch = Watch(counting(), period_s=1000.0)
        clients = [Client(watch) for _ in range(3)]
        for client in clients:
            await client.until(1)
        watch.close()
        for client in clients:
            await client.task
            assert client.ended
            assert client.body.endswith(b"event: end\ndata: draining\n\n")
        assert watch.clients == 0
        with pytest.raises(UnavailableError, match="draining"):
            watch.stream()

    play(scene)


def test_a_snapshot_that_cannot_be_made_frees_the_place() -> None:
    async def scene() -> None:
        watch = Watch(lambda: {"x": float("nan")})
        client = Client(watch)
        with pytest.raises(ValueError, match="not JSON compliant"):
            await client.task
        assert watch.clients == 0

    play(scene)


def test_over_http_it_is_an_event_stream_for_those_who_have_the_token(serve: Any) -> None:
    served = serve(Echo(), token="sesame")
    url = f"{served.url}/events"
    assert httpx.get(url, trust_env=False, timeout=60).status_code == 401
    headers = {"Authorization": "Bearer sesame"}
    assert httpx.head(url, headers=headers, trust_env=False, timeout=60).status_code == 200
    with httpx.stream("GET", url, headers=headers, trust_env=False, timeout=PATIENCE_S) as reply:
        assert reply.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert reply.headers["cache-control"] == "no-store"
        lines = itertools.islice(reply.iter_lines(), 3)
        retry, _, data = lines
        assert retry == "retry: 2000"
        assert json.loads(data.removeprefix("data: "))["state"] == "ready"


def test_who_hangs_up_at_any_moment_leaves_no_trace(serve: Any) -> None:
    served = serve(Echo())
    for _ in range(3 * MOST):
        with socket.create_connection(("127.0.0.1", served.port)) as connection:
            connection.sendall(b"GET /events HTTP/1.1\r\nHost: x\r\n\r\n")
            assert connection.recv(12)
    deadline_s = time.monotonic() + PATIENCE_S  # the last ones may not have been noticed yet
    while (reply := first_line(served.port)) != b"HTTP/1.1 200 OK":
        assert time.monotonic() < deadline_s, reply


def first_line(port: int) -> bytes:
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(b"GET /events HTTP/1.1\r\nHost: x\r\n\r\n")
        return connection.makefile("rb").readline().strip()

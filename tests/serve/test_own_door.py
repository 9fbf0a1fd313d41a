"""A daemon whose engine is well and whose HTTP is not does not count as ready."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest
from starlette.responses import PlainTextResponse

from prism_edge.errors import ServiceError
from prism_edge.serve.listen import listen
from prism_edge.serve.own_door import Door, own_url
from prism_edge.serve.service import Readiness
from prism_edge.serve.twin import Echo

READY = Readiness(ready=True)


async def opened(door: Door, url: str, token: str | None = None) -> None:
    """Returns once the door is open; raises what asking raises."""
    asking = asyncio.create_task(door.ask(url, token))
    try:
        while not door.readiness().ready:
            if asking.done():
                asking.result()
            await asyncio.sleep(0.01)
    finally:
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)


@pytest.mark.parametrize("token", [None, "sesame"])
def test_a_door_that_opens(serve: Any, token: str | None) -> None:
    served = serve(Echo(), token=token)
    door = Door("a", lambda: READY)
    assert door.readiness() == Readiness(ready=False, reason="not yet asked over HTTP")
    asyncio.run(opened(door, served.url, token))
    assert door.readiness() == READY


def test_a_wrong_token_is_a_closed_door(serve: Any) -> None:
    served = serve(Echo(), token="sesame")
    door = Door("a", lambda: READY)
    with pytest.raises(ServiceError, match=r"board a: .*/v2/health/ready answers 401"):
        asyncio.run(opened(door, served.url, "x"))
    assert not door.readiness().ready


def test_http_that_answers_500_to_everything(stage: Any) -> None:
    stage.app = PlainTextResponse("broken", 500)
    try:
        with pytest.raises(ServiceError, match="ready answers 500: broken"):
            asyncio.run(opened(Door("a", lambda: READY), f"http://127.0.0.1:{stage.port}"))
    finally:
        stage.app = None


def test_nobody_behind_the_door() -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        url = own_url("http", gone)
    with pytest.raises(ServiceError, match="does not answer: ConnectError"):
        asyncio.run(opened(Door("a", lambda: READY), url))


def test_503_while_the_engine_is_lost_is_no_fault_of_the_door(stage: Any) -> None:
    answers = [PlainTextResponse("ok"), PlainTextResponse("lost", 503)]
    now = [READY]
    looks = iter(range(100_000))

    async def app(scope: Any, receive: Any, send: Any) -> None:
        answer = answers.pop()
        if answer.status_code == 503:
            now[0] = Readiness(ready=False, reason="lost")
        await answer(scope, receive, send)

    def readiness() -> Readiness:
        if next(looks) > 20:
            now[0] = READY
        return now[0]

    stage.app = app
    try:
        asyncio.run(opened(Door("a", readiness), f"http://127.0.0.1:{stage.port}"))
    finally:
        stage.app = None
    assert answers == []


@pytest.mark.parametrize(
    ("host", "url"), [("127.0.0.1", "https://127.0.0.1:"), ("0.0.0.0", "https://127.0.0.1:")]
)
def test_where_it_asks(host: str, url: str) -> None:
    with listen(host, 0) as listener:
        assert own_url("https", listener) == f"{url}{listener.getsockname()[1]}"

"""Work lives as long as somebody waits for it."""

import asyncio
from collections.abc import Coroutine

import pytest
from starlette.requests import ClientDisconnect
from starlette.types import Message, Receive

from prism_edge.errors import DeadlineError, UnavailableError
from prism_edge.serve.hangup import unless_hung_up

Events = list[str]


async def stays() -> Message:
    """A client that waits for its answer."""
    await asyncio.Event().wait()
    raise AssertionError("nothing sets the event")


async def goes() -> Message:
    """A client that is gone."""
    return {"type": "http.disconnect"}


def stutters(then: Receive) -> Receive:
    """A client of which one late, empty piece of body is seen first."""
    pieces: list[Message] = [{"type": "http.request"}]

    async def receive() -> Message:
        return pieces.pop() if pieces else await then()

    return receive


async def forever(events: Events) -> None:
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        await asyncio.sleep(0)  # its own clean-up may wait too
        events.append("cleaned up")
        raise


async def fails(error: BaseException) -> None:
    raise error


async def soon() -> int:
    for _ in range(10):  # later than anything its client does at once
        await asyncio.sleep(0)
    return 7


def run(receive: Receive, work: Coroutine[object, object, object]) -> object:
    async def main() -> object:
        try:
            return await unless_hung_up(receive, work)
        finally:
            assert len(asyncio.all_tasks()) == 1  # nothing is left behind

    return asyncio.run(main())


@pytest.mark.parametrize("receive", [stays, stutters(stays)])
def test_an_answer_comes_through(receive: Receive) -> None:
    assert run(receive, soon()) == 7


def test_an_error_comes_through() -> None:
    with pytest.raises(DeadlineError, match="late"):
        run(stays, fails(DeadlineError("late")))


@pytest.mark.parametrize("receive", [goes, stutters(goes)])
def test_a_hang_up_cancels_and_waits_for_the_end(receive: Receive) -> None:
    events: Events = []
    with pytest.raises(ClientDisconnect):
        run(receive, forever(events))
    assert events == ["cleaned up"]


def test_work_that_somebody_else_cancelled_is_unavailable() -> None:
    with pytest.raises(UnavailableError, match="send it again"):
        run(stays, fails(asyncio.CancelledError()))


def test_a_server_that_stops_takes_its_work_along() -> None:
    events: Events = []

    async def main() -> None:
        request = asyncio.create_task(unless_hung_up(stays, forever(events)))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        request.cancel()
        with pytest.raises(asyncio.CancelledError):
            await request
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(main())
    assert events == ["cleaned up"]

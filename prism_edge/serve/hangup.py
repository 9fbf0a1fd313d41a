"""Work that ends when the client that asked for it hangs up."""

import asyncio
from collections.abc import Coroutine
from typing import TypeVar

from starlette.requests import ClientDisconnect
from starlette.types import Receive

from prism_edge.errors import UnavailableError

Answer = TypeVar("Answer")


async def unless_hung_up(receive: Receive, work: Coroutine[object, object, Answer]) -> Answer:
    """What ``work`` returns or raises; it is cancelled, and awaited, when the client goes first.

    ``receive`` is the ASGI one, with the body already read. Raises ClientDisconnect after a
    hang-up, and UnavailableError when the work was cancelled by somebody else.
    """
    answer = asyncio.create_task(work)
    gone = asyncio.create_task(_disconnected(receive))
    try:
        await asyncio.wait({answer, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not answer.done():
            raise ClientDisconnect
        if answer.cancelled():
            raise UnavailableError(
                "the daemon dropped this request before its answer; send it again"
            )
        return answer.result()
    finally:
        for task in (answer, gone):
            task.cancel()
        await asyncio.gather(answer, gone, return_exceptions=True)


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass

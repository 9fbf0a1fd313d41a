"""A few at once, the others in the order they came: an event loop's queue with two bounds."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from prism_edge.errors import DeadlineError, UnavailableError
from prism_edge.serve.admission import SHARE, Lately


class Turns:
    """At most ``most`` have a turn at once, at most ``limit`` wait for one."""

    def __init__(self, most: int, limit: int) -> None:
        self._most = most
        self._limit = limit
        self._queue: deque[asyncio.Future[None]] = deque()
        self._lately = Lately()
        self.taken = 0

    @property
    def waiting(self) -> int:
        return len(self._queue)

    @asynccontextmanager
    async def turn(self, patience_s: float) -> AsyncIterator[None]:
        """A turn. Raises ``UnavailableError`` when too many wait, or for longer than ``patience_s``
        if turns are as long as lately; ``DeadlineError`` when none came within ``patience_s``."""
        await self._take(patience_s)
        loop = asyncio.get_running_loop()
        start_s = loop.time()
        try:
            yield
        finally:
            self._lately.took(loop.time() - start_s)
            self._give_back()

    async def _take(self, patience_s: float) -> None:
        if self.taken < self._most:
            self.taken += 1
            return
        if len(self._queue) >= self._limit:
            raise UnavailableError(
                f"the queue is full ({self._limit} prompts wait); try again shortly", 1.0
            )
        wait_s = self._lately.mean_s * (len(self._queue) + 1) / self._most
        if wait_s > SHARE * patience_s:
            raise UnavailableError(
                f"{len(self._queue)} prompts wait: this one's turn would come in about "
                f"{wait_s:.2g} s, its limit is {patience_s:.3g} s; try again later",
                wait_s - SHARE * patience_s,
            )
        mine: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.append(mine)
        try:
            await asyncio.wait({mine}, timeout=patience_s)
        except asyncio.CancelledError:
            self._leave(mine)
            raise
        if not mine.done():
            self._leave(mine)
            raise DeadlineError("the request's deadline passed in the queue")

    def _leave(self, mine: asyncio.Future[None]) -> None:
        """Nobody waits here any more, or takes the turn that has just come."""
        if mine.done():
            self._give_back()
        else:
            self._queue.remove(mine)

    def _give_back(self) -> None:
        if self._queue:
            self._queue.popleft().set_result(None)  # the turn goes on to whoever waits longest
        else:
            self.taken -= 1

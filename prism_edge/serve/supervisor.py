"""An engine that is kept running: started, watched, and started again when it ends."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
import uuid
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Future
from typing import TypeVar

from prism_edge.engine.client import EngineClient, EngineGoneError, Popen
from prism_edge.engine.messages import Message
from prism_edge.errors import ModelError

LOG = logging.getLogger(__name__)
_T = TypeVar("_T")
HEALTHY_S = 30.0  # an engine that lived this long is started again at once
LONGEST_PAUSE_S = 10.0  # before the next, after engines that never became ready
USEFUL_PAUSE_S = 0.5  # after one that did: requests wait for the next
STUCK_S = 30.0  # longer than it takes to end an engine and to pause before the next
TRIALS = 3  # engines that may end before the first that becomes ready
PONG_S = 2.0  # between pings, and for an answer: its orders have a thread of their own


class Supervisor:
    """One engine, always. ``event`` gets its messages, in the event loop, and ``gone`` at its end.
    An engine that is ready and then does not answer a ping, twice, is frozen and is replaced.

    ``instance`` names this start of the engine. A start that reports ``failed`` (no such model,
    say) ends ``run`` with ``ModelError``: starting again would not help. ``test`` says what is
    wrong with an engine that takes itself for ready: then it is replaced, and ``complaint`` says
    why. Where none has ever become ready, ``run`` ends with ``ModelError`` after ``TRIALS``.
    """

    def __init__(
        self,
        argv: Sequence[str],
        popen: Popen,
        event: Callable[[Message], None],
        *,
        pong_s: float = PONG_S,
        test: Callable[[EngineClient, Message], Awaitable[str | None]] | None = None,
    ) -> None:
        self._argv = list(argv)
        self._test = test
        self._trial: asyncio.Task[None] | None = None
        self._proven = False
        self._turned_s = time.monotonic()
        self._pong_s = pong_s
        self._popen = popen
        self._event = event
        self._ready = asyncio.Event()
        self._gone = asyncio.Event()
        self._failure: str | None = None
        self._useful = False  # whether this engine has been ready
        self._started_s = 0.0
        self._load_s = 0.0  # what the last one needed to become ready
        self._due_s = 0.0  # when the next one is expected to be
        self._stopping = False
        self.instance = ""
        self.client: EngineClient | None = None
        self.complaint: str | None = None

    async def run(self) -> None:
        """Keep an engine running until cancelled or ``stop``."""
        pause_s, starts = 0.0, 0
        while not self._stopping:
            starts += 1
            self._started_s = time.monotonic()
            self._due_s = self._started_s + self._load_s
            self._start()
            await self._until_gone()
            self._ready.clear()
            self._turned_s = time.monotonic()
            if self.client is not None:
                await asyncio.to_thread(self.client.close)
            if self._failure is not None:
                raise ModelError(self._failure)
            if not self._proven and starts == TRIALS and not self._stopping:
                why = self.complaint or "what it printed is above"
                raise ModelError(f"the engine ended {TRIALS} times before it was ready; {why}")
            healthy = time.monotonic() - self._started_s > HEALTHY_S
            longest_s = USEFUL_PAUSE_S if self._useful else LONGEST_PAUSE_S
            pause_s = 0.0 if healthy or pause_s == 0.0 else min(2 * pause_s, longest_s)
            self._turned_s = time.monotonic()
            self._due_s = self._turned_s + pause_s + self._load_s
            if not self._stopping:
                LOG.warning("engine ended instance=%s restart_in_s=%.1f", self.instance, pause_s)
                await asyncio.sleep(pause_s)
                pause_s = max(pause_s, 0.5)

    @property
    def ready(self) -> bool:
        return self._ready.is_set()

    def ready_in_s(self, now_s: float) -> float:
        """When an engine is expected to be ready; one that is late, after as long again."""
        return 0.0 if self.ready else abs(self._due_s - now_s)

    def alive(self, now_s: float) -> bool:
        """Whether it still watches its engine, or is about to start the next."""
        return now_s - self._turned_s < STUCK_S

    async def until_ready(self, timeout_s: float) -> EngineClient:
        """The engine, once it is ready. Raises ``EngineGoneError`` after ``timeout_s``."""
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._ready.wait(), timeout_s)
        if not self._ready.is_set() or self.client is None:
            raise EngineGoneError(f"no engine was ready within {timeout_s:.1f} s")
        return self.client

    def kill(self) -> None:
        """The engine is killed; ``run`` starts the next."""
        if self.client is not None:
            self.client.process.kill()

    async def stop(self) -> None:
        """The engine has ended, for good."""
        self._stopping = True
        if self._trial is not None:
            self._trial.cancel()
        if self.client is not None:
            await asyncio.to_thread(self.client.close)

    async def _until_gone(self) -> None:
        missed = 0
        while not self._gone.is_set():
            self._turned_s = time.monotonic()
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._gone.wait(), self._pong_s)
            if self.client is None or not self.ready:
                continue
            try:
                await answer(self.client.ask("ping"), self._pong_s)
                missed = 0
            except asyncio.TimeoutError:
                missed += 1
            except EngineGoneError:
                continue
            if missed == 2:
                LOG.error("engine frozen instance=%s; it is killed", self.instance)
                self.kill()

    def _start(self) -> None:
        loop = asyncio.get_running_loop()
        instance = self.instance = uuid.uuid4().hex[:12]
        self._gone.clear()
        self._useful = False

        def forward(message: Message) -> None:
            with contextlib.suppress(RuntimeError):  # the loop has been closed: nobody listens
                loop.call_soon_threadsafe(self._take, instance, message)

        self.client = EngineClient(self._popen(self._argv), forward)

    def _take(self, instance: str, message: Message) -> None:
        if instance != self.instance:
            return  # a late word of an engine that has been replaced
        if message.kind == "ready" and self._stopping:
            return  # it has loaded its models just before it ends
        if message.kind == "ready" and self._test is not None:
            self._trial = asyncio.ensure_future(self._try(self._test, instance, message))
            return
        if message.kind == "ready":
            self._welcome(message)
            return
        if message.kind == "failed":
            self._failure = str(message.fields["message"])
        elif message.kind == "gone":
            self._ready.clear()
            self._due_s = time.monotonic() + self._load_s
            self._gone.set()
        self._event(message)

    def _welcome(self, ready: Message) -> None:
        self._proven = self._useful = True
        self._load_s = time.monotonic() - self._started_s
        self._ready.set()
        self._event(ready)

    async def _try(
        self,
        test: Callable[[EngineClient, Message], Awaitable[str | None]],
        instance: str,
        ready: Message,
    ) -> None:
        """The engine is ready once it has passed the test, and killed when it has not."""
        assert self.client is not None
        complaint = await test(self.client, ready)
        if complaint is None and instance == self.instance and not self._gone.is_set():
            self.complaint = None
            self._welcome(ready)
        elif complaint is not None:
            self.complaint = f"self-test failed: {complaint}"
            LOG.error("engine instance=%s %s", instance, self.complaint)
            if instance == self.instance:
                self.kill()


async def answer(future: Future[Message], timeout_s: float) -> Message:
    """The answer to an order. Raises what the engine raised, or ``asyncio.TimeoutError``."""
    return await asyncio.wait_for(asyncio.wrap_future(future), timeout_s)


def refuse(ticket: asyncio.Future[_T], error: Exception) -> None:
    """Whoever waits is told, unless nobody does any more."""
    if not ticket.done():
        ticket.set_exception(error)

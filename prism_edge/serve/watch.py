"""Server-sent events: one snapshot a second, made once, for every page that watches.

A page costs no more than its connection: who is slow misses snapshots, nothing waits for it.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress

from starlette.requests import ClientDisconnect
from starlette.responses import StreamingResponse
from starlette.types import Message, Receive, Scope, Send

from prism_edge.errors import UnavailableError
from prism_edge.serve.hangup import unless_hung_up

LOG = logging.getLogger(__name__)
PERIOD_S = 1.0
MOST = 16
PATIENCE_S = 10.0  # for a client to take a snapshot
RETRY_S = 2.0
HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
MEDIA_TYPE = "text/event-stream"


class Watch:
    """Streams what ``snapshot`` returns; at most ``most`` clients at a time."""

    def __init__(
        self,
        snapshot: Callable[[], Mapping[str, object]],
        *,
        period_s: float = PERIOD_S,
        most: int = MOST,
        patience_s: float = PATIENCE_S,
    ) -> None:
        self._snapshot = snapshot
        self._period_s = period_s
        self._most = most
        self.patience_s = patience_s
        self._closed = asyncio.Event()
        self._made_s = float("-inf")
        self._frame = b""
        self.clients = 0

    def close(self) -> None:
        """Every stream ends, and none begins."""
        self._closed.set()

    def stream(self) -> Stream:
        """The next client's. Raises ``UnavailableError`` when there are enough, or at the end."""
        if self._closed.is_set():
            raise UnavailableError("the daemon is draining", RETRY_S)
        if self.clients >= self._most:
            raise UnavailableError(f"{self._most} pages watch already; close one", 10.0)
        return Stream(self)

    async def frames(self) -> AsyncIterator[bytes]:
        """Now, then once a period, until the watch is closed."""
        yield f"retry: {RETRY_S * 1e3:.0f}\n\n".encode()
        sent_s = float("-inf")
        while not self._closed.is_set():
            now_s = time.monotonic()
            if now_s >= self._made_s + self._period_s:  # the first client to wake makes it for all
                body = json.dumps(self._snapshot(), allow_nan=False, separators=(",", ":"))
                self._made_s, self._frame = now_s, f"data: {body}\n\n".encode()
            if sent_s != self._made_s:
                sent_s = self._made_s
                yield self._frame
            with suppress(asyncio.TimeoutError):
                pause_s = max(0.0, self._made_s + self._period_s - time.monotonic())
                await asyncio.wait_for(self._closed.wait(), pause_s)
        yield b"event: end\ndata: draining\n\n"


class Stream(StreamingResponse):
    """One client's stream; its place is free again however it ends."""

    def __init__(self, watch: Watch) -> None:
        super().__init__(watch.frames(), headers=HEADERS, media_type=MEDIA_TYPE)
        self._watch = watch

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_in_time(message: Message) -> None:
            await asyncio.wait_for(send(message), self._watch.patience_s)

        self._watch.clients += 1
        try:
            with suppress(ClientDisconnect):
                await unless_hung_up(receive, self.stream_response(send_in_time))
        except asyncio.TimeoutError:
            LOG.info("a page that takes nothing was dropped")
        finally:
            self._watch.clients -= 1

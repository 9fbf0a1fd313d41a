"""Server-sent events: one snapshot a second, made once, for every page that watches.

A page costs no more than its connection: who is slow misses snapshots, nothing waits for it. Who
takes nothing at all is hung up on by ``connection.py``.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress

from starlette.requests import ClientDisconnect
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from prism_edge.errors import UnavailableError
from prism_edge.serve.hangup import unless_hung_up

PERIOD_S = 1.0
MOST = 16
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
    ) -> None:
        self._snapshot = snapshot
        self._period_s = period_s
        self._most = most
        self._closed = False
        self._closing: asyncio.Future[None] | None = None  # of the loop that streams run in
        self._made_s = float("-inf")
        self._frame = b""
        self.clients = 0

    def close(self) -> None:
        """Every stream ends, and none begins."""
        before, self._closed = self._closed, True
        if self._closing is not None and not before:
            self._closing.get_loop().call_soon_threadsafe(self._closing.set_result, None)

    def stream(self) -> Stream:
        """The next client's. Raises ``UnavailableError`` when there are enough, or at the end."""
        if self._closed:
            raise UnavailableError("the daemon is draining", RETRY_S)
        if self.clients >= self._most:
            raise UnavailableError(f"{self._most} pages watch already; close one", 10.0)
        if self._closing is None:
            self._closing = asyncio.get_running_loop().create_future()
        return Stream(self, self.frames(self._closing))

    async def frames(self, closing: asyncio.Future[None]) -> AsyncIterator[bytes]:
        """Now, then once a period, until the watch is closed."""
        yield f"retry: {RETRY_S * 1e3:.0f}\n\n".encode()
        sent_s = float("-inf")
        while not self._closed:
            now_s = time.monotonic()
            if now_s >= self._made_s + self._period_s:  # the first client to wake makes it for all
                body = json.dumps(self._snapshot(), allow_nan=False, separators=(",", ":"))
                self._made_s, self._frame = now_s, f"data: {body}\n\n".encode()
            if sent_s != self._made_s:
                sent_s = self._made_s
                yield self._frame
            # wait_for would now and then swallow that the client hung up, before Python 3.12
            pause_s = max(0.0, self._made_s + self._period_s - time.monotonic())
            await asyncio.wait({closing}, timeout=pause_s)
        yield b"event: end\ndata: draining\n\n"


class Stream(StreamingResponse):
    """One client's stream; its place is free again however it ends."""

    def __init__(self, watch: Watch, frames: AsyncIterator[bytes]) -> None:
        super().__init__(frames, headers=HEADERS, media_type=MEDIA_TYPE)
        self._watch = watch

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._watch.clients += 1
        try:
            with suppress(ClientDisconnect):
                await unless_hung_up(receive, self.stream_response(send))
        finally:
            self._watch.clients -= 1

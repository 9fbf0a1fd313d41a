"""A daemon that says it is ready has been asked over its own HTTP port, as a client would ask."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

import httpx

from prism_edge.errors import ServiceError
from prism_edge.serve.service import Readiness

LOOK_S = 0.1
PATIENCE_S = 10.0
ANY = {"0.0.0.0": "127.0.0.1", "::": "::1"}


def own_url(scheme: str, listener: socket.socket) -> str:
    """Where a process on this machine reaches the listening socket."""
    host, port = listener.getsockname()[:2]
    host = ANY.get(host, host)
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


class Door:
    """The daemon's HTTP, asked once by the daemon itself."""

    def __init__(self, board: str, readiness: Callable[[], Readiness]) -> None:
        self._board = board
        self._inside = readiness
        self._open = False

    def readiness(self) -> Readiness:
        """What the service manager may hear: ready only once HTTP has said the same."""
        now = self._inside()
        if now.ready and not self._open:
            return Readiness(ready=False, reason="not yet asked over HTTP")
        return now

    async def ask(self, url: str, token: str | None) -> None:
        """Once the daemon is ready: its HTTP says so too, then this waits for ever.

        Raises ``ServiceError`` when it says anything else.
        """
        while not self._open:
            while not self._inside().ready:
                await asyncio.sleep(LOOK_S)
            reply = await self._reply(f"{url}/v2/health/ready", token)
            self._open = reply.status_code == 200
            if not self._open and self._inside().ready:  # and not lost again meanwhile
                raise self._closed(f"{reply.url} answers {reply.status_code}: {reply.text}")
        await asyncio.Event().wait()

    async def _reply(self, url: str, token: str | None) -> httpx.Response:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        # No certificate is checked: the daemon asks itself, and it may serve under any name.
        async with httpx.AsyncClient(
            verify=False, trust_env=False, timeout=PATIENCE_S, headers=headers
        ) as client:
            try:
                return await client.get(url)
            except httpx.HTTPError as error:
                raise self._closed(f"{url} does not answer: {error!r}") from error

    def _closed(self, what: str) -> ServiceError:
        return ServiceError(f"board {self._board}: the engine is ready, but {what}")

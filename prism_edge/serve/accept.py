"""Clients are let in: uvicorn's server, but a TLS handshake counts as a connection and ends soon.

asyncio gives a handshake a minute, and uvicorn knows of a connection only once it is over: clients
that never finish one would take all the files that this process may open.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Iterator
from typing import Any

import uvicorn

from prism_edge.serve.connection import Connection

LOG = logging.getLogger(__name__)
HANDSHAKE_S = 5.0
RETRY_S = 0.5  # after a client could not be let in, for want of files


class Server(uvicorn.Server):
    """uvicorn's server on sockets that listen already. It leaves signals alone: draining is ours.

    Its configuration's ``http`` is a ``Connection``, and its ``lifespan`` is off.
    """

    handshake_s = HANDSHAKE_S

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Clients are being let in."""
        self.servers: list[Any] = []  # asyncio's; here are none
        self._coming: dict[Connection, asyncio.Task[None]] = {}  # the first to come first
        self._accepting = [asyncio.create_task(self._accept(one)) for one in sockets or ()]
        self.started = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Nobody else is let in, and those who are in are answered."""
        tasks = [*self._accepting, *self._shaking()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await super().shutdown(sockets)

    async def _accept(self, listener: socket.socket) -> None:
        listener.setblocking(False)
        while True:
            try:
                client, _ = await asyncio.get_running_loop().sock_accept(listener)
            except OSError as error:
                LOG.error("a client could not be let in: %s", error)
                await asyncio.sleep(RETRY_S)
                continue
            connection: Connection = self.config.http_protocol_class(  # type: ignore[assignment, call-arg]
                config=self.config, server_state=self.server_state, app_state={}
            )
            shaking = self._shaking()
            if shaking and len(shaking) + len(connection.connections) >= connection.limit:
                shaking[0].cancel()
            self._coming[connection] = asyncio.create_task(self._let_in(connection, client))
            await asyncio.sleep(0)  # those who are in have their turn

    def _shaking(self) -> list[asyncio.Task[None]]:
        """Handshakes under way."""
        here = self.server_state.connections if self.config.is_ssl else self._coming
        return [task for one, task in self._coming.items() if one not in here]

    async def _let_in(self, connection: Connection, client: socket.socket) -> None:
        """The client is in, or gone."""
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: connection,
                client,
                ssl=self.config.ssl,
                ssl_handshake_timeout=self.handshake_s if self.config.is_ssl else None,
            )
        except OSError as error:  # also for who is too slow, or speaks no TLS
            LOG.debug("a client did not get in: %s", error)
        finally:
            del self._coming[connection]

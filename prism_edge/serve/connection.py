"""A client gets as much of the daemon's patience as it uses: one connection under uvicorn.

uvicorn bounds only how long a connection may be idle between requests. Here whoever owes bytes (a
request's head or body) must send them at a least rate, whoever is owed bytes must take some, and
of too many connections one that is owed no answer goes, the longest so before others. Whatever is
neither body nor answered yet, heads, trailers and requests ahead of their turn, is bounded too.
"""

import asyncio
import json
from http import HTTPStatus

from starlette.types import Message, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from prism_edge.serve.guard import json_response

# Like Apache's mod_reqtimeout, which gives 20 s and a second more for every 500 bytes.
PATIENCE_S = 10.0
LEAST_BYTES_PER_S = 16384
PIECE_BYTES = 1 << 16
HEAD_BYTES = 1 << 16
AHEAD = 8  # requests that may come before the first of them is answered
LIMIT = 512  # half of the 1024 files that a process may usually open


class Connection(HttpToolsProtocol):
    """HTTP/1.1 as uvicorn speaks it; refusals that no application sees are JSON as well."""

    patience_s = PATIENCE_S
    limit = LIMIT

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.app = self._by_the_piece
        self._since_s = self.loop.time()  # in this state, as far as the client is concerned
        self._received = 0  # bytes, since then
        self._unclaimed = 0  # bytes since the last piece of a body, or the last request's end
        self._in_body = False  # of a request that has begun and not ended
        self._owed = 0  # answers
        self._begun = False  # the answer to the first of them
        self._pieces = 0  # of answers
        self._stuck = ((0, 0, False), self._since_s)  # what the client has not taken, since when
        self._watch = self.loop.call_later(self.patience_s, self._look)
        if len(self.connections) > self.limit and not self._make_room():
            self.app = self._crowded

    def data_received(self, data: bytes) -> None:
        self._received += len(data)
        self._unclaimed += len(data)
        super().data_received(data)
        if self._unclaimed > HEAD_BYTES and not self.transport.is_closing():
            self.send_400_response("Invalid HTTP request received.")

    def on_headers_complete(self) -> None:
        hosts = sum(name == b"host" for name, _ in self.headers)
        if self._owed == AHEAD or (hosts != 1 and self.parser.get_http_version() == "1.1"):
            raise ValueError  # which answers 400
        self._owed += 1
        self._in_body = True
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._unclaimed = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._unclaimed = 0
        self._in_body = False
        super().on_message_complete()

    def on_response_complete(self) -> None:
        self.app = self._by_the_piece
        self._since_s, self._received = self.loop.time(), 0
        self._owed -= 1
        self._begun = False
        super().on_response_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        self._watch.cancel()
        super().connection_lost(exc)

    def shutdown(self) -> None:
        """The connection ends once its answer has been given."""
        if not self.transport.is_closing():  # closed twice, one with TLS can no longer be aborted
            super().shutdown()

    def send_400_response(self, msg: str) -> None:
        """What is not HTTP is refused like everything else."""
        self._refuse(HTTPStatus.BAD_REQUEST, msg)

    def _look(self) -> None:
        """Whether the client still does its part."""
        now_s = self.loop.time()
        # what it does not take, be it only that the connection ends: TLS waits for its farewell
        unsent, closing = self.transport.get_write_buffer_size(), self.transport.is_closing()
        held, where = closing or unsent > 0, (self._pieces, unsent, closing)
        if where != self._stuck[0]:
            self._stuck = (where, now_s)
        elif held and now_s >= self._stuck[1] + self.patience_s:
            self.transport.abort()
            return
        due_s = now_s + self.patience_s
        if self.flow.read_paused or held:
            self._since_s = now_s  # it is not to send anything now
        elif self._in_body or not self._owed:
            due_s = self._since_s + self.patience_s + self._received / LEAST_BYTES_PER_S
        if now_s >= due_s:
            if self._received:
                slow = "the request comes too slowly; send it again, faster"
                self._refuse(HTTPStatus.REQUEST_TIMEOUT, slow)
            else:
                self.transport.close()
            due_s = now_s + self.patience_s
        self._watch = self.loop.call_at(due_s, self._look)

    def _refuse(self, status: HTTPStatus, message: str) -> None:
        """Say so, unless an answer has begun, and close."""
        if not self._begun:
            body = json.dumps({"error": message})
            self.transport.write(
                f"HTTP/1.1 {status.value} {status.phrase}\r\nContent-Type: application/json\r\n"
                f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n{body}".encode()
            )
        if self.cycle is not None:  # its application has nobody to answer any more
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        self.transport.close()

    def _make_room(self) -> bool:
        """Whether a connection that is owed no answer could be closed for this one."""
        waiting = [
            one
            for one in self.connections
            if isinstance(one, Connection) and one is not self and not one._owed
        ]
        if not waiting:
            return False
        longest = min(waiting, key=lambda one: one._since_s)
        self.connections.discard(longest)
        longest.transport.abort()
        return True

    async def _by_the_piece(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The application; a large answer waits for its client here, and not below TLS, where
        nobody sees how much of it has been taken."""

        async def send_pieces(message: Message) -> None:
            self._begun = True
            body = message.get("body", b"")
            last = (len(body) - 1) // PIECE_BYTES * PIECE_BYTES
            for start in range(0, last, PIECE_BYTES):
                piece = body[start : start + PIECE_BYTES]
                await send({"type": "http.response.body", "body": piece, "more_body": True})
                self._pieces += 1
            await send({**message, "body": body[last:]} if last > 0 else message)

        await self.config.loaded_app(scope, receive, send_pieces)

    async def _crowded(self, scope: Scope, receive: Receive, send: Send) -> None:
        message = f"{self.limit} connections wait for answers, which is this server's limit"
        await json_response(503, {"error": message}, {"Retry-After": "1"})(scope, receive, send)

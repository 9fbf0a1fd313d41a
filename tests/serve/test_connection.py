"""Slow, silent, greedy and garbled clients: told so or dropped, and never in anybody's way."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from daemons import certify, cluster_toml
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from prism_edge.serve import accept
from prism_edge.serve.connection import Connection
from prism_edge.serve.listen import listen
from prism_edge.serve.tls import trusting

if sys.version_info < (3, 11):  # whose asyncio never closes a TLS transport that was lost
    pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

    @pytest.fixture(autouse=True)
    def collected() -> Iterator[None]:
        """Nor in whichever test the collector would come to it."""
        yield
        gc.collect()


SOON_S = 0.5
NEVER_S = 3600.0
HEAD = b"POST /%s HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n"
CHUNKED = b"POST /wait HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"


class Server:
    """A server of one connection class whose application waits, refuses, or sends a lot.

    ``tls``: a directory with ``authority.crt`` and board a's certificate; None: plain HTTP.
    """

    def __init__(self, patience_s: float, limit: int, tls: Path | None) -> None:
        self.patience_s = patience_s  # with connections that are made from now on
        self.accepted = self.made = 0  # connections, and those past their handshake
        self.protocol = type("Hurried", (self.connection(),), {"limit": limit})
        self.trust = None if tls is None else trusting(tls / "authority.crt")
        self.listener = listen("127.0.0.1", 0)
        self.port = self.listener.getsockname()[1]
        self.gone = threading.Event()
        self.reading = threading.Semaphore(0)
        self.server = type("Hurried", (accept.Server,), {"handshake_s": NEVER_S})(
            uvicorn.Config(
                self.app,
                interface="asgi3",
                http=self.protocol,
                ws="none",
                lifespan="off",
                log_level="critical",
                ssl_certfile=tls and tls / "a.crt",
                ssl_keyfile=tls and tls / "a.key",
            )
        )
        self.thread = threading.Thread(target=self.server.run, kwargs={"sockets": [self.listener]})

    def connection(self) -> type[Connection]:
        """One that keeps the patience of the moment in which it was made."""
        server = self

        class Hurried(Connection):
            def __init__(self, *arguments: Any, **options: Any) -> None:
                super().__init__(*arguments, **options)
                server.accepted += 1

            def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
                self.patience_s = server.patience_s
                super().connection_made(transport)
                server.made += 1

        return Hurried

    async def app(self, scope: Scope, receive: Receive, send: Send) -> None:
        answer = Response(b"done")
        if scope["path"] == "/wait":
            self.reading.release()
            try:
                await Request(scope, receive).body()
            except ClientDisconnect:
                self.gone.set()
                return
        if scope["path"] == "/refuse":
            answer = Response(b"no", 413)
        if scope["path"] == "/lots":
            answer = Response(bytes(1 << 25))
        await answer(scope, receive, send)

    @property
    def connections(self) -> int:
        return len(self.server.server_state.connections)

    @property
    def url(self) -> str:
        return f"http{'s' if self.trust else ''}://127.0.0.1:{self.port}"

    def knock(self) -> socket.socket:
        """A connection on which nothing has been said."""
        connection = socket.socket()
        connection.settimeout(60)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)  # else megabytes
        connection.connect(("127.0.0.1", self.port))
        return connection

    def connect(self) -> socket.socket:
        """A connection on which HTTP can be spoken."""
        connection = self.knock()
        if self.trust is None:
            return connection
        return self.trust.wrap_socket(connection, server_hostname="127.0.0.1")

    def client(self) -> httpx.Client:
        verify = self.trust or False
        return httpx.Client(base_url=self.url, timeout=60, trust_env=False, verify=verify)

    def ask(self, path: str = "/") -> httpx.Response:
        """The answer to somebody who is given all the time there is."""
        patience_s, self.patience_s = self.patience_s, NEVER_S
        handshake_s, self.server.handshake_s = self.server.handshake_s, NEVER_S
        try:
            with self.client() as client:
                return client.get(path)
        finally:
            self.patience_s, self.server.handshake_s = patience_s, handshake_s


@contextmanager
def running(
    patience_s: float = NEVER_S,
    limit: int = 1000,
    tls: Path | None = None,
    handshake_s: float = NEVER_S,
) -> Iterator[Server]:
    found = Server(patience_s, limit, tls)
    found.server.handshake_s = handshake_s
    with found.listener:
        found.thread.start()
        try:
            yield found
        finally:
            found.server.should_exit = found.server.force_exit = True
            found.thread.join()


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("tls")
    certify(directory, cluster_toml(directory / "cluster.toml", models={}, port=0))
    return directory


@pytest.fixture(params=["http", "https"])
def either(request: pytest.FixtureRequest, tls: Path) -> Path | None:
    """Plain HTTP, and then with TLS around it."""
    return tls if request.param == "https" else None


def everything(connection: socket.socket) -> bytes:
    """All that comes until the other end closes, however it does."""
    received = bytearray()
    with contextlib.suppress(ConnectionResetError):
        while piece := connection.recv(1 << 16):
            received += piece
    return bytes(received)


def through(connection: socket.socket, end: bytes) -> bool:
    """True once what came ends so, in however many pieces; False if the other end closes before."""
    received = bytearray()
    while piece := connection.recv(1 << 16):
        received += piece
        if received.endswith(end):
            return True
    return False


def refusal(received: bytes) -> tuple[int, str]:
    """The status and the error of the only reply in what was received."""
    head, _, body = received.partition(b"\r\n\r\n")
    assert b"content-type: application/json" in head.lower()
    assert f"content-length: {len(body)}".encode() in head.lower()
    assert b"connection: close" in head.lower()
    return int(head.split()[1]), json.loads(body)["error"]


def test_a_silent_connection_is_closed(either: Path | None) -> None:
    with running(SOON_S, tls=either) as server, server.connect() as silent:
        assert everything(silent) == b""


@pytest.mark.parametrize("sent", [b"G", b"POST /wait HTTP/1.1\r\nHost: x\r\nX: ", HEAD % b"wait"])
def test_half_a_request_is_408(sent: bytes, either: Path | None) -> None:
    with running(SOON_S, tls=either) as server, server.connect() as slow:
        slow.sendall(sent)
        assert refusal(everything(slow)) == (
            408,
            "the request comes too slowly; send it again, faster",
        )
        assert server.ask().status_code == 200
        if b"Content-Length" in sent:
            assert server.gone.wait(60)  # its application does not wait any longer either


def trickle(connection: socket.socket, byte: bytes) -> None:
    """One byte after another, until nobody takes them."""
    with contextlib.suppress(OSError):
        while True:
            connection.sendall(byte)
            threading.Event().wait(SOON_S / 10)


@pytest.mark.parametrize(
    "sent",
    [b"GET / HTTP/1.1\r\nX: ", HEAD % b"wait", HEAD % b"refuse"],
    ids=["head", "body", "413"],
)
def test_a_byte_now_and_then_is_not_enough(sent: bytes, either: Path | None) -> None:
    with running(SOON_S, tls=either) as server, server.connect() as slow:
        slow.sendall(sent)
        trickle(slow, b"x")  # returns
        assert server.ask().status_code == 200


def test_who_sends_chunks_without_end_slowly_is_closed() -> None:
    with running(SOON_S) as server, server.connect() as slow:
        slow.sendall(CHUNKED)
        trickle(slow, b"1\r\nx\r\n")
        assert server.gone.wait(60)


def test_who_takes_nothing_of_a_reply_is_dropped(either: Path | None) -> None:
    with running(SOON_S, tls=either) as server, server.connect() as greedy:
        greedy.sendall(b"GET /lots HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert greedy.recv(1) == b"H"
        while server.connections:  # it reads no more, and is dropped
            threading.Event().wait(SOON_S / 10)
        assert len(everything(greedy)) < 1 << 25
        assert len(server.ask("/lots").content) == 1 << 25


def test_who_takes_a_reply_slowly_gets_all_of_it(either: Path | None) -> None:
    # for longer than the server's patience, which bears that this thread has no core for a while
    with running(5.0, tls=either) as server, server.connect() as slow:
        slow.sendall(b"GET /lots HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        received = bytearray()
        while piece := slow.recv(1 << 14):
            received += piece
            threading.Event().wait(0.003)
        assert len(received.partition(b"\r\n\r\n")[2]) == 1 << 25


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # TLS
        b"GET / HTTP/9\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"y" * (1 << 17),
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
        HEAD.replace(b"\r\n\r\n", b"\r\nTransfer-Encoding: chunked\r\n\r\n") % b"wait",
        CHUNKED + b"zz\r\n",
        b"HEAD /wait HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ],
)
def test_what_is_not_http_is_400(sent: bytes) -> None:
    with running() as server, server.connect() as garbled:
        garbled.sendall(sent)
        assert refusal(everything(garbled)) == (400, "Invalid HTTP request received.")
        assert server.ask().status_code == 200


@pytest.mark.parametrize(
    ("first", "then"),
    [
        (b"GET / HTTP/1.1\r\n", b"X: y\r\n"),
        (b"GET /", b"x" * 1000),
        (CHUNKED + b"1", b";x=y"),
        (CHUNKED + b"1\r\nx\r\n0\r\n", b"X: y\r\n"),
        (HEAD % b"wait" + bytes(1000), b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
    ],
    ids=["headers", "path", "chunk extensions", "trailers", "requests ahead"],
)
def test_what_has_no_end_is_cut_short(first: bytes, then: bytes) -> None:
    with running() as server, server.connect() as endless:
        endless.sendall(first)
        with contextlib.suppress(OSError):
            while True:
                endless.sendall(then * 1000)
        assert server.ask().status_code == 200


def test_requests_ahead_are_answered_in_their_order() -> None:
    asked = (HEAD % b"wait" + bytes(1000), HEAD % b"refuse" + bytes(1000), HEAD % b"" + bytes(1000))
    with running() as server, server.connect() as hasty:
        hasty.sendall(b"".join(asked))
        received = bytearray()
        while received.count(b"HTTP/1.1 ") < 3 or not received.endswith(b"done"):
            received += hasty.recv(1 << 16)
        assert [part[:3] for part in bytes(received).split(b"HTTP/1.1 ")[1:]] == [
            b"200",
            b"413",
            b"200",
        ]
        assert server.ask().status_code == 200


def test_an_offer_to_speak_http_2_is_not_taken_up() -> None:
    offer = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n"
    with running() as server, server.connect() as modern:
        for _ in range(2):
            modern.sendall((HEAD % b"wait").replace(b"Host", offer + b"Host") + bytes(1000))
            assert through(modern, b"done")


def opened(server: Server, stack: contextlib.ExitStack, count: int) -> list[socket.socket]:
    return [stack.enter_context(server.connect()) for _ in range(count)]


def test_of_too_many_connections_the_one_that_waits_longest_goes(either: Path | None) -> None:
    with running(limit=8, tls=either) as server, contextlib.ExitStack() as stack:
        first = opened(server, stack, 8)
        assert server.ask().status_code == 200
        assert everything(first[0]) == b""
        more = opened(server, stack, 50)
        assert server.ask().status_code == 200
        assert server.connections <= 8
        assert [everything(one) for one in first] == [b""] * 8
        more[-1].sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert everything(more[-1]).endswith(b"done")  # the latest stay


def test_who_is_owed_an_answer_keeps_the_connection_and_the_next_is_503(
    either: Path | None,
) -> None:
    with running(limit=3, tls=either) as server, contextlib.ExitStack() as stack:
        busy = opened(server, stack, 3)
        for one in busy:
            one.sendall(HEAD % b"wait")
            assert server.reading.acquire(timeout=60)
        with server.client() as client:
            reply = client.get("/")
            assert reply.status_code == 503
            assert reply.headers["retry-after"] == "1"
            assert "3 connections wait for answers" in reply.json()["error"]
            busy[0].sendall(bytes(1000))
            assert through(busy[0], b"done")
            assert client.get("/").status_code == 200  # on the same connection


def test_a_shutdown_waits_for_nobody_who_is_owed_nothing(either: Path | None) -> None:
    with (
        running(SOON_S if either else NEVER_S, tls=either) as server,
        server.connect() as silent,
        server.knock() as outside,
    ):
        while server.accepted < 2 or server.made < (1 if either else 2):
            threading.Event().wait(SOON_S / 10)
        server.server.should_exit = True
        server.thread.join(60)
        assert not server.thread.is_alive()
        assert (everything(silent), everything(outside)) == (b"", b"")


# -- TLS ---------------------------------------------------------------------------------------

HELLO = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"  # the beginning of one


@pytest.mark.parametrize("sent", [b"", HELLO])
def test_a_handshake_that_is_not_finished_is_closed(sent: bytes, tls: Path) -> None:
    with running(tls=tls, handshake_s=SOON_S) as server, server.knock() as slow:
        slow.sendall(sent)
        assert everything(slow) == b""
        assert server.ask().status_code == 200


def test_a_handshake_of_a_byte_now_and_then_is_closed(tls: Path) -> None:
    with running(tls=tls, handshake_s=SOON_S) as server, server.knock() as slow:
        trickle(slow, HELLO[:1])
        assert server.ask().status_code == 200


@pytest.mark.parametrize("sent", [b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\0" * 100])
def test_what_is_no_tls_is_not_answered(sent: bytes, tls: Path) -> None:
    with running(tls=tls) as server, server.knock() as plain:
        plain.sendall(sent)
        assert b"HTTP" not in everything(plain)
        assert server.ask().status_code == 200


def test_handshakes_count_and_the_oldest_goes_first(tls: Path) -> None:
    with running(limit=8, tls=tls) as server, contextlib.ExitStack() as stack:
        busy = stack.enter_context(server.connect())
        busy.sendall(HEAD % b"wait")
        assert server.reading.acquire(timeout=60)
        knocked = [stack.enter_context(server.knock()) for _ in range(50)]
        assert server.ask().status_code == 200
        assert [everything(one) for one in knocked[:43]] == [b""] * 43
        for one in knocked[-6:]:  # the latest stay, and can still get in
            one.setblocking(False)
            with pytest.raises(BlockingIOError):
                one.recv(1)
        busy.sendall(bytes(1000))
        assert through(busy, b"done")


def test_who_does_not_say_farewell_is_dropped(tls: Path) -> None:
    with running(SOON_S, tls=tls) as server, server.connect() as rude:
        rude.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        raw = socket.socket(fileno=rude.detach())
        with raw:
            raw.settimeout(60)
            assert everything(raw)  # to the end, which is the server's

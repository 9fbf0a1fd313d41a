"""Listening on one address only, and waking whoever waits on a socket."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from prism_edge.errors import ClusterError
from prism_edge.transport.sockets import BUFFER_BYTES, listening_socket, shut_down, widen


@contextlib.contextmanager
def connection(address: str = "127.0.0.1") -> Iterator[tuple[socket.socket, socket.socket, int]]:
    """Both ends of a connection, and the port that was listened on."""
    with listening_socket(address) as listener:
        port = listener.getsockname()[1]
        with socket.create_connection((address, port)) as ours, listener.accept()[0] as theirs:
            yield ours, theirs, port


def test_it_listens_on_the_given_address_only() -> None:
    with listening_socket("127.0.0.2") as listener:
        address, port = listener.getsockname()
        assert address == "127.0.0.2"
        assert port > 0
        socket.create_connection(("127.0.0.2", port)).close()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port))


@pytest.mark.parametrize("address", ["192.0.2.1", "no.such.name.invalid"])
def test_an_address_that_is_not_ours_says_what_to_look_at(address: str) -> None:
    with pytest.raises(ClusterError, match=f"cannot listen on {address}: .*cluster.toml"):
        listening_socket(address)


def test_shutting_down_wakes_a_blocked_read() -> None:
    with connection() as (ours, _, _):
        got: list[bytes] = []
        reader = threading.Thread(target=lambda: got.append(ours.recv(1)))
        reader.start()
        assert shut_down(spare_port=0) >= 2
        reader.join(timeout=30)
        assert got == [b""]


def test_the_spare_port_goes_on() -> None:
    with connection() as (kept, kept_peer, port), connection() as (cut, _, _):
        assert shut_down(spare_port=port) >= 2
        kept.sendall(b"x")
        assert kept_peer.recv(1) == b"x"
        assert cut.recv(1) == b""


def test_nothing_but_connections_is_touched() -> None:
    ours, theirs = socket.socketpair()
    with listening_socket("127.0.0.1") as listener, ours, theirs:
        shut_down(spare_port=0)
        ours.sendall(b"x")
        assert theirs.recv(1) == b"x"
        with socket.create_connection(listener.getsockname()), listener.accept()[0]:
            pass


def room(end: socket.socket) -> tuple[int, int]:
    """What the kernel buffers of a connection, both ways; it counts everything twice."""
    options = socket.SO_SNDBUF, socket.SO_RCVBUF
    sent, received = (end.getsockopt(socket.SOL_SOCKET, option) // 2 for option in options)
    return sent, received


def granted(name: str) -> int:
    limit = int(Path(f"/proc/sys/net/core/{name}").read_text(encoding="utf-8"))
    return min(BUFFER_BYTES, limit)


def test_connections_hold_as_much_as_the_kernel_grants() -> None:
    with connection() as (ours, theirs, _), connection() as (kept, _, port):
        before = room(kept)
        widen(spare_port=port)
        for end in (ours, theirs):
            sent, received = room(end)
            assert sent >= granted("wmem_max")
            assert received >= granted("rmem_max")
        assert room(kept) == before  # the spare one is left as it was
        ours.sendall(b"x")
        assert theirs.recv(1) == b"x"

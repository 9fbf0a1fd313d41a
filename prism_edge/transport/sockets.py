"""Sockets of this process: one to listen on, and a way to shut down those GLOO waits on."""

from __future__ import annotations

import contextlib
import os
import socket
import stat
from collections.abc import Iterator

from prism_edge.errors import ClusterError

BUFFER_BYTES = 4 << 20
# of asm-generic/socket.h; Python's module does not name them
SO_SNDBUFFORCE, SO_RCVBUFFORCE = 32, 33


def listening_socket(address: str) -> socket.socket:
    """A socket that listens on a free port of ``address`` and of no other interface."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.bind((address, 0))
    except OSError as error:
        listener.close()
        raise ClusterError(
            f"cannot listen on {address}: {error.strerror}; is it an address of this board "
            f"(see `address` of the board in cluster.toml)?"
        ) from error
    listener.listen(64)
    return listener


def shut_down(*, spare_port: int) -> int:
    """Connected TCP sockets of this process that were shut down; those of ``spare_port`` are kept.

    A thread blocked in GLOO on such a socket wakes with an error within milliseconds; nothing else
    wakes it before its timeout.
    """
    count = 0
    for connection in _connected(spare_port):
        with contextlib.suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)
            count += 1
    return count


def widen(*, spare_port: int) -> None:
    """Connected TCP sockets can hold a whole exchange, so that it travels while nobody attends.

    Without CAP_NET_ADMIN only up to the kernel's limits (net.core.wmem_max, rmem_max).
    """
    for connection in _connected(spare_port):
        with contextlib.suppress(OSError):  # a peer that has left already is noticed elsewhere
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER_BYTES)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)
            # beyond the kernel's limit where that is allowed (CAP_NET_ADMIN)
            connection.setsockopt(socket.SOL_SOCKET, SO_SNDBUFFORCE, BUFFER_BYTES)
            connection.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, BUFFER_BYTES)


def _connected(spare_port: int) -> Iterator[socket.socket]:
    """Duplicates of this process's connected TCP sockets; closed when the next is asked for."""
    for name in os.listdir("/proc/self/fd"):
        descriptor = int(name)
        try:
            if not stat.S_ISSOCK(os.fstat(descriptor).st_mode):
                continue
            duplicate = socket.socket(fileno=os.dup(descriptor))
        except OSError:
            continue
        with contextlib.closing(duplicate) as connection, contextlib.suppress(OSError):
            if connection.family not in (socket.AF_INET, socket.AF_INET6):
                continue
            if connection.type != socket.SOCK_STREAM:
                continue
            ports = connection.getsockname()[1], connection.getpeername()[1]
            if spare_port not in ports:
                yield connection

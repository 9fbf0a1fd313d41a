"""The daemon's listening socket, or a clear word about who has the port.

Made before the server starts, so that a port in use is an error of one line, and port 0 is known.
"""

import socket

from prism_edge.errors import SettingsError

BACKLOG = 128


def listen(host: str, port: int) -> socket.socket:
    """A listening TCP socket, for ``uvicorn.Server.run(sockets=[...])``; port 0 takes a free one.

    Raises SettingsError when the address is taken, not allowed, or not this machine's.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        # With protocol 0 asyncio would not set TCP_NODELAY, and every reply on a connection that
        # is kept alive would wait 40 ms for the client's delayed acknowledgement.
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise SettingsError(f"serve: cannot listen on {host}:{port}: {error.strerror}") from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise SettingsError(
            f"serve: cannot listen on {host}:{port}: {error.strerror}; "
            "stop what uses it or give another --port"
        ) from error
    return listener

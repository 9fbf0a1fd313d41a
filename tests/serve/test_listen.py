"""The listening socket, and what is said when there is none."""

import asyncio
import socket

import pytest

from prism_edge.errors import SettingsError
from prism_edge.serve.listen import listen


def test_port_0_is_a_port_of_its_own() -> None:
    with listen("127.0.0.1", 0) as one, listen("127.0.0.1", 0) as other:
        assert one.getsockname()[1] != other.getsockname()[1]
        assert one.getsockname()[0] == "127.0.0.1"


def test_a_port_in_use_is_one_line() -> None:
    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SettingsError, match=rf"127.0.0.1:{port}: Address already in use; stop"):
            listen("127.0.0.1", port)


@pytest.mark.parametrize("host", ["203.0.113.1", "not an address"])
def test_an_address_that_is_not_ours(host: str) -> None:
    with pytest.raises(SettingsError, match=f"cannot listen on {host}:0"):
        listen(host, 0)


@pytest.mark.parametrize("ours", [True, False])
def test_replies_do_not_wait_for_delayed_acknowledgements(ours: bool) -> None:
    async def no_delay() -> bool:
        listener = listen("127.0.0.1", 0) if ours else socket.create_server(("127.0.0.1", 0))
        seen: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

        def accepted(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            connection = writer.get_extra_info("socket")
            seen.set_result(bool(connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)))
            writer.close()

        server = await asyncio.start_server(accepted, sock=listener)
        _, writer = await asyncio.open_connection(*listener.getsockname()[:2])
        try:
            return await seen
        finally:
            writer.close()
            await writer.wait_closed()
            server.close()
            await server.wait_closed()

    assert asyncio.run(no_delay()) == ours  # the control: a socket made the usual way has it not

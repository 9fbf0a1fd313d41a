"""Whether a board reaches another: over real sockets, and what is made of the answers."""

from __future__ import annotations

import socket
import sys
from dataclasses import replace

import pytest

from prism_edge.deploy.findings.ways import CONNECTIONS, Way, command, parse, ways
from prism_edge.deploy.here import Here

WAY = Way(
    start="edge-1", end="edge-2", address="10.0.0.12", port=8000, answer="open", median_s=0.0004
)
BOTH = frozenset({"edge-1", "edge-2"})


def walk(address: str, port: int) -> tuple[str, float | None]:
    done = Here(name="here").run(command(sys.executable, address, port))
    assert done.code == 0, done.err
    return parse(done.out)


def test_an_open_port_and_then_a_closed_one() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=2 * CONNECTIONS) as server:
        port = server.getsockname()[1]
        answer, median_s = walk("127.0.0.1", port)
        assert answer == "open"
        assert median_s is not None
        assert 0 < median_s < 2
    answer, median_s = walk("127.0.0.1", port)
    assert answer == "refused"
    assert median_s is not None


@pytest.mark.lab
def test_a_network_there_is_no_way_to() -> None:
    line = command(sys.executable, "10.11.12.13", 8000)
    done = Here(name="here").run(f"unshare --user --map-root-user --net {line}")
    assert parse(done.out) == ("Network is unreachable", None)


@pytest.mark.parametrize("said", ["", "Traceback\n", "open\n", "open x\n", "bash: no python\n"])
def test_what_is_no_answer(said: str) -> None:
    assert parse(said) == ("not found out", None)


def test_one_lost_connection_is_what_counts() -> None:
    assert parse("open 0.5\nlost 0 timed out\n") == ("timed out", None)
    assert parse("lost 0\n") == ("no answer", None)


@pytest.mark.parametrize(
    ("way", "code", "severity", "what"),
    [
        (
            replace(WAY, answer="No route to host", median_s=None),
            "way-lost",
            "blocked",
            "edge-1 does not reach edge-2 at 10.0.0.12, port 8000: No route to host",
        ),
        (replace(WAY, answer="refused"), "way-refused", "blocked", "is refused by edge-2"),
        (replace(WAY, median_s=0.055), "way-slow", "note", "edge-2 answers edge-1 after 55 ms"),
    ],
)
def test_what_is_wrong_with_a_way(way: Way, code: str, severity: str, what: str) -> None:
    (found,) = ways([way], BOTH)
    assert (found.code, found.severity) == (code, severity)
    assert what in found.what


def test_a_way_that_is_well() -> None:
    assert list(ways([WAY], BOTH)) == []
    assert list(ways([replace(WAY, answer="refused")], frozenset({"edge-1"}))) == []
    assert list(ways([replace(WAY, answer="not found out", median_s=None)], BOTH)) == []

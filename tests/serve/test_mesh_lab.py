"""Boards with a mesh: what engines send each other is seen on no other wire, and is still right."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import numpy as np
import pytest
from boards_in_lab import Boards

from prism_edge.cluster.lab import Lab
from prism_edge.cluster.local import LocalHost, kill_group
from prism_edge.cluster.modes import obstacle
from prism_edge.cluster.tunnel import MESH
from prism_edge.families import load
from prism_edge.plan import Plan
from prism_edge.traffic import wire_bytes

pytestmark = [
    pytest.mark.lab,
    pytest.mark.gloo,
    pytest.mark.wireguard,
    pytest.mark.slow,
    pytest.mark.timeout(240),
]

EXACT = 1e-4
VOLTAGE = "voltage:p=2,dtype=fp32"
# Bytes of every packet on eth0, by what it is, until stdin ends and nothing waits.
WATCH = """
import collections, json, select, socket, struct, sys
wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
wire.setsockopt(socket.SOL_SOCKET, 33, 1 << 26)  # SO_RCVBUFFORCE: a busy machine loses none
wire.bind(("eth0", 0))
print("watching", flush=True)
seen = collections.Counter()
while wire in select.select([wire, sys.stdin], [], [])[0]:
    packet = wire.recv(1 << 16)
    kind, protocol = packet[12:14].hex(), packet[23]
    if kind == "0800" and protocol in (6, 17):
        ports = struct.unpack_from("!HH", packet, 14 + 4 * (packet[14] & 15))
        kind = f"{'tcp' if protocol == 6 else 'udp'} {min(ports)}"
    seen[kind] += len(packet)
print(json.dumps(seen))
"""
ARP = "0806"


@pytest.fixture(scope="module")
def boards(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Boards]:
    refused = obstacle("root")
    if refused is not None:  # the boards of a rootless lab are out of this process's reach
        pytest.skip(refused)
    root = tmp_path_factory.mktemp("labs")
    lab = Lab.up("mesh", 2, 100e6, mode="root", wireguard=True, root=root)
    try:
        boards = Boards(lab, tmp_path_factory.mktemp("boards"))
        try:
            boards.together()
            yield boards
        finally:
            boards.end()
    finally:
        lab.down()


@contextmanager
def watched(host: LocalHost) -> Iterator[dict[str, int]]:
    """Bytes on the board's wire meanwhile, by kind; known afterwards."""
    pipe, seen = subprocess.PIPE, dict[str, int]()
    with host.popen([sys.executable, "-c", WATCH], stdin=pipe, stdout=pipe) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"watching\n"
            yield seen
            seen |= json.loads(process.communicate(timeout=60)[0])
        finally:
            kill_group(process)


def local_addresses(pid: int) -> set[str]:
    """Of every TCP socket that the process has, also those that wait for connections."""
    held = set()
    for file in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed meanwhile
            held.add(os.readlink(file))
    lines = [
        line.split()
        for name in ("tcp", "tcp6")
        if (table := Path(f"/proc/{pid}/net/{name}")).exists()
        for line in table.read_text().splitlines()[1:]
    ]
    mine = [line[1].partition(":")[0] for line in lines if f"socket:[{line[9]}]" in held]
    # four bytes at a time, the last first; IPv4 in an IPv6 socket has nothing else to say
    return {
        socket.inet_ntoa(bytes.fromhex(address)[:-5:-1])
        for address in mine
        if len(address) == 8 or address.startswith("0" * 16 + "FFFF0000") or pytest.fail(address)
    }


def test_engines_meet_on_the_mesh_and_daemons_on_the_ordinary_address(boards: Boards) -> None:
    for index, board in enumerate(boards.lab.state.boards):
        daemon = boards.daemons[board.name]
        assert local_addresses(daemon.engine()) == {MESH.address(index)}
        assert local_addresses(daemon.process.pid) == {board.address}


def test_answers_of_both_boards_are_right_and_travel_in_wireguard_alone(boards: Boards) -> None:
    case, worker = boards.cases([VOLTAGE])[0], boards.lab.hosts()[1]
    payload = wire_bytes(Plan.parse(VOLTAGE), load(boards.model).shape, 1, 17)
    boards.together()
    with watched(worker) as seen:
        for _ in range(3):
            reply = boards.leader.infer("net", {"pixel_values": case.pixels}, VOLTAGE)
            assert reply.parameters["plan"] == VOLTAGE
            assert np.abs(np.subtract(reply.outputs["logits"], case.logits)).max() < EXACT
    assert set(seen) - {ARP} <= {f"udp {MESH.port}", f"tcp {boards.leader.port}"}
    assert seen[f"udp {MESH.port}"] > 3 * payload


def test_control_what_goes_past_the_mesh_is_seen(boards: Boards) -> None:
    worker = boards.lab.hosts()[1]
    with watched(worker) as seen, closing(socket.socket()) as stranger:
        assert stranger.connect_ex((worker.address, 9)) != 0
    assert "tcp 9" in seen

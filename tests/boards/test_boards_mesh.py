"""Two boards deployed with all that protects them: mesh, TLS, token, watchdog, a hardened unit.

One push makes them; the tests look at what came of it, and knock from outside.
"""

from __future__ import annotations

import contextlib
import re
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import httpx
import numpy as np
import pytest

from boards.desk import Desk
from boards.laptop import Laptop, bundle
from boards.machine import Board, do
from prism_edge.errors import PrismError
from prism_edge.serve.oip_client import Daemon, Reply
from prism_edge.serve.tls import trusting

checkpoints = pytest.importorskip("checkpoints", exc_type=ImportError)  # needs torch

pytestmark = [pytest.mark.boards, pytest.mark.slow, pytest.mark.timeout(900)]
VOLTAGE = "voltage:p=2,dtype=fp32"
PIXELS = np.random.default_rng(1).integers(0, 256, (1, 3, 32, 32), dtype=np.uint8)
READY_S = 120.0
Found = TypeVar("Found")


class Secured:
    """The boards, with a mesh 10.99.N.0/24."""

    def __init__(self, laptop: Laptop) -> None:
        self.laptop = laptop
        self.goods = bundle()
        self.boards = laptop.desk.boards
        self.subnet = f"10.99.{laptop.desk.subnet}.0/24"
        self.url = f"https://{self.boards[0].address}:8000"

    @property
    def authority(self) -> Path:
        state = self.laptop.directory / "state" / "prism-edge" / "deploy"
        return state / "desk" / "tls" / "authority.crt"

    @property
    def token(self) -> str:
        return (self.laptop.directory / "token").read_text().strip()

    def on_mesh(self, board: Board) -> str:
        return f"10.99.{board.subnet}.{board.number}"

    def infer(self, plan: str) -> Reply:
        with Daemon(self.url, token=self.token, authority=self.authority) as daemon:
            return daemon.infer("net", {"pixel_values": PIXELS}, {"plan": plan})

    def together(self) -> Reply:
        """The answer of both boards, as soon as they give one."""

        def answer() -> Reply | None:
            with contextlib.suppress(PrismError):
                reply = self.infer(VOLTAGE)
                return reply if reply.parameters["plan"] == VOLTAGE else None
            return None

        return until(answer)


def until(found: Callable[[], Found | None], patience_s: float = READY_S) -> Found:
    until_s = time.monotonic() + patience_s
    while True:
        if (reply := found()) is not None:
            return reply
        assert time.monotonic() < until_s
        time.sleep(0.2)


@pytest.fixture(scope="module")
def secured(desk: Desk, tmp_path_factory: pytest.TempPathFactory) -> Secured:
    directory = tmp_path_factory.mktemp("laptop")
    checkpoints.write(directory / "model", *checkpoints.vit())
    found = Secured(Laptop(directory=directory, desk=desk))
    found.laptop.write(more=f'[mesh]\nsubnet = "{found.subnet}"\n[deploy]\ntls = true\n')
    did = found.laptop.push(found.goods)
    assert did.code == 0, did.said
    found.together()
    return found


def listening(board: Board) -> set[str]:
    """Where prism-edge waits for connections on the board, without the ports."""
    said = board.sh("ss -Htlnp")
    return {
        line.split()[3].rpartition(":")[0]
        for line in said.splitlines()
        if re.search(r'"(prism-edge|python)', line)
    }


def engine_ports(board: Board) -> list[int]:
    said = board.sh("ss -Htlnp")
    return [int(line.split()[3].rpartition(":")[2]) for line in said.splitlines() if '"py' in line]


def shown(board: Board, name: str) -> str:
    return board.sh(f"systemctl show -p {name} --value prism-edge").strip()


# -- the mesh ----------------------------------------------------------------------------------


def test_engines_listen_on_the_mesh_and_the_daemon_on_the_lan(secured: Secured) -> None:
    for board in secured.boards:
        assert listening(board) == {board.address, secured.on_mesh(board)}
        assert "latest handshake" in board.sh("wg show prism0")


def test_tensors_are_seen_on_the_mesh_interface_and_on_no_other(secured: Secured) -> None:
    """Every packet of a few requests, as tcpdump on the worker sees them."""
    worker = secured.boards[1]
    worker.sh(
        "cd /tmp; for dev in eth0 prism0; do systemd-run --quiet --unit=see-$dev "
        "tcpdump -U -nn -i $dev -w /tmp/$dev.pcap 'not port 22'; done; "
        "until [ -s eth0.pcap ] && [ -s prism0.pcap ]; do sleep 0.1; done"
    )
    secured.together()
    assert [secured.infer(VOLTAGE).parameters["plan"] for _ in range(5)] == [VOLTAGE] * 5
    worker.sh("sleep 1; systemctl stop see-eth0 see-prism0")
    seen = {
        dev: worker.sh(f"tcpdump -nn -r /tmp/{dev}.pcap 2>/dev/null").splitlines()
        for dev in ("eth0", "prism0")
    }
    control = f"{secured.boards[0].address}.8000"
    others = [line for line in seen["eth0"] if control not in line and " ARP" not in line]
    assert others
    assert all(".51820 > " in line and "UDP" in line for line in others if " IP " in line), others
    assert not [line for line in seen["eth0"] if "10.99." in line]
    tcp = [line for line in seen["prism0"] if "Flags" in line]
    assert len(tcp) >= 10
    assert all(f"10.99.{worker.subnet}." in line for line in tcp)


def test_the_mesh_is_closed_to_the_lan(secured: Secured) -> None:
    """A stranger on the LAN who sends packets for a mesh address, as Linux would accept them."""
    leader = secured.boards[0]
    address, port = secured.on_mesh(leader), engine_ports(leader)[0]
    do("ip", "route", "add", f"{address}/32", "via", leader.address)
    try:
        with pytest.raises(OSError, match="timed out"):
            socket.create_connection((address, port), 2).close()
        leader.sh("nft delete table inet prism_edge_mesh")
        socket.create_connection((address, port), 60).close()  # the control
        leader.sh("nft -f /etc/prism-edge/mesh.nft")
        with pytest.raises(OSError, match="timed out"):
            socket.create_connection((address, port), 2).close()
    finally:
        do("ip", "route", "del", f"{address}/32")
    secured.together()


def test_where_nft_does_not_work_iptables_does_the_same(secured: Secured) -> None:
    leader = secured.boards[0]
    address, port = secured.on_mesh(leader), engine_ports(leader)[0]
    script = f"/etc/prism-edge/mesh-firewall up prism0 {secured.subnet}"
    hidden = "mount --bind /bin/false /usr/sbin/nft"
    do("ip", "route", "add", f"{address}/32", "via", leader.address)
    try:
        leader.sh("nft delete table inet prism_edge_mesh")
        leader.sh(f"unshare --mount sh -c '{hidden} && {script} && {script}'")  # twice is once
        with pytest.raises(OSError, match="timed out"):
            socket.create_connection((address, port), 2).close()
        secured.together()
        leader.sh(f"/etc/prism-edge/mesh-firewall down prism0 {secured.subnet}")
        socket.create_connection((address, port), 60).close()
    finally:
        leader.sh(script)
        do("ip", "route", "del", f"{address}/32")
    assert "PRISM" not in leader.sh("iptables -S")


def test_a_mesh_that_is_restarted_costs_no_daemon(secured: Secured) -> None:
    leader = secured.boards[0]
    agent = shown(leader, "MainPID")
    leader.sh("systemctl restart wg-quick@prism0")
    secured.together()
    assert shown(leader, "MainPID") == agent


# -- TLS ---------------------------------------------------------------------------------------


def test_a_daemon_is_reached_by_https_with_authority_and_token_only(secured: Secured) -> None:
    def code(**headers: str) -> int:
        verify = trusting(secured.authority)
        with httpx.Client(verify=verify, trust_env=False, timeout=60) as client:
            return client.get(f"{secured.url}/status", headers=headers).status_code

    assert code() == 401
    assert code(Authorization=f"Bearer {secured.token}") == 200
    for url, authority in ((secured.url, None), (secured.url.replace("s:", ":"), None)):
        with pytest.raises(httpx.TransportError):
            httpx.get(f"{url}/status", verify=trusting(authority), trust_env=False, timeout=60)


# -- the unit ----------------------------------------------------------------------------------


def test_the_unit_as_installed_is_accepted_and_hardened(secured: Secured) -> None:
    for board in secured.boards:
        assert board.sh("systemd-analyze verify prism-edge.service 2>&1") == ""
        said = board.sh("systemd-analyze security --no-pager prism-edge.service")
        level = re.search(r"Overall exposure level for prism-edge.service: ([\d.]+)", said)
        assert level is not None
        assert float(level[1]) < 4.0
        print(f"{board.name}: exposure {level[1]}")


def test_systemd_shows_what_is_degraded(secured: Secured) -> None:
    until(lambda: True if shown(secured.boards[1], "StatusText") == "ready" else None)
    assert shown(secured.boards[0], "StatusText").startswith("ready: ")  # it has no tables
    assert "profile" in shown(secured.boards[0], "StatusText")


def test_a_hung_engine_is_the_agents_business(secured: Secured) -> None:
    board = secured.boards[1]
    agent = shown(board, "MainPID")
    engine = board.sh(f"pgrep -P {agent}").strip()
    board.sh(f"kill -STOP {engine}")
    until_s = time.monotonic() + READY_S
    while board.sh(f"pgrep -P {agent}", check=False).strip() in ("", engine):
        assert time.monotonic() < until_s
        time.sleep(0.5)
    secured.together()
    assert shown(board, "MainPID") == agent
    assert shown(board, "NRestarts") == "0"


def test_a_hung_agent_is_restarted_by_systemd(secured: Secured) -> None:
    board = secured.boards[1]
    agent = shown(board, "MainPID")
    board.sh(f"kill -STOP {agent}")
    until_s = time.monotonic() + READY_S
    while shown(board, "NRestarts") == "0" or shown(board, "ActiveState") != "active":
        assert time.monotonic() < until_s
        time.sleep(1)
    assert shown(board, "MainPID") != agent
    secured.together()
    assert "watchdog" in board.sh("journalctl -u prism-edge --no-pager").lower()


# -- after a power cut -------------------------------------------------------------------------


def test_a_board_that_boots_is_back_on_the_mesh_by_itself(secured: Secured) -> None:
    worker = secured.boards[1]
    worker.power_off()
    reply = secured.infer("local")
    assert reply.parameters["plan"] == "local"
    worker.power_on()
    worker.booted()
    secured.together()
    assert listening(worker) == {worker.address, secured.on_mesh(worker)}


def test_a_second_push_has_nothing_to_do(secured: Secured) -> None:
    did = secured.laptop.push(secured.goods)
    assert (did.code, set(did.states().values())) == (0, {"unchanged"})


def test_private_keys_are_readable_by_their_owner_only(secured: Secured) -> None:
    for board in secured.boards:
        said = board.sh(
            "stat -c '%a %U %n' /etc/prism-edge/mesh.key /etc/prism-edge/tls/board.key "
            "/etc/prism-edge/token /etc/wireguard/prism0.conf"
        )
        assert [line.split()[:2] for line in said.splitlines()] == [
            ["600", "root"],
            ["600", "prism-edge"],
            ["600", "prism-edge"],
            ["600", "root"],
        ]
        assert "PrivateKey" not in board.sh("cat /etc/wireguard/prism0.conf")
    transcripts = (secured.laptop.directory / "state").rglob("*")
    keys = [board.sh("cat /etc/prism-edge/mesh.key").strip() for board in secured.boards]
    for path in transcripts:
        if path.is_file():
            content = path.read_bytes()
            assert not [key for key in keys if key.encode() in content], path


def test_what_is_wished_no_longer_is_taken_away(secured: Secured) -> None:
    secured.laptop.write()
    did = secured.laptop.push(secured.goods)
    assert did.code == 0, did.said
    for board in secured.boards:
        assert board.sh("find /etc/prism-edge /etc/wireguard -type f") == "/etc/prism-edge/token\n"
        assert "prism0" not in board.sh("ip -o link; systemctl list-units 'wg-quick@*'")
    did = secured.laptop.push(secured.goods)
    assert (did.code, set(did.states().values())) == (0, {"unchanged"})

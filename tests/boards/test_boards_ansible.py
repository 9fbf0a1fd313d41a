"""The playbooks do on two boards what they say, and nothing the second time."""

from __future__ import annotations

import json
import shlex
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from boards.desk import Desk
from boards.l4t import become_jetson
from boards.machine import Board
from boards.rootfs import PASSWORD, USER
from prism_edge.deploy.inventory import ansible_inventory
from prism_edge.settings import Settings

pytestmark = [pytest.mark.boards, pytest.mark.ansible, pytest.mark.timeout(300)]

ROOT = Path(__file__).parents[2]
BIN = ROOT / ".venv-lint" / "bin"
# As nvpmodel: MAXN_SUPER needs a reboot, and without a terminal nothing says so.
NVPMODEL = """#!/bin/sh
status=/var/lib/nvpmodel/status
case "$1" in
-q) echo "NV Power Mode: some"; sed -E 's/pmode:0*([0-9]+).*/\\1/' $status ;;
-m) [ "$2" = 2 ] || printf 'pmode:%04d fmode:fanNull\\n' "$2" >$status ;;
esac
"""


@dataclass(frozen=True, kw_only=True)
class Play:
    """What a playbook did: by host, how many tasks changed something; and all it printed."""

    changed: dict[str, int]
    failed: dict[str, int]
    out: str


@pytest.fixture(scope="module")
def play(desk: Desk, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Play]:
    """Runs a playbook against both boards, with further variables or options."""
    directory = tmp_path_factory.mktemp("ansible")
    settings = Settings(
        name="desk",
        leader="edge-1",
        profiles=directory / "profiles",
        boards=tuple(board.settings(USER) for board in desk.boards),
    )
    (directory / "hosts.yml").write_text(ansible_inventory(settings, directory / "cluster.toml"))
    (directory / "password").write_text(PASSWORD)

    def run(book: str, *options: str, **variables: Any) -> Play:
        done = subprocess.run(
            [
                *(str(BIN / "ansible-playbook"), "-i", str(directory / "hosts.yml")),
                *("--become-password-file", str(directory / "password")),
                *(book, *options, "--extra-vars", json.dumps(variables)),
            ],
            capture_output=True,
            text=True,
            timeout=200,
            cwd=ROOT / "ansible",
            check=False,
        )
        recap = [line for line in done.stdout.splitlines() if "unreachable=" in line]
        words = {line.split()[0]: dict(w.split("=") for w in line.split()[2:]) for line in recap}
        assert len(words) == len(desk.boards), done.stdout + done.stderr
        return Play(
            changed={host: int(counts["changed"]) for host, counts in words.items()},
            failed={
                host: int(counts["failed"]) + int(counts["unreachable"])
                for host, counts in words.items()
            },
            out=done.stdout,
        )

    return run


@contextmanager
def listening(board: Board, port: int) -> Iterator[None]:
    """Something on the board listens there on every address."""
    program = f"import socket, time; s = socket.create_server(('', {port})); time.sleep(600)"
    board.sh(f"systemd-run --quiet --unit=listener python3 -c {shlex.quote(program)}")
    board.sh(f"until ss -Hltn sport = :{port} | grep -q .; do sleep 0.05; done")
    try:
        yield
    finally:
        board.sh("systemctl stop listener")


def reached(address: str, port: int) -> bool:
    """Whether this machine, which is no board, gets through."""
    try:
        socket.create_connection((address, port), timeout=1).close()
    except TimeoutError:
        return False
    return True


def test_prepare_changes_a_board_once(desk: Desk, play: Callable[..., Play]) -> None:
    foreseen = play("prepare.yml", "--check", "--diff", prepare_firewall=False)
    assert foreseen.failed == {"edge-1": 0, "edge-2": 0}, foreseen.out
    assert min(foreseen.changed.values()) > 0
    assert all("sleep.target" not in masked(board) for board in desk.boards)

    first = play("prepare.yml")
    assert first.failed == {"edge-1": 0, "edge-2": 0}, first.out
    assert min(first.changed.values()) > 0
    for reason in ("no NetworkManager here", "a container (systemd-nspawn) has the clock"):
        assert f"skipped: {reason}" in first.out
    assert all("sleep.target" in masked(board) for board in desk.boards)

    assert play("prepare.yml").changed == {"edge-1": 0, "edge-2": 0}
    assert play("prepare.yml", "--check").changed == {"edge-1": 0, "edge-2": 0}


def masked(board: Board) -> str:
    return board.sh("systemctl list-unit-files --state=masked --no-legend")


def test_the_packet_filter_lets_in_whom_it_should(desk: Desk, play: Callable[..., Play]) -> None:
    assert play("prepare.yml").failed == {"edge-1": 0, "edge-2": 0}
    board, other = desk.boards
    knock = f"timeout 2 bash -c '</dev/tcp/{board.address}/40000' && echo in || echo out"
    with listening(board, 40000):
        assert not reached(board.address, 40000)
        assert other.sh(knock) == "in\n"
    with listening(board, 8000):
        assert reached(board.address, 8000)
    with listening(board, 8080):  # another program's port
        assert reached(board.address, 8080)
    assert play("prepare.yml", prepare_lan=f"{other.address}/32").changed["edge-1"] > 0
    with listening(board, 8000):
        assert not reached(board.address, 8000)
        assert other.sh(knock.replace("40000", "8000")) == "in\n"


def test_the_packet_filter_is_there_after_a_boot(desk: Desk, play: Callable[..., Play]) -> None:
    assert play("prepare.yml").failed == {"edge-1": 0, "edge-2": 0}
    board = desk.boards[0]
    board.power_off()
    board.power_on()
    board.booted()
    assert "prism_edge_board" in board.sh("nft list tables")


def test_a_power_mode_is_set_by_name_and_read_back(desk: Desk, play: Callable[..., Play]) -> None:
    board = desk.boards[0]
    board.power_off()
    become_jetson(board)  # in mode 25W
    program = board.root / "usr/sbin/nvpmodel"
    program.write_text(NVPMODEL)
    program.chmod(0o755)
    board.power_on()
    board.booted()
    assert play("prepare.yml", prepare_power_mode="25W").changed == {"edge-1": 0, "edge-2": 0}
    done = play("prepare.yml", prepare_power_mode="15W")
    assert done.changed == {"edge-1": 1, "edge-2": 0}, done.out
    assert "pmode:0000" in board.sh("cat /var/lib/nvpmodel/status")
    assert "skipped: no power modes here" in done.out  # edge-2
    assert "needs reboot" not in done.out.replace("Say that the mode needs a reboot", "")

    late = play("prepare.yml", prepare_power_mode="MAXN_SUPER")
    assert "needs reboot: mode MAXN_SUPER was asked for" in late.out
    unknown = play("prepare.yml", prepare_power_mode="10W")
    assert unknown.failed == {"edge-1": 1, "edge-2": 0}
    assert "no power mode is called 10W here; there are 15W, 25W, MAXN_SUPER" in unknown.out

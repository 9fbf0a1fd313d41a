"""The playbooks do on two boards what they say, and nothing the second time.

The tests are one story: each begins where the one before it ended.
"""

from __future__ import annotations

import json
import os
import shlex
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from boards.desk import Desk
from boards.l4t import become_jetson
from boards.laptop import Laptop, bundle
from boards.machine import Board
from boards.rootfs import PASSWORD
from prism_edge.deploy import paths
from prism_edge.deploy.inventory import ansible_inventory
from prism_edge.settings import read_settings

pytestmark = [
    *(pytest.mark.boards, pytest.mark.ansible, pytest.mark.slow, pytest.mark.timeout(900))
]

ROOT = Path(__file__).parents[2]
PLAYBOOK = ROOT / ".venv-lint" / "bin" / "ansible-playbook"
PARTS = ("wifi", "time", "arp", "sleep", "mesh", "firewall")
# As nvpmodel: MAXN_SUPER needs a reboot, and without a terminal nothing says so.
NVPMODEL = """#!/bin/sh
status=/var/lib/nvpmodel/status
case "$1" in
-q) echo "NV Power Mode: some"; sed -E 's/pmode:0*([0-9]+) .*/\\1/' $status ;;
-m) [ "$2" = 2 ] || printf 'pmode:%04d fmode:fanNull\\n' "$2" >$status ;;
esac
"""
NOTHING = {"edge-1": 0, "edge-2": 0}
# of the environment that runs the tests, whether it is on the PATH or not
PROGRAM = {"controller_program": str(Path(sys.executable).with_name("prism-edge"))}


@dataclass(frozen=True, kw_only=True)
class Play:
    """What a playbook did: by host, how many tasks changed something; and all it printed."""

    changed: dict[str, int]
    failed: dict[str, int]
    out: str


@pytest.fixture(scope="module")
def laptop(desk: Desk, tmp_path_factory: pytest.TempPathFactory) -> Laptop:
    found = Laptop(directory=tmp_path_factory.mktemp("laptop"), desk=desk)
    found.write()
    settings = read_settings(found.cluster)
    (found.directory / "hosts.yml").write_text(ansible_inventory(settings, found.cluster))
    (found.directory / "password").write_text(PASSWORD)
    return found


@pytest.fixture(scope="module")
def play(laptop: Laptop) -> Callable[..., Play]:
    """Runs a playbook against both boards, with further variables or options."""

    def run(book: str, *options: str, **variables: Any) -> Play:
        done = subprocess.run(
            [
                *(str(PLAYBOOK), "-i", str(laptop.directory / "hosts.yml")),
                *("--become-password-file", str(laptop.directory / "password")),
                *(book, *options, "--extra-vars", json.dumps(PROGRAM | variables)),
            ],
            capture_output=True,
            text=True,
            timeout=600,
            cwd=ROOT / "ansible",
            check=False,
            env={
                **os.environ,
                "PRISM_EDGE_SUDO_PASSWORD": PASSWORD,
                "XDG_STATE_HOME": str(laptop.directory / "state"),
                "XDG_CACHE_HOME": str(laptop.directory / "cache"),
            },
        )
        recap = [line.split() for line in done.stdout.splitlines() if "unreachable=" in line]
        counts = {words[0]: dict(word.split("=") for word in words[2:]) for words in recap}
        assert sorted(counts) == sorted(NOTHING), done.stdout + done.stderr
        return Play(
            changed={host: int(count["changed"]) for host, count in counts.items()},
            failed={
                host: int(count["failed"]) + int(count["unreachable"])
                for host, count in counts.items()
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


def reached(board: Board, port: int) -> bool:
    """Whether this machine, which is no board, gets through."""
    try:
        socket.create_connection((board.address, port), timeout=3).close()
    except TimeoutError:
        return False
    return True


def reached_from(other: Board, board: Board, port: int) -> bool:
    knock = f"timeout 10 bash -c '</dev/tcp/{board.address}/{port}' && echo in"
    return other.sh(knock, check=False) == "in\n"


def masked(board: Board) -> str:
    return board.sh("systemctl list-unit-files --state=masked --no-legend")


def test_preparing_changes_a_board_once(desk: Desk, play: Callable[..., Play]) -> None:
    foreseen = play("prepare.yml", "--check", "--diff")
    assert foreseen.failed == NOTHING, foreseen.out
    assert min(foreseen.changed.values()) > 0
    assert all("sleep.target" not in masked(board) for board in desk.boards)

    done = play("prepare.yml")
    assert done.failed == NOTHING, done.out
    assert min(done.changed.values()) > 0
    for reason in ("no NetworkManager here", "a container (systemd-nspawn) has the clock"):
        assert f"skipped: {reason}" in done.out
    assert all("sleep.target" in masked(board) for board in desk.boards)

    again = play("prepare.yml")
    assert (again.changed, again.failed) == (NOTHING, NOTHING), again.out


def test_the_packet_filter_lets_in_whom_it_should(desk: Desk, play: Callable[..., Play]) -> None:
    board, other = desk.boards
    with listening(board, 40000):  # where GLOO may listen
        assert not reached(board, 40000)
        assert reached_from(other, board, 40000)
    with listening(board, 8080):  # another program's port
        assert reached(board, 8080)
    with listening(board, 8000):
        assert reached(board, 8000)
        narrow = dict.fromkeys((f"prepare_{part}" for part in PARTS), False)
        narrow |= {"prepare_firewall": True, "prepare_lan": f"{other.address}/32"}
        assert play("prepare.yml", **narrow).changed["edge-1"] == 2  # the rules, and their loading
        assert not reached(board, 8000)
        assert reached_from(other, board, 8000)
        narrow.pop("prepare_lan")
        play("prepare.yml", **narrow)
        assert reached(board, 8000)


def test_a_power_mode_is_set_by_name_and_read_back(desk: Desk, play: Callable[..., Play]) -> None:
    board = desk.boards[0]
    board.power_off()
    become_jetson(board)  # in mode 25W
    program = board.root / "usr/sbin/nvpmodel"
    program.write_text(NVPMODEL)
    program.chmod(0o755)
    board.power_on()
    board.booted()
    assert "prism_edge_board" in board.sh("nft list tables"), "the packet filter after a boot"

    parts = {f"prepare_{part}": False for part in PARTS}
    assert play("prepare.yml", prepare_power_mode="25W", **parts).changed == NOTHING
    done = play("prepare.yml", prepare_power_mode="15W", **parts)
    assert done.changed == {"edge-1": 1, "edge-2": 0}, done.out
    assert "pmode:0000" in board.sh("cat /var/lib/nvpmodel/status")
    assert "skipped: no power modes here" in done.out  # edge-2
    assert "needs reboot: mode" not in done.out

    late = play("prepare.yml", prepare_power_mode="MAXN_SUPER", **parts)
    assert "needs reboot: mode MAXN_SUPER was asked for" in late.out
    unknown = play("prepare.yml", prepare_power_mode="10W", **parts)
    assert unknown.failed == {"edge-1": 1, "edge-2": 0}
    assert "no power mode is called 10W here; there are 15W, 25W, MAXN_SUPER" in unknown.out


def test_boards_serve_after_install_and_are_bare_after_remove(
    laptop: Laptop, play: Callable[..., Play]
) -> None:
    checkpoints = pytest.importorskip("checkpoints", exc_type=ImportError)  # needs torch
    checkpoints.write(laptop.directory / "model", *checkpoints.vit())
    wheels = {"install_options": ["--bundle", str(bundle())]}
    foreseen = play("install.yml", "--check", **wheels)
    assert foreseen.changed == {"edge-1": 1, "edge-2": 1}, foreseen.out
    assert not any((board.root / paths.ROOT[1:]).exists() for board in laptop.desk.boards)

    done = play("install.yml", **wheels)
    assert (done.changed, done.failed) == ({"edge-1": 1, "edge-2": 1}, NOTHING), done.out
    assert grouped(laptop) == {"edge-1": True, "edge-2": True}
    again = play("install.yml", **wheels)
    assert (again.changed, again.failed) == (NOTHING, NOTHING), again.out
    prepared = play("prepare.yml")
    assert (prepared.changed, prepared.failed) == (NOTHING, NOTHING), prepared.out

    collected = play("collect.yml")
    assert collected.failed == NOTHING, collected.out
    (of_leader,) = laptop.directory.glob("collected/desk/*/edge-1")
    assert (of_leader / "journal.sqlite").exists()  # a worker keeps none
    assert (of_leader.parent / "edge-2" / "unit.log").exists()

    removed = play("remove.yml")
    assert removed.failed == NOTHING, removed.out
    for board in laptop.desk.boards:
        for place in (paths.ROOT, paths.ETC, paths.STATE, paths.UNIT_FILE):
            assert not (board.root / place[1:]).exists(), place
        assert "prism_edge" not in board.sh("nft list tables")
    assert play("remove.yml").changed == NOTHING


def grouped(laptop: Laptop) -> dict[str, bool]:
    """Which boards are in the leader's group."""
    request = urllib.request.Request(
        f"http://{laptop.desk.boards[0].address}:8000/status",
        headers={"Authorization": f"Bearer {(laptop.directory / 'token').read_text().strip()}"},
    )
    with urllib.request.urlopen(request, timeout=10) as reply:
        status = json.load(reply)
    return {board["name"]: board["in_group"] for board in status["boards"]}

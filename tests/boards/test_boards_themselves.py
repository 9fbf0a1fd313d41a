"""The test boards are what they are said to be, and leave nothing behind."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from boards import cgroups
from boards.desk import Desk, desks
from boards.desk import desk as boards_on_a_desk
from boards.l4t import MODEL, become_jetson
from boards.machine import do
from boards.rootfs import PASSWORD, USER

pytestmark = [pytest.mark.boards, pytest.mark.timeout(300)]  # the root file system may be made


def traces(subnet: int) -> list[str]:
    """What of a desk can be found on this machine."""
    tag = f"peb{subnet}"
    places = [place.glob(f"{tag}-*") for place in cgroups.places().values()]
    return [
        *(line for line in Path("/proc/self/mounts").read_text().splitlines() if tag in line),
        *(line for line in do("ip", "-o", "link").stdout.splitlines() if tag in line),
        *(str(path) for path in Path("/run/netns").glob(f"{tag}-*")),
        *(str(path) for place in places for path in place),
        *(str(path) for path in desks().glob(str(subnet))),
    ]


def ssh(found: Desk, number: int, command: str, user: str = "root") -> str:
    where = f"{user}@{found.boards[number - 1].address}"
    argv = ["ssh", "-F", str(found.directory / "ssh_config"), "-oConnectTimeout=50", where, command]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60)
    return done.stdout + done.stderr


def test_a_board_is_a_machine_of_its_own(desk: Desk) -> None:
    for number in (1, 2):
        said = ssh(desk, number, "hostname; nproc; systemctl is-system-running; id -un")
        assert said.split() == [f"edge-{number}", "1", "running", "root"]
    assert desk.boards[0].sh("cat /etc/machine-id") != desk.boards[1].sh("cat /etc/machine-id")


def test_the_user_may_sudo_with_a_password_only(desk: Desk) -> None:
    assert ssh(desk, 1, "sudo -n id -un", USER) == "sudo: a password is required\n"
    assert ssh(desk, 1, f"echo '{PASSWORD}' | sudo -S -p '' id -un", USER) == "root\n"


def test_boards_reach_each_other_and_nobody_else(desk: Desk) -> None:
    other = desk.boards[1].address
    assert "1 received" in desk.boards[0].sh(f"ping -c1 -W5 {other}")
    assert "unreachable" in desk.boards[0].sh("ping -c1 -W1 1.1.1.1 2>&1", check=False)


def test_a_tunnel_can_be_made(desk: Desk) -> None:
    board = desk.boards[0]
    board.sh("wireguard-go wg-try && ip link show wg-try && ip link del wg-try")


def test_a_cut_cable_can_be_mended(desk: Desk) -> None:
    first, second = desk.boards
    second.cut()
    assert "1 received" not in first.sh(f"ping -c1 -W1 {second.address}", check=False)
    assert second.sh("hostname") == "edge-2\n"
    second.mend()
    assert "1 received" in first.sh(f"ping -c1 -W10 {second.address}")


def test_a_board_comes_back_from_a_power_cut_with_its_files(desk: Desk) -> None:
    board = desk.boards[1]
    board.sh("mkdir -p /opt/there && echo hello > /opt/there/file")
    board.sh("systemd-run --unit=sleeper sleep 1000")
    board.power_off()
    assert board.state() == "off"
    board.power_on()
    board.booted()
    assert board.files("/opt/there") == 1
    assert "sleep 1000" not in board.sh("ps ax -o args")


def test_a_board_can_look_like_a_jetson(desk: Desk) -> None:
    board = desk.boards[0]
    board.power_off()
    become_jetson(board)
    board.power_on()
    board.booted()
    assert board.sh("cat /sys/firmware/devicetree/base/model") == f"{MODEL}\0"
    assert "REVISION: 4.3" in board.sh("cat /etc/nv_tegra_release")


def test_another_desk_has_its_own_subnet_and_leaves_nothing(desk: Desk) -> None:
    with boards_on_a_desk(1, 1e9) as other:
        assert other.subnet != desk.subnet
        assert traces(other.subnet)
    assert traces(other.subnet) == []
    assert traces(desk.subnet)


def test_down_ends_what_no_directory_tells_of() -> None:
    with boards_on_a_desk(1, 1e9) as found:
        groups = cgroups.make(f"peb{found.subnet}-7", 1 << 30)
        stray = subprocess.Popen(["sleep", "1000"])
        for group in groups:
            (group / "cgroup.procs").write_text(str(stray.pid))
    assert stray.wait(60) == -signal.SIGKILL
    assert traces(found.subnet) == []


def test_the_desk_of_a_process_that_was_killed_is_cleared_by_the_next() -> None:
    code = (
        "import os, signal\nfrom boards.desk import up\n"
        "print(up(1, 1e9, owner=os.getpid()).subnet, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    there = Path(__file__).parents[1]
    argv = [sys.executable, "-c", code]
    done = subprocess.run(argv, cwd=there, capture_output=True, text=True, timeout=100)
    subnet = int(done.stdout)
    assert traces(subnet)
    with boards_on_a_desk(1, 1e9) as next_one:
        assert not [line for line in traces(subnet) if subnet != next_one.subnet]

"""sudo, full disks, pulled cables and jumps: SSH to boards as they are."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from boards.desk import Desk
from boards.machine import Board
from boards.rootfs import PASSWORD, USER
from prism_edge.deploy.hosts import connect
from prism_edge.deploy.transcript import Transcript
from prism_edge.errors import ClusterError, UnreachableError

pytestmark = [pytest.mark.boards, pytest.mark.timeout(300)]
RIGHTS = "/etc/sudoers.d/test"


@pytest.fixture
def board(desk: Desk) -> Iterator[Board]:
    """The first one, with the rights it came with afterwards."""
    yield desk.boards[0]
    desk.boards[0].sh(f"rm -f {RIGHTS}; usermod -aG sudo {USER}")


def attempts(board: Board) -> int:
    return int(board.sh("journalctl -t sudo | grep -c 'incorrect password attempt'", check=False))


def test_sudo_with_a_password_that_nobody_sees(board: Board, tmp_path: Path) -> None:
    asked: list[str] = []

    def password() -> str:
        asked.append("once")
        return PASSWORD

    transcript = Transcript(tmp_path / "log")
    with connect(board.settings(USER), password=password, transcript=transcript) as runner:
        assert runner.run("id -un").out == f"{USER}\n"
        assert asked == []
        assert runner.run("id -un; cat", root=True, stdin=b"my own stdin").out == (
            "root\nmy own stdin"
        )
        assert runner.run("cat", root=True).out == ""
        shown = runner.run("tr '\\0' ' ' </proc/*/cmdline; cat /proc/self/environ", root=True)
        runner.put(b"content", "/root/file", mode=0o600)
        assert board.sh("cat /root/file; stat -c '%a %U:%G' /root/file") == "content600 root:root\n"
        runner.get("/root/file", tmp_path / "file")
        assert (tmp_path / "file").read_text() == "content"
    assert asked == ["once"]
    assert PASSWORD not in shown.out + shown.err + transcript.path.read_text()
    assert PASSWORD not in board.sh("journalctl --no-pager")


def test_a_wrong_password_is_tried_once(board: Board) -> None:
    before = attempts(board)
    with connect(board.settings(USER), password=lambda: "wrong") as runner:
        for _ in range(2):
            with pytest.raises(ClusterError, match=r"^board edge-1 \(nvidia@\S+\): sudo does not"):
                runner.run("id", root=True)
    assert attempts(board) == before + 1


def test_a_password_that_nobody_gave_is_asked_for(board: Board) -> None:
    with (
        connect(board.settings(USER)) as runner,
        pytest.raises(ClusterError, match=r"sudo wants a password; .*NOPASSWD"),
    ):
        runner.run("id", root=True)


def test_sudo_without_a_password_is_not_asked_for_one(board: Board) -> None:
    board.sh(f"echo '{USER} ALL=(ALL) NOPASSWD: ALL' > {RIGHTS}")

    def never() -> str:
        raise AssertionError("it is not needed")

    with connect(board.settings(USER), password=never) as runner:
        assert runner.run("id -un; cat", root=True, stdin=b"all of it").out == "root\nall of it"


def test_a_password_that_sudo_does_not_want_reaches_nobody(board: Board) -> None:
    """sudo may stop asking at any time; the line meant for it must not become anybody's stdin."""
    with connect(board.settings(USER), password=lambda: PASSWORD) as runner:
        assert runner.run("cat", root=True, stdin=b"first").out == "first"
        board.sh(f"echo '{USER} ALL=(ALL) NOPASSWD: ALL' > {RIGHTS}")
        assert runner.run("cat", root=True, stdin=b"second").out == "second"


def test_a_user_who_may_not_sudo_is_told(board: Board) -> None:
    board.sh(f"gpasswd -d {USER} sudo")
    with (
        connect(board.settings(USER), password=lambda: PASSWORD) as runner,
        pytest.raises(ClusterError, match=r"sudo refuses: .*not in the sudoers"),
    ):
        runner.run("id", root=True)


def test_a_late_command_of_root_is_killed_there(board: Board) -> None:
    with (
        connect(board.settings(USER), password=lambda: PASSWORD) as runner,
        pytest.raises(ClusterError, match=r"no end after 1 s: sleep 4711"),
    ):
        runner.run("sleep 4711 & sleep 4711; wait", root=True, timeout_s=1)
    board.sh("while pgrep -f 'sleep 4711$'; do sleep 0.1; done")


@pytest.mark.parametrize("room_mb", [0, 10])
def test_a_full_disk_is_told_and_nothing_is_left(
    board: Board, tmp_path: Path, room_mb: int
) -> None:
    """At once when it is full before, and in the middle when it fills up meanwhile."""
    source = tmp_path / "model"
    source.write_bytes(bytes(30_000_000))
    board.sh(
        "mkdir -p /small && mount -t tmpfs -o size=40m tmpfs /small && echo old > /small/model"
    )
    fill = 40 - room_mb if not room_mb else 25
    filled: list[int] = []

    def meanwhile(count: int) -> None:
        if room_mb and not filled and count > 1_000_000:
            filled.append(count)
            board.sh(f"head -c {fill}m /dev/zero > /small/other")

    try:
        if not room_mb:
            board.sh("head -c 30m /dev/zero > /small/other")
        with (
            connect(board.settings()) as runner,
            pytest.raises(ClusterError) as full,
        ):
            runner.put(source, "/small/model", sent=meanwhile)
        assert board.sh("ls -A /small; cat /small/model").split() == ["model", "other", "old"]
    finally:
        board.sh("umount /small")
    said = str(full.value)
    assert said.startswith("board edge-1 (root@")
    assert "/small/model does not fit on the disk: it has 30.0 MB, " in said
    assert "make room for" in said


def lost_while(board: Board, tmp_path: Path, lose: Callable[[], None]) -> float:
    """The seconds until a copy notices."""
    source = tmp_path / "model"
    source.write_bytes(bytes(100_000_000))
    begun: list[float] = []
    losing = threading.Thread(target=lose)

    def meanwhile(count: int) -> None:
        if not begun and count > 5_000_000:
            begun.append(time.monotonic())
            losing.start()

    with (
        connect(board.settings()) as runner,
        pytest.raises(UnreachableError, match=r"board edge-1 .*the connection is lost"),
    ):
        runner.put(source, "/opt/model", sent=meanwhile)
    took_s = time.monotonic() - begun[0]
    losing.join()
    return took_s


def test_a_pulled_cable_is_noticed_and_leaves_no_half(board: Board, tmp_path: Path) -> None:
    board.sh("echo old > /opt/model")
    with connect(board.settings()) as runner:
        try:
            assert lost_while(board, tmp_path, board.cut) < 30
            with pytest.raises(UnreachableError):
                runner.run("true")
        finally:
            board.mend()
        assert runner.run("cat /opt/model").out == "old\n"  # the same runner, connected anew


def test_a_board_without_power_is_noticed_and_has_no_half(board: Board, tmp_path: Path) -> None:
    board.sh("echo old > /opt/model; sync")
    assert lost_while(board, tmp_path, board.power_off) < 30
    board.power_on()
    board.booted()
    assert board.sh("cat /opt/model") == "old\n"
    with connect(board.settings()) as runner:
        runner.put(b"new", "/opt/model")  # over what was left beside it
    assert board.sh("cat /opt/model; ls /opt/model*") == "new/opt/model\n"


def test_one_board_is_the_way_to_another(desk: Desk, tmp_path: Path) -> None:
    first, second = desk.boards
    plain = (desk.directory / "ssh_config").read_text()
    config = tmp_path / "config"
    gate = f"Host gate\n HostName {first.address}\n User root\n"
    config.write_text(f"{gate}Host far\n HostName {second.address}\n ProxyJump gate\nHost *{plain}")
    board = replace(second.settings(), ssh="root@far", ssh_config=config)
    with connect(board) as runner:
        done = runner.run("hostname; echo $SSH_CONNECTION")
        assert done.out.split()[:2] == ["edge-2", first.address]
        runner.put(bytes(5_000_000), "/opt/file")
    assert second.sh("stat -c %s /opt/file") == "5000000\n"


def test_a_way_that_is_not_known_is_told(desk: Desk, tmp_path: Path) -> None:
    first, second = desk.boards
    (tmp_path / "known_hosts").write_text("")
    config = tmp_path / "config"
    config.write_text(
        f"IdentityFile {first.key}\nUserKnownHostsFile {tmp_path}/known_hosts\n"
        f"Host far\n HostName {second.address}\n ProxyJump root@{first.address}\n"
    )
    board = replace(second.settings(), ssh="root@far", ssh_config=config)
    with pytest.raises(ClusterError, match=r"through a proxy\): its host key is not known here"):
        connect(board)

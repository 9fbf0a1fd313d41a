"""A board that runs commands on itself, as a user who becomes root through sudo."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from boards.desk import Desk
from boards.machine import Board
from boards.rootfs import USER

pytestmark = [pytest.mark.boards, pytest.mark.timeout(300)]  # the root file system may be made

ROOT = Path(__file__).parents[2]
SUDOERS = "etc/sudoers.d/here"


@pytest.fixture
def board(desk: Desk) -> Iterator[Board]:
    """edge-1 with our package, whose user needs no password."""
    board = desk.boards[0]
    package, sudoers = board.root / "srv" / "prism_edge", board.root / SUDOERS
    shutil.copytree(ROOT / "prism_edge", package, dirs_exist_ok=True)
    sudoers.write_text(f"{USER} ALL=(ALL) NOPASSWD: ALL\n")
    sudoers.chmod(0o440)
    yield board
    sudoers.unlink()


BEGIN = """
import os
from pathlib import Path
from prism_edge.deploy.here import Here
from prism_edge.errors import ClusterError
here = Here(name="edge-1")
"""


def run(board: Board, script: str) -> str:
    path = board.root / "srv" / "script.py"
    path.write_text(BEGIN + script)
    return board.sh("cd /srv && exec python3 script.py", user=USER)


def test_it_is_root_only_where_it_is_asked_to_be(board: Board) -> None:
    said = run(board, 'print(here.run("id -un").out + here.run("id -un", root=True).out, end="")')
    assert said == f"{USER}\nroot\n"


def test_files_go_to_root_and_come_from_root(board: Board) -> None:
    script = """
here.put(b"secret", "/etc/ours", mode=0o600)
print(here.run("stat -c '%U:%G %a' /etc/ours").out, end="")
here.get("/etc/ours", Path("/tmp/mine"))
print(Path("/tmp/mine").read_text(), Path("/tmp/mine").owner())
"""
    assert run(board, script) == f"root:root 600\nsecret {USER}\n"


def test_what_takes_too_long_is_killed_though_it_is_roots(board: Board) -> None:
    """sudo gives it a session of its own, where its process group cannot be killed from here."""
    script = """
try:
    here.run("trap : TERM HUP; echo $$ >/tmp/pid; sleep 600; sleep 600", root=True, timeout_s=5.0)
except ClusterError as error:
    print(error)
"""
    said = run(board, script)
    assert said.startswith("board edge-1: no end after 5 s: trap : TERM HUP; echo $$ >/tmp/pid")
    pid = board.sh("cat /tmp/pid").strip()
    board.sh(f"while kill -0 {pid} 2>/dev/null; do sleep 0.1; done")


def test_without_leave_it_says_what_to_do(board: Board) -> None:
    (board.root / SUDOERS).write_text("")
    script = """
try:
    here.run("true", root=True)
except ClusterError as error:
    print(error)
"""
    assert run(board, script) == (
        "board edge-1: this needs root; sudo: a password is required; put sudo before the whole "
        "command\n"
    )

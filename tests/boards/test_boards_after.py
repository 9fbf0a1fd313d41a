"""What comes after a push, on boards: a mesh that learns of peers, logs, collecting, leaving."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from boards import standin
from boards.desk import Desk
from boards.machine import Board
from prism_edge.deploy import logs, paths
from prism_edge.deploy.apply import apply
from prism_edge.deploy.collect import collect
from prism_edge.deploy.everywhere import Found
from prism_edge.deploy.hosts import connect
from prism_edge.deploy.mesh import mesh_files
from prism_edge.deploy.runner import Runner
from prism_edge.deploy.status import status
from prism_edge.deploy.step import MakeMeshKey, MakeUser, PutFile, StartMesh
from prism_edge.deploy.uninstall import uninstall
from prism_edge.mesh import MeshSettings
from prism_edge.settings import BoardSettings, Settings

pytestmark = [pytest.mark.boards, pytest.mark.timeout(300)]


@pytest.fixture
def settings(desk: Desk, tmp_path: Path) -> Iterator[Settings]:
    """Two boards that serve a stand-in."""
    for board in desk.boards:
        standin.clear(board)
        standin.furnish(board)
        standin.lay(board, "r1", standin.GOOD)
        board.sh(f"{paths.ACTIVATE} r1")
    boards = tuple(board.settings() for board in desk.boards)
    yield Settings(name="desk", leader="edge-1", profiles=tmp_path, boards=boards)
    uninstall(boards, opened, "test", keep_data=False)


def opened(board: BoardSettings) -> Runner:
    return connect(board)


def made_key(board: Board, runner: Runner) -> str:
    apply(MakeMeshKey(why="test"), runner)
    return board.sh(f"cat {paths.MESH_PUBLIC_KEY}").strip()


def start_mesh(runner: Runner, settings: Settings, board: str, keys: dict[str, str]) -> None:
    for path, (content, mode) in mesh_files(settings, board, keys).items():
        apply(PutFile(why="test", path=path, content=content, mode=mode), runner)
    apply(StartMesh(why="test", interface=settings.mesh.interface), runner)


def test_a_mesh_learns_of_a_peer_without_being_started_again(
    desk: Desk, settings: Settings
) -> None:
    settings = replace(settings, mesh=MeshSettings(subnet="10.99.0.0/24"))
    since = "systemctl show --property=ActiveEnterTimestampMonotonic wg-quick@prism0"
    with ExitStack() as stack:
        runners = [stack.enter_context(connect(board.settings())) for board in desk.boards]
        keys = {
            board.name: made_key(board, runner)
            for board, runner in zip(desk.boards, runners, strict=True)
        }
        for board, runner in zip(desk.boards, runners, strict=True):
            assert made_key(board, runner) == keys[board.name]
            assert board.sh(f"stat -c '%a %U' {paths.MESH_KEY}") == "600 root\n"
        start_mesh(runners[0], settings, "edge-1", {"edge-1": keys["edge-1"]})
        before = desk.boards[0].sh(since)
        start_mesh(runners[0], settings, "edge-1", keys)
        start_mesh(runners[1], settings, "edge-2", keys)
    assert desk.boards[0].sh(since) == before
    assert "0% packet loss" in desk.boards[1].sh("ping -c 2 -W 5 10.99.0.1")
    assert desk.boards[0].sh("wg show prism0 public-key").strip() == keys["edge-1"]


def test_every_board_shows_what_it_serves(settings: Settings) -> None:
    found = status(settings, settings.boards, opened)
    assert [row.serving for row in found.rows] == [True, True]
    assert [row.state and row.state.current for row in found.rows] == ["r1", "r1"]
    assert found.rows[0].why is not None  # a stand-in answers nobody


def test_logs_are_followed_and_a_lost_board_is_said(desk: Desk, settings: Settings) -> None:
    pages = logs.pages(settings.boards, opened, None, 50)
    assert {line.board for line in logs.in_order(pages)} == {"edge-1", "edge-2"}
    away = replace(settings.boards[1], name="edge-9", ssh=f"root@{desk.boards[1].address}:1")
    cursors = {page.board: page.value.cursor for page in pages if page.value is not None}
    heard: dict[str, str] = {}
    news, over = threading.Event(), threading.Event()

    def say(board: str, text: str) -> None:
        if board == "edge-9" or "a new line" in text:
            heard.setdefault(board, text)
        if len(heard) == 2:
            news.set()

    watched = (settings.boards[0], away)
    watching = threading.Thread(target=logs.follow, args=(watched, opened, cursors, say, over))
    watching.start()
    desk.boards[0].sh(
        f"systemctl stop {paths.UNIT}; sed -i 's/^echo/echo a new line; echo/' "
        f"{paths.release('r1')}/serve; systemctl start {paths.UNIT}"
    )
    assert news.wait(60)
    over.set()
    watching.join(60)
    assert "a new line" in heard["edge-1"]
    assert "trying again" in heard["edge-9"]


def test_a_journal_is_collected_whole_while_it_is_written(
    desk: Desk, settings: Settings, tmp_path: Path
) -> None:
    board = desk.boards[0]
    for one in settings.boards:
        with connect(one) as runner:
            apply(MakeUser(why="test"), runner)
    board.sh(
        f'runuser -u {paths.USER} -- python3 -c "import sqlite3; c = sqlite3.connect('
        f"'{paths.JOURNAL}'); c.execute('PRAGMA journal_mode=WAL'); c.execute('CREATE TABLE t "
        f"(n)'); c.executemany('INSERT INTO t VALUES (?)', [(n,) for n in range(1000)]); "
        f'c.commit(); import os; os._exit(0)"'  # killed: what it wrote is in the log beside it
    )
    standin.write(board, f"{paths.PROFILES}/desk/profile.toml", "x = 1\n")
    found = collect(settings.boards, opened, tmp_path)
    assert [one.error for one in found] == [None, None]
    with sqlite3.connect(tmp_path / "edge-1" / "journal.sqlite") as journal:
        assert journal.execute("SELECT count(*) FROM t").fetchone() == (1000,)
    assert (tmp_path / "edge-1/profiles/desk/profile.toml").read_text() == "x = 1\n"
    assert "Stand-in r1" in (tmp_path / "edge-2/unit.log").read_text()
    assert (tmp_path / "edge-2/release.json").read_text() == "{}"
    assert board.sh(f"find {paths.STATE} -user root -name '*sqlite*'") == ""
    assert ".collected" not in board.sh(f"ls -A {paths.STATE}")


def test_nothing_of_ours_is_left(desk: Desk, settings: Settings) -> None:
    settings = replace(settings, mesh=MeshSettings(subnet="10.99.0.0/24"))
    board = desk.boards[0]
    with connect(board.settings()) as runner:
        apply(MakeUser(why="test"), runner)
        token = PutFile(why="test", path=paths.TOKEN, content=b"t", owner="prism-edge:prism-edge")
        apply(token, runner)
        start_mesh(runner, settings, "edge-1", {"edge-1": made_key(board, runner)})
    (kept,) = uninstall(settings.boards[:1], opened, "test", keep_data=True)
    assert kept.error is None
    assert board.sh(f"stat -c %U {paths.STATE}") == "prism-edge\n"
    gone = uninstall(settings.boards, opened, "test", keep_data=False)
    assert [one.error for one in gone] == [None, None]
    assert uninstall(settings.boards, opened, "test", keep_data=False) == (
        Found(board="edge-1", value=()),
        Found(board="edge-2", value=()),
    )
    left = "find / -xdev \\( -path /proc -o -path /sys -o -path /var/log \\) -prune -o "
    for one in desk.boards:
        assert one.sh(f"{left} -iname '*prism*' -print") == ""
        assert one.sh("getent passwd prism-edge; systemctl --failed --no-legend") == ""
    assert "prism" not in board.sh("ip -br link; nft list tables; ls /etc/wireguard")
